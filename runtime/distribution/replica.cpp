#include "runtime/distribution/replica.hpp"
#include "runtime/logger.hpp"
#include "runtime/process.hpp"

namespace roost::detail {
namespace {

/// A clock that is further ahead is no clock: times of that kind come of broken bytes, and would be
/// everybody's time from then on.
constexpr std::uint64_t most_ahead = 366ULL * 24 * 3600 * 1000;

std::uint64_t mix(std::uint64_t value) noexcept {
  value = (value ^ (value >> 32)) * 0xD6E8FEB86659FD93ULL;
  value = (value ^ (value >> 32)) * 0xD6E8FEB86659FD93ULL;
  return value ^ (value >> 32);
}

/// What a row adds to the digest of its bucket.
std::uint64_t digest_of(std::uint64_t hash, const replica_version& version) noexcept {
  auto digest = mix(hash ^ mix(version.time));
  digest = mix(digest ^ version.node);
  return mix(digest + version.erased);
}

void put_version(wire_writer& out, const replica_version& version) {
  out.fixed64(version.time);
  out.fixed64(version.node);
  out.varint(version.erased);
}

/// What a key takes besides its entry.
std::size_t outside_memory(std::string_view key) noexcept {
  static const std::size_t inside = std::string().capacity();
  return key.size() > inside ? key.size() + 1 : 0;
}

pid caller() noexcept { return inside_process() ? self() : pid{}; }

}  // namespace

struct replica::incoming {
  replica_version version;
  bool is_erased = false;
  std::unique_ptr<replica_row> row;  // unless erased
  std::optional<replica_key> key;

