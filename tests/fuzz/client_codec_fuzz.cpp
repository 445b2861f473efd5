// A libFuzzer target: any bytes as a message of a server to a client.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined \
//     tests/fuzz/client_codec_fuzz.cpp channels/client/client_codec.cpp channels/json.cpp \
//     channels/json_scanner.cpp channels/payload.cpp channels/serializer.cpp runtime/codec.cpp \
//     runtime/exit_reason.cpp runtime/names.cpp runtime/node_table.cpp -lsimdjson \
//     -o client_codec_fuzz
//   ./client_codec_fuzz -max_total_time=60
//
// What must hold: no access outside the bytes that came; the names of a message are UTF-8 and its
// payload is one JSON value or bytes; and what was read can be pushed back, which the server's side
// reads as the same.
#include "channels/client/client_codec.hpp"
#include "channels/json_scanner.hpp"
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace roost;
using namespace roost::detail;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_message(const server_message& message) {
  require(is_utf8(message.topic) && is_utf8(message.name));
  require(message.binary || is_json(message.payload_data));
  std::string out;
  const auto kind = encode_client_push(
      out, message.join_ref, message.ref, message.topic, message.name, message.to_payload());
  if (kind == encoded::impossible) return require(message.binary && out.empty());
  incoming again;
  const bool binary = kind == encoded::binary;
  require(!(binary ? decode_v2_binary(out, again) : decode_v2_text(out, again)));
  require(again.topic_name == message.topic && again.event == message.name);
  require(again.payload_data == message.payload_data && again.binary == binary);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  server_message message;
  if (is_utf8(bytes) && !decode_server_text(bytes, message)) check_message(message);
  if (!decode_server_binary(bytes, message)) check_message(message);
  return 0;
}
