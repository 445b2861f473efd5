#include "channels/payload.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <array>
#include <string>
#include <thread>
#include <vector>

using namespace std::string_literals;
using roost::json;
using roost::json_error;
using roost::payload;

namespace {

// Stands for roost::ok and roost::broadcast, which take payloads the same way.
payload ok(payload response = {}) { return response; }
std::string sent(std::string_view event, const payload& payload) {
  return std::string(event) + " " + std::string(payload.text());
}

}  // namespace

TEST_CASE("a payload is one pointer") { CHECK(sizeof(payload) == sizeof(void*)); }

TEST_CASE("a payload made of nothing is the empty object") {
  for (const payload& empty : {payload(), ok(), ok({}), payload{}, payload::from_text("{}")}) {
    CHECK(empty.text() == "{}");
    CHECK(empty.is_object());
    CHECK(empty.is_json());
    CHECK_FALSE(empty.is_binary());
    CHECK(empty.bytes().empty());
    CHECK(empty.value() == json::object());
    CHECK(empty["a"].is_null());
    CHECK(empty == payload());
  }
}

TEST_CASE("payloads are written in braces where they are needed") {
  const std::string room = "lobby";
  CHECK(ok({{"pong", 1}}).text() == R"({"pong":1})");
  CHECK(ok({{"a", "b"}}).text() == R"({"a":"b"})");
  CHECK(
      ok({{"a", room}, {"b", {{"c", json::array({1, nullptr})}}}}).text() ==
      R"({"a":"lobby","b":{"c":[1,null]}})");
  CHECK(sent("x", {{"a", 1}}) == R"(x {"a":1})");
  CHECK(sent("x", {}) == "x {}");
  CHECK(sent("x", json::array({1})) == "x [1]");
  CHECK(sent("x", json{{"a\n", 1}}) == R"(x {"a\n":1})");
  CHECK(payload({{"a", 1}}) == payload{{"a", 1}});
  const json value{{"k", true}};
  CHECK(payload{value}.text() == R"({"k":true})");
  CHECK(payload(value) == ok(value));
}

TEST_CASE("a payload keeps the text it came as") {
  const payload spaced = payload::from_text(" { \"a\" : 1e400 } ");
  CHECK(spaced.text() == " { \"a\" : 1e400 } ");
  CHECK(spaced.is_object());
  CHECK(spaced["a"].number_text() == "1e400");
  CHECK(spaced != payload::from_text(R"({"a":1e400})"));
  CHECK(spaced.value() == payload::from_text(R"({"a":1e400})").value());
  CHECK_FALSE(payload::from_text("[1]").is_object());
  CHECK_FALSE(payload::from_text("null").is_object());
  CHECK(payload::from_text("null")["a"].is_null());
}

TEST_CASE("text from outside is checked") {
  CHECK(payload::parse(R"({"a":1})")->text() == R"({"a":1})");
  CHECK(payload::parse(" [1] ")->text() == " [1] ");
  CHECK_FALSE(payload::parse(""));
  CHECK_FALSE(payload::parse("{'a':1}"));
  CHECK_FALSE(payload::parse("\"\xff\""));
  CHECK_FALSE(payload::parse("[[1]]", 1));
}

TEST_CASE("a binary payload has bytes and no value") {
  const std::array<std::byte, 3> pixels{std::byte{1}, std::byte{0}, std::byte{255}};
  const payload picture = payload::binary(pixels);
  CHECK(picture.is_binary());
  CHECK_FALSE(picture.is_json());
  CHECK_FALSE(picture.is_object());
  CHECK(picture.text().empty());
  CHECK(std::ranges::equal(picture.bytes(), pixels));
  CHECK(picture.contents() == "\x01\0\xff"s);
  CHECK(picture.value().is_null());
  CHECK(picture["a"].is_null());
  CHECK_FALSE(picture.contains("a"));
  CHECK(picture == payload::binary("\x01\0\xff"s));
  CHECK(payload::binary("{}") != payload());
  CHECK(payload::binary("").is_binary());
  CHECK(payload::binary("").bytes().empty());
}

TEST_CASE("a payload is looked into like its value") {
  const payload message = payload::from_text(R"({"to":"all","n":3})");
  CHECK(message["to"] == "all");
  CHECK(message.get<int>("n") == 3);
  CHECK(message.get_or("from", "nobody") == "nobody");
  CHECK(message.contains("to"));
  CHECK_FALSE(message.contains("from"));
  CHECK_THROWS_AS(message.get<int>("to"), json_error);
  CHECK_THROWS_AS(message.get<int>("from"), json_error);
}

TEST_CASE("copies share one value, which outlives the payload it was read from") {
  payload first = payload::from_text(R"({"a":[1,2]})");
  const payload second = first;
  const json* value = &first.value();
  CHECK(&second.value() == value);
  CHECK(second.text().data() == first.text().data());
  first = {};
  CHECK(first.text() == "{}");
  CHECK(second["a"].dump() == "[1,2]");
  payload moved = payload(second);
  payload last = std::move(moved);
  CHECK(&last.value() == value);
  CHECK(moved.text() == "{}");
}

TEST_CASE("a payload may be assigned to itself") {
  payload message{{"a", 1}};
  const payload& same = message;
  message = same;
  CHECK(message.text() == R"({"a":1})");
}

TEST_CASE("a string that is not UTF-8 makes no payload") {
  CHECK_THROWS_AS(payload(json("\xff")), json_error);
  CHECK_THROWS_AS(ok({{"a", "\xff"}}), json_error);
  CHECK_THROWS_AS(ok({{"\xff", 1}}), json_error);
  CHECK(ok({{"after", 1}}).text() == R"({"after":1})");
}

TEST_CASE("large payloads are made as well as small ones") {
  const std::string text(200'000, 'x');
  CHECK(ok({{"a", text}}).text().size() == text.size() + 8);
  CHECK(ok({{"a", 1}}).text() == R"({"a":1})");
}

TEST_CASE("threads may look into a shared payload for the first time at once") {
  for (int round = 0; round < 200; ++round) {
    const payload shared = payload::from_text(R"({"a":[1,2,3],"b":"some longer text to copy"})");
    std::array<const json*, 4> seen{};
    std::vector<std::jthread> threads;
    for (auto& place : seen)
      threads.emplace_back([copy = shared, &place] { place = &copy.value(); });
    threads.clear();
    for (const json* value : seen) CHECK(value == &shared.value());
    CHECK(shared["a"].size() == 3);
  }
}
