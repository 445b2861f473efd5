// private: one node's copy of a replicated table: which version of each row it has, what has to be
// sent, and how it compares with another copy. No processes, no time but what it is given.
//
// Keys are spread by a hash that is the same on every node over 1,024 buckets, each with a digest
// of its rows' versions: the sum of a hash per row, so it is kept up to date by every write. Copies
// with equal digests are equal. Erased rows leave a *tombstone*, which is in no digest: if another
// copy still has the row, that shows by itself; if not, there is nothing to tell.
//
// A version is the time of the write and its node. With a merge function it is also the time of the
// last erasure that the row has survived, since a row that was erased and written again must not be
// merged with what it was before, even where the erasure itself was never heard of. A row that is
// neither of the two that it was merged from is a write of its own.
//
// An entry on the wire: its version (8 bytes time, 8 bytes node, number), 1 if erased, the number
// of bytes that follow, and the row, or of an erased one the key.
//
// Thread safety: any thread. 16 shards have a lock each; a row and its version change together. The
// merge function runs under the lock.
#pragma once
#include "runtime/distribution/hybrid_clock.hpp"
#include "runtime/distribution/replicated_ets.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <array>
#include <mutex>
#include <set>

namespace roost::detail {

struct replica_entry {
  replica_version version;
  std::uint32_t sequence = 0;  // of the last change that was collected
  std::uint32_t since = 0;     // of a tombstone: when it was made here, in seconds
  bool is_erased = false;
  bool is_pending = false;  // will be collected
};

/// A key whose hash is known already.
struct hashed_key {
  std::string_view bytes;
  std::uint64_t hash;
};
struct hash_of_key {
  using is_transparent = void;
  using is_avalanching = void;
  std::size_t operator()(const std::string& key) const noexcept {
    return spread(replica_hash(key));
  }
  std::size_t operator()(const hashed_key& key) const noexcept { return spread(key.hash); }

 private:
  // The map chooses places by the upper bits, which all keys of a bucket have in common.
  static std::size_t spread(std::uint64_t hash) noexcept { return hash * 0x9E3779B97F4A7C15ULL; }
};
struct same_key_bytes {
  using is_transparent = void;
  bool operator()(const std::string& a, const std::string& b) const noexcept { return a == b; }
  bool operator()(const hashed_key& a, const std::string& b) const noexcept { return a.bytes == b; }
  bool operator()(const std::string& a, const hashed_key& b) const noexcept { return a == b.bytes; }
};

/// Where rows with neighbouring hashes are kept.
struct replica_bucket {
  boost::unordered_flat_map<std::string, replica_entry, hash_of_key, same_key_bytes> entries;
  std::uint64_t digest = 0;         // of the rows
  std::uint64_t erased_digest = 0;  // of the tombstones
  std::uint32_t erased = 0;         // entries that are tombstones
};

inline constexpr std::size_t replica_shards = 16;
inline constexpr std::size_t replica_buckets = 1024;
inline constexpr std::size_t buckets_per_shard = replica_buckets / replica_shards;
inline constexpr unsigned bucket_shift = 54;  // the upper 10 bits of a hash
static_assert(std::uint64_t{1} << (64 - bucket_shift) == replica_buckets);

struct alignas(64) replica_shard {
  std::mutex mutex;
  std::array<replica_bucket, buckets_per_shard> buckets;
  std::vector<std::string> pending;  // keys that were written and not collected
  std::size_t key_bytes = 0;         // of long keys, outside their entries
};

struct bucket_summary {
  std::uint64_t digest = 0;
  std::uint64_t erased_digest = 0;
  std::uint32_t entries = 0;  // tombstones included
  friend bool operator==(const bucket_summary&, const bucket_summary&) = default;
};

/// Part of the space of hashes, both ends included.
struct hash_range {
  std::uint64_t first = 0;
  std::uint64_t last = ~std::uint64_t{0};
};

class replica {
 public:
  struct change {
    std::uint32_t sequence;
    std::string key;
  };
  struct described {
    std::uint64_t hash;
    replica_version version;
    std::string key;
  };
  enum class applied : std::uint8_t { stale, taken };

