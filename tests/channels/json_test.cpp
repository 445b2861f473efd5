#include "channels/json.hpp"
#include "channels/json_scanner.hpp"
#include <doctest/doctest.h>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace std::string_literals;
using roost::is_json;
using roost::json;
using roost::json_error;
using roost::json_scanner;

namespace {

json parsed(std::string_view text) {
  auto result = json::parse(text);
  CAPTURE(text);
  CAPTURE(result.error);
  REQUIRE(result);
  return *result;
}

template <class Act>
std::string failure_of(Act act) {
  try {
    act();
  } catch (const json_error& error) {
    return error.what();
  }
  return "no error";
}

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

// RFC 8259, the corners: each is one whole document.
const std::vector<std::string> valid_documents = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1",
    "-1",
    "10",
    "1.5",
    "0.1e1",
    "0e0",
    "0E+0",
    "1e-1",
    "1E400",
    "-1e-400",
    "1e99999999999999999999",
    "123456789012345678901234567890",
    "3.14159265358979323846264338327950288",
    R"("")",
    R"("a")",
    R"("\"\\\/\b\f\n\r\t")",
    R"("\u0000\u001f\u007f\u00e9\uABCD\uabcd")",
    R"("\ud83d\ude00")",
    R"("\uDBFF\uDFFF")",
    R"("\ud7ff\ue000\uffff")",
    "\"\x7f\"",
    "\"\xc3\xa9\xf0\x9f\x98\x80\xe2\x80\xa8\"",
    R"("a string that is longer than sixteen bytes, and then \n some")",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1]",
    "[1,2,[3,{}],{\"a\":[]}]",
    "{\"\":{\"\":[]}}",
    "{\"a\":1,\"a\":2}",
    R"({"\u0061":1})",
    " \t\r\n[ 1 ,\n2 ] \t\r\n",
    "{ \"a\" : 1 , \"b\" : [ ] }",
    "[[[[[[[[[[1]]]]]]]]]]",
    "[\"a\",\"bb\",\"ccc\",\"dddddddd\",\"eeeeeeeeeeeeeeee\"]",
};

const std::vector<std::string> invalid_documents = {
    "",
    " ",
    "\n",
    "nul",
    "nulll",
    "True",
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "'a'",
    "a",
    "00",
    "01",
    "-01",
    "-",
    "+1",
    ".5",
    "1.",
    "1.e1",
    "-.5",
    "1e",
    "1e+",
    "1e1.5",
    "0x10",
    "1_000",
    "1 2",
    "1,",
    "--1",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\",
    R"("\a")",
    R"("\x41")",
    R"("\'")",
    R"("\u")",
    R"("\u12")",
    R"("\u123g")",
    R"("\U0041")",
    R"("\ud800")",
    R"("\ud800x")",
    R"("\ud800\n")",
    R"("\ud800\u0041")",
    R"("\ud800\ud800")",
    R"("\udc00")",
    R"("\udc00\ud800")",
    R"("\ud83d\ude0")",
    "\"\\\0\""s,
    "\"\n\"",
    "\"\t\"",
    "\"\x1f\"",
    "\"\0\""s,
    "\"0123456789abcdef\x01\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1}",
    "[}",
    "[1]]",
    "[1] [2]",
    "[1]x",
    "{",
    "}",
    "{]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":}",
    "{\"a\":]",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{\"a\":1]",
    "{,\"a\":1}",
    "{\"a\",\"b\"}",
    "{\"a\" 1}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1:2}",
    "{\"a\":1 \"b\":2}",
    "{\"a\n\":1}",
    "[1]/**/",
    "// comment\n1",
    "\xef\xbb\xbf[]",  // a byte order mark
    "\f1",
    "\v1",
    "\xa0 1",
    "1\0"s,
    "\0"s,
    "[\"a\":1]",
    "{\"a\":{\"b\":[}}",
};

}  // namespace

TEST_CASE("the scanner accepts what RFC 8259 allows") {
  for (const auto& text : valid_documents) {
    CAPTURE(text);
    CHECK(is_json(text));
  }
}

