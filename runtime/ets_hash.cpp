// The tables behind set, bag and duplicate_bag: 32 shards, each an open-addressing array of hashes
// and pointers to nodes. Readers take no lock; writers lock one shard.
//
// A place of an array holds null (nothing was ever put behind it), `grave` (what was here is
// deleted) or a node. A key keeps its place as long as the array lives, so no reader can miss it.
// When an array grows, writers go on in the new one, and readers that are still in the old one see
// the shard as it was at that moment, which lies within their own operation.
//
// A scan goes through a shard in the order of hashes, which growing does not change: its cursor is
// the hash below which it has seen everything.
#include "runtime/ets_store.hpp"
#include <algorithm>
#include <array>
#include <bit>
#include <new>

namespace roost::detail {
namespace {

constexpr std::size_t shard_count = 32;
constexpr std::size_t pool_count = 4;
constexpr std::size_t smallest = 8;     // places of a shard that is not empty
constexpr std::size_t few_keys = 2048;  // in a shard

/// The hash is written before the node, and only while there is no node. Who finds the hash of
/// another node, since both have changed in between, has found a key that is deleted by now.
struct place {
  std::atomic<std::size_t> hash{0};
  std::atomic<const ets_node*> node{nullptr};
};

constexpr ets_node buried{};
constexpr const ets_node* grave = &buried;

bool holds_node(const ets_node* node) noexcept { return node != nullptr && node != grave; }

// The low bits of a hash choose the shard, the highest choose the place in it.
std::size_t shard_of(std::size_t hash) noexcept { return hash & (shard_count - 1); }

/// An array with its size; the places themselves follow it.
class places {
 public:
  static places* make(std::size_t size) {
    return new (::operator new(sizeof(places) + size * sizeof(place))) places(size);
  }
  static void free(places* array) noexcept { ::operator delete(array); }

  place& operator[](std::size_t i) noexcept {
    return reinterpret_cast<place*>(this + 1)[i & mask_];
  }
  const place& operator[](std::size_t i) const noexcept {
    return reinterpret_cast<const place*>(this + 1)[i & mask_];
  }
  std::size_t size() const noexcept { return mask_ + 1; }
  std::size_t home(std::size_t hash) const noexcept { return (hash >> shift_) & mask_; }

  /// The lowest hash whose home this is.
  std::size_t first_hash(std::size_t home) const noexcept { return home << shift_; }

 private:
  explicit places(std::size_t size) noexcept
      : shift_(size == 1 ? 63 : 64 - static_cast<unsigned>(std::countr_zero(size))),
        mask_(size - 1) {
    for (std::size_t i = 0; i < size; ++i) new (&(*this)[i]) place;
  }

  const unsigned shift_;
  const std::size_t mask_;
};
static_assert(sizeof(places) % alignof(place) == 0);

/// What every shard begins with: one place, which is never filled.
places* nowhere() {
  static auto* const none = places::make(1);
  return none;
}

class hash_table final : public ets_table {
 public:
  hash_table(const ets_type& type, ets::options options) : ets_table(type, std::move(options)) {
    for (auto& array : arrays_) array.store(nowhere(), std::memory_order_relaxed);
    for (auto& pool : pools_) pool.set_node_size(type.node_size);
  }

  ~hash_table() override { drop(); }

  void* allocate(std::size_t hash) override { return pool_of(hash).take(); }
  void give_back(ets_node* node, std::size_t hash) noexcept override {
    pool_of(hash).give_back(node);
  }

  const ets_node* find(std::size_t hash, const void* key) const override {
    auto& array = *arrays_[shard_of(hash)].load(std::memory_order_seq_cst);
    for (auto i = array.home(hash);; ++i) {
      auto* node = array[i].node.load(std::memory_order_seq_cst);
      if (node == nullptr) return nullptr;
      if (is_match(array[i], node, hash, key)) return node;
    }
  }

  void put(std::size_t hash, const void* key, ets_node* node) override {
    write(hash, key, [&](spot at) {
      if (at.node == nullptr) return add(at, hash, node);
      at.shard.limbo.reserve(1);
      replace(at, node);
      retire(at, hash, at.node);
    });
  }