  /// `node` names this copy in versions.
  replica(
      std::shared_ptr<replica_rows> rows, replica_settings settings, std::uint64_t node,
      hybrid_clock& clock);

  const replica_settings& settings() const noexcept { return settings_; }
  replica_rows& rows() const noexcept { return *rows_; }
  const std::shared_ptr<replica_rows>& shared_rows() const noexcept { return rows_; }
  hybrid_clock& clock() const noexcept { return clock_; }

  // --- what is to be sent
  /// Whether writes are noted for collect.
  void track_changes(bool on);
  /// Is called by the first write after each collect, while changes are tracked.
  void on_change(std::function<void()> wake) { wake_ = std::move(wake); }
  /// What was written since, each key once.
  std::vector<change> collect();
  /// Writes an entry, unless it has changed after `sequence` or is gone. Answers whether it did.
  bool encode(std::string_view key, std::optional<std::uint32_t> sequence, wire_writer& out);

  // --- what comes in
  /// Reads one entry and applies it. Throws decode_error for one that is none; a row that cannot be
  /// read or is out of the question is logged and skipped.
  applied apply(wire_reader& in, std::string_view from);

  // --- comparing
  std::array<bucket_summary, replica_buckets> summaries();
  bucket_summary summary();  // of all rows
  std::vector<described> describe(hash_range range);

  // --- looking after tombstones
  /// Forgets those that were made before `told`, in seconds, and those whose time is over.
  void purge(std::size_t shard, std::uint32_t told);

  std::size_t tombstones();
  std::size_t memory();

  // --- for replica_write
  void check_writer() const;
  void set_owner(pid owner, pid server) noexcept;
  pid owner() const noexcept { return owner_; }
  pid server() const noexcept { return server_; }
  replica_shard& shard_of(std::uint64_t hash) noexcept {
    return shards_[(hash >> bucket_shift) / buckets_per_shard];
  }
  replica_bucket& bucket_of(std::uint64_t hash) noexcept {
    return shard_of(hash).buckets[(hash >> bucket_shift) % buckets_per_shard];
  }
  replica_entry* find(const hashed_key& key) noexcept;
  /// The caller has locked the key, and has put or erased the row.
  void set_version(
      const hashed_key& key, replica_entry* present, replica_version version, bool is_erased);
  void note_change(const hashed_key& key);
  void wake();
  std::uint64_t node() const noexcept { return node_; }

  void set_peers(std::vector<replica_peer> peers);
  std::vector<replica_peer> peers() const;

 private:
  struct incoming;

  applied decide(incoming& in);
  applied take(incoming& in, replica_entry* present, replica_version version);
  applied take_erasure(incoming& in, replica_entry* present);
  applied merge(incoming& in, replica_entry& present, std::uint64_t erased);
  bool merges() const noexcept { return rows_->merges(); }
  bool is_over(std::uint64_t time) const;
  void complain(std::string_view from, std::string_view trouble);
  void look_at_clock(std::string_view from, std::uint64_t milliseconds);

  std::shared_ptr<replica_rows> rows_;
  const replica_settings settings_;
  const std::uint64_t node_;
  hybrid_clock& clock_;
  pid owner_;
  pid server_;
  std::function<void()> wake_;
  std::atomic<bool> tracked_{false};
  std::atomic<bool> woken_{false};
  std::uint32_t last_sequence_ = 0;           // of whoever collects
  std::uint64_t complaints_ = 0;              // of whoever applies
  std::set<std::string, std::less<>> ahead_;  // nodes whose clock has been complained about
  std::array<replica_shard, replica_shards> shards_;
  mutable std::mutex peers_mutex_;
  std::vector<replica_peer> peers_;
};

}  // namespace roost::detail
