#include "channels/client/client_codec.hpp"
#include "channels/json_scanner.hpp"
#include <array>
#include <charconv>

namespace roost::detail {
namespace {

// --- references ----------------------------------------------------------------------------------

std::uint64_t number_in(std::string_view digits) {
  std::uint64_t number = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  return error == std::errc{} && stop == end && number != no_ref ? number : unknown_ref;
}

std::uint64_t ref_of_json(std::string_view json) {
  if (json == "null") return no_ref;
  if (json.size() < 2 || json.front() != '"') return unknown_ref;
  return number_in(json.substr(1, json.size() - 2));
}

std::uint64_t ref_of_bytes(std::string_view bytes) {
  return bytes.empty() ? no_ref : number_in(bytes);
}

class ref_text {
 public:
  explicit ref_text(std::uint64_t ref) {
    if (ref != no_ref)
      size_ = static_cast<std::size_t>(
          std::to_chars(digits_.data(), digits_.data() + digits_.size(), ref).ptr - digits_.data());
  }
  std::string_view view() const { return {digits_.data(), size_}; }

 private:
  std::array<char, 20> digits_;
  std::size_t size_ = 0;
};

// --- replies -------------------------------------------------------------------------------------

constexpr malformed no_reply_object{"expected a reply with a status and a response", 0};

struct reply_members {
  std::string_view status = {};  // JSON text
  bool status_escaped = false;
  std::string_view response = {};
};

bool scan_member(json_scanner& in, reply_members& members) {
  std::string_view key, value;
  if (!in.key(key) || !in.value(value)) return false;
  // Servers do not escape these names; one that does is not understood.
  if (key == "\"status\"") {
    members.status = value;
    members.status_escaped = in.escaped();
  } else if (key == "\"response\"") {
    members.response = value;
  }
  return true;
}

/// Looks into the payload of a phx_reply, which is JSON for sure.
std::optional<malformed> open_reply(server_message& message) {
  json_scanner in(message.payload_data);
  reply_members members;
  if (!in.open('{') || in.take('}')) return no_reply_object;
  do {
    if (!scan_member(in, members)) return no_reply_object;
  } while (in.take(','));
  if (!members.status.starts_with('"') || members.response.empty()) return no_reply_object;
  const auto inside = members.status.substr(1, members.status.size() - 2);
  message.kind = server_message::reply;
  message.payload_data = members.response;
  message.name = inside;
  if (members.status_escaped) {
    message.status.clear();
    append_unescaped(message.status, inside);
    message.name = message.status;
  }
  return std::nullopt;
}

// --- binary frames -------------------------------------------------------------------------------

enum binary_kind : unsigned char { binary_push = 0, binary_reply = 1, binary_broadcast = 2 };

std::size_t names_of(unsigned char kind) {
  switch (kind) {
    case binary_push:
      return 3;
    case binary_reply:
      return 4;
    case binary_broadcast:
      return 2;
    default:
      return 0;
  }
}

using names = std::array<std::string_view, 4>;

/// Cuts the frame into its names and what follows them.
std::optional<malformed> take_names(
    std::string_view frame, std::size_t count, names& names, std::string_view& rest) {
  std::size_t at = 1 + count;
  if (frame.size() < at) return malformed{"expected more lengths", frame.size()};
  for (std::size_t i = 0; i < count; ++i) {
    const auto length = static_cast<unsigned char>(frame[1 + i]);
    if (frame.size() - at < length) return malformed{"expected more bytes", frame.size()};
    names[i] = frame.substr(at, length);
    at += length;
  }
  rest = frame.substr(at);
  return std::nullopt;
}

// --- encoding ------------------------------------------------------------------------------------

bool append_text(
    std::string& out, std::string_view join_ref, std::string_view ref, std::string_view topic,
    std::string_view event, const payload& payload) {
  const auto add_ref = [&](std::string_view digits) {
    digits.empty() ? out.append("null") : out.append("\"").append(digits).append("\"");
    out += ',';
  };
  out += '[';
  add_ref(join_ref);
  add_ref(ref);
  if (!append_quoted(out, topic)) return false;
  out += ',';
  if (!append_quoted(out, event)) return false;
  out.append(",").append(payload.text()).append("]");
  return true;
}

bool append_binary(
    std::string& out, std::string_view join_ref, std::string_view ref, std::string_view topic,
    std::string_view event, const payload& payload) {
  if (topic.size() > 255 || event.size() > 255 || !is_utf8(topic) || !is_utf8(event)) return false;
  out += static_cast<char>(binary_push);
  for (auto name : {join_ref, ref, topic, event}) out += static_cast<char>(name.size());
  for (auto name : {join_ref, ref, topic, event}) out += name;
  out += payload.contents();
  return true;
}

}  // namespace

std::optional<malformed> decode_server_text(std::string_view frame, server_message& message) {
  auto& text = message.text;
  if (auto bad = decode_v2_text(frame, text)) return bad;
  if (!text.topic_is_string || !text.event_is_string)
    return malformed{"expected topic and event to be strings", 0};
  message.kind = server_message::event;
  message.binary = false;
  message.join_ref = ref_of_json(text.join_ref);
  message.ref = ref_of_json(text.ref);
  message.topic = text.topic_name;
  message.name = text.event;
  message.payload_data = text.payload_data;
  return text.event == "phx_reply" ? open_reply(message) : std::nullopt;
}

std::optional<malformed> decode_server_binary(std::string_view frame, server_message& message) {
  const auto kind =
      frame.empty() ? static_cast<unsigned char>(255) : static_cast<unsigned char>(frame.front());
  const auto count = names_of(kind);
  if (count == 0) return malformed{"expected a push, a reply or a broadcast", 0};
  names name;
  if (auto bad = take_names(frame, count, name, message.payload_data)) return bad;
  message.topic = name[count - 2];
  message.name = name[count - 1];
  if (!is_utf8(message.topic) || !is_utf8(message.name))
    return malformed{"expected names in UTF-8", 0};
  message.binary = true;
  message.kind = kind == binary_reply ? server_message::reply : server_message::event;
  message.join_ref = kind == binary_broadcast ? no_ref : ref_of_bytes(name[0]);
  message.ref = kind == binary_reply ? ref_of_bytes(name[1]) : no_ref;
  return std::nullopt;
}

encoded encode_client_push(
    std::string& out, std::uint64_t join_ref, std::uint64_t ref, std::string_view topic,
    std::string_view event, const payload& payload) {
  const auto before = out.size();
  const ref_text join(join_ref), own(ref);
  const bool binary = payload.is_binary();
  const bool done = binary ? append_binary(out, join.view(), own.view(), topic, event, payload)
                           : append_text(out, join.view(), own.view(), topic, event, payload);
  if (done) return binary ? encoded::binary : encoded::text;
  out.resize(before);
  return encoded::impossible;
}

}  // namespace roost::detail