  bool put_new(std::size_t hash, const void* key, ets_node* node) override {
    bool is_new = false;
    write(hash, key, [&](spot at) {
      is_new = at.node == nullptr;
      if (is_new) add(at, hash, node);
    });
    return is_new;
  }

  bool exchange(
      std::size_t hash, const void* key, const ets_node* expected, ets_node* fresh,
      const ets_node* kept) override {
    bool done = false;
    write(hash, key, [&](spot at) {
      done = at.node == expected;
      if (!done) return;
      if (at.node == nullptr) return add(at, hash, fresh);
      at.shard.limbo.reserve(length(at.node, kept));
      change_rows(at.shard, length(fresh, kept) - length(at.node, kept));
      if (fresh != nullptr)
        replace(at, fresh);
      else
        bury(at);
      retire_list(at, hash, kept);
    });
    return done;
  }

  const ets_node* remove(std::size_t hash, const void* key) override {
    const ets_node* removed = nullptr;
    write(hash, key, [&](spot at) {
      if (at.node == nullptr) return;
      removed = at.node;
      auto count = length(at.node, nullptr);
      at.shard.limbo.reserve(count);
      change_rows(at.shard, std::size_t{0} - count);
      bury(at);
      retire_list(at, hash, nullptr);
    });
    return removed;
  }

  void clear() override {
    for (std::size_t i = 0; i < shard_count; ++i) {
      std::lock_guard guard{shards_[i].lock};
      shards_[i].limbo.reserve(1);
      auto* array = take_array(i);
      if (array != nowhere()) shards_[i].limbo.retire({array, 0, free_with_nodes});
    }
  }

  void collect() override {
    for (auto& shard : shards_) {
      freed garbage{*this};
      std::lock_guard guard{shard.lock};
      shard.limbo.collect_now(garbage);
    }
  }

  void drop() noexcept override {
    for (std::size_t i = 0; i < shard_count; ++i) {
      freed rest{*this};
      places* array;
      {
        std::lock_guard guard{shards_[i].lock};
        shards_[i].limbo.collect_all(rest);
        array = take_array(i);
      }
      if (array == nowhere()) continue;
      if (type().destroy != nullptr)
        for_each_node(*array, [&](auto* node, auto) { destroy(node); });
      places::free(array);
    }
    for (auto& pool : pools_) pool.drop();
  }

  void scan(ets_cursor& from, ets_visitor visit) const override {
    std::vector<seen> found;
    while (from.shard < shard_count) {
      auto& array = *arrays_[from.shard].load(std::memory_order_seq_cst);
      auto next = next_cluster(array, from, found);
      if (!visit_all(found, from, visit)) return;
      from = next;
    }
    from.at_end = true;
  }

  const ets_node* seek(ets_seek, const void*) const override { return nullptr; }

  std::size_t rows() const noexcept override {
    std::size_t sum = 0;
    for (auto& shard : shards_) sum += shard.rows.load(std::memory_order_relaxed);
    return sum;
  }

  std::size_t bytes() const noexcept override {
    ets_epoch::pin reading;
    std::size_t places = 0;
    for (auto& array : arrays_) places += array.load(std::memory_order_seq_cst)->size();
    return sizeof(*this) + places * sizeof(place) + rows() * type().node_size;
  }

 private:
  struct alignas(64) shard {
    spin_lock lock;
    std::atomic<std::size_t> rows{0};
    std::size_t keys = 0;
    std::size_t used = 0;  // places that are not null: keys and graves
    detail::limbo limbo;
  };

  /// Where a key is, or is to be put.
  struct spot {
    hash_table::shard& shard;
    places& array;
    std::size_t index;
    const ets_node* node;  // null: the key is not there
  };

  struct seen {
    std::size_t hash;
    const ets_node* node;
  };

  // --- reading -----------------------------------------------------------------------------------

  bool is_match(const place& at, const ets_node* node, std::size_t hash, const void* key) const {
    return node != grave && at.hash.load(std::memory_order_relaxed) == hash &&
           type().has_key(*node, key);
  }

