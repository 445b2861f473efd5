#include "channels/transport/long_poll_body.hpp"
#include "channels/base64.hpp"
#include "channels/serializer.hpp"
#include <doctest/doctest.h>

namespace {

using namespace roost;
using namespace roost::detail;

constexpr auto ndjson = "application/x-ndjson";

std::string shown(std::string_view type, std::string_view body) {
  auto messages = parse_poll_body(type, body);
  if (!messages) return "malformed";
  std::string text;
  for (auto& message : *messages)
    text += (message.binary ? "binary " : "text ") + message.data + "|";
  return text;
}

}  // namespace

TEST_CASE("base64 is decoded only as it is written") {
  for (std::string_view bytes : {"", "a", "ab", "abc", "\xff\xfe\xfd"}) {
    CHECK(from_base64(to_base64(bytes)) == bytes);
    CHECK(from_base64url(to_base64url(bytes)) == bytes);
  }
  CHECK(to_base64("\xff\xfe\xfd") == "//79");
  CHECK(to_base64url("\xff\xfe") == "__4");
  for (auto text : {"YQ", "YR==", "Y===", "====", "YQ=a", "Y Q=", "_w=="}) {
    CAPTURE(text);
    CHECK_FALSE(from_base64(text));
  }
  for (auto text : {"YQ==", "/w", "YR", "Y"}) {
    CAPTURE(text);
    CHECK_FALSE(from_base64url(text));
  }
}

TEST_CASE("a line is a text, or a binary message in base64") {
  CHECK(shown(ndjson, "[1]\n[2]") == "text [1]|text [2]|");
  CHECK(shown(ndjson, "[1]\r\n\n{\"topic\":1}\n") == "text [1]|text {\"topic\":1}|");
  CHECK(shown(ndjson, "[1]\nYWI=") == "text [1]|binary ab|");
  CHECK(shown("application/x-ndjson; charset=utf-8", "[1]\n[2]") == "text [1]|text [2]|");
  CHECK(shown(ndjson, "") == "");
  CHECK(shown(ndjson, "[1]\nneither") == "malformed");
}

TEST_CASE("any other body is one message, line breaks and all") {
  CHECK(shown("application/json", "[1,\n2]") == "text [1,\n2]|");
  CHECK(shown("", "[1]") == "text [1]|");
}

TEST_CASE("a text that is not UTF-8 is refused with its whole batch") {
  CHECK(shown(ndjson, "[1]\n[\"\xcdoo\"]") == "malformed");
  CHECK(shown("application/json", "[\"\xff\"]") == "malformed");
  CHECK(shown(ndjson, "[\"\xc3\xa9\"]") == "text [\"\xc3\xa9\"]|");
}

TEST_CASE("more lines than allowed are refused, not dropped") {
  CHECK_FALSE(parse_poll_body(ndjson, "[1]\n[2]\n[3]", 2));
  CHECK(parse_poll_body(ndjson, "[1]\n[2]\n", 2));
}

TEST_CASE("messages travel as JSON strings") {
  std::vector<std::string> messages{"[null,\"1\"]", "é"};
  CHECK(
      poll_answer(200, "t", messages) ==
      R"({"messages":["[null,\"1\"]","é"],"status":200,"token":"t"})");
  CHECK(poll_answer(204, "t") == R"({"messages":[],"status":204,"token":"t"})");
  CHECK(publish_answer(410) == R"({"status":410})");
}

TEST_CASE("what the server has in binary form reads as JSON with the bytes in base64") {
  std::string frame;
  encode_reply(protocol::v2, frame, "\"1\"", "\"2\"", "room:1", "ok", payload::binary("\1\2"));
  CHECK(
      text_of_binary(frame) ==
      R"(["1","2","room:1","phx_reply",{"status":"ok","response":{"base64":"AQI="}}])");
  frame.clear();
  encode_push(protocol::v2, frame, "\"1\"", "room:1", "file", payload::binary("ab"));
  CHECK(text_of_binary(frame) == R"(["1",null,"room:1","file",{"base64":"YWI="}])");
  frame.clear();
  encode_broadcast(protocol::v2, frame, "room:1", "file", payload::binary(std::string_view()));
  CHECK(text_of_binary(frame) == R"([null,null,"room:1","file",{"base64":""}])");
}

TEST_CASE("a preflight gets back names of headers and nothing else") {
  for (auto& [name, value] : preflight_headers("content-type, x-a\r\nset-cookie: x"))
    if (name == "access-control-allow-headers") CHECK(value == "content-type, x-aset-cookie x");
}
