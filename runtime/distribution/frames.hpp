// private: what travels on a link once the other end has proved who it is.
//
// A frame is its length (4 bytes, little endian, of what follows), its type (1 byte), and a body.
//
//   hello      who I am: see handshake.hpp
//
//   verdict    whether the server takes the client
//
//   ready      the client takes the server; the link is up
//
//   tick       nothing: a sign of life
//
//   type_name  hash (8), name: what a hash in later messages stands for, for the other end's log
//
//   nodes      names of other nodes that the sender is connected to
//
//   lost       the name of a node that the sender has lost (prevent_overlapping_partitions)
//
//   signal     a message or signal between two processes, whole
//
//   fragment   a part of one: stream (2), flags (1: first, 2: last), with the first the length of
//   the
//              whole (8), then bytes
//
// A signal: its kind (1), flags (1), the receiver (id, 8, or a name), the sender (id, 8; 0:
// nobody), a reference if there is one, then what the kind has: the hash of its type (8) and the
// value for user messages, the reason for the end of a process.
//
// Processes are named by id alone where their node is clear: a sender is of the sending node, a
// receiver of the receiving one.
#pragma once
#include "runtime/codec.hpp"
#include "runtime/process.hpp"

namespace roost::detail {

enum class frame_type : std::uint8_t {
  hello = 1,
  verdict = 2,
  ready = 3,
  tick = 16,
  type_name = 17,
  nodes = 18,
  lost = 19,
  signal = 32,
  fragment = 33,
};

inline constexpr std::size_t frame_header = 5;           // length and type
inline constexpr std::size_t fragment_size = 64 * 1024;  // bytes of a message in one frame
inline constexpr std::size_t largest_frame = fragment_size + 1024;
inline constexpr std::size_t largest_hello = 768;  // before the link is up
inline constexpr std::size_t most_streams = 64;    // large messages under way at the same time

/// Appends a frame.
void put_frame(std::string& out, frame_type type, std::string_view body);

/// Takes the next frame off the front of `in`; nothing while it is incomplete. Throws decode_error
/// for a length above `largest` or of 0.
struct frame {
  frame_type type;
  std::string_view body;
};
std::optional<frame> take_frame(std::string_view& in, std::size_t largest);

/// Writes the body of a signal frame. Throws std::invalid_argument for a value that cannot travel.
void put_signal(wire_writer& out, pid to, const message& message);

/// Whether this kind of message can cross to another node at all.
bool can_travel(const message& message) noexcept;

/// What a signal frame says.
struct incoming_signal {
  pid to;                 // of this node, unless `name`
  std::string_view name;  // the receiver's
  message_ptr message;    // null: the value could not be read, see trouble
  std::string trouble;
  std::uint64_t type_hash = 0;  // of the value
  pid from;
  reference ref;
  message_kind kind = message_kind::info;
};

/// Reads the body of a signal frame that comes from the node with the number `sender`. Throws
/// decode_error when it is no signal; a value that cannot be read is trouble, but no error.
incoming_signal take_signal(std::string_view body, std::uint32_t sender);

}  // namespace roost::detail
