// The table behind ordered_set: a skip list. Readers take no lock; writers take turns.
//
// What a reader sees is decided by the lowest level alone, where a node comes, goes or is replaced
// with one store; the levels above are shortcuts. A node that is taken out keeps its links, so a
// reader that stands on it finds its way back: whatever it then sees was there after it had stepped
// on that node. Long scans ask `removed` and look their place up again, so that they notice what
// happens around them.
//
// Source: Pugh, Skip lists: a probabilistic alternative to balanced trees (1990).
#include "runtime/ets_store.hpp"
#include <array>
#include <new>

namespace roost::detail {
namespace {

using node = ets_ordered_node;
using link = std::atomic<node*>;

constexpr std::uint8_t levels = 16;  // a quarter of the nodes of a level reach the next: 4^16 rows

class ordered_table final : public ets_table {
 public:
  ordered_table(const ets_type& type, ets::options options) : ets_table(type, std::move(options)) {
    for (std::size_t i = 0; i < levels; ++i)
      pools_[i].set_node_size(type.node_size + (i + 1) * sizeof(link));
  }

  ~ordered_table() override { drop(); }

  void* allocate(std::size_t height) override { return pools_[height - 1].take(); }
  void give_back(ets_node* node, std::size_t height) noexcept override {
    pools_[height - 1].give_back(node);
  }

  const ets_node* find(std::size_t, const void* key) const override {
    return match(at_or_after(key), key);
  }

  void put(std::size_t, const void* key, ets_node* erased) override {
    write(key, [&](const path& path, node* present) {
      limbo_.reserve(1);
      link_in(path, static_cast<node*>(erased), present);
      if (present != nullptr) retire(present);
    });
  }

  bool put_new(std::size_t, const void* key, ets_node* erased) override {
    bool is_new = false;
    write(key, [&](const path& path, node* present) {
      is_new = present == nullptr;
      if (is_new) link_in(path, static_cast<node*>(erased), nullptr);
    });
    return is_new;
  }

  bool exchange(
      std::size_t, const void* key, const ets_node* expected, ets_node* fresh,
      const ets_node*) override {
    bool done = false;
    write(key, [&](const path& path, node* present) {
      done = present == expected;
      if (!done) return;
      limbo_.reserve(1);
      if (fresh != nullptr)
        link_in(path, static_cast<node*>(fresh), present);
      else
        link_out(path, present);
      if (present != nullptr) retire(present);
    });
    return done;
  }

  const ets_node* remove(std::size_t, const void* key) override {
    const ets_node* removed = nullptr;
    write(key, [&](const path& path, node* present) {
      removed = present;
      if (present == nullptr) return;
      limbo_.reserve(1);
      link_out(path, present);
      retire(present);
    });
    return removed;
  }

  void clear() override {
    std::lock_guard guard{lock_};
    limbo_.reserve(1);
    auto* all = take_all();
    for (auto* at = all; at != nullptr; at = next(*at))
      at->removed.store(true, std::memory_order_release);
    if (all != nullptr) limbo_.retire({all, 0, free_list});
  }

  void collect() override {
    freed garbage{*this};
    std::lock_guard guard{lock_};
    limbo_.collect_now(garbage);
  }

  void drop() noexcept override {
    {
      freed rest{*this};
      std::lock_guard guard{lock_};
      limbo_.collect_all(rest);
    }
    node* all;
    {
      std::lock_guard guard{lock_};
      all = take_all();
    }
    while (type().destroy != nullptr && all != nullptr) destroy(std::exchange(all, next(*all)));
    for (auto& pool : pools_) pool.drop();
  }

  void scan(ets_cursor& from, ets_visitor visit) const override {
    auto* at = from.after != nullptr ? behind(from.after) : next_of(first_[0]);
    for (; at != nullptr; at = behind(*at))
      if (!visit(*at)) return;
    from.at_end = true;
  }

  const ets_node* seek(ets_seek what, const void* key) const override {
    switch (what) {
      case ets_seek::first:
        return next_of(first_[0]);
      case ets_seek::last:
        return last_before([](const node&) { return true; });
      case ets_seek::next:
        return behind(key);
      case ets_seek::prev:
        return last_before([&](const node& at) { return type().before(at, key); });
    }
    return nullptr;
  }

  std::size_t rows() const noexcept override { return rows_.load(std::memory_order_relaxed); }

  std::size_t bytes() const noexcept override {
    // On average a node has one link and a third.
    return sizeof(*this) + rows() * (type().node_size + sizeof(link) * 4 / 3);
  }

 private:
  using path =
      std::array<link*, levels>;  // for each level the link that leads to the key or past it

  // --- reading -----------------------------------------------------------------------------------

  link& link_of(const node& at, unsigned level) const noexcept {
    auto* links = reinterpret_cast<const std::byte*>(&at) + type().node_size;
    return const_cast<link*>(reinterpret_cast<const link*>(links))[level];
  }
  static node* next_of(const link& from) noexcept { return from.load(std::memory_order_seq_cst); }
  node* next(const node& at) const noexcept { return next_of(link_of(at, 0)); }