  /// Finds the nodes of the next cluster, a run of places without a null, that the cursor has not
  /// passed. Answers the cursor behind them.
  static ets_cursor next_cluster(
      const places& array, const ets_cursor& from, std::vector<seen>& found) {
    found.clear();
    auto next = from;
    auto i = array.home(from.hash);
    while (i < array.size() && array[i].node.load(std::memory_order_seq_cst) == nullptr) ++i;
    for (auto end = array.size() + i; i < end; ++i) {
      auto* node = array[i].node.load(std::memory_order_seq_cst);
      if (node == nullptr) break;
      if (node == grave) continue;
      // The end of the array overflows to its beginning. Those nodes belong to its last cluster.
      auto hash = array[i].hash.load(std::memory_order_relaxed);
      bool overflown = array.home(hash) > (i & (array.size() - 1));
      bool beyond_end = i >= array.size();
      if (hash >= from.hash && overflown == beyond_end) found.push_back({hash, node});
    }
    if (i < array.size()) {
      next.hash = array.first_hash(i);
    } else {
      next.hash = 0;
      ++next.shard;
    }
    return next;
  }

  /// Answers whether the visitor wants more; if not, the cursor stands behind what it has seen.
  /// Keys with the same hash stay together, as the cursor cannot tell them apart.
  static bool visit_all(std::vector<seen>& found, ets_cursor& from, const ets_visitor& visit) {
    if (from.paged)
      std::sort(found.begin(), found.end(), [](seen a, seen b) { return a.hash < b.hash; });
    bool more = true;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!more && found[i].hash != found[i - 1].hash) {
        from.hash = found[i].hash;
        return false;
      }
      more = visit(*found[i].node) && more;
    }
    if (more) return true;
    from.hash = found.back().hash + 1;
    if (from.hash == 0) ++from.shard;
    return false;
  }

  // --- writing -----------------------------------------------------------------------------------

  /// Runs `change` with the shard of the hash locked.
  template <class F>
  void write(std::size_t hash, const void* key, F change) {
    auto& shard = shards_[shard_of(hash)];
    freed garbage{*this};
    std::lock_guard guard{shard.lock};
    change(locate(shard, hash, key));
    shard.limbo.collect(garbage);
  }

  spot locate(shard& shard, std::size_t hash, const void* key) {
    auto& array = with_room(shard, arrays_[shard_of(hash)]);
    std::optional<std::size_t> first_grave;
    for (auto i = array.home(hash);; ++i) {
      auto* node = array[i].node.load(std::memory_order_relaxed);
      if (node == nullptr) return {shard, array, first_grave.value_or(i), nullptr};
      if (node == grave && !first_grave) first_grave = i;
      if (is_match(array[i], node, hash, key)) return {shard, array, i, node};
    }
  }

  /// Keeps at least a quarter of the places empty and an eighth of them in use.
  places& with_room(shard& shard, std::atomic<places*>& current) {
    auto& array = *current.load(std::memory_order_relaxed);
    bool full = 4 * (shard.used + 1) > 3 * array.size();
    bool too_large = array.size() > smallest && 8 * (shard.keys + 1) < array.size();
    return full || too_large ? resize(shard, current) : array;
  }

  static places& resize(shard& shard, std::atomic<places*>& current) {
    auto& array = *current.load(std::memory_order_relaxed);
    shard.limbo.reserve(1);
    // By four at first: most of the work of filling a table is moving what is there.
    auto factor = shard.keys < few_keys ? 4U : 2U;
    auto& fresh = *places::make(std::max(smallest, std::bit_ceil(factor * (shard.keys + 1))));
    for (std::size_t i = 0; i < array.size(); ++i) {
      auto* node = array[i].node.load(std::memory_order_relaxed);
      if (!holds_node(node)) continue;
      auto hash = array[i].hash.load(std::memory_order_relaxed);
      auto to = fresh.home(hash);
      while (fresh[to].node.load(std::memory_order_relaxed) != nullptr) ++to;
      fresh[to].hash.store(hash, std::memory_order_relaxed);
      fresh[to].node.store(node, std::memory_order_relaxed);
    }
    shard.used = shard.keys;
    current.store(&fresh, std::memory_order_seq_cst);
    if (&array != nowhere()) shard.limbo.retire({&array, 0, free_without_nodes});
    return fresh;
  }

