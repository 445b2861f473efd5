// private: the Phoenix wire format, version 2.0.0, as a client sees it: pushes to frames, frames of
// the server to messages. The mirror of channels/serializer.hpp, and pure as that is.
//
//   server_message message;                          // one for many frames: it keeps its memory
//   if (auto bad = decode_server_text(frame, message)) return close(bad->reason);
//   encode_client_push(out, join_ref, ref, "room:1", "new_msg", payload);
//
// A client numbers its references itself, from 1, and writes them as strings. What comes back as
// anything else is nobody's reference.
//
// Source: assets/js/phoenix/serializer.js of Phoenix 1.8.
#pragma once
#include "channels/serializer.hpp"
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

inline constexpr std::uint64_t no_ref = 0;           // null, or empty in a binary frame
inline constexpr std::uint64_t unknown_ref = ~0ULL;  // no number that a client has written

/// A message of the server. The views point into the frame, or into this value, and are good until
/// either goes away or the next decode.
struct server_message {
  enum kind_of_message : std::uint8_t { event, reply };

  kind_of_message kind = event;
  bool binary = false;
  std::uint64_t join_ref = no_ref;
  std::uint64_t ref = no_ref;
  std::string_view topic = {};
  std::string_view name = {};          // of the event; of a reply its status
  std::string_view payload_data = {};  // checked JSON text, or bytes; of a reply its response

  roost::payload to_payload() const {
    return binary ? roost::payload::binary(payload_data) : roost::payload::from_text(payload_data);
  }

  // Hold the strings that are not in the frame as they are.
  incoming text;
  std::string status;
};

/// Reads a text frame, which must be UTF-8; nothing when all is well.
std::optional<malformed> decode_server_text(std::string_view frame, server_message& message);

/// Reads a binary frame: a push, a reply or a broadcast.
std::optional<malformed> decode_server_binary(std::string_view frame, server_message& message);

/// Adds one message to the end of `out`, or nothing, when it is impossible: a name is not UTF-8, or
/// a name is longer than 255 bytes and the payload binary.
encoded encode_client_push(
    std::string& out, std::uint64_t join_ref, std::uint64_t ref, std::string_view topic,
    std::string_view event, const payload& payload);

}  // namespace roost::detail
