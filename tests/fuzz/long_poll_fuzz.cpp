// A libFuzzer target: any bytes as the body of a POST to long polling, and what answers are made
// of.
//
// What must hold: a body is taken whole or refused; texts come through as they are, binary messages
// as the bytes that their base64 says; an answer is JSON that holds the messages unchanged;
// whatever binary message the server has, it becomes JSON.
#include "channels/base64.hpp"
#include "channels/json_scanner.hpp"
#include "channels/serializer.hpp"
#include "channels/transport/long_poll_body.hpp"
#include <cstdlib>

namespace {

using namespace roost;
using namespace roost::detail;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_body(std::string_view bytes) {
  auto messages = parse_poll_body("application/x-ndjson", bytes, 50);
  if (messages) {
    require(messages->size() <= 50);
    for (auto& message : *messages) {
      require(message.data.find('\n') == std::string::npos || message.binary);
      if (!message.binary) {
        require(message.data.front() == '[' || message.data.front() == '{');
        require(is_utf8(message.data));
      }
      incoming read;
      message.binary ? (void)decode_binary(protocol::v2, message.data, read)
                     : (void)decode_text(protocol::v2, message.data, read);
    }
  }
  auto one = parse_poll_body("application/json", bytes);
  require(one.has_value() == is_utf8(bytes));
  if (one) require(one->size() == 1 && one->front().data == bytes);
}

void check_base64(std::string_view bytes) {
  require(from_base64(to_base64(bytes)) == bytes);
  require(from_base64url(to_base64url(bytes)) == bytes);
  if (auto decoded = from_base64(bytes)) require(to_base64(*decoded) == bytes);
  if (auto decoded = from_base64url(bytes)) require(to_base64url(*decoded) == bytes);
}

void check_answer(std::string_view bytes) {
  incoming read;
  if (!is_utf8(bytes) || decode_text(protocol::v2, bytes, read)) return;
  std::vector<std::string> messages{std::string(bytes)};
  auto answer = json::parse(poll_answer(200, "token", messages));
  require(answer && (*answer)["messages"][0] == bytes);
}

void check_binary(std::string_view bytes) {
  auto text = text_of_binary(bytes);
  if (!text.empty()) require(static_cast<bool>(json::parse(text)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> exact(data, data + size);
  const std::string_view bytes{exact.data(), exact.size()};
  check_body(bytes);
  check_base64(bytes);
  check_answer(bytes);
  check_binary(bytes);
  for (auto& [name, value] : preflight_headers(bytes))
    require(value.find_first_of("\r\n") == std::string::npos);
  return 0;
}
