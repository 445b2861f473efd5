#include "runtime/node_table.hpp"
#include "runtime/names.hpp"
#include "runtime/process.hpp"
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace roost {
namespace detail {
namespace {

/// Entries that are found by hash and by index, added under a mutex, read without one, and never
/// removed: an index that was seen once is good for ever.
template <class Entry>
class append_only_table {
 public:
  const Entry* at(std::uint32_t index) const noexcept {
    if (index >= limit) return nullptr;
    auto* chunk = chunks_[index / chunk_size].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr
                            : (*chunk)[index % chunk_size].load(std::memory_order_acquire);
  }

  template <class Matches>
  const Entry* find(std::size_t hash, Matches matches) const noexcept {
    auto* entry = buckets_[hash % buckets_.size()].load(std::memory_order_acquire);
    while (entry != nullptr && !matches(*entry)) entry = entry->next;
    return entry;
  }

  /// With the mutex held. `make` is given the new index.
  template <class Make>
  const Entry& add(std::size_t hash, std::string_view what, Make make) {
    if (size_ == limit)
      throw std::length_error(
          "expected at most " + std::to_string(limit) + " different " + std::string(what) +
          " in the life of a node, got one more");
    auto& place = chunks_[size_ / chunk_size];
    auto* chunk = place.load(std::memory_order_relaxed);
    if (chunk == nullptr) place.store(chunk = new chunk_type{}, std::memory_order_release);
    auto& bucket = buckets_[hash % buckets_.size()];
    Entry* entry = make(size_);
    entry->next = bucket.load(std::memory_order_relaxed);
    (*chunk)[size_ % chunk_size].store(entry, std::memory_order_release);
    bucket.store(entry, std::memory_order_release);
    ++size_;
    return *entry;
  }

 private:
  static constexpr std::uint32_t chunk_size = 1024;
  static constexpr std::uint32_t limit = 1024 * chunk_size;  // as many as Erlang allows atoms
  using chunk_type = std::array<std::atomic<const Entry*>, chunk_size>;

  std::array<std::atomic<chunk_type*>, limit / chunk_size> chunks_{};
  std::array<std::atomic<const Entry*>, 8192> buckets_{};
  std::uint32_t size_ = 0;
};

struct name_entry {
  std::string text;
  std::uint32_t index;
  const name_entry* next = nullptr;
};

struct node_entry {
  std::string name;
  std::uint64_t incarnation;
  std::uint32_t number;
  mutable std::atomic<std::uint16_t> slot{0};  // of its references; may have gone to another node
  const node_entry* next = nullptr;
};

struct own_name {
  std::string text;
  node_identity identity;
};

/// Who has one of the 65,535 numbers that references have for nodes.
struct reference_slot {
  std::atomic<std::uint32_t> node{0};
  std::atomic<std::uint64_t> used{0};  // how many numbers had been given by then
};

constinit std::mutex table_mutex;  // held by whoever writes to anything below
constinit append_only_table<name_entry> names_seen;
constinit append_only_table<node_entry> nodes_seen;
constinit std::array<reference_slot, 1 << 16> reference_slots;  // 0 is this node
constinit std::atomic<std::uint64_t> slots_given{0};
constinit std::atomic<const own_name*> own{nullptr};
constinit std::uint64_t last_incarnation = 0;

constexpr std::uint64_t name_bit = std::uint64_t{1} << 63;

std::size_t hash_of(std::string_view text, std::uint64_t salt = 0) noexcept {
  return std::hash<std::string_view>{}(text) ^ (salt * 0x9E3779B97F4A7C15ULL);
}

const own_name& present_name() noexcept {
  // Kept for ever: other threads may still read it when main has returned.
  static const auto& unnamed = *new own_name{"nonode@nohost", {"nonode@nohost", 0}};
  auto* name = own.load(std::memory_order_acquire);
  return name == nullptr ? unnamed : *name;
}

const node_entry* entry_of(std::uint32_t number) noexcept {
  return number == 0 ? nullptr : nodes_seen.at(number - 1);
}

/// Lets others have the slot that has been unused for longest, when there is no fresh one.
std::uint16_t slot_to_give() noexcept {
  auto given = slots_given.load(std::memory_order_relaxed);
  if (given < reference_slots.size() - 1) return static_cast<std::uint16_t>(given + 1);
  auto oldest = std::min_element(
      reference_slots.begin() + 1, reference_slots.end(),
      [](auto& a, auto& b) { return a.used.load() < b.used.load(); });
  return static_cast<std::uint16_t>(oldest - reference_slots.begin());
}

std::uint16_t give_slot(const node_entry& node) {
  std::lock_guard guard{table_mutex};
  auto slot = node.slot.load(std::memory_order_relaxed);
  if (slot != 0 && reference_slots[slot].node.load() == node.number) return slot;
  slot = slot_to_give();
  reference_slots[slot].node.store(node.number, std::memory_order_release);
  node.slot.store(slot, std::memory_order_release);
  auto given = slots_given.fetch_add(1, std::memory_order_relaxed) + 1;
  reference_slots[slot].used.store(given, std::memory_order_relaxed);
  return slot;
}

}  // namespace

// --- nodes ---------------------------------------------------------------------------------------

const node_identity& this_node() noexcept { return present_name().identity; }

void name_this_node(std::string_view name) {
  if (!name.empty() && !is_node_name(name))
    throw std::invalid_argument(
        "expected the name of a node to be name@host, got \"" + std::string(name) + '"');
  std::lock_guard guard{table_mutex};
  if (name.empty()) return own.store(nullptr, std::memory_order_release);
  // Never 0, and greater than before even when the clock has been set back.
  auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  last_incarnation = std::max<std::uint64_t>(
      last_incarnation + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(now.count(), 1)));
  static auto& all = *new std::vector<std::unique_ptr<own_name>>;  // for ever: see present_name
  auto* fresh = new own_name{std::string(name), {}};
  all.emplace_back(fresh);
  fresh->identity = {fresh->text, last_incarnation};
  own.store(fresh, std::memory_order_release);
}

std::uint32_t node_number(std::string_view name, std::uint64_t incarnation) {
  auto& me = this_node();
  if (name == me.name && (incarnation == 0 || incarnation == me.incarnation)) return 0;
  auto hash = hash_of(name, incarnation);
  auto is_it = [&](const node_entry& entry) {
    return entry.incarnation == incarnation && entry.name == name;
  };
  if (auto* known = nodes_seen.find(hash, is_it)) return known->number;
  std::lock_guard guard{table_mutex};
  if (auto* known = nodes_seen.find(hash, is_it)) return known->number;
  return nodes_seen
      .add(
          hash, "nodes",
          [&](std::uint32_t index) {
            return new node_entry{std::string(name), incarnation, index + 1};
          })
      .number;
}

node_identity node_of_number(std::uint32_t number) noexcept {
  if (number == 0) return this_node();
  auto* entry = entry_of(number);
  return entry == nullptr ? node_identity{} : node_identity{entry->name, entry->incarnation};
}

bool is_node_name(std::string_view text) noexcept {
  auto at = text.find('@');
  return at != 0 && at != text.npos && at + 1 < text.size() && text.size() <= 255 &&
         text.find('@', at + 1) == text.npos &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

// --- names ---------------------------------------------------------------------------------------

std::string_view name_of(pid named) noexcept {
  if (!named.is_name() || (named.id & ~name_bit) > UINT32_MAX) return {};
  auto* entry = names_seen.at(static_cast<std::uint32_t>(named.id));
  return entry == nullptr ? std::string_view() : std::string_view(entry->text);
}

pid named_pid(std::string_view name, std::uint32_t node) {
  auto hash = hash_of(name);
  auto is_it = [&](const name_entry& entry) { return entry.text == name; };
  auto* entry = names_seen.find(hash, is_it);
  if (entry == nullptr) {
    std::lock_guard guard{table_mutex};
    entry = names_seen.find(hash, is_it);
    if (entry == nullptr)
      entry = &names_seen.add(hash, "names of other nodes", [&](std::uint32_t index) {
        return new name_entry{std::string(name), index};
      });
  }
  return {name_bit | entry->index, node};
}

pid whereis_on(std::string_view node, std::string_view name) noexcept {
  try {
    if (node == this_node().name) return names::find(name);
    if (name.empty() || name.size() > 255 || !is_node_name(node)) return {};
    return named_pid(name, node_number(node, 0));
  } catch (const std::exception&) {
    return {};  // no room for another name
  }
}

void set_node_name(std::string name) { name_this_node(name); }

// --- references ----------------------------------------------------------------------------------

reference foreign_reference(std::uint32_t node, std::uint64_t count) {
  auto* entry = entry_of(node);
  if (entry == nullptr) return {count};
  auto slot = entry->slot.load(std::memory_order_acquire);
  if (slot == 0 || reference_slots[slot].node.load(std::memory_order_acquire) != node)
    slot = give_slot(*entry);
  // Written only when it changes, so that busy links do not fight for the line.
  auto& used = reference_slots[slot].used;
  auto now = slots_given.load(std::memory_order_relaxed);
  if (used.load(std::memory_order_relaxed) != now) used.store(now, std::memory_order_relaxed);
  return {std::uint64_t{slot} << reference_bits | count};
}

std::uint32_t reference_node(reference ref) noexcept {
  return reference_slots[ref.value >> reference_bits].node.load(std::memory_order_acquire);
}

}  // namespace detail

// --- for users -----------------------------------------------------------------------------------

const std::string& node_name() noexcept { return detail::present_name().text; }

std::string node_of(pid process) {
  if (process.node == detail::caf_node) return node_name();
  return std::string(detail::node_of_number(process.node).name);
}

pid name_on(std::string_view name, std::string_view node) {
  if (name.empty() || name.size() > 255)
    throw std::invalid_argument(
        "expected a name of 1 to 255 bytes, got " + std::to_string(name.size()) + " bytes");
  auto& own = detail::this_node().name;
  if (node != own && !detail::is_node_name(node))
    throw std::invalid_argument(
        "expected a node to be name@host, got \"" + std::string(node.substr(0, 255)) + '"');
  auto number = detail::node_number(node, 0);
  return number == 0 ? detail::names::find(name) : detail::named_pid(name, number);
}

}  // namespace roost
