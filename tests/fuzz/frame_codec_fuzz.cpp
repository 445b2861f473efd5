// A libFuzzer target: bytes in any chunks, to both sides of a connection.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined -o fuzz_frame_codec \
//     tests/fuzz/frame_codec_fuzz.cpp channels/transport/frame_codec.cpp -lsimdjson
//   ./fuzz_frame_codec -max_total_time=60
//
// What must hold: no access outside the bytes that came, memory under the limit, the same events
// however the bytes are cut, nothing after a close or an error, and the encoder gives back what
// the decoder read.
#include "channels/transport/frame_codec.hpp"
#include "channels/transport/utf8.hpp"
#include <fuzzer/FuzzedDataProvider.h>
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace roost;

struct found {
  frame_event::kind_of_event kind;
  bool compressed;
  close_code code;
  std::string payload;
  std::string reason;

  bool operator==(const found&) const = default;
};

void require(bool condition) {
  if (!condition) std::abort();
}

found copied(const frame_event& event) {
  return {
      event.kind, event.compressed, event.code,
      std::string(event.payload.begin(), event.payload.end()), std::string(event.reason)};
}

void check_alone(const found& event, const frame_limits& limits) {
  const bool control = event.kind == frame_event::ping || event.kind == frame_event::pong;
  require(event.payload.size() <= (control ? 125 : limits.max_frame_size));
  require(!event.compressed || limits.allow_rsv1);
  if (event.kind == frame_event::text && !event.compressed) require(is_utf8(event.payload));
  if (event.kind == frame_event::close) require(is_utf8(event.reason));
}

std::vector<found> decode(const std::string& wire, const frame_limits& limits, auto next_size) {
  frame_decoder decoder;
  std::vector<found> events;
  for (std::size_t at = 0; at < wire.size();) {
    const auto size = std::min<std::size_t>(next_size(), wire.size() - at);
    // A buffer of its own for each chunk, so that reading past its end or after it shows.
    std::vector<char> chunk(wire.begin() + at, wire.begin() + at + size);
    std::span<char> input(chunk);
    while (const auto event = decoder.next(input, limits)) events.push_back(copied(event));
    require(input.empty());
    require(decoder.memory() <= limits.max_frame_size + 512);
    at += size;
  }
  return events;
}

/// Writes the events with our own encoder, for the decoder to find the same in them.
std::string encode(const std::vector<found>& events, const frame_limits& limits) {
  constexpr opcode codes[] = {
      opcode::continuation, opcode::text, opcode::binary, opcode::ping, opcode::pong};
  std::string wire;
  for (const auto& event : events) {
    frame_options options{.rsv1 = event.compressed};
    if (limits.role == frame_role::server) options.mask = mask_key{'\x01', '\x82', '\x03', '\xf4'};
    if (event.kind == frame_event::close) {
      append_close(wire, event.code, event.reason, options);
    } else if (event.kind != frame_event::error) {
      append_frame(wire, codes[event.kind], event.payload, options);
    }
  }
  return wire;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider fuzz(data, size);
  const frame_limits limits{
      .max_frame_size = fuzz.ConsumeIntegral<std::uint16_t>(),
      .allow_rsv1 = fuzz.ConsumeBool(),
      .role = fuzz.ConsumeBool() ? frame_role::server : frame_role::client};
  std::vector<std::size_t> sizes(1 + fuzz.ConsumeIntegral<std::uint8_t>() % 16);
  for (auto& chunk : sizes) chunk = 1 + fuzz.ConsumeIntegral<std::uint8_t>();
  const auto wire = fuzz.ConsumeRemainingBytesAsString();

  auto events = decode(wire, limits, [&] { return wire.size(); });
  std::size_t turn = 0;
  require(decode(wire, limits, [&] { return sizes[turn++ % sizes.size()]; }) == events);
  require(decode(wire, limits, [] { return 1; }) == events);

  for (std::size_t i = 0; i < events.size(); ++i) {
    check_alone(events[i], limits);
    const bool last = events[i].kind == frame_event::close || events[i].kind == frame_event::error;
    require(!last || i + 1 == events.size());
  }
  const auto again = encode(events, limits);
  if (!events.empty() && events.back().kind == frame_event::error) events.pop_back();
  require(decode(again, limits, [&] { return again.size(); }) == events);
  return 0;
}
