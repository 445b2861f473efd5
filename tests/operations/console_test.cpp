// The console of one node: who may ask what, and what becomes of an answer.
#include "operations/console.hpp"
#include "operations/console/console_server.hpp"
#include "runtime/distribution/rpc.hpp"
#include "tests/support.hpp"
#include <future>

using namespace roost;
using namespace roost::test;
using detail::ask_here;

namespace {

struct console_node : test::node {
  log_capture log;
  server<detail::console_server> console = start<detail::console_server>({.name = "console"});

  std::string ask(
      std::string function, std::string arguments = "[]",
      console::role role = console::role::admin) {
    auto answer = ask_here(
        {.function = std::move(function),
         .arguments = std::move(arguments),
         .who = "tester",
         .role = role});
    return answer.ok ? answer.text : "** " + answer.text;
  }
};

}  // namespace

TEST_CASE_FIXTURE(console_node, "a program offers functions of its own") {
  console::offer(
      "Shop.close",
      [](const console::arguments& given) {
        return json{{"closed", given.text(0, "a shop")}, {"after", given.number(1, "minutes", 5)}};
      },
      {.needs = console::role::admin, .usage = "(shop) closes it"});
  CHECK(ask("Shop.close", R"(["north"])") == R"({"closed":"north","after":5})");
  CHECK(ask("Shop.close", R"(["north",7])") == R"({"closed":"north","after":7})");
  CHECK(ask("Shop.close") == "** expected a shop as argument 1, got nothing");
  CHECK(ask("Shop.close", R"(["n","x"])") == R"(** expected minutes as argument 2, got "x")");
  CHECK(ask("Shop.close", "{}") == "** expected the arguments to be a list");
  CHECK(ask("Shop.open") == "** undefined function Shop.open");
  CHECK(
      ask("Shop.close", R"(["north"])", console::role::read_only) ==
      "** Shop.close needs an admin, and this is a read-only session");
}

TEST_CASE_FIXTURE(console_node, "what an admin does is in the log, and what anybody reads is not") {
  ask("Logger.set_level", R"(["info"])");
  ask("System.counts");
  CHECK(eventually([&] { return log.saw("", "function=Logger.set_level"); }));
  CHECK(log.saw("", "who=tester"));
  CHECK(!log.saw("", "System.counts"));
}

TEST_CASE_FIXTURE(console_node, "a function that throws or takes too long fails its asker only") {
  console::offer("Test.throws", [](const console::arguments&) -> json {
    throw std::runtime_error("no paper");
  });
  std::promise<void> stop;
  console::offer(
      "Test.hangs",
      [stopped = stop.get_future().share()](const console::arguments&) {
        stopped.wait();  // may end after this test
        return json();
      },
      {.timeout = 50ms});
  CHECK(ask("Test.throws") == "** no paper");
  CHECK(ask("Test.hangs") == "** timeout: it is unknown what became of it");
  stop.set_value();
  CHECK(ask("Node.self") == "\"nonode@nohost\"");
}

TEST_CASE_FIXTURE(console_node, "functions that are offered to other nodes can be called by hand") {
  roost::node::start(
      {.name = "console-test@127.0.0.1",
       .cookie = "5d1f8a0c7be94623f08e6c1d2b9a4705e3c6d8f1a72b4e9c",
       .listen = false});
  rpc::offer("math.add", [](int a, std::int64_t b) { return a + b; });
  CHECK(ask("rpc.run", R"(["math.add",1,41])") == "42");
  CHECK(ask("rpc.run", R"(["math.add",1])") == "** expected a list of 2, got a list");
  CHECK(ask("rpc.run", R"(["math.sub",1,2])") == "** undefined function math.sub");
  CHECK(
      ask("rpc.offered").find(R"({"name":"math.add","arguments":"{integer, integer}"})") !=
      std::string::npos);
  rpc::withdraw("math.add");
  roost::node::stop();
}