  hashed_key hashed() const { return {key->bytes(), key->hash()}; }
};

replica::replica(
    std::shared_ptr<replica_rows> rows, replica_settings settings, std::uint64_t node,
    hybrid_clock& clock)
    : rows_(std::move(rows)), settings_(std::move(settings)), node_(node), clock_(clock) {}

// --- access --------------------------------------------------------------------------------------

void replica::set_owner(pid owner, pid server) noexcept {
  owner_ = owner;
  server_ = server;
}

void replica::check_writer() const {
  if (settings_.access == ets::public_ || caller() == owner_) return;
  auto who = [](pid process) {
    return process ? to_string(process) : std::string("the threads outside processes");
  };
  throw std::logic_error(
      "expected " + who(owner_) + ", the owner of the protected table " + settings_.name +
      ", to write to it, got " + who(caller()) + " (badarg)");
}

// --- entries -------------------------------------------------------------------------------------

replica_entry* replica::find(const hashed_key& key) noexcept {
  auto& entries = bucket_of(key.hash).entries;
  auto found = entries.find(key);
  return found != entries.end() ? &found->second : nullptr;
}

void replica::set_version(
    const hashed_key& key, replica_entry* present, replica_version version, bool is_erased) {
  auto& bucket = bucket_of(key.hash);
  if (present == nullptr) {
    present = &bucket.entries.try_emplace(std::string(key.bytes)).first->second;
    shard_of(key.hash).key_bytes += outside_memory(key.bytes);
  } else if (present->is_erased) {
    --bucket.erased;
    bucket.erased_digest -= digest_of(key.hash, present->version);
  } else {
    bucket.digest -= digest_of(key.hash, present->version);
  }
  present->version = version;
  present->is_erased = is_erased;
  if (is_erased) {
    present->since = clock_.steady();
    ++bucket.erased;
    bucket.erased_digest += digest_of(key.hash, version);
  } else {
    bucket.digest += digest_of(key.hash, version);
  }
}

void replica::note_change(const hashed_key& key) {
  if (!tracked_.load(std::memory_order_seq_cst)) return;
  auto* entry = find(key);
  if (entry->is_pending) return;
  shard_of(key.hash).pending.emplace_back(key.bytes);
  entry->is_pending = true;
}

void replica::wake() {
  if (!tracked_.load(std::memory_order_seq_cst)) return;
  if (!woken_.load(std::memory_order_seq_cst) && !woken_.exchange(true)) wake_();
}

// --- what is to be sent --------------------------------------------------------------------------

/// Who begins to track, and then looks at a shard, finds there whatever was not noted.
void replica::track_changes(bool on) {
  if (tracked_.exchange(on) == on || on) return;
  collect();
}

std::vector<replica::change> replica::collect() {
  woken_.store(false, std::memory_order_seq_cst);
  std::vector<change> changes;
  for (auto& shard : shards_) {
    std::lock_guard guard{shard.mutex};
    for (auto& key : shard.pending) {
      // It may have been forgotten since.
      auto* entry = find({key, replica_hash(key)});
      if (entry == nullptr) continue;
      entry->is_pending = false;
      entry->sequence = ++last_sequence_;
      changes.push_back({entry->sequence, std::move(key)});
    }
    shard.pending.clear();
  }
  return changes;
}

bool replica::encode(
    std::string_view bytes, std::optional<std::uint32_t> sequence, wire_writer& out) {
  hashed_key key{bytes, replica_hash(bytes)};
  ets_reader reading{rows_->table()};
  std::lock_guard guard{shard_of(key.hash).mutex};
  auto* entry = find(key);
  if (entry == nullptr || (sequence && entry->sequence != *sequence)) return false;
  put_version(out, entry->version);
  out.byte(entry->is_erased ? 1 : 0);
  if (entry->is_erased) {
    out.text(bytes);
    return true;
  }
  // The length in front is known when the row has been written.
  auto& buffer = out.buffer();
  auto start = buffer.size();
  out.fixed32(0);
  rows_->encode_row(bytes, out);
  auto length = static_cast<std::uint32_t>(buffer.size() - start - 4);
  for (unsigned i = 0; i < 4; ++i) buffer.data()[start + i] = static_cast<char>(length >> (8 * i));
  return true;
}

// --- what comes in -------------------------------------------------------------------------------

replica::applied replica::apply(wire_reader& in, std::string_view from) {
  incoming one;
  one.version.time = in.fixed64();
  one.version.node = in.fixed64();
  one.version.erased = in.varint();
  auto kind = in.byte();
  if (kind > 1) throw decode_error("expected a row or an erased one, got " + std::to_string(kind));
  one.is_erased = kind == 1;
  auto bytes = one.is_erased ? in.text() : in.raw(in.fixed32());
  auto ahead = hybrid_clock::milliseconds_of(std::max(one.version.time, one.version.erased));
  if (ahead > clock_.wall() + most_ahead) {
    complain(from, "its clock is more than a year ahead");
    return applied::stale;
  }
  look_at_clock(from, ahead);
  try {
    if (one.is_erased) {
      if (!rows_->is_key(bytes)) throw decode_error("expected a key, got other bytes");
      one.key.emplace(bytes);
    } else {
      wire_reader row{bytes, in.sender()};
      one.row = rows_->decode_row(row);
      one.key.emplace(one.row->key());
    }
  } catch (const std::exception& error) {
    complain(from, error.what());
    return applied::stale;
  }
  clock_.observe(std::max(one.version.time, one.version.erased));
  auto result = applied::stale;
  std::string trouble;
  {
    ets_reader reading{rows_->table()};
    std::lock_guard guard{shard_of(one.key->hash()).mutex};
    try {
      result = decide(one);
    } catch (const std::exception& error) {
      trouble = error.what();
    }
  }
  if (!trouble.empty()) complain(from, trouble);
  return result;
}

/// The caller has locked the key, as for what follows.
replica::applied replica::decide(incoming& in) {
  auto* present = find(in.hashed());
  if (!merges()) {
    in.version.erased = 0;
    if (present != nullptr && !in.version.is_newer_than(present->version)) return applied::stale;
    return in.is_erased ? take_erasure(in, present) : take(in, present, in.version);
  }
  auto known = present == nullptr ? 0 : present->version.erased;
  if (in.is_erased) {
    in.version.erased = in.version.time;
    if (present == nullptr || present->is_erased) {
      bool is_news = present == nullptr || in.version.is_newer_than(present->version);
      return is_news ? take_erasure(in, present) : applied::stale;
    }
    if (present->version.time <= in.version.time) return take_erasure(in, present);
    if (known >= in.version.erased) return applied::stale;
    // The row has survived it.
    auto survivor = present->version;
    survivor.erased = in.version.erased;
    set_version(in.hashed(), present, survivor, false);
    return applied::taken;
  }
  if (in.version.time <= known) return applied::stale;
  auto version = in.version;
  version.erased = std::max(known, version.erased);
  bool nothing_left =
      present == nullptr || present->is_erased || present->version.time <= in.version.erased;
  if (nothing_left) return take(in, present, version);
  return merge(in, *present, version.erased);
}

replica::applied replica::take(incoming& in, replica_entry* present, replica_version version) {
  rows_->put(*in.row);
  set_version(in.hashed(), present, version, false);
  return applied::taken;
}

replica::applied replica::take_erasure(incoming& in, replica_entry* present) {
  auto key = in.hashed();
  if (present != nullptr && !present->is_erased) rows_->erase(key.bytes);
  if (present == nullptr && is_over(in.version.time)) return applied::stale;
  set_version(key, present, in.version, true);
  return applied::taken;
}

replica::applied replica::merge(incoming& in, replica_entry& present, std::uint64_t erased) {
  auto key = in.hashed();
  auto before = present.version;
  auto version = before;
  version.erased = erased;
  merged outcome;
  try {
    outcome = before.time == in.version.time && before.node == in.version.node
                  ? merged::ours
                  : rows_->merge(*in.row);
  } catch (...) {
    // A function that fails leaves the later row, so that the copies do not drift apart.
    if (in.version.is_newer_than(before)) {
      rows_->put(*in.row);
      version = {in.version.time, in.version.node, erased};
      set_version(key, &present, version, false);
    }
    throw;
  }
  if (outcome == merged::theirs || (outcome == merged::same && in.version.is_newer_than(before)))
    version = {in.version.time, in.version.node, erased};
  if (outcome == merged::fresh) version = {clock_.next(), node_, erased};
  if (version == before) return applied::stale;
  set_version(key, &present, version, false);
  if (outcome == merged::fresh) {
    note_change(key);
    wake();
  }
  return applied::taken;
}

/// Rows of a node whose clock is ahead win over those that others write without knowing of them.
void replica::look_at_clock(std::string_view from, std::uint64_t milliseconds) {
  constexpr std::uint64_t worth_saying = 60'000;
  auto now = clock_.wall();
  if (milliseconds <= now + worth_saying || ahead_.contains(from)) return;
  ahead_.emplace(from);
  logger::warning(
      "a row from another node was written later than it is now: some clock is wrong",
      {{"table", settings_.name}, {"node", from}, {"seconds_ahead", (milliseconds - now) / 1000}});
}

void replica::complain(std::string_view from, std::string_view trouble) {
  // The first, the tenth, the hundredth …: a peer that is wrong is wrong about many rows.
  ++complaints_;
  auto count = complaints_;
  while (count % 10 == 0) count /= 10;
  if (count != 1) return;
  logger::error(
      "a row from another node was not taken",
      {{"table", settings_.name}, {"node", from}, {"trouble", trouble}, {"so_far", complaints_}});
}

// --- comparing -----------------------------------------------------------------------------------

std::array<bucket_summary, replica_buckets> replica::summaries() {
  std::array<bucket_summary, replica_buckets> all;
  std::size_t i = 0;
  for (auto& shard : shards_) {
    std::lock_guard guard{shard.mutex};
    for (auto& bucket : shard.buckets)
      all[i++] = {
          bucket.digest, bucket.erased_digest, static_cast<std::uint32_t>(bucket.entries.size())};
  }
  return all;
}

bucket_summary replica::summary() {
  bucket_summary sum;
  for (auto& shard : shards_) {
    std::lock_guard guard{shard.mutex};
    for (auto& bucket : shard.buckets) {
      sum.digest += bucket.digest;
      sum.erased_digest += bucket.erased_digest;
      sum.entries += static_cast<std::uint32_t>(bucket.entries.size());
    }
  }
  return sum;
}

std::vector<replica::described> replica::describe(hash_range range) {
  std::vector<described> found;
  for (auto i = range.first >> bucket_shift; i <= range.last >> bucket_shift; ++i) {
    auto& shard = shards_[i / buckets_per_shard];
    std::lock_guard guard{shard.mutex};
    for (auto& [key, entry] : shard.buckets[i % buckets_per_shard].entries) {
      auto hash = replica_hash(key);
      if (hash >= range.first && hash <= range.last) found.push_back({hash, entry.version, key});
    }
  }
  return found;
}

// --- tombstones ----------------------------------------------------------------------------------

bool replica::is_over(std::uint64_t time) const {
  auto ttl = static_cast<std::uint64_t>(settings_.tombstone_ttl.count());
  return clock_.wall() > hybrid_clock::milliseconds_of(time) + ttl;
}

void replica::purge(std::size_t index, std::uint32_t told) {
  auto& shard = shards_[index];
  for (auto& bucket : shard.buckets) {
    std::lock_guard guard{shard.mutex};
    if (bucket.erased == 0) continue;
    erase_if(bucket.entries, [&](auto& one) {
      auto& [key, entry] = one;
      bool goes = entry.is_erased && !entry.is_pending &&
                  (entry.since < told || is_over(entry.version.time));
      if (!goes) return false;
      --bucket.erased;
      bucket.erased_digest -= digest_of(replica_hash(key), entry.version);
      shard.key_bytes -= outside_memory(key);
      return true;
    });
    if (4 * bucket.entries.size() < bucket.entries.bucket_count()) bucket.entries.rehash(0);
  }
}

std::size_t replica::tombstones() {
  std::size_t count = 0;
  for (auto& shard : shards_) {
    std::lock_guard guard{shard.mutex};
    for (auto& bucket : shard.buckets) count += bucket.erased;
  }
  return count;
}

std::size_t replica::memory() {
  constexpr auto entry = sizeof(std::pair<const std::string, replica_entry>) + 1;
  std::size_t bytes = sizeof(*this);
  for (auto& shard : shards_) {
    std::lock_guard guard{shard.mutex};
    bytes += shard.key_bytes;
    for (auto& bucket : shard.buckets) bytes += bucket.entries.bucket_count() * entry;
  }
  return bytes;
}

// --- peers ---------------------------------------------------------------------------------------

void replica::set_peers(std::vector<replica_peer> peers) {
  std::lock_guard guard{peers_mutex_};
  peers_ = std::move(peers);
}

std::vector<replica_peer> replica::peers() const {
  std::lock_guard guard{peers_mutex_};
  return peers_;
}

// --- writing here --------------------------------------------------------------------------------

namespace {
replica& checked(replica& replica) {
  replica.check_writer();
  return replica;
}
}  // namespace

replica_write::replica_write(detail::replica& replica, const replica_key& key)
    : replica_(checked(replica)),
      key_(key),
      reading_(replica.rows().table()),
      shard_(replica.shard_of(key.hash())) {
  shard_.mutex.lock();
  entry_ = replica_.find({key_.bytes(), key_.hash()});
}

replica_write::~replica_write() {
  shard_.mutex.unlock();
  if (changed_) replica_.wake();
}

bool replica_write::has_row() const noexcept { return entry_ != nullptr && !entry_->is_erased; }

replica_version replica_write::version() const noexcept {
  return entry_ != nullptr ? entry_->version : replica_version{};
}

void replica_write::put() { stamp(false); }
void replica_write::erased() { stamp(true); }

void replica_write::stamp(bool is_erased) {
  hashed_key key{key_.bytes(), key_.hash()};
  replica_version version{replica_.clock().next(), replica_.node(), 0};
  if (replica_.rows().merges()) version.erased = is_erased ? version.time : this->version().erased;
  replica_.set_version(key, entry_, version, is_erased);
  replica_.note_change(key);
  changed_ = true;
}

std::size_t tombstones_of(const replica& replica) {
  return const_cast<detail::replica&>(replica).tombstones();
}
std::size_t memory_of(const replica& replica) {
  return const_cast<detail::replica&>(replica).memory();
}
std::vector<replica_peer> peers_of(const replica& replica) { return replica.peers(); }

// --- sentences -----------------------------------------------------------------------------------

void throw_merged_key(const ets_table& table) {
  throw std::logic_error(
      "expected the merge function of the table " + table.label() +
      " to keep the key, got another");
}

void throw_unlawful_merge(const ets_table& table) {
  throw std::logic_error(
      "expected the merge function of the table " + table.label() +
      " to be idempotent, got a row that changes when it is merged with what it was made of: test "
      "it "
      "with roost::check_merge");
}

void throw_no_replica() {
  throw std::invalid_argument(
      "expected the handle of a replicated table, got an empty one: write `table users{{.name = "
      "\"users\"}};` to open a table (badarg)");
}

}  // namespace roost::detail
