// runtime/distribution/replicated_ets.hpp
//
// A table that nodes share: each node that opens it has a full copy, reads it as any ets table, and
// hears of what the others write.
//
//   struct user {
//     std::string name;
//     int visits = 0;
//   };
//   using users_table = roost::replicated_ets<user, &user::name>;
//
//   users_table users{{.name = "users"}};              // on every node; it goes with its process
//   users.insert({"ada", 1});                          // here at once, elsewhere a moment later
//   if (auto row = users.lookup("ada")) greet(*row);   // never leaves this node
//   auto same = users_table::whereis("users");         // from any other process
//
// Guarantees. Writes take effect here at once, whoever can be reached, and are sent on within a few
// milliseconds. When writing stops and the nodes can reach each other, all copies become equal. Of
// several writes to a row the last one wins, everywhere the same: a write is later than whatever
// its node knew of, a clock that is wrong or jumps back notwithstanding; of two that did not know
// of each other, the one with the later clock is. Rows are never half of one write and half of
// another. Nothing is promised across rows, and nobody is asked before writing: what two nodes
// write at the same time is not lost only if the table has a merge function.
//
//   users_table users{{.name = "users", .merge = [](const user& a, const user& b) {
//     return user{a.name, std::max(a.visits, b.visits)};
//   }}};
//
// A merge function is pure and does not touch the table. It has to answer the same whatever the
// order (commutative), the grouping (associative) and the repetition (idempotent): a maximum, a
// union, but not a sum; check_merge looks for mistakes. Every write is merged with what is there,
// so a row only ever grows, until it is erased. A row that is written while another node erases it
// stays.
//
// update_counter is atomic on its node, but when several nodes count in the same row at the same
// time, the last one wins and the others' steps are lost. Let each node count in a field of its
// own, and merge by the maximum: see docs/replicated_tables.md.
//
// Erased rows are remembered, so that nobody brings them back, until every node that was seen
// lately has been told, at most `tombstone_ttl`. A node that comes back after a longer absence,
// with its table still open, may bring back what was erased meanwhile.
//
// A copy belongs to the process that opens it and goes when that process ends, as ets tables do;
// other nodes keep theirs, and whoever opens it again gets everything back from them. Opened by a
// thread outside processes, it lasts until delete_table. The process "roost.ets.<name>" looks after
// it.
//
// Access. protected_ (the default): on each node the owner writes and everybody reads; public_:
// everybody writes. Sets and ordered sets only. Rows are values that can be encoded (see
// runtime/codec.hpp), keys are numbers, enumerations, texts, durations and structs of such.
//
// Errors: as ets. Thread safety: a handle is a value; everything may be called from any thread.
// Source: Mnesia's dirty operations and Riak's tables come close; hybrid logical clocks (Kulkarni
// and others), state-based CRDTs (Shapiro and others).
#pragma once
#include "runtime/codec.hpp"
#include "runtime/ets.hpp"
#include <concepts>

namespace roost {

/// Another node with a copy of a table.
struct replica_peer {
  std::string node;
  std::uint64_t syncs =
      0;                   // how often the two copies have been compared, and what was missing sent
  std::size_t unsent = 0;  // changes that wait for it to take earlier ones: as last looked at
};

namespace detail {

// --- keys ----------------------------------------------------------------------------------------

template <class T>
consteval bool check_replica_key();
template <class... Parts>
consteval bool check_replica_keys(wire_types<Parts...>) {
  return (check_replica_key<Parts>() && ...);
}

/// Whether equal keys are equal bytes, on every node. Floating point has two zeros, and a pid reads
/// differently on another node.
template <class T>
consteval bool check_replica_key() {
  constexpr auto kind = codec_kind_of<T>;
  if constexpr (
      kind == codec_kind::boolean || kind == codec_kind::integer ||
      kind == codec_kind::enumeration || kind == codec_kind::text || kind == codec_kind::unit)
    return true;
  else if constexpr (
      kind == codec_kind::optional || kind == codec_kind::variant || kind == codec_kind::tuple ||
      kind == codec_kind::duration || kind == codec_kind::time)
    return check_replica_keys(typename wire_standard<T>::parts{});
  else if constexpr (kind == codec_kind::list)
    return (wire_array<T> ||
            requires(T & list) {
              list.reserve(1);
              list.front();
            }) &&
           check_replica_key<wire_element<T>>();
  else if constexpr (kind == codec_kind::aggregate)
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (check_replica_key<wire_field<T, I>>() && ...);
    }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>{});
  else return false;
}