TEST_CASE("the scanner rejects everything else") {
  for (const auto& text : invalid_documents) {
    CAPTURE(text);
    CHECK_FALSE(is_json(text));
    CHECK_FALSE(json::parse(text));
    CHECK_FALSE(is_json("[" + text + ",]"));
  }
}

TEST_CASE("the scanner rejects every document that is cut short") {
  const std::string text =
      R"({"a":[1.5e+2,"\u00e9\ud83d\ude00 and more text",true,null],"b":{"c":false}})";
  CHECK(is_json(text));
  for (std::size_t size = 0; size < text.size(); ++size) CHECK_FALSE(is_json(text.substr(0, size)));
}

TEST_CASE("a special byte is found wherever it stands") {
  // Blocks of sixteen and eight bytes and single ones must agree, whatever stands next to the byte.
  for (const char special : {'"', '\\', '\0', '\x1f'}) {
    for (std::size_t size = 1; size < 40; ++size) {
      for (std::size_t at = 0; at < size; ++at) {
        for (const char other : {'a', ' ', '!', '#', '[', ']', '\x7f', '\x80', '\xff'}) {
          std::string text(size, other);
          text[at] = special;
          CHECK(roost::find_special(text.data(), text.data() + size) == text.data() + at);
          text[at] = other;
          CHECK(roost::find_special(text.data(), text.data() + size) == text.data() + size);
        }
      }
    }
  }
}

TEST_CASE("raw control characters are rejected anywhere in a string") {
  for (std::size_t at = 0; at < 40; ++at) {
    for (char control = 0; control < 0x20; ++control) {
      std::string text(42, 'x');
      text.front() = text.back() = '"';
      CHECK(is_json(text));
      text[at + 1] = control;
      CHECK_FALSE(is_json(text));
    }
  }
}

TEST_CASE("the scanner tells values apart and gives their extents") {
  json_scanner in(R"( [ "a\n" , {"b": [1, 2]} ,-1.5e3, null ] )");
  std::string_view text, object, number, null;
  REQUIRE(in.open('['));
  REQUIRE(in.value(text));
  CHECK(in.escaped());
  REQUIRE(in.comma());
  REQUIRE(in.value(object));
  CHECK_FALSE(in.escaped());
  REQUIRE(in.comma());
  REQUIRE(in.value(number));
  REQUIRE(in.comma());
  REQUIRE(in.value(null));
  CHECK_FALSE(in.comma());
  CHECK(text == R"("a\n")");
  CHECK(object == R"({"b": [1, 2]})");
  CHECK(number == "-1.5e3");
  CHECK(null == "null");
}

TEST_CASE("an error has a place and a reason") {
  const auto reason = [](std::string_view text) {
    const auto result = json::parse(text);
    return std::string(result.error) + " at " + std::to_string(result.offset);
  };
  CHECK(reason("[1 2]") == "expected , or ] at 3");
  CHECK(reason("{\"a\":1 2}") == "expected , or } at 7");
  CHECK(reason("[1,]") == "expected a value at 3");
  CHECK(reason("{1:2}") == "expected a key in quotes at 1");
  CHECK(reason("{\"a\"}") == "expected a colon after the key at 4");
  CHECK(reason("\"abc") == "expected the string to end at 4");
  CHECK(reason("\"a\nb\"") == "expected control characters to be escaped at 2");
  CHECK(reason("1 1") == "expected nothing after the document at 2");
  CHECK(reason("\"\xff\"") == "expected UTF-8 at 0");
}

