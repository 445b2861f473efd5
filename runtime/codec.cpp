#include "runtime/codec.hpp"
#include "runtime/message.hpp"
#include "runtime/names.hpp"
#include "runtime/node_table.hpp"
#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <new>

namespace roost::detail {
namespace {

// How a pid says where its process is. A name has name_tag added.
constexpr std::uint8_t senders = 0;
constexpr std::uint8_t receivers = 1;
constexpr std::uint8_t elsewhere = 2;
constexpr std::uint8_t nobody = 3;
constexpr std::uint8_t name_tag = 4;

constexpr std::size_t longest_name = 255;

}  // namespace

// --- bytes ---------------------------------------------------------------------------------------

wire_buffer::~wire_buffer() { std::free(data_); }

void wire_buffer::expand(std::size_t extra) {
  if (extra > SIZE_MAX / 4 - size_) throw std::bad_alloc();
  auto capacity = std::max({capacity_ * 2, size_ + extra, std::size_t{256}});
  auto* data = static_cast<char*>(std::realloc(data_, capacity));
  if (data == nullptr) throw std::bad_alloc();
  data_ = data;
  capacity_ = capacity;
}

// --- writing -------------------------------------------------------------------------------------

namespace {

std::size_t varint_size(std::uint64_t value) noexcept {
  return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7;
}

void put_varint(char* place, std::uint64_t value) noexcept {
  for (; value >= 0x80; value >>= 7) *place++ = static_cast<char>(value | 0x80);
  *place = static_cast<char>(value);
}

}  // namespace

void wire_writer::long_varint(std::uint64_t value) {
  put_varint(out_->grow(varint_size(value)), value);
}

void wire_writer::insert_size(std::size_t start, std::size_t size) {
  auto more = varint_size(size) - 1;
  out_->grow(more);
  auto* place = out_->data() + start - 1;
  std::memmove(place + 1 + more, place + 1, size);
  put_varint(place, size);
}

void wire_writer::node(std::uint32_t number) {
  auto node = node_of_number(number);
  text(node.name);
  fixed64(node.incarnation);
}

void wire_writer::pid(roost::pid process) {
  if (!process) return byte(nobody);
  if (process.node == caf_node)
    throw std::invalid_argument(
        "expected a process of a node to send to another node, got a CAF actor: give it a process "
        "that speaks for it");
  if (process.is_name()) return name(name_of(process), node_of_number(process.node).name);
  if (process.node == 0) {
    byte(senders);
  } else if (process.node == receiver_) {
    byte(receivers);
  } else {
    byte(elsewhere);
    node(process.node);
  }
  varint(process.id);
}

void wire_writer::name(std::string_view name, std::string_view node) {
  bool here = node.empty() || node == this_node().name;
  // Names of this node may be longer than what others take: then whoever has it now.
  if (here && name.size() > longest_name) return pid(names::find(name));
  if (name.empty() || name.size() > longest_name || (!here && !is_node_name(node)))
    return byte(nobody);
  if (here) {
    byte(senders + name_tag);
  } else if (receiver_ != 0 && node == node_of_number(receiver_).name) {
    byte(receivers + name_tag);
  } else {
    byte(elsewhere + name_tag);
    text(node);
    fixed64(0);
  }
  text(name);
}

void wire_writer::ref(reference ref) {
  if (!ref) return byte(nobody);
  auto number = reference_node(ref);
  if (number == 0) {
    byte(senders);
  } else if (number == receiver_) {
    byte(receivers);
  } else {
    byte(elsewhere);
    node(number);
  }
  varint(count_of(ref));
}

void wire_writer::throw_too_deep() {
  throw std::invalid_argument(
      "expected at most " + std::to_string(max_nesting) +
      " structs within each other to send to another node, got more");
}

void throw_valueless() {
  throw std::invalid_argument(
      "expected a variant with a value to send to another node, got one that lost it");
}

// --- reading -------------------------------------------------------------------------------------

std::uint64_t wire_reader::long_varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    auto next = byte();
    if (shift == 63 && next > 1) break;
    value |= std::uint64_t{next & 0x7FU} << shift;
    if (next < 0x80) return value;
  }
  throw decode_error("expected a varint of at most 64 bits, got a longer one");
}

