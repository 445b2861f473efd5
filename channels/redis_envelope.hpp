// private: a broadcast as bytes in a Redis channel.
//
//   byte          1, the version of all this
//   byte          0 JSON, 1 binary: what the payload is; 2: broadcasts like this one may have been
//                 lost on their way to Redis, and the payload says for how many ms, in digits
//   8 bytes       which program sent it, at random
//   text          node_name of the sender
//   text          topic; empty in the channel of a topic
//   text          event
//   text          dispatcher
//   the rest      the payload
//
// A text is its size in 4 bytes and its bytes. Numbers are little-endian.
#pragma once
#include "channels/payload.hpp"
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

/// Views of what came.
struct redis_envelope {
  enum class kinds : unsigned char { json, binary, gap };

  std::uint64_t program = 0;
  std::string_view node = {};
  std::string_view topic = {};
  std::string_view event = {};
  std::string_view dispatcher = {};
  kinds kind = kinds::json;
  std::string_view contents = {};
};

std::size_t size_of(const redis_envelope& envelope) noexcept;
void append(std::string& out, const redis_envelope& envelope);

/// Nothing when malformed. The contents are not looked at.
std::optional<redis_envelope> read_envelope(std::string_view bytes) noexcept;

/// Nothing when it is no JSON.
std::optional<payload> payload_of(const redis_envelope& envelope);

/// Of a gap; nothing when it is no number of at most a year.
std::optional<std::chrono::milliseconds> duration_of(const redis_envelope& envelope) noexcept;

}  // namespace roost::detail
