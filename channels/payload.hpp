// What a message carries: JSON or bytes, never changed once made. Copying copies one pointer, so a
// broadcast shares one payload among all its receivers. JSON stays the text it came as and is sent
// on as that text; it becomes a value when somebody looks inside, once, and the value is kept.
//
//   roost::payload greeting{{"text", "hello"}, {"to", "all"}};
//   roost::payload picture = roost::payload::binary(pixels);
//   std::string to = greeting.get<std::string>("to");
//   if (incoming["urgent"] == true) ...
//
// A payload made of nothing is the empty object, `{}`. Payloads may be shared between threads, the
// first look inside too. What value() and the operators refer to lives as long as a copy of the
// payload. Errors are those of json.
//
// Sources: Phoenix.Socket.Message, Phoenix.Socket.V2.JSONSerializer.
#pragma once
#include "channels/json.hpp"
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace roost {

namespace detail {
class wire_writer;
class wire_reader;
}  // namespace detail

class payload {
 public:
  payload() noexcept = default;  // {}
  payload(const json& value);    // throws json_error on a string that is not UTF-8
  payload(std::initializer_list<json::field> fields);

  /// `json_text` must be one JSON document that was checked before; parse() checks.
  static payload from_text(std::string_view json_text);
  static std::optional<payload> parse(
      std::string_view text, std::size_t max_depth = json::default_depth);
  static payload binary(std::span<const std::byte> bytes);
  static payload binary(std::string_view bytes);

  payload(const payload& other) noexcept : block_(other.block_) {
    if (block_ != nullptr) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  payload(payload&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  payload& operator=(payload other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~payload() {
    if (block_ != nullptr) release();
  }

  bool is_binary() const noexcept { return block_ != nullptr && block_->binary; }
  bool is_json() const noexcept { return !is_binary(); }
  bool is_object() const noexcept;  // JSON, and an object

  /// The JSON text; empty for a binary payload.
  std::string_view text() const noexcept { return is_binary() ? std::string_view() : contents(); }
  /// The bytes of a binary payload; empty for JSON.
  std::span<const std::byte> bytes() const noexcept;
  /// The text or the bytes, whichever it has.
  std::string_view contents() const noexcept {
    return block_ != nullptr ? std::string_view(block_->contents(), block_->size) : "{}";
  }

  /// The JSON value, null for a binary payload. Parsed at the first call, kept for later ones.
  const json& value() const;
  /// Null when there is no such key, or the payload is not an object.
  const json& operator[](std::string_view key) const { return value()[key]; }
  bool contains(std::string_view key) const { return value().contains(key); }
  template <class T>
  T get(std::string_view key) const {
    return value().get<T>(key);
  }
  template <class T>
  auto get_or(std::string_view key, T fallback) const {
    return value().get_or(key, std::move(fallback));
  }

  /// The same bytes of the same kind: `{"a":1}` and `{ "a": 1 }` differ here, their value() does
  /// not.
  friend bool operator==(const payload& left, const payload& right) noexcept {
    return left.is_binary() == right.is_binary() && left.contents() == right.contents();
  }

  // Between nodes (codec.hpp): a byte, 1 for binary, and the contents. JSON is checked on arrival.
  friend void wire_encode(detail::wire_writer& out, const payload& value);
  friend void wire_decode(detail::wire_reader& in, payload& value);

 private:
  // One allocation: this header, then `size` bytes.
  struct block {
    std::atomic<std::uint32_t> references{1};
    bool binary;
    std::size_t size;
    std::atomic<const json*> value{nullptr};

    const char* contents() const noexcept { return reinterpret_cast<const char*>(this + 1); }
  };

  payload(std::string_view contents, bool binary);
  void release() noexcept;
  const json& parse_value() const;

  block* block_ = nullptr;  // nullptr is {}
};

}  // namespace roost