TEST_CASE("nesting is limited") {
  CHECK(is_json(nested(1'024)));
  CHECK_FALSE(is_json(nested(1'025)));
  CHECK(is_json(nested(3), 3));
  CHECK_FALSE(is_json(nested(4), 3));
  CHECK(is_json(R"([[1],[2],{"a":[3]}])", 3));
  CHECK(is_json("1", 0));
  CHECK_FALSE(is_json("[]", 0));
  const auto result = json::parse(nested(1'025));
  CHECK(result.error == "expected less nesting");
  CHECK(result.offset == 1'024);
}

TEST_CASE("the deepest nesting that may be asked for can be read, compared, copied and written") {
  const std::size_t depth = json::depth_limit;
  std::string objects;
  for (std::size_t i = 0; i < depth; ++i) objects += "{\"b\":0,\"a\":";
  objects += "1" + std::string(depth, '}');
  for (const std::string& text : {nested(depth), objects}) {
    const auto result = json::parse(text, 1'000'000);
    REQUIRE(result);
    const json copy = *result.value;
    CHECK(copy == *result.value);
    CHECK(copy.dump() == text);
  }
  CHECK_FALSE(json::parse(nested(depth + 1), 1'000'000));
}

TEST_CASE("text from outside must be UTF-8") {
  for (const char* text :
       {"\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xc0\x80\"", "\"\xf4\x90\x80\x80\"",
        "{\"\x80\":1}"}) {
    CAPTURE(text);
    CHECK_FALSE(json::parse(text));
  }
}

TEST_CASE("parsed text written again is an equal value") {
  for (const auto& text : valid_documents) {
    CAPTURE(text);
    const json value = parsed(text);
    CHECK(parsed(value.dump()) == value);
  }
}

TEST_CASE("escapes become what they mean") {
  CHECK(parsed(R"("\"\\\/\b\f\n\r\t")").as_string() == "\"\\/\b\f\n\r\t");
  CHECK(parsed(R"("\u0000")").as_string() == "\0"s);
  CHECK(
      parsed(R"("\u0041\u007f\u0080\u07ff\u0800\uffff")").as_string() ==
      "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf");
  CHECK(
      parsed(R"("\ud800\udc00\uD83D\uDE00\uDBFF\uDFFF")").as_string() ==
      "\xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf");
  CHECK(parsed(R"({"a\nb":1})")["a\nb"] == 1);
}

TEST_CASE("strings are escaped as little as possible") {
  CHECK(
      json("\"\\/\b\f\n\r\t\x01\x1f\x7f").dump() == R"("\"\\/\b\f\n\r\t\u0001\u001f)"
                                                    "\x7f\"");
  CHECK(json("\0"s).dump() == R"("\u0000")");
  CHECK(json("é😀\u2028").dump() == "\"é😀\u2028\"");
  for (std::size_t size = 0; size < 40; ++size) {
    std::string text(size, 'x');
    CHECK(json(text).dump() == "\"" + text + "\"");
    for (std::size_t at = 0; at < size; ++at) {
      text[at] = '\n';
      CHECK(parsed(json(text).dump()).as_string() == text);
      text[at] = 'x';
    }
  }
}

TEST_CASE("a string that is not UTF-8 cannot be written") {
  for (const char* text : {"\xff", "only at the end \xc3", "\x80 at the start and more text"}) {
    CAPTURE(text);
    std::string out = "before";
    CHECK_THROWS_AS(json::array({1, text}).append_to(out), json_error);
    CHECK(out == "before");
    CHECK_THROWS_AS((json{{text, 1}}.dump()), json_error);
    CHECK(failure_of([&] {
            json(text).as_int();
          }) == "expected a value to be an integer, got a value with a string that is not UTF-8");
  }
}

TEST_CASE("numbers keep their value") {
  struct example {
    const char* text;
    const char* written;
  };
  const std::vector<example> examples = {
      {"0", "0"},
      {"-5", "-5"},
      {"9223372036854775807", "9223372036854775807"},
      {"-9223372036854775808", "-9223372036854775808"},
      {"9223372036854775808", "9223372036854775808"},
      {"12345678901234567890123", "12345678901234567890123"},
      {"1.0", "1.0"},
      {"-0", "-0.0"},
      {"-0.0", "-0.0"},
      {"1.50", "1.5"},
      {"0.1", "0.1"},
      {"0.30000000000000004", "0.30000000000000004"},
      {"1e2", "100.0"},
      {"1.0e-7", "1e-07"},
      {"1e400", "1e400"},
      {"-1E-400", "-1E-400"},
      {"0e400", "0.0"},
      {"1e999999999999999999999", "1e999999999999999999999"},
      {"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
      {"3.14159265358979323846", "3.14159265358979323846"},
      {"5e-324", "5e-324"},
      {"4e-324", "4e-324"},
      {"1.7976931348623157e308", "1.7976931348623157e+308"},
  };
  for (const example& number : examples) {
    CAPTURE(number.text);
    CHECK(parsed(number.text).number_text() == number.written);
    CHECK(parsed(number.text) == parsed(number.written));
  }
}

TEST_CASE("numbers are equal when their decimal values are") {
  CHECK(json(1) == json(1.0));
  CHECK(parsed("1e2") == json(100));
  CHECK(parsed("-0") == json(0));
  CHECK(parsed("0e99999999999999999999") == json(0));
  CHECK(parsed("1e400") == parsed("10e399"));
  CHECK(parsed("1e400") == parsed("0.01E+402"));
  CHECK(parsed("100000000000000000000") == parsed("1e20"));
  CHECK(parsed("1e400") != parsed("-1e400"));
  CHECK(parsed("1e400") != parsed("1e401"));
  CHECK(parsed("1e99999999999999999999") != parsed("1e99999999999999999998"));
  CHECK(json(9007199254740993) != json(9007199254740992.0));
  CHECK(json(1) != json("1"));
  CHECK(json(0) != json(false));
  CHECK(json(0) != json(nullptr));
}

TEST_CASE("numbers are read as the type that is asked for, or not at all") {
  CHECK(json(2.0).as_int() == 2);
  CHECK(json(2).as_double() == 2.0);
  CHECK(json(2).as<float>() == 2.0f);
  CHECK(json(255).as<unsigned char>() == 255);
  CHECK(json(-128).as<signed char>() == -128);
  CHECK(parsed("18446744073709551615").as<std::uint64_t>() == 18446744073709551615u);
  CHECK(json(18446744073709551615u).dump() == "18446744073709551615");
  CHECK(json(18446744073709551615u) == parsed("18446744073709551615"));
  CHECK(parsed("12345678901234567890").as_double() == 12345678901234567890.0);
  CHECK(parsed("1e-400").as_double() == 0.0);
  CHECK(std::signbit(parsed("-1e-400").as_double()));
  CHECK(parsed("1e-99999999999999999999").as_double() == 0.0);
  CHECK_FALSE(json(2.5).is_int());
  CHECK(json(2.0).is_int());
  CHECK_FALSE(json(9223372036854775808.0).is_int());

  CHECK(failure_of([] { json(2.5).as_int(); }) == "expected a value to be an integer, got 2.5");
  CHECK(failure_of([] { json(1e19).as_int(); }) == "expected a value to be an integer, got 1e+19");
  CHECK(failure_of([] {
          json(256).as<unsigned char>();
        }) == "expected a value to be an integer from 0 to 255, got 256");
  CHECK(failure_of([] {
          json(-1).as<std::uint64_t>();
        }) == "expected a value to be an integer that is not negative, got -1");
  CHECK(failure_of([] {
          parsed("18446744073709551616").as<std::uint64_t>();
        }) == "expected a value to be an integer of 64 bits, got 18446744073709551616");
  CHECK(failure_of([] {
          parsed("1e400").as_double();
        }) == "expected a value to be a number in the range of double, got 1e400");
}

TEST_CASE("what is no number becomes null") {
  CHECK(json(std::nan("")).is_null());
  CHECK(json(std::numeric_limits<double>::infinity()).is_null());
  CHECK(json(-std::numeric_limits<float>::infinity()).is_null());
}

TEST_CASE("values are written the way they read") {
  const std::string room = "42";
  CHECK(json{{"reason", "unauthorized"}}.dump() == R"({"reason":"unauthorized"})");
  CHECK(json{{"a", 1}, {"b", json::array({1, 2})}}.dump() == R"({"a":1,"b":[1,2]})");
  CHECK(json{{"a", {{"b", {{"c", room}}}}}}.dump() == R"({"a":{"b":{"c":"42"}}})");
  CHECK(
      json{{"n", nullptr}, {"t", true}, {"d", 0.5}, {"u", 7u}}.dump() ==
      R"({"n":null,"t":true,"d":0.5,"u":7})");
  CHECK(json{{room, std::string_view("x")}}.dump() == R"({"42":"x"})");
  CHECK(json{{"twice", 1}, {"twice", 2}}.dump() == R"({"twice":2})");
  CHECK(json::array({}).dump() == "[]");
  CHECK(json::array({"a", "b"}).dump() == R"(["a","b"])");
  CHECK(json::array({{{"a", "b"}}, nullptr}).dump() == R"([{"a":"b"},null])");
  CHECK(json::object().dump() == "{}");
  CHECK(json{}.dump() == "null");
  CHECK(json{"text"}.dump() == R"("text")");
}

TEST_CASE("an initializer list gives its values away without copying them") {
  std::string long_text(1'000, 'x');
  const char* where = long_text.data();
  const json value{{"text", std::move(long_text)}};
  CHECK(value["text"].as_string().data() == where);
}

TEST_CASE("a value takes two words") { CHECK(sizeof(json) == 16); }

TEST_CASE("a value made in braces from another is a copy of it") {
  json original{{"a", 1}};
  json copy{original}, other = original, moved{std::move(original)};
  CHECK(copy == json{{"a", 1}});
  CHECK(other == copy);
  CHECK(moved == copy);
}

TEST_CASE("a copy shares nothing with the original") {
  json original{{"list", json::array({1, "two"})}, {"big", parsed("1e400")}};
  json copy = original;
  copy["list"].push_back(3);
  copy["list"][1] = "zwei";
  CHECK(original.dump() == R"({"list":[1,"two"],"big":1e400})");
  CHECK(copy.dump() == R"({"list":[1,"zwei",3],"big":1e400})");
  copy = copy["list"];
  CHECK(copy.dump() == R"([1,"zwei",3])");
}

TEST_CASE("a value can be moved into a part of itself") {
  json value{{"inner", {{"deep", 1}}}};
  value = std::move(value["inner"]);
  CHECK(value.dump() == R"({"deep":1})");
}

TEST_CASE("looking for a key adds it only where the value may change") {
  json value{{"a", 1}};
  const json& fixed = value;
  CHECK(fixed["b"].is_null());
  CHECK(fixed["b"]["c"][7].is_null());
  CHECK(value.size() == 1);
  value["b"]["c"] = 2;
  CHECK(value.dump() == R"({"a":1,"b":{"c":2}})");
  CHECK(value.find("z") == nullptr);
  CHECK(value.contains("b"));
  CHECK(json(5).find("a") == nullptr);
  CHECK(value.erase("a"));
  CHECK_FALSE(value.erase("a"));
  CHECK(value.dump() == R"({"b":{"c":2}})");
}

TEST_CASE("null becomes an array or an object when something is put into it") {
  json list, object;
  list.push_back(1);
  list.push_back({{"a", 2}});
  object.append("k", "v") = "w";
  CHECK(list.dump() == R"([1,{"a":2}])");
  CHECK(object.dump() == R"({"k":"w"})");
  CHECK(
      failure_of([&] { list["a"] = 1; }) == R"(expected a value to be an object, got [1,{"a":2}])");
  CHECK(failure_of([&] {
          object.push_back(1);
        }) == R"(expected a value to be an array, got {"k":"w"})");
}

TEST_CASE("the parts of a value are visited in order") {
  json value = parsed(R"({"z":1,"a":[1,2,3],"m":null})");
  std::string keys;
  for (const auto& [key, part] : value.members()) keys += key;
  CHECK(keys == "zam");
  for (auto& item : value["a"].items()) item = item.as_int() * 10;
  CHECK(value["a"].dump() == "[10,20,30]");
  CHECK(value.size() == 3);
  CHECK(value["a"].size() == 3);
  CHECK(value["z"].empty());
  CHECK(value["z"].items().empty());
  CHECK(value["z"].members().empty());
}

TEST_CASE("a repeated key has its first place and its last value") {
  CHECK(parsed(R"({"a":1,"b":2,"a":3})").dump() == R"({"a":3,"b":2})");
  CHECK(parsed(R"({"a":1,"\u0061":2})").dump() == R"({"a":2})");
  std::string text = "{";
  for (int i = 0; i < 100; ++i) {
    text += "\"k" + std::to_string(i % 30) + "\":" + std::to_string(i) + ",";
  }
  text.back() = '}';
  const json value = parsed(text);
  REQUIRE(value.size() == 30);
  CHECK(value.members()[0].key == "k0");
  CHECK(value["k0"] == 90);
  CHECK(value["k9"] == 99);
  CHECK(value["k10"] == 70);
  CHECK(value.members()[29].key == "k29");
}

TEST_CASE("the order of keys does not matter for equality") {
  CHECK(parsed(R"({"a":1,"b":[{"x":1,"y":2}]})") == parsed(R"({"b":[{"y":2,"x":1}],"a":1})"));
  CHECK(parsed(R"({"a":1,"b":2})") != parsed(R"({"a":2,"b":1})"));
  CHECK(parsed(R"({"a":1})") != parsed(R"({"a":1,"b":null})"));
  CHECK(parsed("[1,2]") != parsed("[2,1]"));
  CHECK(parsed("[]") != parsed("{}"));
}

TEST_CASE("a value compares with plain C++ values") {
  const json value{{"s", "x"}, {"i", 1}, {"b", true}};
  CHECK(value["s"] == "x");
  CHECK(value["s"] == "x"s);
  CHECK(value["s"] == std::string_view("x"));
  CHECK("x" == value["s"]);
  CHECK(value["i"] == 1);
  CHECK(value["b"] == true);
  CHECK(value["none"] == nullptr);
  CHECK(value["i"] != "1");
  CHECK(value["i"] != true);
}

TEST_CASE("members are read by type") {
  const json value = parsed(R"({"by":"x","n":3,"f":1.5,"on":true,"none":null,"list":[1]})");
  CHECK(value.get<std::string>("by") == "x");
  CHECK(value.get<std::string_view>("by") == "x");
  CHECK(value.get<int>("n") == 3);
  CHECK(value.get<double>("f") == 1.5);
  CHECK(value.get<bool>("on"));
  CHECK(value.get<json>("list") == json::array({1}));
  CHECK(value.get_or("by", "y") == "x");
  CHECK(value.get_or("nobody", "y") == "y");
  CHECK(value.get_or("none", 7) == 7);
  CHECK(value.get_or("n", 7) == 3);
  CHECK(value.get_or("n", 0.5) == 3.0);
}

TEST_CASE("a wrong type or a missing key is told in a sentence") {
  const json value{{"by", "x"}};
  CHECK(failure_of([&] { value.get<int>("by"); }) == R"(expected "by" to be an integer, got "x")");
  CHECK(failure_of([&] { value.get<bool>("by"); }) == R"(expected "by" to be a bool, got "x")");
  CHECK(failure_of([&] { value.get<double>("by"); }) == R"(expected "by" to be a number, got "x")");
  CHECK(failure_of([&] { value.get_or("by", 5); }) == R"(expected "by" to be an integer, got "x")");
  CHECK(failure_of([&] { json(5).get<int>("a"); }) == R"(expected key "a" to be present, got 5)");
  CHECK(
      failure_of([&] { value.at("to"); }) == R"(expected key "to" to be present, got {"by":"x"})");
  CHECK(failure_of([&] { json::array({1}).at(1); }) == "expected element 1 to be present, got [1]");
  CHECK(failure_of([&] { json(5).as_string(); }) == "expected a value to be a string, got 5");
  CHECK(failure_of([&] {
          value.number_text();
        }) == R"(expected a value to be a number, got {"by":"x"})");
}

TEST_CASE("a long value is shortened in an error, not inside a character") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "é";
  const std::string failure = failure_of([&] { json(text).as_bool(); });
  CHECK(failure.size() < 170);
  CHECK(failure.ends_with("é…"));
  CHECK(roost::is_utf8(failure));
}
