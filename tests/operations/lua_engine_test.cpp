// Lua as the shell has it: results, limits, what is out of reach.
#include "operations/shell/lua_engine.hpp"
#include "tests/support.hpp"
#include <thread>

using namespace roost;
using namespace roost::test;
using detail::lua_engine;

namespace {

std::string result_of(lua_engine& lua, const std::string& code) {
  auto outcome = lua.run(code);
  return outcome.ok ? outcome.text : "** " + outcome.text;
}

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("results read as Lua would write them") {
  lua_engine lua({});
  CHECK(result_of(lua, "1 + 1") == "2");
  CHECK(result_of(lua, "7 / 2, 'a\\nb', nil, true") == "3.5\n\"a\\nb\"\nnil\ntrue");
  CHECK(result_of(lua, "x = 5") == "");
  CHECK(result_of(lua, "{1, {2, 3}}") == "{1, {2, 3}}");
  CHECK(result_of(lua, "{b = 1, a = x}") == "{a = 5, b = 1}");
  CHECK(result_of(lua, "'<0.42.3>'") == "<0.42.3>");
  CHECK(result_of(lua, "'<chat@10.0.0.7:42.3>', '<b>'") == "<chat@10.0.0.7:42.3>\n\"<b>\"");
  CHECK(result_of(lua, "'\\27[31m'") == "\"\\x1B[31m\"");
  CHECK(result_of(lua, "print") == "#function");
  CHECK(result_of(lua, "local t = {} t.t = t return t") == "#table");
}

TEST_CASE("code may take several lines, and an error leaves everything as it was") {
  lua_engine lua({});
  CHECK(lua.run("for i = 1, 2 do").incomplete);
  CHECK(lua.run("f(").incomplete);
  CHECK(result_of(lua, "y = 0 for i = 1, 4 do\n y = y + i\nend") == "");
  CHECK(result_of(lua, "y") == "10");
  CHECK(says(result_of(lua, "1 +* 2"), "** shell:1: "));
  CHECK(says(result_of(lua, "error('mine')"), "mine"));
  CHECK(says(result_of(lua, "error({})"), "an error that is no text"));
  CHECK(result_of(lua, "y") == "10");
}

TEST_CASE("functions of modules get a list and answer a value, whose fields keep their order") {
  lua_engine lua({});
  json seen;
  lua.define("Shop.sell", [&](json given) {
    seen = std::move(given);
    return json{{"zebra", 1}, {"apple", nullptr}, {"list", json::array({json(1), json("b")})}};
  });
  lua.define("Shop.fail", [](json) -> json { throw std::runtime_error("sold out"); });
  CHECK(
      result_of(lua, "Shop.sell('a', 2, 2.5, {x = {1}}, {}, nil, true)") ==
      "{zebra = 1, list = {1, \"b\"}}");
  CHECK(seen.dump() == R"(["a",2,2.5,{"x":[1]},{},null,true])");
  CHECK(result_of(lua, "#Shop.sell().list, Shop.sell().list[2]") == "2\n\"b\"");
  CHECK(says(result_of(lua, "Shop.fail()"), "sold out"));
  CHECK(result_of(lua, "pcall(Shop.fail)") == "false\n\"sold out\"");
  CHECK(
      says(result_of(lua, "Shop.sell(print)"), "expected a value that can travel, got a function"));
  CHECK(says(result_of(lua, "Shop.sell({[1.5] = 2})"), "expected a table to be a list"));
  CHECK(says(result_of(lua, "local t = {} t.t = t Shop.sell(t)"), "64 tables within each other"));
}

TEST_CASE("records of the same fields stand in columns") {
  lua_engine lua({});
  lua.define("rows", [](json) {
    return json::array(
        {json{{"name", "ann"}, {"size", 5}}, json{{"name", nullptr}, {"size", 1200}}});
  });
  CHECK(
      result_of(lua, "rows()") ==
      "name  size\n"
      "ann      5\n"
      "      1200");
}

TEST_CASE("time is limited, even for code that catches everything") {
  lua_engine lua({.time = 50ms});
  CHECK(says(result_of(lua, "while true do end"), "longer than the time limit"));
  CHECK(says(
      result_of(lua, "while true do pcall(function() while true do end end) end"),
      "longer than the time limit"));
  CHECK(result_of(lua, "1") == "1");
  // Nothing could end a finalizer.
  CHECK(says(
      result_of(lua, "setmetatable({}, {__gc = function() while true do end end})"),
      "finalizers are out of reach"));
  CHECK(result_of(lua, "setmetatable({}, {__index = {a = 2}}).a") == "2");
}

TEST_CASE("memory is limited, and is there again afterwards") {
  lua_engine lua({.memory = std::size_t{8} << 20U});
  CHECK(says(result_of(lua, "t = {} for i = 1, 1e9 do t[i] = tostring(i) end"), "8 MiB of memory"));
  CHECK(says(result_of(lua, "('x'):rep(1e8)"), "8 MiB of memory"));
  CHECK(result_of(lua, "t = nil") == "");
  CHECK(result_of(lua, "#('x'):rep(1e6)") == "1000000");
}

TEST_CASE("what runs can be interrupted from elsewhere") {
  lua_engine lua({});
  std::atomic<bool> waiting = false;
  lua.define("wait", [&](json) -> json {
    waiting = true;
    CHECK(eventually([&] { return lua.has_to_end(); }));
    throw std::runtime_error("gave up");
  });
  std::thread other([&] {
    CHECK(eventually([&] { return waiting.load(); }));
    lua.interrupt();
  });
  CHECK(says(result_of(lua, "wait()"), "gave up"));
  other.join();
  CHECK(result_of(lua, "1") == "1");
}

TEST_CASE("files, programs and bytecode are out of reach") {
  lua_engine lua({});
  for (auto* name :
       {"io", "package", "require", "debug", "dofile", "loadfile", "os.execute", "os.exit",
        "os.getenv", "os.remove", "collectgarbage"})
    CHECK_MESSAGE(result_of(lua, name) == "nil", name);
  CHECK(result_of(lua, "load('return 6 * 7')()") == "42");
  CHECK(
      says(result_of(lua, "load(string.dump(function() end))"), "attempt to load a binary chunk"));
  CHECK(result_of(lua, "type(os.time())") == "\"number\"");
}

TEST_CASE("names are completed") {
  lua_engine lua({});
  lua.define("Shop.sell", [](json) { return json(); });
  lua.define("Shop.buy", [](json) { return json(); });
  using list = std::vector<std::string>;
  CHECK(lua.completions("Sh") == list{"Shop."});
  CHECK(lua.completions("Shop.") == list{"Shop.buy(", "Shop.sell("});
  CHECK(lua.completions("Shop.s") == list{"Shop.sell("});
  CHECK(lua.completions("nothing.x").empty());
  CHECK(lua.completions("string.for") == list{"string.format("});
}
