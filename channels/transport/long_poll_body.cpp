#include "channels/transport/long_poll_body.hpp"
#include "channels/base64.hpp"
#include "channels/json_scanner.hpp"
#include "channels/serializer.hpp"

namespace roost::detail {
namespace {

/// The next `size` bytes of what is left; shorter when the message is.
std::string_view take(std::string_view& rest, std::size_t size) {
  auto part = rest.substr(0, size);
  rest.remove_prefix(part.size());
  return part;
}

std::string quoted(std::string_view text) { return json(text).dump(); }

std::string render_binary(std::string_view message);

}  // namespace

std::optional<std::vector<poll_message>> parse_poll_body(
    std::string_view content_type, std::string_view body, std::size_t most) {
  std::vector<poll_message> messages;
  if (content_type.substr(0, content_type.find(';')) != "application/x-ndjson") {
    if (!is_utf8(body)) return std::nullopt;
    messages.push_back({false, std::string(body)});
    return messages;
  }
  while (!body.empty()) {
    auto end = body.find('\n');
    auto line = body.substr(0, end);
    body.remove_prefix(end == body.npos ? body.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (messages.size() == most) return std::nullopt;
    if (line.front() == '[' || line.front() == '{') {
      if (!is_utf8(line)) return std::nullopt;
      messages.push_back({false, std::string(line)});
      continue;
    }
    auto bytes = from_base64(line);
    if (!bytes) return std::nullopt;
    messages.push_back({true, std::move(*bytes)});
  }
  return messages;
}

std::string poll_answer(int status, std::string_view token, std::span<const std::string> messages) {
  std::string text = "{\"messages\":[";
  for (auto& message : messages) {
    if (text.back() != '[') text += ',';
    text += quoted(message);
  }
  return text + "],\"status\":" + std::to_string(status) + ",\"token\":" + quoted(token) + "}";
}

std::string publish_answer(int status) { return "{\"status\":" + std::to_string(status) + "}"; }

std::string text_of_binary(std::string_view message) try {
  return render_binary(message);
} catch (const json_error&) {
  return {};  // a name is not UTF-8
}

namespace {

std::string render_binary(std::string_view message) {
  auto rest = message;
  auto byte = [&] {
    auto part = take(rest, 1);
    return part.empty() ? std::size_t{0}
                        : static_cast<std::size_t>(static_cast<unsigned char>(part[0]));
  };
  auto kind = byte();
  std::string out;
  auto rendered = [&] { return payload{{"base64", to_base64(rest)}}; };
  if (kind == 0) {
    auto join_ref_size = byte(), topic_size = byte(), event_size = byte();
    auto join_ref = take(rest, join_ref_size);
    auto topic = take(rest, topic_size);
    auto event = take(rest, event_size);
    encode_push(protocol::v2, out, quoted(join_ref), topic, event, rendered());
  } else if (kind == 1) {
    auto join_ref_size = byte(), ref_size = byte(), topic_size = byte(), status_size = byte();
    auto join_ref = take(rest, join_ref_size);
    auto ref = take(rest, ref_size);
    auto topic = take(rest, topic_size);
    auto status = take(rest, status_size);
    encode_reply(protocol::v2, out, quoted(join_ref), quoted(ref), topic, status, rendered());
  } else {
    auto topic_size = byte(), event_size = byte();
    auto topic = take(rest, topic_size);
    auto event = take(rest, event_size);
    encode_broadcast(protocol::v2, out, topic, event, rendered());
  }
  return out;
}

}  // namespace

http_headers poll_headers() { return {{"access-control-allow-origin", "*"}}; }

http_headers preflight_headers(std::string_view requested) {
  http_headers headers = poll_headers();
  std::string names;
  for (char c : requested)  // goes back into a header: nothing but names and commas
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == ',' ||
        c == ' ')
      names += c;
  headers.emplace_back("access-control-allow-headers", std::move(names));
  headers.emplace_back("access-control-allow-methods", "get, post, options");
  headers.emplace_back("access-control-max-age", "3600");
  return headers;
}

}  // namespace roost::detail
