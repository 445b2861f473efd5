// A libFuzzer target: any bytes as a frame of either protocol, and as JSON text.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined \
//     tests/fuzz/serializer_fuzz.cpp channels/json.cpp channels/json_scanner.cpp \
//     channels/payload.cpp channels/serializer.cpp -lsimdjson -o serializer_fuzz
//   ./serializer_fuzz -max_total_time=60
//
// What must hold: no access outside the bytes that came; a reply to what was decoded is JSON again
// and carries the same references; a payload is one JSON value; a value written and parsed again is
// equal; and the scanner accepts nothing that simdjson rejects, save for the numbers it cannot
// hold.
#include "channels/json_scanner.hpp"
#include "channels/serializer.hpp"
#include <simdjson.h>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace roost;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_reply(protocol version, const incoming& message) {
  std::string out;
  require(
      encode_reply(version, out, message.join_ref, message.ref, message.topic(), "ok", {}) ==
      encoded::text);
  require(is_json(out, json::depth_limit));
  require(out.find(message.ref) != out.npos);
  incoming again;
  require(!decode_text(version, out, again, json::depth_limit));
  require(again.ref == message.ref);
  require(version == protocol::v1 || again.join_ref == message.join_ref);
  require(again.topic_name == message.topic_name);
  require(again.topic_is_string == message.topic_is_string);
}

void check_push(protocol version, const incoming& message) {
  std::string out;
  const payload data = message.to_payload();
  const encoded kind =
      encode_push(version, out, message.join_ref, message.topic(), message.event, data);
  if (kind == encoded::binary) return;
  require(kind == encoded::text || data.is_binary());
  require(kind == encoded::impossible || is_json(out, json::depth_limit));
}

void check_binary(const incoming& message) {
  require(message.binary);
  require(is_json(message.join_ref) && is_json(message.ref));
  std::string out;
  const encoded kind = encode_reply(
      protocol::v2, out, message.join_ref, message.ref, message.topic(), "ok",
      message.to_payload());
  require(kind == encoded::binary);
}

void check_text(const incoming& message) {
  require(is_json(message.payload_data));
  require(is_json(message.topic_json));
  require(message.to_payload().value() == json::parse(message.payload_data)->as<json>());
}

void check_frame(std::string_view frame) {
  incoming message;
  for (const protocol version : {protocol::v1, protocol::v2}) {
    // The frame codec lets only UTF-8 through.
    if (is_utf8(frame) && !decode_text(version, frame, message)) {
      check_text(message);
      check_reply(version, message);
      check_push(version, message);
    }
    if (!decode_binary(version, frame, message)) {
      check_binary(message);
      check_reply(version, message);
      check_push(version, message);
    }
  }
}

// simdjson's own limits: integers over 64 bits, doubles over their range, one level less of
// nesting.
bool is_limit(simdjson::error_code error) {
  return error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR;
}

void compare_with_simdjson(std::string_view text, bool accepted) {
  simdjson::dom::parser parser;
  const simdjson::error_code error = parser.parse(simdjson::padded_string(text)).error();
  if (accepted) require(error == simdjson::SUCCESS || is_limit(error));
  // simdjson takes lone surrogates in part, so its word is not taken on strings with escapes.
  else if (error == simdjson::SUCCESS)
    require(text.find("\\u") != text.npos);
}

void check_json(std::string_view text) {
  const auto result = json::parse(text);
  compare_with_simdjson(text, result.value.has_value());
  if (!result) {
    require(!result.error.empty() && result.offset <= text.size());
    return;
  }
  const json& value = *result.value;
  auto again = json::parse(value.dump());
  require(again.value.has_value());
  require(*again == value);
  require(again->dump() == value.dump());
  require(json(value) == value);
  require(payload(value).value() == value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Memory of exactly this size, so that reading past its end shows.
  const std::vector<char> copy(data, data + size);
  const std::string_view text(copy.data(), copy.size());
  check_frame(text);
  check_json(text);
  return 0;
}