/// The same on every node and in every version, spread over all bits.
constexpr std::uint64_t replica_hash(std::string_view bytes) noexcept {
  auto hash = wire_hash_of(bytes);
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
  return hash ^ (hash >> 32);
}

/// A key as bytes.
class replica_key {
 public:
  template <class K>
  static replica_key of(const K& key) {
    static thread_local wire_buffer buffer;
    buffer.clear();
    wire_writer out{buffer};
    encode(out, key);
    return replica_key(buffer.view());
  }
  explicit replica_key(std::string_view bytes) : bytes_(bytes), hash_(replica_hash(bytes)) {}

  const std::string& bytes() const noexcept { return bytes_; }
  std::uint64_t hash() const noexcept { return hash_; }

 private:
  std::string bytes_;
  std::uint64_t hash_;
};

// --- rows without their type ---------------------------------------------------------------------

/// When a row was written, and by whom.
struct replica_version {
  std::uint64_t time = 0;    // of a hybrid_clock
  std::uint64_t node = 0;    // decides between equal times
  std::uint64_t erased = 0;  // with a merge function: what was written up to then is gone

  bool is_newer_than(const replica_version& other) const noexcept {
    return time != other.time ? time > other.time : node > other.node;
  }
  friend bool operator==(const replica_version&, const replica_version&) = default;
};

/// A row on its way in.
struct replica_row {
  replica_row() = default;
  replica_row(const replica_row&) = delete;
  replica_row& operator=(const replica_row&) = delete;
  virtual ~replica_row() = default;
  virtual replica_key key() const = 0;
};

/// What comes of two rows with the same key.
enum class merged : std::uint8_t { ours, theirs, same, fresh };

/// The rows of a table, whatever their type. Keys are bytes that are known to be keys. Who calls
/// has locked the key, and is an ets_reader.
class replica_rows {
 public:
  replica_rows() = default;
  replica_rows(const replica_rows&) = delete;
  replica_rows& operator=(const replica_rows&) = delete;
  virtual ~replica_rows() = default;

  virtual ets_table& table() const = 0;
  virtual const ets_type& type() const = 0;
  virtual std::string_view row_name() const = 0;
  virtual bool merges() const = 0;
  virtual bool is_key(std::string_view bytes) const = 0;
  virtual std::unique_ptr<replica_row> decode_row(wire_reader& in) const = 0;
  virtual void encode_row(std::string_view key, wire_writer& out) const = 0;
  virtual void put(replica_row& row) = 0;
  virtual void erase(std::string_view key) = 0;
  /// Puts what comes of this row and the one that is there in its place.
  virtual merged merge(replica_row& theirs) = 0;
};

// --- a copy of a table ---------------------------------------------------------------------------

struct replica_settings {
  std::string name;
  enum ets::access access = ets::protected_;
  std::chrono::milliseconds tombstone_ttl{};
  std::chrono::milliseconds sync_interval{};
};

class replica;
struct replica_entry;
struct replica_shard;

/// Checks the settings, starts the process that looks after the table, and makes the table its own.
std::shared_ptr<replica> open_replica(
    std::shared_ptr<replica_rows> rows, replica_settings settings);

struct found_replica {
  std::shared_ptr<detail::replica> replica;
  std::shared_ptr<replica_rows> rows;
};
found_replica find_replica(std::string_view name, const ets_type& type);

void close_replica(replica& replica);
void sync_replica(const replica& replica);
std::vector<replica_peer> peers_of(const replica& replica);
std::size_t tombstones_of(const replica& replica);
std::size_t memory_of(const replica& replica);

/// A write by this node: keeps others from the key while it lives. Throws std::logic_error for who
/// may not write here.
class replica_write {
 public:
  replica_write(replica& replica, const replica_key& key);
  replica_write(const replica_write&) = delete;
  replica_write& operator=(const replica_write&) = delete;
  ~replica_write();

