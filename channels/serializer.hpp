// private: the Phoenix wire format as pure functions, frames of a client to `incoming`, messages of
// the server to frames. Protocol 2 has arrays in text and a binary layout, protocol 1 has objects.
//
//   incoming message;                                // one for many frames: it keeps its memory
//   if (auto bad = decode_text(protocol::v2, frame, message)) return close(1011, bad->reason);
//   encode_reply(protocol::v2, out, message.join_ref, message.ref, message.topic(), "ok", {});
//
// References are opaque: a client may send a string, a number, even an object, and gets back the
// same text. They are JSON text everywhere, "null" when there is none; only binary frames hold bare
// strings, and are translated here. The functions keep no state; a value belongs to one thread.
//
// Binary layouts (lengths are one byte each, strings without terminators, the payload is the rest):
//   push, client to server   0, join_ref, ref, topic and event lengths, the four strings, payload
//   push, server to client   0, join_ref, topic and event lengths, the three strings, payload
//   reply                    1, join_ref, ref, topic and status lengths, the four strings, payload
//   broadcast                2, topic and event lengths, the two strings, payload
//
// Sources: Phoenix.Socket.V1.JSONSerializer, Phoenix.Socket.V2.JSONSerializer, RFC 8259.
#pragma once
#include "channels/json.hpp"
#include "channels/payload.hpp"
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace roost {

enum class protocol : std::uint8_t { v1, v2 };

/// The protocol for the `vsn` parameter of a connection: none means 1, 1.0.x means 1, 2.0.x means
/// 2, and nothing else is spoken here.
std::optional<protocol> choose_protocol(std::optional<std::string_view> vsn);

/// A topic, and its JSON text where that is at hand; otherwise it is made when it is needed.
struct wire_topic {
  wire_topic(const char* topic) : name(topic) {}
  wire_topic(const std::string& topic) : name(topic) {}
  wire_topic(std::string_view topic, std::string_view topic_json = {})
      : name(topic), json(topic_json) {}

  std::string_view name;
  std::string_view json;
};

/// A message of a client. The views point into the frame, or into this value, and are good until
/// either goes away or the next decode.
struct incoming {
  std::string_view join_ref = "null";  // JSON text
  std::string_view ref = "null";       // JSON text
  std::string_view topic_name;         // what the string says; the JSON text when it is no string
  std::string_view topic_json;         // JSON text; empty in a binary frame
  std::string_view event;              // what the string says; the JSON text when it is no string
  std::string_view payload_data;       // checked JSON text, or bytes
  bool topic_is_string = true;
  bool event_is_string = true;
  bool binary = false;
  std::optional<payload> made;

  std::string scratch;  // holds the strings that are not in the frame as they are

  incoming() = default;
  incoming(const incoming&) = delete;  // the views of a copy would point into the original
  incoming& operator=(const incoming&) = delete;

  wire_topic topic() const { return {topic_name, topic_json}; }
  /// One that was made beforehand, else a copy of the data.
  payload to_payload() const {
    if (made) return *made;
    return binary ? payload::binary(payload_data) : payload::from_text(payload_data);
  }
};

/// Why a frame is malformed and where. Such a frame ends the socket with code 1011.
struct malformed {
  const char* reason;
  std::size_t offset;
};

/// Reads a text frame, which must be UTF-8; nothing when all is well. Nesting deeper than
/// `max_depth`, the frame's own brackets included, is malformed.
std::optional<malformed> decode_text(
    protocol protocol, std::string_view frame, incoming& message,
    std::size_t max_depth = json::default_depth);
std::optional<malformed> decode_v1_text(
    std::string_view frame, incoming& message, std::size_t max_depth = json::default_depth);
std::optional<malformed> decode_v2_text(
    std::string_view frame, incoming& message, std::size_t max_depth = json::default_depth);

/// Reads a binary frame, which protocol 1 does not have. An empty reference is `""`, not null.
std::optional<malformed> decode_binary(
    protocol protocol, std::string_view frame, incoming& message);
std::optional<malformed> decode_v2_binary(std::string_view frame, incoming& message);

/// The kind of frame that an encoder added. `impossible`: it added nothing, since a name is not
/// UTF-8, or the payload is binary and the protocol is 1 or a name is longer than 255 bytes.
enum class encoded : std::uint8_t { text, binary, impossible };

/// The encoders add one frame to the end of `out`, which may already hold the frame's header.
/// References are JSON text; protocol 1 leaves join_ref out.
encoded encode_reply(
    protocol protocol, std::string& out, std::string_view join_ref, std::string_view ref,
    wire_topic topic, std::string_view status, const payload& response);
/// An event for one client.
encoded encode_push(
    protocol protocol, std::string& out, std::string_view join_ref, wire_topic topic,
    std::string_view event, const payload& payload);
/// An event for every client on the topic: the same bytes for all that speak `protocol`.
encoded encode_broadcast(
    protocol protocol, std::string& out, wire_topic topic, std::string_view event,
    const payload& payload);
/// The end of a channel; `event` is phx_close or phx_error.
encoded encode_end(
    protocol protocol, std::string& out, std::string_view join_ref, wire_topic topic,
    std::string_view event);

}  // namespace roost
