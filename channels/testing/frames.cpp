#include "channels/testing/frames.hpp"

namespace roost::detail {

// --- frames of the server ------------------------------------------------------------------------

namespace {

std::string text_of(const json& value) {
  if (value.is_null()) return {};
  return value.is_string() ? value.as_string() : value.dump();
}

}  // namespace

received from_text(std::string_view frame) {
  auto parsed = json::parse(frame);
  if (!parsed || parsed->size() != 5)
    throw std::logic_error("expected a frame of protocol 2, got " + std::string(frame));
  auto& parts = *parsed;
  received message;
  message.join_ref = text_of(parts[0]);
  message.ref = text_of(parts[1]);
  message.topic = text_of(parts[2]);
  message.name = text_of(parts[3]);
  if (message.name == "phx_reply") {
    message.kind = came_as::reply;
    message.name = text_of(parts[4].at("status"));
    message.payload = payload(parts[4].at("response"));
  } else {
    message.payload = payload(parts[4]);
  }
  return message;
}

/// The layouts are in serializer.hpp.
received from_binary(std::string_view frame) {
  static constexpr std::string_view fields[] = {"jte", "jrte", "te"};
  received message;
  auto kind = static_cast<unsigned char>(frame.at(0));
  if (kind > 2) throw std::logic_error("expected a binary frame of the kinds 0 to 2");
  if (kind == 1) message.kind = came_as::reply;
  std::size_t lengths = 1;
  auto at = 1 + fields[kind].size();
  for (char field : fields[kind]) {
    auto size = static_cast<unsigned char>(frame.at(lengths++));
    auto value = std::string(frame.substr(at, size));
    at += size;
    (field == 'j'   ? message.join_ref
     : field == 'r' ? message.ref
     : field == 't' ? message.topic
                    : message.name) = std::move(value);
  }
  message.payload = payload::binary(frame.substr(at));
  return message;
}

// --- frames of the client ------------------------------------------------------------------------

std::string to_text(const client_message& message) {
  std::string out = "[";
  json(message.join_ref.empty() ? json() : json(message.join_ref)).append_to(out);
  for (auto* part : {&message.ref, &message.topic, &message.event})
    json(*part).append_to(out.append(","));
  return out.append(",").append(message.payload.text()).append("]");
}

std::string to_binary(const client_message& message) {
  std::string out(1, '\0');
  const std::string* parts[] = {&message.join_ref, &message.ref, &message.topic, &message.event};
  for (auto* part : parts) {
    if (part->size() > 255)
      throw std::invalid_argument(
          "expected the topic and event of a binary message to have at most 255 bytes, got " +
          std::to_string(part->size()));
    out += static_cast<char>(part->size());
  }
  for (auto* part : parts) out += *part;
  return out.append(message.payload.contents());
}

}  // namespace roost::detail