  /// The last node that `is_before` holds for, or null.
  template <class F>
  const node* last_before(F is_before) const {
    const node* at = nullptr;
    for (unsigned level = levels; level-- > 0;) {
      auto* ahead = next_of(at != nullptr ? link_of(*at, level) : first_[level]);
      for (; ahead != nullptr && is_before(*ahead); ahead = next_of(link_of(*ahead, level)))
        at = ahead;
    }
    return at;
  }

  const node* at_or_after(const void* key) const {
    auto* before = last_before([&](const node& at) { return type().before(at, key); });
    return before != nullptr ? next(*before) : next_of(first_[0]);
  }

  const node* match(const node* at, const void* key) const {
    return at != nullptr && type().has_key(*at, key) ? at : nullptr;
  }

  const node* behind(const void* key) const {
    auto* at = at_or_after(key);
    return match(at, key) != nullptr ? next(*at) : at;
  }

  /// The node behind this one, which may have been taken out meanwhile.
  const node* behind(const node& at) const {
    if (!at.removed.load(std::memory_order_acquire)) return next(at);
    auto* before = last_before([&](const node& other) { return !type().in_order(at, other); });
    return before != nullptr ? next(*before) : next_of(first_[0]);
  }

  // --- writing -----------------------------------------------------------------------------------

  /// Runs `change` with the way to the key, and the node that has it or null, while locked.
  template <class F>
  void write(const void* key, F change) {
    freed garbage{*this};
    std::lock_guard guard{lock_};
    path way;
    auto* links = first_.data();
    for (unsigned level = levels; level-- > 0;) {
      for (;;) {
        auto* ahead = links[level].load(std::memory_order_relaxed);
        if (ahead == nullptr || !type().before(*ahead, key)) break;
        links = &link_of(*ahead, 0);
      }
      way[level] = &links[level];
    }
    auto* ahead = way[0]->load(std::memory_order_relaxed);
    change(way, const_cast<node*>(match(ahead, key)));
    limbo_.collect(garbage);
  }

  /// Puts the node in, in the place of `present` if there is one.
  void link_in(const path& way, node* fresh, node* present) noexcept {
    for (unsigned level = 0; level < fresh->height; ++level) {
      auto* ahead = way[level]->load(std::memory_order_relaxed);
      if (ahead != nullptr && ahead == present)
        ahead = link_of(*present, level).load(std::memory_order_relaxed);
      new (&link_of(*fresh, level)) link(ahead);
    }
    for (unsigned level = 0; level < fresh->height; ++level)
      way[level]->store(fresh, std::memory_order_seq_cst);
    if (present == nullptr) {
      rows_.store(rows_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return;
    }
    for (unsigned level = fresh->height; level < present->height; ++level)
      way[level]->store(
          link_of(*present, level).load(std::memory_order_relaxed), std::memory_order_seq_cst);
    present->removed.store(true, std::memory_order_release);
  }

  void link_out(const path& way, node* present) noexcept {
    for (unsigned level = present->height; level-- > 0;)
      way[level]->store(
          link_of(*present, level).load(std::memory_order_relaxed), std::memory_order_seq_cst);
    present->removed.store(true, std::memory_order_release);
    rows_.store(rows_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  }

  /// The caller holds the lock. From above, so that nobody is led past the end of the lowest level.
  node* take_all() noexcept {
    auto* all = first_[0].load(std::memory_order_relaxed);
    for (auto level = levels; level-- > 0;) first_[level].store(nullptr, std::memory_order_seq_cst);
    rows_.store(0, std::memory_order_relaxed);
    return all;
  }

  void retire(node* taken_out) {
    limbo_.retire(
        {taken_out, taken_out->height, [](ets_table& table, const retired& what) noexcept {
           table.discard(static_cast<node*>(what.object), what.which);
         }});
  }

  static void free_list(ets_table& erased, const retired& what) noexcept {
    auto& table = static_cast<ordered_table&>(erased);
    for (auto* at = static_cast<node*>(what.object); at != nullptr;) {
      auto* doomed = std::exchange(at, table.next(*at));
      table.discard(doomed, doomed->height);
    }
  }

  std::array<link, levels> first_{};
  alignas(64) spin_lock lock_;
  std::atomic<std::size_t> rows_{0};
  limbo limbo_;
  std::array<node_pool, levels> pools_;  // by height
};

}  // namespace

std::shared_ptr<ets_table> make_ets_ordered_table(const ets_type& type, ets::options options) {
  return std::make_shared<ordered_table>(type, std::move(options));
}

std::uint8_t ets_random_height() noexcept {
  static thread_local std::uint64_t state = reinterpret_cast<std::uintptr_t>(&state);
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  std::uint8_t height = 1;
  for (auto bits = state >> 32; height < levels && (bits & 3) == 0; bits >>= 2) ++height;
  return height;
}

}  // namespace roost::detail
