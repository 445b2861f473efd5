#include "channels/payload.hpp"
#include "channels/json_scanner.hpp"
#include "runtime/wire.hpp"
#include <algorithm>
#include <memory>
#include <new>

namespace roost {
namespace {

constinit const json null_json{};

// Text is written here first, since the block needs its size; the memory is used again.
std::string& scratch() {
  constexpr std::size_t worth_keeping = 65'536;
  thread_local std::string text;
  if (text.capacity() > worth_keeping) text = std::string();
  text.clear();
  return text;
}

std::string_view written(const json& value) {
  std::string& text = scratch();
  value.append_to(text);
  return text;
}

void write_member(std::string& text, const json::field& field) {
  text.push_back(text.empty() ? '{' : ',');
  if (!append_quoted(text, field.key)) throw json_error("expected a key to be UTF-8");
  text.push_back(':');
  field.value.append_to(text);
}

std::string_view written(std::initializer_list<json::field> fields) {
  if (fields.size() == 0) return "{}";
  std::string& text = scratch();
  for (const json::field& field : fields) write_member(text, field);
  text.push_back('}');
  return text;
}

}  // namespace

payload::payload(std::string_view contents, bool binary) {
  if (!binary && contents == "{}") return;
  void* memory = ::operator new(sizeof(block) + contents.size());
  block_ = new (memory) block{.binary = binary, .size = contents.size()};
  std::ranges::copy(contents, reinterpret_cast<char*>(block_ + 1));
}

payload::payload(const json& value) : payload(written(value), false) {}

payload::payload(std::initializer_list<json::field> fields) : payload(written(fields), false) {}

payload payload::from_text(std::string_view json_text) { return payload(json_text, false); }

std::optional<payload> payload::parse(std::string_view text, std::size_t max_depth) {
  if (!is_utf8(text) || !roost::is_json(text, max_depth)) return std::nullopt;
  return payload(text, false);
}

payload payload::binary(std::span<const std::byte> bytes) {
  return payload({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, true);
}

payload payload::binary(std::string_view bytes) { return payload(bytes, true); }

void payload::release() noexcept {
  // The last owner must see what the others wrote, the cached value among it.
  if (block_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  delete block_->value.load(std::memory_order_relaxed);
  std::destroy_at(block_);
  ::operator delete(block_);
}

bool payload::is_object() const noexcept {
  const std::size_t first = text().find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text()[first] == '{';
}

std::span<const std::byte> payload::bytes() const noexcept {
  if (!is_binary()) return {};
  return std::as_bytes(std::span(block_->contents(), block_->size));
}

const json& payload::value() const {
  static const json empty_object = json::object();
  if (block_ == nullptr) return empty_object;
  if (block_->binary) return null_json;
  const json* known = block_->value.load(std::memory_order_acquire);
  return known != nullptr ? *known : parse_value();
}

const json& payload::parse_value() const {
  auto mine = std::make_unique<const json>(read_valid_json(text()));
  const json* theirs = nullptr;
  // Another thread may have parsed at the same time; its value is as good, and already in use.
  if (!block_->value.compare_exchange_strong(theirs, mine.get(), std::memory_order_acq_rel))
    return *theirs;
  return *mine.release();
}

void wire_encode(detail::wire_writer& out, const payload& value) {
  out.byte(value.is_binary() ? 1 : 0);
  out.text(value.contents());
}

void wire_decode(detail::wire_reader& in, payload& value) {
  auto kind = in.byte();
  auto contents = in.text();
  if (kind > 1)
    throw decode_error("expected the kind of a payload to be 0 or 1, got " + std::to_string(kind));
  if (kind == 1) {
    value = payload::binary(contents);
    return;
  }
  auto checked = payload::parse(contents);
  if (!checked) throw decode_error("expected a payload to be JSON, got another text");
  value = std::move(*checked);
}

}  // namespace roost