std::uint32_t wire_reader::node(std::uint8_t tag) {
  if (tag == senders) return sender_;
  if (tag == receivers) return 0;
  auto name = text();
  auto incarnation = fixed64();
  if (!is_node_name(name))
    throw decode_error(
        "expected a node to be name@host, got " + std::to_string(name.size()) +
        " bytes that are not");
  try {
    return node_number(name, incarnation);
  } catch (const std::length_error& full) {
    throw decode_error(full.what());
  }
}

roost::pid wire_reader::pid_or_name(std::string_view& local) {
  auto tag = byte();
  if (tag == nobody) return {};
  if (tag > elsewhere + name_tag || tag == nobody + name_tag)
    throw_expected("the first byte of a pid to be 0 to 6", tag);
  auto number = node(tag & ~name_tag);
  if ((tag & name_tag) == 0) {
    auto id = varint();
    if (id == 0 || id >> 63 != 0) throw_expected("the id of a process", id);
    return {id, number};
  }
  auto name = text();
  if (name.empty() || name.size() > longest_name)
    throw_expected("a name of 1 to 255 bytes", name.size());
  try {
    // A name is that of whoever runs the node, now or later: also here, after a restart.
    number = node_number(node_of_number(number).name, 0);
    if (number != 0) return named_pid(name, number);
  } catch (const std::length_error& full) {
    throw decode_error(full.what());
  }
  local = name;
  return {};
}

roost::pid wire_reader::pid() {
  std::string_view local;
  auto process = pid_or_name(local);
  return local.empty() ? process : names::find(local);
}

reference wire_reader::ref() {
  auto tag = byte();
  if (tag == nobody) return {};
  if (tag > elsewhere) throw_expected("the first byte of a reference to be 0 to 3", tag);
  auto number = node(tag);
  auto count = varint();
  if (count == 0 || count >> reference_bits != 0)
    throw_expected("the count of a reference to have 1 to 48 bits", count);
  return foreign_reference(number, count);
}

void wire_reader::throw_expected(std::string_view expected, std::uint64_t got) {
  throw decode_error("expected " + std::string(expected) + ", got " + std::to_string(got));
}

void wire_reader::throw_truncated(std::uint64_t wanted) const {
  throw decode_error(
      "expected " + std::to_string(wanted) + " more bytes, got " + std::to_string(left()));
}

void wire_reader::throw_leftover() const {
  throw decode_error("expected a value to end, got " + std::to_string(left()) + " more bytes");
}

void wire_reader::throw_too_large() {
  throw decode_error("expected a value to take at most 256 times its bytes in memory, got more");
}

void wire_reader::throw_too_deep() {
  throw decode_error(
      "expected at most " + std::to_string(max_nesting) + " structs within each other, got more");
}

// --- types by name -------------------------------------------------------------------------------

namespace {

// Ready before any static object is, and still there after the last one has gone.
constinit std::mutex registry_mutex;
constinit std::array<std::atomic<wire_registration*>, 2048> buckets{};

void delete_nothing(message*) noexcept {}

const message_type& marker_for(const message_type& type) {
  return *new message_type{
      .name = "ambiguous",
      .destroy = delete_nothing,
      .wire_name = type.wire_name,
      .wire_hash = type.wire_hash};
}

}  // namespace

bool is_ambiguous(const message_type& type) noexcept { return type.destroy == delete_nothing; }

wire_registration::wire_registration(const message_type& type) noexcept
    : hash_(type.wire_hash), type_(&type), answer_(&type) {
  std::lock_guard guard{registry_mutex};
  auto& bucket = buckets[hash_ % buckets.size()];
  for (auto* other = bucket.load(); other != nullptr; other = other->next_) {
    if (other->hash_ != hash_) continue;
    // One marker is enough for any number of namesakes.
    if (other->type_ != type_ && !is_ambiguous(*other->answer_.load()))
      other->answer_.store(&marker_for(type), std::memory_order_release);
    return;
  }
  next_ = bucket.load();
  bucket.store(this, std::memory_order_release);
}

const message_type* find_wire_type(std::uint64_t hash) noexcept {
  auto* entry = buckets[hash % buckets.size()].load(std::memory_order_acquire);
  while (entry != nullptr && entry->hash_ != hash) entry = entry->next_;
  return entry == nullptr ? nullptr : entry->answer_.load(std::memory_order_acquire);
}

}  // namespace roost::detail