  bool has_row() const noexcept;
  replica_version version() const noexcept;  // of the row; none: 0
  void put();                                // a row was put in
  void erased();                             // the row was erased

 private:
  void stamp(bool is_erased);

  replica& replica_;
  const replica_key& key_;
  ets_reader reading_;
  replica_shard& shard_;
  replica_entry* entry_;
  bool changed_ = false;
};

[[noreturn]] void throw_merged_key(const ets_table& table);
[[noreturn]] void throw_unlawful_merge(const ets_table& table);
[[noreturn]] void throw_no_replica();

template <class Row, auto Key, ets::kind Kind>
class typed_rows final : public replica_rows {
  using traits = ets_traits<Row, Key, Kind>;
  using node = typename traits::node;
  using plain = typename traits::plain;
  using key_type = typename traits::key;

 public:
  using merge_function = std::function<Row(const Row&, const Row&)>;

  struct row final : replica_row {
    Row value{};
    replica_key key() const override { return replica_key::of(value.*Key); }
  };

  typed_rows(std::shared_ptr<ets_table> table, merge_function merge)
      : table_(std::move(table)), merge_(std::move(merge)) {}

  ets_table& table() const override { return *table_; }
  const ets_type& type() const override { return ets_type_of<Row, Key, Kind>; }
  std::string_view row_name() const override { return find_wire_name<Row>(); }
  bool merges() const override { return merge_ != nullptr; }
  std::shared_ptr<ets_table> shared_table() const { return table_; }

  bool is_key(std::string_view bytes) const override {
    wire_reader in{bytes};
    key_type key{};
    decode(in, key);
    return in.empty() && replica_key::of(key).bytes() == bytes;
  }
  std::unique_ptr<replica_row> decode_row(wire_reader& in) const override {
    auto made = std::make_unique<row>();
    decode(in, made->value);
    in.finish();
    return made;
  }
  void encode_row(std::string_view bytes, wire_writer& out) const override {
    auto key = key_of(bytes);
    if (auto* present = find(key)) encode(out, *present);
  }
  void put(replica_row& erased) override { put(std::move(static_cast<row&>(erased).value)); }
  void erase(std::string_view bytes) override {
    auto key = key_of(bytes);
    const plain& wanted = key;
    table_->remove(traits::hash(wanted), &wanted);
  }
  merged merge(replica_row& erased) override {
    auto& theirs = static_cast<row&>(erased).value;
    const plain& key = theirs.*Key;
    return merge(*find(key), theirs);
  }

  // --- with their type
  const Row* find(const plain& key) const {
    auto* found = table_->find(traits::hash(key), &key);
    return found != nullptr ? &traits::typed(*found).row : nullptr;
  }
  void put(Row value) const {
    auto hash = traits::hash(traits::key_of(value));
    auto fresh = traits::make(*table_, hash, std::move(value));
    const plain& key = traits::key_of(fresh->row);
    table_->put(hash, &key, fresh.get());
    (void)fresh.release();
  }
  bool remove(const plain& key) const { return table_->remove(traits::hash(key), &key) != nullptr; }
  merged merge(const Row& ours, const Row& theirs) const {
    if constexpr (std::equality_comparable<Row>) {
      auto both = merge_(ours, theirs);
      if (!same_key(traits::key_of(ours), traits::key_of(both))) throw_merged_key(*table_);
      bool is_ours = both == ours;
      bool is_theirs = both == theirs;
      if (is_ours) return is_theirs ? merged::same : merged::ours;
      // Where that did not hold, nodes would send each other ever new rows.
      if (!is_theirs && !(merge_(both, theirs) == both && merge_(ours, both) == both))
        throw_unlawful_merge(*table_);
      put(std::move(both));
      return is_theirs ? merged::theirs : merged::fresh;
    } else {
      return merged::ours;
    }
  }

 private:
  static bool same_key(const plain& a, const plain& b) {
    if constexpr (traits::ordered)
      return !(a < b) && !(b < a);
    else
      return a == b;
  }
  static key_type key_of(std::string_view bytes) {
    wire_reader in{bytes};
    key_type key{};
    decode(in, key);
    return key;
  }

  std::shared_ptr<ets_table> table_;
  merge_function merge_;
};

