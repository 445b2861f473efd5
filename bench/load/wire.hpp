// private: the messages of protocol 2 as this tool writes and reads them: its topics and references
// need no escapes, and the moment of sending travels in the payload as {"t":"16 hex digits", …}.
// Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace roost::load {

/// A masked text frame.
void append_text_frame(std::string& out, std::string_view text);
void append_pong(std::string& out, std::string_view payload);
/// A close frame with code 1000.
void append_goodbye(std::string& out);

struct outgoing_message {
  std::string_view join_ref = {};  // empty: null
  std::uint64_t ref = 0;
  std::string_view topic = {};
  std::string_view event = {};
  std::string_view payload = "{}";
};
void append_message(std::string& out, const outgoing_message& message);

/// A payload of `size` bytes (at least 27) that says when it was sent.
class stamped_payload {
 public:
  explicit stamped_payload(std::size_t size);
  std::string_view at(std::uint64_t nanoseconds) noexcept;

 private:
  std::string text_;
};

/// The stamp in a payload, or 0.
std::uint64_t stamp_in(std::string_view payload) noexcept;

struct incoming_message {
  std::string_view join_ref;  // without quotes; empty: null
  std::string_view ref;
  std::string_view topic;
  std::string_view event;
  std::string_view payload;

  bool is_reply() const noexcept { return event == "phx_reply"; }
  bool is_ok() const noexcept;
};
/// Nothing: it is no message of protocol 2.
std::optional<incoming_message> read_message(std::string_view text) noexcept;

}  // namespace roost::load
