#include "bench/load/wire.hpp"
#include "channels/transport/frame_codec.hpp"
#include <charconv>

namespace roost::load {
namespace {

constexpr mask_key mask{0x12, 0x34, 0x56, 0x78};  // nobody here needs an unpredictable one
constexpr std::string_view before_stamp = R"({"t":")";
constexpr std::size_t stamp_size = 16;

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out.append(digits, end);
}

void append_string(std::string& out, std::string_view text) {
  out += '"';
  out += text;
  out += '"';
}

/// A string or null, and the comma after it.
bool take_field(std::string_view& rest, std::string_view& field) noexcept {
  if (rest.starts_with("null,")) {
    field = {};
    rest.remove_prefix(5);
    return true;
  }
  if (!rest.starts_with('"')) return false;
  auto end = rest.find('"', 1);
  if (end == rest.npos || end + 1 >= rest.size() || rest[end + 1] != ',') return false;
  field = rest.substr(1, end - 1);
  rest.remove_prefix(end + 2);
  return true;
}

}  // namespace

void append_text_frame(std::string& out, std::string_view text) {
  append_frame(out, opcode::text, text, {.mask = mask});
}

void append_pong(std::string& out, std::string_view payload) {
  append_frame(out, opcode::pong, payload, {.mask = mask});
}

void append_goodbye(std::string& out) { append_close(out, close_code::normal, {}, {.mask = mask}); }

void append_message(std::string& out, const outgoing_message& message) {
  static thread_local std::string text;
  text = '[';
  if (message.join_ref.empty())
    text += "null";
  else
    append_string(text, message.join_ref);
  text += ",\"";
  append_number(text, message.ref);
  text += "\",";
  append_string(text, message.topic);
  text += ',';
  append_string(text, message.event);
  text += ',';
  text += message.payload;
  text += ']';
  append_text_frame(out, text);
}

stamped_payload::stamped_payload(std::size_t size) {
  text_ = before_stamp;
  text_.append(stamp_size, '0');
  text_ += R"(","b":")";
  constexpr std::string_view tail = "\"}";
  if (text_.size() + tail.size() < size) text_.append(size - text_.size() - tail.size(), 'x');
  text_ += tail;
}

std::string_view stamped_payload::at(std::uint64_t nanoseconds) noexcept {
  for (auto i = before_stamp.size() + stamp_size; i-- > before_stamp.size(); nanoseconds >>= 4)
    text_[i] = "0123456789abcdef"[nanoseconds & 15];
  return text_;
}

std::uint64_t stamp_in(std::string_view payload) noexcept {
  auto place = payload.find(before_stamp.substr(1));
  if (place == payload.npos) return 0;
  auto digits = payload.substr(place + before_stamp.size() - 1);
  if (digits.size() < stamp_size) return 0;
  std::uint64_t stamp = 0;
  auto end = std::from_chars(digits.data(), digits.data() + stamp_size, stamp, 16).ptr;
  return end == digits.data() + stamp_size ? stamp : 0;
}

bool incoming_message::is_ok() const noexcept {
  return payload.find(R"("status":"ok")") != payload.npos;
}

std::optional<incoming_message> read_message(std::string_view text) noexcept {
  if (!text.starts_with('[') || !text.ends_with(']')) return std::nullopt;
  incoming_message message;
  auto rest = text.substr(1, text.size() - 2);
  if (!take_field(rest, message.join_ref) || !take_field(rest, message.ref) ||
      !take_field(rest, message.topic) || !take_field(rest, message.event))
    return std::nullopt;
  message.payload = rest;
  return message;
}

}  // namespace roost::load