/// What `.merge` of a row without == refuses.
template <class Row>
struct no_merge {
  no_merge() = default;
  template <class F>
  no_merge(F&&) {
    static_assert(
        !std::same_as<F, F>,
        "merged rows are compared: give the row `bool operator==(const row&) const = default;`");
  }
  operator std::function<Row(const Row&, const Row&)>() const { return {}; }
};

}  // namespace detail

// --- the table -----------------------------------------------------------------------------------

template <class Row, auto Key, ets::kind Kind = ets::kind::set>
class replicated_ets : private ets::table<Row, Key, Kind> {
  using base = ets::table<Row, Key, Kind>;
  using rows = detail::typed_rows<Row, Key, Kind>;

  static_assert(
      Kind == ets::kind::set || Kind == ets::kind::ordered_set,
      "replicated tables are sets or ordered sets: rows of a bag have no key to decide by");
  static_assert(
      detail::is_encodable<Row> && detail::is_decodable<Row> &&
          std::is_default_constructible_v<Row>,
      "the rows of a replicated table travel: numbers, texts, containers, pids, structs of such");
  static_assert(
      detail::check_replica_key<typename base::key_type>(),
      "the key of a replicated table is the same bytes on every node: a number, an enumeration, a "
      "text, a duration, or a struct of such");

 public:
  using row_type = Row;
  using key_type = typename base::key_type;
  using key_argument = typename base::key_argument;
  using plain_table = base;
  using merge_function = std::conditional_t<
      std::equality_comparable<Row>, std::function<Row(const Row&, const Row&)>,
      detail::no_merge<Row>>;

  struct options {
    std::string name;                           // required, and the same on every node
    enum ets::access access = ets::protected_;  // or public_
    merge_function merge = {};                  // none: the last writer wins
    // How long erased rows are remembered while some node that was seen has not been told.
    std::chrono::milliseconds tombstone_ttl = std::chrono::hours(24);
    // How often copies are compared, in case something was missed; 0.8 to 1.2 of it.
    std::chrono::milliseconds sync_interval = std::chrono::seconds(30);
  };

  /// A handle without a table.
  replicated_ets() noexcept = default;

  /// Opens this node's copy. Returns at once; what others have comes in while it is used: see
  /// peers(). Throws std::invalid_argument when the name is taken.
  explicit replicated_ets(options options)
      : base({.name = options.name}),
        rows_(std::make_shared<rows>(this->core().shared_from_this(), std::move(options.merge))),
        replica_(detail::open_replica(
            rows_, {std::move(options.name), options.access, options.tombstone_ttl,
                    options.sync_interval})) {}

  /// This node's copy; a handle without a table if there is none. Throws std::invalid_argument when
  /// its rows are of another type. Takes a lock: keep the handle.
  static replicated_ets whereis(std::string_view name) {
    auto found = detail::find_replica(name, base::type());
    if (!found.replica) return {};
    return replicated_ets(std::move(found));
  }

  using base::operator bool;
  using base::name;
  using base::size;

  // --- reading, as ets
  using base::first;
  using base::foldl;
  using base::for_each;
  using base::last;
  using base::lookup;
  using base::lookup_element;
  using base::member;
  using base::next;
  using base::prev;
  using base::select;
  using base::select_count;
  using base::tab2list;

  /// The table behind it, for those who only read: it cannot be written to.
  const plain_table& table() const noexcept { return *this; }

  // --- writing -----------------------------------------------------------------------------------

  /// Adds the row in the place of the one with its key, or merges the two.
  void insert(Row row) const;

  /// Adds the row unless this node knows of one with its key, and answers whether it did. Two nodes
  /// may both add one; the later stays, or they are merged.
  bool insert_new(Row row) const;

  /// Erases the row with the key, and answers it.
  std::optional<Row> take(key_argument key) const;

  /// Erases the row with the key, and answers whether there was one.
  bool erase(key_argument key) const;

  /// Erases the rows that the predicate holds for, and answers how many.
  template <std::predicate<const Row&> P>
  std::size_t select_delete(P predicate) const;

  /// Erases all rows that this node knows of.
  void delete_all_objects() const {
    select_delete([](const Row&) { return true; });
  }

