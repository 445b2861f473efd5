#include "channels/redis_envelope.hpp"
#include <simdjson.h>
#include <charconv>
#include <utility>

namespace roost::detail {
namespace {

constexpr char version = 1;

template <class Number>
void append_number(std::string& out, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i)
    out += static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xffU);
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

/// Takes from the front of what is left, until there is too little.
class cursor {
 public:
  explicit cursor(std::string_view bytes) : bytes_(bytes) {}

  std::string_view take(std::size_t size) noexcept {
    is_whole_ = is_whole_ && size <= bytes_.size();
    if (!is_whole_) return {};
    auto taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }
  std::uint64_t number(std::size_t size) noexcept {
    std::uint64_t result = 0;
    auto bytes = take(size);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      result |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return result;
  }
  std::string_view text() noexcept { return take(static_cast<std::size_t>(number(4))); }
  std::string_view rest() noexcept { return take(bytes_.size()); }
  bool is_whole() const noexcept { return is_whole_; }

 private:
  std::string_view bytes_;
  bool is_whole_ = true;
};

}  // namespace

std::size_t size_of(const redis_envelope& envelope) noexcept {
  return 2 + 8 + 4 * 4 + envelope.node.size() + envelope.topic.size() + envelope.event.size() +
         envelope.dispatcher.size() + envelope.contents.size();
}

void append(std::string& out, const redis_envelope& envelope) {
  out += version;
  out += static_cast<char>(envelope.kind);
  append_number(out, envelope.program);
  append_text(out, envelope.node);
  append_text(out, envelope.topic);
  append_text(out, envelope.event);
  append_text(out, envelope.dispatcher);
  out += envelope.contents;
}

std::optional<redis_envelope> read_envelope(std::string_view bytes) noexcept {
  cursor in(bytes);
  redis_envelope envelope;
  auto head = in.take(2);
  if (!in.is_whole() || head[0] != version || head[1] < '\0' || head[1] > '\2') return {};
  envelope.kind = static_cast<redis_envelope::kinds>(head[1]);
  envelope.program = in.number(8);
  envelope.node = in.text();
  envelope.topic = in.text();
  envelope.event = in.text();
  envelope.dispatcher = in.text();
  envelope.contents = in.rest();
  // Topic and event go on to browsers, as text.
  if (!in.is_whole() || !simdjson::validate_utf8(envelope.topic) ||
      !simdjson::validate_utf8(envelope.event))
    return {};
  return envelope;
}

std::optional<payload> payload_of(const redis_envelope& envelope) {
  if (envelope.kind == redis_envelope::kinds::binary) return payload::binary(envelope.contents);
  return payload::parse(envelope.contents);
}

std::optional<std::chrono::milliseconds> duration_of(const redis_envelope& envelope) noexcept {
  constexpr std::chrono::milliseconds longest = std::chrono::years(1);
  auto text = envelope.contents;
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  if (std::cmp_greater(number, longest.count())) return {};
  return std::chrono::milliseconds(number);
}

}  // namespace roost::detail
