// Values of types that only the program knows, as JSON and back.
#include "operations/console/dynamic.hpp"
#include "operations/console/answers.hpp"
#include "runtime/gen_server.hpp"
#include "tests/support.hpp"
#include <map>

using namespace roost;
using namespace roost::test;
using namespace roost::detail;

namespace {

enum class colour : std::uint8_t { red, green };

struct point {
  int x = 1;
  int y = 2;
  friend bool operator==(const point&, const point&) = default;
};

struct tree {
  std::string name;
  std::vector<tree> children;
};

struct order {
  std::string customer;
  std::int64_t number = 7;
  std::uint8_t small = 0;
  double price = 0.5;
  bool paid = false;
  colour paint = colour::red;
  std::optional<point> where = {};
  std::vector<int> parts = {};
  std::map<std::string, point> named = {};
  std::chrono::milliseconds time{0};
  std::variant<int, std::string> either = {};
  std::pair<int, std::string> both = {};
  std::array<int, 2> two = {};
};

struct sealed { std::function<void()> function; };

order made_of(const std::string& text) {
  auto parsed = json::parse(text);
  REQUIRE(parsed);
  auto message = make_dynamic(type_of<order>, message_kind::info, *parsed);
  return *value_of<order>(*message);
}

std::string trouble(const std::string& text) {
  try {
    made_of(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("a message is made by name or by position, and what is missing keeps its default") {
  auto by_name = made_of(R"({"customer":"ann","number":-3})");
  CHECK(by_name.customer == "ann");
  CHECK(by_name.number == -3);
  CHECK(by_name.price == 0.5);
  auto by_position = made_of(R"(["bob",9,255,1.5,true,1,{"x":5}])");
  CHECK(by_position.customer == "bob");
  CHECK(by_position.small == 255);
  CHECK(by_position.paid);
  CHECK(by_position.paint == colour::green);
  CHECK((by_position.where == point{5, 2}));
}

TEST_CASE("every kind of field comes back as it was given") {
  auto text = R"({"customer":"ann","number":1,"small":2,"price":2.5,"paid":true,"paint":1,)"
              R"("where":{"x":3,"y":4},"parts":[1,2],"named":{"a":{"x":1,"y":1}},"time":1500,)"
              R"("either":{"index":1,"value":"s"},"both":[6,"seven"],"two":[8,9]})";
  auto message = make_dynamic(type_of<order>, message_kind::info, *json::parse(text));
  auto& value = *value_of<order>(*message);
  CHECK(value.time == 1500ms);
  CHECK(std::get<std::string>(value.either) == "s");
  CHECK(value.both == std::pair<int, std::string>{6, "seven"});
  CHECK(value.two == std::array<int, 2>{8, 9});
  auto shown = show_message(*message);
  CHECK(shown["either"] == "s");  // which alternative it is does not matter to who looks at it
  for (auto* name : {"customer", "where", "parts", "named", "time", "both", "two"})
    CHECK_MESSAGE(shown[name] == (*json::parse(text))[name], name);
}

TEST_CASE("what does not fit is named") {
  CHECK(
      trouble(R"({"number":"x"})") ==
      "expected customer as well, since it comes before number "
      "in order{customer: text, number: integer, small: integer, "
      "price: number, paid: boolean, paint: integer, where: "
      "optional point{x: integer, y: integer}, parts: list of "
      "integer, named: table of point{x: integer, y: integer}, "
      "time: milliseconds, either: one of {integer, text}, both: "
      "{integer, text}, two: list of integer}");
  CHECK(trouble(R"(["a","x"])") == "in number: expected a whole number, got the text \"x\"");
  CHECK(
      trouble(R"(["a",1,256])") == "in small: expected a number from 0 to 255, got the number 256");
  CHECK(trouble(R"(["a",1,-1])") == "in small: expected a number from 0 to 255, got the number -1");
  CHECK(trouble(R"(["a",1,0,1,"yes"])") == "in paid: expected true or false, got the text \"yes\"");
  CHECK(trouble(R"({"nosuch":1})").starts_with("expected a field of order{"));
  CHECK(trouble(R"("text")").starts_with("expected order{"));
  auto sealed_type = [] { make_dynamic(type_of<sealed>, message_kind::info, json::object()); };
  CHECK_THROWS_AS(sealed_type(), std::invalid_argument);
}

TEST_CASE("types that contain themselves have a shape") {
  auto text = R"({"name":"a","children":[{"name":"b","children":[]}]})";
  auto message = make_dynamic(type_of<tree>, message_kind::info, *json::parse(text));
  CHECK(value_of<tree>(*message)->children.at(0).name == "b");
  CHECK(show_message(*message) == *json::parse(text));
  CHECK(signature(type_of<tree>) == "tree{name: text, children: list of tree}");
}

TEST_CASE("an answer is JSON, whatever bytes are in it") {
  json answer{{"good", "é"}, {"list", json::array({json("a\xFF"), json(1)})}};
  answer["\xFE"] = json{{"deep", "\xC3"}};
  CHECK(detail::to_text(answer) == R"({"good":"é","list":["a?",1],"?":{"deep":"?"}})");
}

TEST_CASE("pids are read as they are printed") {
  node here;
  auto me = spawn([] {});
  CHECK(process_from_text(to_string(me)) == me);
  for (auto* wrong : {"", "<>", "<0>", "<0.1>", "<1.2.3>", "<0.1.2", "<0.x.1>", "<0.1.2.3>"})
    CHECK_THROWS_AS(process_from_text(wrong), std::invalid_argument);
  CHECK(node_in_text("<chat@10.0.0.7:42.3>") == "chat@10.0.0.7");
  CHECK(node_in_text("<0.42.3>").empty());
}
