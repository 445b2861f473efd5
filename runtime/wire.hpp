// runtime/wire.hpp
//
// The bytes that travel between nodes: a buffer, what writes to it and what reads from it. Users
// meet these only when a type of theirs says how it travels; codec.hpp has the format.
//
//   void wire_encode(roost::detail::wire_writer& out, const money& value) {
//     out.signed_varint(value.cents());
//   }
//   void wire_decode(roost::detail::wire_reader& in, money& value) {
//     value = money(in.signed_varint());
//   }
//
// A reader throws decode_error, with a sentence, for bytes that are not what they should be, and
// never reads past the end.
//
// Thread safety: one thread at a time for each buffer, writer or reader.
#pragma once
#include "runtime/pid.hpp"
#include <cstring>
#include <stdexcept>
#include <utility>

namespace roost {

/// Bytes that do not make a value; says what was expected and what came.
class decode_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

inline constexpr int max_nesting = 64;  // structs within structs

// --- bytes ---------------------------------------------------------------------------------------

/// Bytes that grow at the end, without being set to zero first. Never gives memory back.
class wire_buffer {
 public:
  wire_buffer() noexcept = default;
  wire_buffer(wire_buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  wire_buffer& operator=(wire_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~wire_buffer();

  char* data() noexcept { return data_; }
  const char* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::string_view view() const noexcept { return {data_, size_}; }

  void clear() noexcept { size_ = 0; }
  void reserve(std::size_t extra) {
    if (capacity_ - size_ < extra) [[unlikely]]
      expand(extra);
  }

  /// A place for `n` more bytes, which belong to the buffer from now on.
  char* grow(std::size_t n) {
    reserve(n);
    return data_ + std::exchange(size_, size_ + n);
  }
  void append(const void* bytes, std::size_t n) {
    if (n != 0) std::memcpy(grow(n), bytes, n);
  }
  void append(std::string_view text) { append(text.data(), text.size()); }

 private:
  void expand(std::size_t extra);

  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

class wire_writer {
 public:
  /// `receiver` is the number of the node at the other end (node_table.hpp).
  explicit wire_writer(wire_buffer& out, std::uint32_t receiver = 0) noexcept
      : out_(&out), receiver_(receiver) {}

  wire_buffer& buffer() noexcept { return *out_; }
  std::uint32_t receiver() const noexcept { return receiver_; }

  void byte(std::uint8_t value) { *out_->grow(1) = static_cast<char>(value); }
  void fixed32(std::uint32_t value) { fixed(value); }
  void fixed64(std::uint64_t value) { fixed(value); }
  void varint(std::uint64_t value) {
    if (value < 0x80) [[likely]]
      byte(static_cast<std::uint8_t>(value));
    else
      long_varint(value);
  }
  void signed_varint(std::int64_t value) {
    varint(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
  }
  void raw(std::string_view bytes) { out_->append(bytes); }
  void text(std::string_view text) {
    varint(text.size());
    raw(text);
  }

  /// Throws std::invalid_argument for a CAF actor, which other nodes cannot reach.
  void pid(roost::pid process);
  void ref(reference ref);
  /// A name as a pid: on `node`, or on this node when that is empty.
  void name(std::string_view name, std::string_view node);

  /// Around the fields of a struct; throws std::invalid_argument when too many lie within another.
  void enter() {
    if (++depth_ > max_nesting) throw_too_deep();
  }
  void leave() noexcept { --depth_; }

  /// What is written in between is preceded by its size.
  std::size_t begin_sized() {
    byte(0);
    return out_->size();
  }
  void end_sized(std::size_t start) {
    auto size = out_->size() - start;
    if (size < 0x80) [[likely]]
      out_->data()[start - 1] = static_cast<char>(size);
    else
      insert_size(start, size);
  }

 private:
  template <class U>
  void fixed(U value) {
    auto* place = out_->grow(sizeof(U));
    for (std::size_t i = 0; i < sizeof(U); ++i) place[i] = static_cast<char>(value >> (8 * i));
  }
  void long_varint(std::uint64_t value);
  void insert_size(std::size_t start, std::size_t size);
  void node(std::uint32_t number);
  [[noreturn]] static void throw_too_deep();

  wire_buffer* out_;
  std::uint32_t receiver_;
  int depth_ = 0;
};

class wire_reader {
 public:
  /// `sender` is the number of the node that the bytes come from (node_table.hpp).
  explicit wire_reader(std::string_view in, std::uint32_t sender = 0) noexcept
      : at_(in.data()), end_(in.data() + in.size()), sender_(sender), budget_(budget_for(in)) {}

  std::uint32_t sender() const noexcept { return sender_; }
  bool empty() const noexcept { return at_ == end_; }
  std::string_view rest() const noexcept { return {at_, left()}; }

  std::uint8_t byte() { return static_cast<std::uint8_t>(*take(1)); }
  std::uint32_t fixed32() { return fixed<std::uint32_t>(); }
  std::uint64_t fixed64() { return fixed<std::uint64_t>(); }
  std::uint64_t varint() {
    if (at_ != end_ && static_cast<signed char>(*at_) >= 0) [[likely]]
      return static_cast<std::uint64_t>(*at_++);
    return long_varint();
  }
  std::int64_t signed_varint() {
    auto value = varint();
    return static_cast<std::int64_t>(value >> 1 ^ (0 - (value & 1)));
  }
  std::string_view raw(std::size_t n) { return {take(n), n}; }
  std::string_view text() { return raw(varint()); }
  bool boolean() {
    auto value = byte();
    if (value > 1) throw_expected("a bool to be 0 or 1", value);
    return value != 0;
  }

  /// The process; for a name of this node the one that has it now, or nobody.
  roost::pid pid();
  reference ref();
  /// As pid(), but a name of this node is answered as such in `local`.
  roost::pid pid_or_name(std::string_view& local);

  /// How many elements of so many bytes each follow.
  std::size_t count(std::size_t element) {
    auto count = varint();
    if (count > left()) throw_truncated(count);
    charge(count * element);
    return count;
  }
  /// How many of them to make room for before they are there.
  std::size_t likely(std::size_t count, std::size_t element) const noexcept {
    auto most = 8 * left() / element + 1;
    return count < most ? count : most;
  }
  /// Called before memory is taken that the size of the input does not limit by itself.
  void charge(std::size_t bytes) {
    if (bytes > budget_) throw_too_large();
    budget_ -= bytes;
  }

  /// Around the fields of a struct.
  void enter() {
    if (++depth_ > max_nesting) throw_too_deep();
  }
  void leave() noexcept { --depth_; }

  /// Reads a size and ends there until end_sized(), which passes over what was not read if `more`.
  const char* begin_sized() {
    auto size = varint();
    if (size > left()) throw_truncated(size);
    return std::exchange(end_, at_ + size);
  }
  void end_sized(const char* outer_end, bool more) {
    if (!more) finish();
    at_ = std::exchange(end_, outer_end);
  }
  void skip_rest() noexcept { at_ = end_; }
  /// Throws unless everything has been read.
  void finish() const {
    if (!empty()) throw_leftover();
  }

  [[noreturn]] static void throw_expected(std::string_view expected, std::uint64_t got);

 private:
  static std::size_t budget_for(std::string_view in) noexcept {
    return in.size() * 256 + (std::size_t{1} << 20);
  }
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  const char* take(std::size_t n) {
    if (n > left()) [[unlikely]]
      throw_truncated(n);
    return std::exchange(at_, at_ + n);
  }
  template <class U>
  U fixed() {
    auto* place = take(sizeof(U));
    U value = 0;
    for (std::size_t i = 0; i < sizeof(U); ++i)
      value |= static_cast<U>(static_cast<U>(static_cast<unsigned char>(place[i])) << (8 * i));
    return value;
  }
  std::uint64_t long_varint();
  std::uint32_t node(std::uint8_t tag);
  [[noreturn]] void throw_truncated(std::uint64_t wanted) const;
  [[noreturn]] void throw_leftover() const;
  [[noreturn]] static void throw_too_large();
  [[noreturn]] static void throw_too_deep();

  const char* at_;
  const char* end_;
  std::uint32_t sender_;
  int depth_ = 0;
  std::size_t budget_;
};

}  // namespace detail
}  // namespace roost