  /// Changes the row with function(Row&), atomically on this node; false when there is no row. The
  /// function gets a copy, and runs again with a newer one when the row was changed meanwhile.
  template <std::invocable<Row&> F>
  bool update(key_argument key, F function) const;

  /// Sets one member of the row; false when there is no row.
  template <class T>
  bool update_element(key_argument key, T Row::*element, std::type_identity_t<T> value) const;

  /// Adds to a number in the row and answers the new value: on this node, see above. Throws
  /// std::invalid_argument (badarg) when there is no row with the key, std::overflow_error when the
  /// number has no room.
  template <std::integral T>
  T update_counter(key_argument key, T Row::*counter, std::type_identity_t<T> by = 1) const;

  /// … and begins with `initial`, under this key, when there is no row.
  template <std::integral T>
  T update_counter(
      key_argument key, T Row::*counter, std::type_identity_t<T> by, Row initial) const;

  // --- the copies --------------------------------------------------------------------------------

  /// Closes this node's copy: its rows are gone here, and stay elsewhere. Every other use of it
  /// throws.
  void delete_table() const { detail::close_replica(replica()); }

  /// The other nodes that have the table open. A new copy is complete when one of them has `syncs`.
  std::vector<replica_peer> peers() const { return detail::peers_of(replica()); }

  /// Compares copies with every other node now.
  void sync() const { detail::sync_replica(replica()); }

  /// Erased rows that are remembered.
  std::size_t tombstones() const { return detail::tombstones_of(replica()); }

  /// Bytes, without what the rows themselves point to.
  std::size_t memory() const { return base::info().memory + detail::memory_of(replica()); }

  /// For the library.
  explicit replicated_ets(detail::found_replica found)
      : base(ets::any_table(static_cast<rows&>(*found.rows).shared_table()).template as<base>()),
        rows_(std::static_pointer_cast<rows>(std::move(found.rows))),
        replica_(std::move(found.replica)) {}

 private:
  using plain = typename detail::ets_traits<Row, Key, Kind>::plain;

  detail::replica& replica() const {
    if (!replica_) detail::throw_no_replica();
    return *replica_;
  }

  /// A copy of the row with its version, if there is one.
  struct seen {
    Row row;
    detail::replica_version version;
  };
  std::optional<seen> look(const detail::replica_key& bytes, const plain& key) const {
    detail::replica_write reading{replica(), bytes};
    if (!reading.has_row()) return std::nullopt;
    return seen{*rows_->find(key), reading.version()};
  }
  void put(detail::replica_write& writing, Row row) const {
    const plain& key = row.*Key;
    auto* present = writing.has_row() && rows_->merges() ? rows_->find(key) : nullptr;
    if (present != nullptr)
      rows_->merge(*present, row);
    else
      rows_->put(std::move(row));
    writing.put();
  }

  std::shared_ptr<rows> rows_;
  std::shared_ptr<detail::replica> replica_;
};

/// Whether a merge function is idempotent, commutative and associative for these samples: the law
/// that it breaks, or nothing. For tests: give it rows with the same key that differ in every way.
template <class Row, class F>
std::optional<std::string> check_merge(F merge, const std::vector<Row>& samples) {
  for (auto& a : samples) {
    if (!(merge(a, a) == a)) return "idempotent: merge(a, a) == a, for a = " + to_text(a);
    for (auto& b : samples) {
      auto ab = merge(a, b);
      if (!(ab == merge(b, a)))
        return "commutative: merge(a, b) == merge(b, a), for a = " + to_text(a) +
               ", b = " + to_text(b);
      for (auto& c : samples)
        if (!(merge(ab, c) == merge(a, merge(b, c))))
          return "associative: merge(merge(a, b), c) == merge(a, merge(b, c)), for a = " +
                 to_text(a) + ", b = " + to_text(b) + ", c = " + to_text(c);
    }
  }
  return std::nullopt;
}

// --- definitions ---------------------------------------------------------------------------------

template <class Row, auto Key, ets::kind Kind>
void replicated_ets<Row, Key, Kind>::insert(Row row) const {
  auto bytes = detail::replica_key::of(row.*Key);
  detail::replica_write writing{replica(), bytes};
  put(writing, std::move(row));
}

