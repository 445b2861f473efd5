// private: WebSocket frames (RFC 6455) to messages and back. Pure: no I/O, no clock, no threads.
//
// The decoder is pulled. It unmasks in the buffer that the bytes were read into, so a message that
// arrives whole costs neither a copy nor an allocation, and the buffer can be shared by all
// connections of a worker. Only an incomplete frame or fragmented message is kept, in memory that
// grows with the bytes that really came and goes back once the message is delivered.
//
//   std::span<char> input(buffer, bytes_read);
//   while (auto event = decoder.next(input, limits)) {
//     if (event.kind == frame_event::text) handle(event.payload);
//   }
//
// Whoever handles an event may stop pulling at any point. Stopping early is for connections that
// are going away: what is left of the input is then lost.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace roost {

enum class opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};

/// The named codes; an application may use close_code{4000} to close_code{4999}.
enum class close_code : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  none = 1005,  // never on the wire: a close frame without a code
  invalid_payload = 1007,
  policy_violation = 1008,
  message_too_big = 1009,
  internal_error = 1011,
  service_restart = 1012,
  try_again_later = 1013,
};

/// Which end of the connection decodes: clients mask their frames, servers must not.
enum class frame_role : std::uint8_t { server, client };

struct frame_limits {
  std::size_t max_frame_size = 10'000'000;  // of a message, the sum over its fragments
  bool allow_rsv1 = false;                  // true once permessage-deflate is agreed on
  frame_role role = frame_role::server;
};

/// What the decoder found. The payload and the reason stay valid until the next call of next(), or
/// until the buffer of the input is reused.
struct frame_event {
  enum kind_of_event : std::uint8_t { none, text, binary, ping, pong, close, error };

  kind_of_event kind = none;
  bool compressed = false;             // RSV1 was set; a compressed text is not checked for UTF-8
  close_code code = close_code::none;  // of a close: the peer's; of an error: the one to send
  std::span<char> payload = {};        // of a text, binary, ping or pong
  std::string_view reason = {};        // of a close: the peer's; of an error: words for the log

  explicit operator bool() const { return kind != none; }
};

struct partial_message;

class frame_decoder {
 public:
  frame_decoder() noexcept;
  frame_decoder(frame_decoder&&) noexcept;
  frame_decoder& operator=(frame_decoder&&) noexcept;
  ~frame_decoder();

  /// Takes the next message or control frame off the front of `input`. Answers none, with all of
  /// the input consumed, when more bytes are needed. After a close or an error it only swallows.
  /// Memory of a message that came in pieces is released by the call that follows its delivery.
  frame_event next(std::span<char>& input, const frame_limits& limits);

  /// Gives away the message that next() has just delivered, so that it may outlive the next call: a
  /// copy only if it came whole in the input.
  std::vector<char> release(std::span<const char> payload);

  /// Bytes held on the heap: 0 between messages, at most max_frame_size and a few hundred.
  std::size_t memory() const;

 private:
  std::unique_ptr<partial_message> partial_;  // only while a frame or message is incomplete
  bool finished_ = false;
};

using mask_key = std::array<char, 4>;

struct frame_options {
  bool fin = true;                    // false: more fragments of the message follow
  bool rsv1 = false;                  // the payload is compressed
  std::optional<mask_key> mask = {};  // a client must mask, each frame with a new random key
};

/// The bytes that go before a payload, so that a payload need not be copied to be sent.
struct frame_header {
  std::array<char, 14> bytes = {};
  std::uint8_t size = 0;

  std::string_view view() const { return {bytes.data(), size}; }
};

frame_header encode_header(
    opcode code, std::uint64_t payload_size, const frame_options& options = {});

void append_frame(
    std::string& out, opcode code, std::string_view payload, const frame_options& options = {});

/// A reason that does not fit (123 bytes) is cut between two characters.
void append_close(
    std::string& out, close_code code, std::string_view reason = {},
    const frame_options& options = {});

/// Applies the mask (which also takes it off) to bytes that begin `position` bytes into a payload.
/// Answers whether all the resulting bytes are ASCII, which it learns on the way at no cost.
bool apply_mask(std::span<char> bytes, mask_key key, std::size_t position = 0);

}  // namespace roost