  static void change_rows(shard& shard, std::size_t by) noexcept {
    shard.rows.store(shard.rows.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  static void add(const spot& at, std::size_t hash, const ets_node* node) noexcept {
    auto& place = at.array[at.index];
    if (place.node.load(std::memory_order_relaxed) == nullptr) ++at.shard.used;
    place.hash.store(hash, std::memory_order_relaxed);
    place.node.store(node, std::memory_order_release);
    ++at.shard.keys;
    change_rows(at.shard, 1);
  }

  static void replace(const spot& at, const ets_node* node) noexcept {
    at.array[at.index].node.store(node, std::memory_order_seq_cst);
  }

  /// At the end of a cluster no grave is needed: nothing lies behind it that is looked for here.
  static void bury(const spot& at) noexcept {
    --at.shard.keys;
    auto& array = at.array;
    if (array[at.index + 1].node.load(std::memory_order_relaxed) != nullptr)
      return array[at.index].node.store(grave, std::memory_order_seq_cst);
    array[at.index].node.store(nullptr, std::memory_order_seq_cst);
    --at.shard.used;
    for (auto i = at.index - 1; array[i].node.load(std::memory_order_relaxed) == grave; --i) {
      array[i].node.store(nullptr, std::memory_order_relaxed);
      --at.shard.used;
    }
  }

  /// The caller holds the lock.
  places* take_array(std::size_t i) noexcept {
    shards_[i].rows.store(0, std::memory_order_relaxed);
    shards_[i].keys = shards_[i].used = 0;
    return arrays_[i].exchange(nowhere(), std::memory_order_seq_cst);
  }

  // --- lists of nodes, and freeing ---------------------------------------------------------------

  node_pool& pool_of(std::size_t hash) noexcept { return pools_[hash % pool_count]; }

  const ets_node* next_of(const ets_node* node) const noexcept {
    return many_ ? static_cast<const ets_chain_node*>(node)->next : nullptr;
  }

  std::size_t length(const ets_node* node, const ets_node* kept) const noexcept {
    std::size_t count = 0;
    for (; node != kept && node != nullptr; node = next_of(node)) ++count;
    return count;
  }

  static void retire(const spot& at, std::size_t hash, const ets_node* node) {
    at.shard.limbo.retire({const_cast<ets_node*>(node), hash, free_node});
  }

  void retire_list(const spot& at, std::size_t hash, const ets_node* kept) {
    for (auto* node = at.node; node != kept && node != nullptr; node = next_of(node))
      retire(at, hash, node);
  }

  template <class F>
  void for_each_node(places& array, F f) noexcept {
    for (std::size_t i = 0; i < array.size(); ++i) {
      auto* node = array[i].node.load(std::memory_order_relaxed);
      auto hash = array[i].hash.load(std::memory_order_relaxed);
      for (auto* at = node == grave ? nullptr : node; at != nullptr;) {
        auto* next = next_of(at);
        f(const_cast<ets_node*>(at), hash);
        at = next;
      }
    }
  }

  static void free_node(ets_table& table, const retired& what) noexcept {
    table.discard(static_cast<ets_node*>(what.object), what.which);
  }
  static void free_without_nodes(ets_table&, const retired& what) noexcept {
    places::free(static_cast<places*>(what.object));
  }
  static void free_with_nodes(ets_table& erased, const retired& what) noexcept {
    auto& table = static_cast<hash_table&>(erased);
    auto* array = static_cast<places*>(what.object);
    table.for_each_node(*array, [&](auto* node, auto hash) { table.discard(node, hash); });
    places::free(array);
  }

  const bool many_ = type().kind == ets::kind::bag || type().kind == ets::kind::duplicate_bag;
  // Apart from the shards, so that readers do not share a cache line with what writers change.
  alignas(64) std::array<std::atomic<places*>, shard_count> arrays_;
  std::array<shard, shard_count> shards_;
  std::array<node_pool, pool_count> pools_;
};

}  // namespace

std::shared_ptr<ets_table> make_ets_hash_table(const ets_type& type, ets::options options) {
  return std::make_shared<hash_table>(type, std::move(options));
}

}  // namespace roost::detail