template <class Row, auto Key, ets::kind Kind>
bool replicated_ets<Row, Key, Kind>::insert_new(Row row) const {
  auto bytes = detail::replica_key::of(row.*Key);
  detail::replica_write writing{replica(), bytes};
  if (writing.has_row()) return false;
  put(writing, std::move(row));
  return true;
}

template <class Row, auto Key, ets::kind Kind>
std::optional<Row> replicated_ets<Row, Key, Kind>::take(key_argument key) const {
  auto bytes = detail::replica_key::of(key);
  const plain& wanted = key;
  detail::replica_write writing{replica(), bytes};
  if (!writing.has_row()) return std::nullopt;
  std::optional<Row> row(*rows_->find(wanted));
  rows_->remove(wanted);
  writing.erased();
  return row;
}

template <class Row, auto Key, ets::kind Kind>
bool replicated_ets<Row, Key, Kind>::erase(key_argument key) const {
  auto bytes = detail::replica_key::of(key);
  const plain& wanted = key;
  detail::replica_write writing{replica(), bytes};
  if (!writing.has_row()) return false;
  rows_->remove(wanted);
  writing.erased();
  return true;
}

template <class Row, auto Key, ets::kind Kind>
template <std::predicate<const Row&> P>
std::size_t replicated_ets<Row, Key, Kind>::select_delete(P predicate) const {
  // Rows are looked at without a lock, since the predicate may use the table.
  std::vector<key_type> keys;
  this->for_each([&](const Row& row) {
    if (std::invoke(predicate, row)) keys.push_back(row.*Key);
  });
  std::size_t count = 0;
  for (auto& one : keys) {
    const plain& key = one;
    auto bytes = detail::replica_key::of(key);
    for (;;) {
      auto present = look(bytes, key);
      if (!present || !std::invoke(predicate, std::as_const(present->row))) break;
      detail::replica_write writing{replica(), bytes};
      if (!writing.has_row() || writing.version() != present->version) continue;
      rows_->remove(key);
      writing.erased();
      ++count;
      break;
    }
  }
  return count;
}

template <class Row, auto Key, ets::kind Kind>
template <std::invocable<Row&> F>
bool replicated_ets<Row, Key, Kind>::update(key_argument key, F function) const {
  auto bytes = detail::replica_key::of(key);
  const plain& wanted = key;
  for (;;) {
    auto present = look(bytes, wanted);
    if (!present) return false;
    std::invoke(function, present->row);
    if (detail::replica_key::of(present->row.*Key).bytes() != bytes.bytes())
      detail::ets_throw_changed_key(this->core());
    detail::replica_write writing{replica(), bytes};
    if (!writing.has_row() || writing.version() != present->version) continue;
    put(writing, std::move(present->row));
    return true;
  }
}

template <class Row, auto Key, ets::kind Kind>
template <class T>
bool replicated_ets<Row, Key, Kind>::update_element(
    key_argument key, T Row::*element, std::type_identity_t<T> value) const {
  return update(key, [&](Row& row) { row.*element = value; });
}

template <class Row, auto Key, ets::kind Kind>
template <std::integral T>
T replicated_ets<Row, Key, Kind>::update_counter(
    key_argument key, T Row::*counter, std::type_identity_t<T> by) const {
  T result{};
  bool was_there = update(key, [&](Row& row) {
    if (__builtin_add_overflow(row.*counter, by, &result))
      detail::ets_throw_counter_overflow(this->core());
    row.*counter = result;
  });
  if (!was_there) detail::ets_throw_no_key(this->core());
  return result;
}

template <class Row, auto Key, ets::kind Kind>
template <std::integral T>
T replicated_ets<Row, Key, Kind>::update_counter(
    key_argument key, T Row::*counter, std::type_identity_t<T> by, Row initial) const {
  initial.*Key = key_type(key);
  while (!this->member(key)) {
    T result{};
    auto first = initial;
    if (__builtin_add_overflow(initial.*counter, by, &result))
      detail::ets_throw_counter_overflow(this->core());
    first.*counter = result;
    if (insert_new(std::move(first))) return result;
  }
  return update_counter(key, counter, by);
}

}  // namespace roost
