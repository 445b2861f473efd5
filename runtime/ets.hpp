// runtime/ets.hpp
//
// Tables that processes share: rows in memory, found by key. Write a plain struct for the row and
// name the member that is its key.
//
//   struct user {
//     int id;
//     std::string name;
//     int visits = 0;
//   };
//   using users_table = roost::ets::set<user, &user::id>;
//
//   users_table users{{.name = "users", .access = roost::ets::public_}};
//   users.insert({1, "Ada"});
//   if (auto row = users.lookup(1)) greet(row->name);          // a copy, as in Erlang
//   users.update_counter(1, &user::visits);                    // atomic; answers the new value
//   auto regulars = users.select([](const user& u) { return u.visits > 9; });
//
//   auto same = roost::ets::whereis<users_table>("users");     // from any other process
//
// Kinds: `set` has one row for each key; `ordered_set` too, sorted by `<`; `bag` has many different
// rows for a key; `duplicate_bag` also equal ones.
//
// Owner. A table belongs to the process that creates it and is deleted when that process ends,
// unless an heir is alive, who then gets the table and a `transfer` message. A thread outside the
// scheduler creates tables that nobody owns: they last until they are deleted or their last handle
// goes. Access. protected_ (the default): the owner writes, everybody reads; private_: only the
// owner; public_: everybody. For a table that nobody owns, the threads outside are the owner.
//
// Guarantees. Operations on one key are atomic: each sees one state of the row, and writes do not
// get lost. Readers take no lock, so they neither wait nor hold up anybody; writers of a set or bag
// wait for each other only when their keys fall into the same 64th of the table, those of an
// ordered_set take turns. select, foldl and for_each see every row that is there from their
// beginning to their end exactly once, whatever is written meanwhile, also across the pages of
// select(…, limit); this is what safe_fixtable is for in Erlang, and needs no call here.
//
// Rows are copied in and out and never change: a write puts another row in the place. A row that
// was replaced or deleted is destroyed a little later, when nobody can be reading it any more, at
// the latest with its table. Functions given to select, update and the like run in the caller,
// while it holds no lock: they may use this table.
//
// Errors: a table that was deleted or was never created, a name that is taken and whereis with
// another row type throw std::invalid_argument (badarg); who may not read or write gets a
// std::logic_error. Thread safety: a handle is a value, cheap to copy; everything may be called
// from any thread. Source: Erlang's ets(3).
#pragma once
#include "runtime/message.hpp"
#include "runtime/pid.hpp"
#include <any>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace roost::detail {
class ets_table;
}

namespace roost::ets {

// --- tables of any kind --------------------------------------------------------------------------

enum class kind : std::uint8_t { set, ordered_set, bag, duplicate_bag };
enum access : std::uint8_t { public_, protected_, private_ };

struct options {
  std::string name = {};  // for whereis; empty: only those who are given a handle find it
  enum access access = protected_;
  pid heir = {};            // who gets the table when its owner ends; nobody: it is deleted
  std::any heir_data = {};  // what the heir finds in `transfer::data`
};

struct info {
  std::string name;
  ets::kind kind;
  enum access access;
  pid owner;  // nobody: created outside processes
  pid heir;
  std::size_t size;    // rows
  std::size_t memory;  // bytes, without what the rows themselves point to
};

/// A handle to a table whose row type is not known here.
class any_table {
 public:
  any_table() noexcept = default;

  /// Whether this is the handle of a table, deleted or not.
  explicit operator bool() const noexcept { return table_ != nullptr; }

  const std::string& name() const;
  ets::info info() const;
  std::size_t size() const;

  /// The typed handle. Throws std::invalid_argument when the table is another one.
  template <class Table>
  Table as() const;

  /// Deletes all rows.
  void delete_all_objects() const;

  /// Deletes the table: its name is free, and every other use of it throws.
  void delete_table() const;

  /// Makes another process the owner, and sends it a `transfer`. Only the owner may do so.
  void give_away(pid to, std::any data = {}) const;

  /// Sets, or with nobody takes back, the heir. Only the owner may do so.
  void set_heir(pid heir, std::any data = {}) const;

  friend bool operator==(const any_table&, const any_table&) = default;

  /// For the library.
  explicit any_table(std::shared_ptr<detail::ets_table> table) noexcept
      : table_(std::move(table)) {}

 protected:
  detail::ets_table& core() const {
    if (!table_) [[unlikely]]
      throw_no_table();
    return *table_;
  }

 private:
  [[noreturn]] static void throw_no_table();

  std::shared_ptr<detail::ets_table> table_;
};

/// The tables of this node that have a name, by name: ets:all/0, of those that somebody can find.
std::vector<info> all();

/// What a process gets with a table that was given to it or that it has inherited (ETS-TRANSFER).
struct transfer {
  any_table table;  // table.as<users_table>()
  pid from;
  std::any data;
};

/// One change of update_counter: adds `by`; a result beyond the threshold becomes `set_to`.
template <class T>
struct counter_step {
  T by = 1;
  std::optional<T> threshold = {};
  T set_to = 0;
};

}  // namespace roost::ets

// --- behind the templates ------------------------------------------------------------------------

namespace roost::detail {

/// A row with what its table needs to find it. Rows of a bag with the same key form a list, the
/// newest first, of which only the head changes: whoever holds a head sees one state of them all.
struct ets_node {};
struct ets_chain_node : ets_node {
  const ets_chain_node* next = nullptr;
};
struct alignas(8) ets_ordered_node : ets_node {  // `height` links follow the row
  std::uint8_t height = 0;
  mutable std::atomic<bool> removed{false};
};

/// One static instance per type of table. Two types are the same if their addresses are.
struct ets_type {
  std::string_view row;
  std::string_view key;
  ets::kind kind;
  std::size_t node_size;
  bool (*has_key)(const ets_node& node, const void* key);
  bool (*before)(const ets_node& node, const void* key);  // ordered_set only, as is the next
  bool (*in_order)(const ets_node& left, const ets_node& right);
  void (*destroy)(ets_node* node) noexcept;  // null: nothing to do
};

/// How far a scan has come.
struct ets_cursor {
  std::size_t shard = 0;
  std::size_t hash = 0;         // everything below was seen
  const void* after = nullptr;  // in an ordered_set: the last key that was seen
  bool at_end = false;
  bool paged = false;  // the visitor may stop
};

/// A function that looks at nodes and answers whether it wants more.
struct ets_visitor {
  template <class F>
  explicit ets_visitor(F& function)
      : object(&function),
        call([](void* f, const ets_node& node) { return (*static_cast<F*>(f))(node); }) {}
  bool operator()(const ets_node& node) const { return call(object, node); }

  void* object;
  bool (*call)(void*, const ets_node&);
};

enum class ets_seek : std::uint8_t { first, last, next, prev };

/// A table that does not know the type of its rows. Nodes that its functions answer are there as
/// long as the caller is an ets_reader or ets_writer.
class ets_table : public std::enable_shared_from_this<ets_table> {
 public:
  static std::shared_ptr<ets_table> create(const ets_type& type, ets::options options);
  static std::shared_ptr<ets_table> find_by_name(std::string_view name);

  ets_table(const ets_type& type, ets::options options);
  ets_table(const ets_table&) = delete;
  ets_table& operator=(const ets_table&) = delete;
  virtual ~ets_table();

  const ets_type& type() const noexcept { return type_; }

  /// Its name, for sentences.
  std::string label() const;

  /// The newest node with the key, or null.
  virtual const ets_node* find(std::size_t hash, const void* key) const = 0;

  /// Sets: puts the node in the place of the one with its key. Takes it over.
  virtual void put(std::size_t hash, const void* key, ets_node* node) = 0;

  /// Puts the node in if there is none with its key, and answers whether it did.
  virtual bool put_new(std::size_t hash, const void* key, ets_node* node) = 0;

  /// Puts `fresh` in the place of `expected`, which may be null and be replaced by null, if that is
  /// what is there. The list of `expected` is retired up to `kept`, in which that of `fresh` ends.
  virtual bool exchange(
      std::size_t hash, const void* key, const ets_node* expected, ets_node* fresh,
      const ets_node* kept) = 0;

  /// Takes out what has the key, and answers it.
  virtual const ets_node* remove(std::size_t hash, const void* key) = 0;

  virtual void scan(ets_cursor& from, ets_visitor visit) const = 0;
  virtual const ets_node* seek(ets_seek what, const void* key) const = 0;
  virtual std::size_t rows() const noexcept = 0;
  virtual std::size_t bytes() const noexcept = 0;

  /// Retires all rows.
  virtual void clear() = 0;

  /// Frees what was retired and is read by nobody any more.
  virtual void collect() = 0;
  void collect_if_open();

  /// Frees everything at once, when there is nobody left who reads or writes.
  virtual void drop() noexcept = 0;

  /// Memory for a node. `which` is the hash of its key, or in an ordered_set its height.
  virtual void* allocate(std::size_t which) = 0;
  virtual void give_back(ets_node* node, std::size_t which) noexcept = 0;

  void destroy(ets_node* node) const noexcept {
    if (type_.destroy != nullptr) type_.destroy(node);
  }
  void discard(ets_node* node, std::size_t which) noexcept {
    destroy(node);
    give_back(node, which);
  }

  /// Once pinned, so that whoever has closed the table knows whom to wait for.
  void check_read() const {
    if (!open_to_readers_.load(std::memory_order_seq_cst)) [[unlikely]]
      check_reader();
  }
  void check_write() const {
    if (!open_to_writers_.load(std::memory_order_seq_cst)) [[unlikely]]
      check_writer();
  }

 private:
  friend class ets::any_table;
  friend struct ets_registry;

  void check_exists() const;
  void check_reader() const;
  void check_writer() const;
  void check_owner(const char* what) const;

  const ets_type& type_;
  std::atomic<bool> open_to_readers_;  // to all, with no further question
  std::atomic<bool> open_to_writers_;
  std::atomic<bool> deleted_{false};
  std::atomic<std::uint64_t> owner_;  // id of a pid; 0: created outside processes
  ets::options options_;              // the heir under the registry's lock, the rest never changes
};

/// Keeps nodes from being destroyed while it lives, on this thread.
class ets_reader {
 public:
  explicit ets_reader(const ets_table& table) : ets_reader() { table.check_read(); }
  ets_reader(const ets_reader&) = delete;
  ets_reader& operator=(const ets_reader&) = delete;
  ~ets_reader();

 protected:
  ets_reader() noexcept;
};

class ets_writer : public ets_reader {
 public:
  explicit ets_writer(const ets_table& table) { table.check_write(); }
};

std::uint8_t ets_random_height() noexcept;
void ets_check_limit(std::size_t limit);
[[noreturn]] void ets_throw_no_key(const ets_table& table);
[[noreturn]] void ets_throw_changed_key(const ets_table& table);
[[noreturn]] void ets_throw_counter_overflow(const ets_table& table);
[[noreturn]] void ets_throw_other_type(const ets_table& table, const ets_type& wanted);

/// Spreads a hash over all bits, which std::hash of a number does not.
inline std::size_t ets_spread(std::size_t hash) noexcept {
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
  hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL;
  return hash ^ (hash >> 32);
}

/// How a key is passed: strings as views, so that looking one up copies nothing.
template <class K>
struct ets_argument { using type = const K&; };
template <>
struct ets_argument<std::string> {
  using type = std::string_view;
};

template <class Row, class Key>
struct ets_key {
  static_assert(
      !std::is_same_v<Row, Row>,
      "a table is named by its row and the member of it that is the key: "
      "ets::set<user, &user::id>");
};
template <class Row, class Base, class K>
requires std::derived_from<Row, Base>
struct ets_key<Row, K Base::*> {
  static_assert(std::is_object_v<K>, "the key of a table is a member variable of its row");
  using type = std::remove_cv_t<K>;
};

/// A value as the compiler prints it: "&user::id".
template <auto V>
constexpr std::string_view value_name() {
  std::string_view text = __PRETTY_FUNCTION__;
  auto from = text.find("V = ") + 4;
  auto to = text.find_first_of(";]", from);
  return text.substr(from, to - from);
}

/// What a table type must offer its core.
template <class Row, auto Key, ets::kind Kind>
struct ets_traits {
  static constexpr bool ordered = Kind == ets::kind::ordered_set;
  static constexpr bool many = Kind == ets::kind::bag || Kind == ets::kind::duplicate_bag;

  using key = typename ets_key<Row, decltype(Key)>::type;
  using argument = typename ets_argument<key>::type;
  using plain = std::remove_cvref_t<argument>;
  using base = std::conditional_t<
      ordered, ets_ordered_node, std::conditional_t<many, ets_chain_node, ets_node>>;

  struct node final : base {
    explicit node(Row row) : row(std::move(row)) {}
    Row row;
  };
  static_assert(alignof(node) <= 64, "a row cannot be aligned to more than 64 bytes");

  struct deleter {
    void operator()(node* node) const noexcept { table->discard(node, which); }
    ets_table* table = nullptr;
    std::size_t which = 0;
  };
  using node_ptr = std::unique_ptr<node, deleter>;

  static const node& typed(const ets_node& erased) noexcept {
    return static_cast<const node&>(erased);
  }
  static argument key_of(const Row& row) { return row.*Key; }

  static std::size_t hash(const plain& key) {
    if constexpr (ordered)
      return 0;
    else
      return ets_spread(std::hash<plain>{}(key));
  }

  /// Called by an ets_writer, which keeps the memory from going with the table.
  static node_ptr make(ets_table& table, std::size_t hash, Row row) {
    auto which = ordered ? ets_random_height() : hash;
    auto* memory = table.allocate(which);
    static_assert(
        std::is_nothrow_move_constructible_v<Row>, "a row must be movable without exceptions");
    node_ptr made(new (memory) node(std::move(row)), {&table, which});
    if constexpr (ordered) made->height = static_cast<std::uint8_t>(which);
    return made;
  }

  static void destroy(ets_node* erased) noexcept { static_cast<node*>(erased)->~node(); }

  static bool has_key(const ets_node& erased, const void* key) {
    const plain& here = key_of(typed(erased).row);
    const auto& wanted = *static_cast<const plain*>(key);
    if constexpr (ordered)
      return !(here < wanted) && !(wanted < here);
    else
      return here == wanted;
  }
  static bool before(const ets_node& erased, const void* key) {
    return key_of(typed(erased).row) < *static_cast<const plain*>(key);
  }
  static bool in_order(const ets_node& left, const ets_node& right) {
    return key_of(typed(left).row) < key_of(typed(right).row);
  }

  static constexpr ets_type describe() {
    ets_type type{type_name<Row>(), value_name<Key>(), Kind,    sizeof(node),
                  &has_key,         nullptr,           nullptr, nullptr};
    if constexpr (!std::is_trivially_destructible_v<Row>) type.destroy = &destroy;
    if constexpr (ordered) {
      type.before = &before;
      type.in_order = &in_order;
    }
    return type;
  }
};

template <class Row, auto Key, ets::kind Kind>
inline constexpr ets_type ets_type_of = ets_traits<Row, Key, Kind>::describe();

}  // namespace roost::detail

// --- tables of rows ------------------------------------------------------------------------------

namespace roost::ets {

/// A handle to a table. Use it by the names below: set, ordered_set, bag, duplicate_bag.
template <class Row, auto Key, kind Kind>
class table : public any_table {
  using traits = detail::ets_traits<Row, Key, Kind>;
  using node = typename traits::node;
  using node_ptr = typename traits::node_ptr;
  using plain = typename traits::plain;
  static constexpr bool many = traits::many;

 public:
  using row_type = Row;
  using key_type = typename traits::key;

  /// const key_type&, or std::string_view for strings.
  using key_argument = typename traits::argument;

  /// What a lookup finds: one row or none; in bags any number, oldest first.
  using found = std::conditional_t<many, std::vector<Row>, std::optional<Row>>;

  /// A part of what select finds. The next part is empty when the table is at its end.
  class page;

  /// A handle without a table.
  table() noexcept = default;

  /// A new table, owned by the calling process. Throws std::invalid_argument when the name is
  /// taken.
  explicit table(ets::options options)
      : any_table(detail::ets_table::create(type(), std::move(options))) {}

  // --- reading -----------------------------------------------------------------------------------

  found lookup(key_argument key) const;
  bool member(key_argument key) const;

  /// A copy of one member of the row. Throws std::invalid_argument (badarg) when there is no row.
  template <class T>
  T lookup_element(key_argument key, T Row::*element) const;
  template <class T>
  T lookup_element(key_argument key, T Row::*element, std::type_identity_t<T> missing) const;

  /// Copies of the rows that the predicate holds for.
  template <std::predicate<const Row&> P>
  std::vector<Row> select(P predicate) const;

  /// The first `limit` of them, and where to go on:
  ///   for (auto page = users.select(is_adult, 100); !page.rows.empty(); page = page.next()) …
  /// A page of a bag does not end within a key, so it may be larger.
  template <std::predicate<const Row&> P>
  page select(P predicate, std::size_t limit) const;

  template <std::predicate<const Row&> P>
  std::size_t select_count(P predicate) const;

  /// function(const Row&, Result) → Result, for every row.
  template <class Result, class F>
  Result foldl(F function, Result result) const;

  /// function(const Row&), for every row.
  template <class F>
  void for_each(F function) const;

  std::vector<Row> tab2list() const;

  // --- reading an ordered_set --------------------------------------------------------------------

  /// The keys around a key, which need not be there itself; nothing: end of table.
  std::optional<key_type> first() const;
  std::optional<key_type> last() const;
  std::optional<key_type> next(key_argument key) const;
  std::optional<key_type> prev(key_argument key) const;

  // --- writing -----------------------------------------------------------------------------------

  /// Adds the row; in sets in the place of one with the same key.
  void insert(Row row) const;

  /// Adds the row unless there is one with its key, and answers whether it did.
  bool insert_new(Row row) const;

  /// Deletes what has the key, and answers it.
  found take(key_argument key) const;

  /// Deletes what has the key, and answers whether there was any.
  bool erase(key_argument key) const;

  /// Deletes the rows that equal this one, and answers whether there was any.
  bool erase_object(const Row& row) const;

  /// Deletes the rows that the predicate holds for, and answers how many.
  template <std::predicate<const Row&> P>
  std::size_t select_delete(P predicate) const;

  // --- changing a row of a set -------------------------------------------------------------------

  /// Adds to a number in the row and answers the new value. Throws std::invalid_argument (badarg)
  /// when there is no row with the key, std::overflow_error when the number has no room.
  ///   users.update_counter(1, &user::visits, {.by = 1, .threshold = 9, .set_to = 0})  // 0, 1, … 9
  template <std::integral T>
  T update_counter(key_argument key, T Row::*counter, std::type_identity_t<T> by = 1) const;
  template <std::integral T>
  T update_counter(
      key_argument key, T Row::*counter, std::type_identity_t<counter_step<T>> step) const;

  /// … and begins with `initial`, under this key, when there is no row.
  template <std::integral T>
  T update_counter(
      key_argument key, T Row::*counter, std::type_identity_t<T> by, Row initial) const;
  template <std::integral T>
  T update_counter(
      key_argument key, T Row::*counter, std::type_identity_t<counter_step<T>> step,
      Row initial) const;

  /// Sets one member of the row; false when there is no row.
  template <class T>
  bool update_element(key_argument key, T Row::*element, std::type_identity_t<T> value) const;

  /// Changes the row with function(Row&), atomically; false when there is no row. The function gets
  /// a copy, and runs again with a newer one when somebody else has changed the row meanwhile.
  template <std::invocable<Row&> F>
  bool update(key_argument key, F function) const;

  // --- for the library ---------------------------------------------------------------------------

  static constexpr const detail::ets_type& type() noexcept {
    return detail::ets_type_of<Row, Key, Kind>;
  }

 private:
  friend class any_table;
  explicit table(any_table same) noexcept : any_table(std::move(same)) {}

  static constexpr void only_sets() {
    static_assert(
        !many,
        "a bag has many rows for a key, so it cannot change one in its place: use an "
        "ets::set, or erase_object and insert");
  }
  static constexpr void only_ordered() {
    static_assert(
        Kind == kind::ordered_set,
        "only the keys of an ets::ordered_set have an order: use one, or for_each");
  }
  static constexpr void only_comparable() {
    static_assert(
        std::equality_comparable<Row>,
        "rows are compared here: give the row `bool operator==(const row&) const = "
        "default;`");
  }

  const node* find(std::size_t hash, const plain& key) const {
    return static_cast<const node*>(core().find(hash, &key));
  }
  const node* find(const plain& key) const { return find(traits::hash(key), key); }
  static const node* older(const node* row) noexcept {
    if constexpr (many)
      return static_cast<const node*>(row->next);
    else
      return nullptr;
  }
  static found copy(const node* head);
  std::optional<key_type> seek(detail::ets_seek what, const plain* key) const;

  template <class F>
  void scan(detail::ets_cursor cursor, F visit) const;
  bool exchange(
      std::size_t hash, const plain& key, const node* expected, node_ptr& fresh,
      const node* kept = nullptr) const;
  bool add_to_bag(node_ptr& fresh, std::size_t hash, const plain& key) const;
  template <class P>
  std::size_t remove_if(const plain& key, P& predicate) const;

  template <class F>
  bool change(const plain& key, F& function) const;
  template <class T>
  T count(T value, const counter_step<T>& step) const;
};

template <class Row, auto Key>
using set = table<Row, Key, kind::set>;
template <class Row, auto Key>
using ordered_set = table<Row, Key, kind::ordered_set>;
template <class Row, auto Key>
using bag = table<Row, Key, kind::bag>;
template <class Row, auto Key>
using duplicate_bag = table<Row, Key, kind::duplicate_bag>;

/// The table with this name; a handle without a table if there is none. Throws
/// std::invalid_argument when its rows are of another type. Takes a lock: keep the handle.
template <class Table>
Table whereis(std::string_view name) {
  any_table found{detail::ets_table::find_by_name(name)};
  return found ? found.as<Table>() : Table();
}

template <class Row, auto Key, kind Kind>
class table<Row, Key, Kind>::page {
 public:
  std::vector<Row> rows;

  page next() const {
    page more(from_, predicate_, limit_);
    more.cursor_ = cursor_;
    more.last_ = last_;
    more.fill();
    return more;
  }

 private:
  friend class table;
  using shared_predicate = std::shared_ptr<const std::function<bool(const Row&)>>;

  page(table from, shared_predicate predicate, std::size_t limit)
      : from_(std::move(from)), predicate_(std::move(predicate)), limit_(limit) {}
  void fill();

  table from_;
  shared_predicate predicate_;
  std::size_t limit_;
  detail::ets_cursor cursor_;
  std::optional<key_type> last_;  // of an ordered_set
};

// --- definitions ---------------------------------------------------------------------------------

template <class Table>
Table any_table::as() const {
  if (&core().type() != &Table::type()) detail::ets_throw_other_type(core(), Table::type());
  return Table(*this);
}

template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::copy(const node* head) -> found {
  found rows;
  if constexpr (many) {
    for (auto* at = head; at != nullptr; at = older(at)) rows.push_back(at->row);
    for (std::size_t i = 0, j = rows.size(); i + 1 < j; ++i, --j) std::swap(rows[i], rows[j - 1]);
  } else {
    if (head != nullptr) rows.emplace(head->row);
  }
  return rows;
}

template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::lookup(key_argument key) const -> found {
  detail::ets_reader reading{core()};
  return copy(find(key));
}

template <class Row, auto Key, kind Kind>
bool table<Row, Key, Kind>::member(key_argument key) const {
  detail::ets_reader reading{core()};
  return find(key) != nullptr;
}

template <class Row, auto Key, kind Kind>
template <class T>
T table<Row, Key, Kind>::lookup_element(key_argument key, T Row::*element) const {
  only_sets();
  detail::ets_reader reading{core()};
  auto* row = find(key);
  if (row == nullptr) detail::ets_throw_no_key(core());
  return row->row.*element;
}

template <class Row, auto Key, kind Kind>
template <class T>
T table<Row, Key, Kind>::lookup_element(
    key_argument key, T Row::*element, std::type_identity_t<T> missing) const {
  only_sets();
  detail::ets_reader reading{core()};
  auto* row = find(key);
  return row == nullptr ? std::move(missing) : row->row.*element;
}

/// Visits the rows until `visit` has had enough.
template <class Row, auto Key, kind Kind>
template <class F>
void table<Row, Key, Kind>::scan(detail::ets_cursor cursor, F visit) const {
  detail::ets_reader reading{core()};
  auto each = [&](const detail::ets_node& head) {
    for (auto* at = &traits::typed(head); at != nullptr; at = older(at)) visit(at->row);
    return true;
  };
  core().scan(cursor, detail::ets_visitor{each});
}

template <class Row, auto Key, kind Kind>
template <std::predicate<const Row&> P>
std::vector<Row> table<Row, Key, Kind>::select(P predicate) const {
  std::vector<Row> rows;
  for_each([&](const Row& row) {
    if (std::invoke(predicate, row)) rows.push_back(row);
  });
  return rows;
}

template <class Row, auto Key, kind Kind>
template <std::predicate<const Row&> P>
auto table<Row, Key, Kind>::select(P predicate, std::size_t limit) const -> page {
  detail::ets_check_limit(limit);
  auto shared = std::make_shared<const std::function<bool(const Row&)>>(std::move(predicate));
  page first(*this, std::move(shared), limit);
  first.fill();
  return first;
}

template <class Row, auto Key, kind Kind>
void table<Row, Key, Kind>::page::fill() {
  auto& core = from_.core();
  detail::ets_reader reading{core};
  if (cursor_.at_end) return;
  const node* last = nullptr;
  auto each = [&](const detail::ets_node& head) {
    last = &traits::typed(head);
    for (auto* at = last; at != nullptr; at = older(at))
      if ((*predicate_)(at->row)) rows.push_back(at->row);
    return rows.size() < limit_;
  };
  cursor_.paged = true;
  std::optional<plain> after;
  if (last_) after.emplace(*last_);
  cursor_.after = after ? &*after : nullptr;
  core.scan(cursor_, detail::ets_visitor{each});
  cursor_.after = nullptr;
  if constexpr (Kind == kind::ordered_set)
    if (last != nullptr) last_.emplace(traits::key_of(last->row));
}

template <class Row, auto Key, kind Kind>
template <std::predicate<const Row&> P>
std::size_t table<Row, Key, Kind>::select_count(P predicate) const {
  std::size_t count = 0;
  for_each([&](const Row& row) { count += std::invoke(predicate, row) ? 1U : 0U; });
  return count;
}

template <class Row, auto Key, kind Kind>
template <class Result, class F>
Result table<Row, Key, Kind>::foldl(F function, Result result) const {
  for_each([&](const Row& row) { result = std::invoke(function, row, std::move(result)); });
  return result;
}

template <class Row, auto Key, kind Kind>
template <class F>
void table<Row, Key, Kind>::for_each(F function) const {
  static_assert(std::invocable<F&, const Row&>, "for_each takes a function of  const Row&");
  scan({}, [&](const Row& row) { std::invoke(function, row); });
}

template <class Row, auto Key, kind Kind>
std::vector<Row> table<Row, Key, Kind>::tab2list() const {
  return select([](const Row&) { return true; });
}

template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::seek(detail::ets_seek what, const plain* key) const
    -> std::optional<key_type> {
  only_ordered();
  detail::ets_reader reading{core()};
  auto* row = static_cast<const node*>(core().seek(what, key));
  if (row == nullptr) return std::nullopt;
  return std::optional<key_type>(std::in_place, traits::key_of(row->row));
}

template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::first() const -> std::optional<key_type> {
  return seek(detail::ets_seek::first, nullptr);
}
template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::last() const -> std::optional<key_type> {
  return seek(detail::ets_seek::last, nullptr);
}
template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::next(key_argument key) const -> std::optional<key_type> {
  const plain& here = key;
  return seek(detail::ets_seek::next, &here);
}
template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::prev(key_argument key) const -> std::optional<key_type> {
  const plain& here = key;
  return seek(detail::ets_seek::prev, &here);
}

/// Gives up `fresh` if it was put in.
template <class Row, auto Key, kind Kind>
bool table<Row, Key, Kind>::exchange(
    std::size_t hash, const plain& key, const node* expected, node_ptr& fresh,
    const node* kept) const {
  if (!core().exchange(hash, &key, expected, fresh.get(), kept)) return false;
  (void)fresh.release();
  return true;
}

template <class Row, auto Key, kind Kind>
bool table<Row, Key, Kind>::add_to_bag(node_ptr& fresh, std::size_t hash, const plain& key) const {
  auto* head = find(hash, key);
  if constexpr (Kind == kind::bag) {
    only_comparable();
    for (auto* at = head; at != nullptr; at = older(at))
      if (at->row == fresh->row) return true;
  }
  fresh->next = head;
  return exchange(hash, key, head, fresh, head);
}

template <class Row, auto Key, kind Kind>
void table<Row, Key, Kind>::insert(Row row) const {
  detail::ets_writer writing{core()};
  auto hash = traits::hash(traits::key_of(row));
  auto fresh = traits::make(core(), hash, std::move(row));
  const plain& key = traits::key_of(fresh->row);
  if constexpr (many) {
    while (!add_to_bag(fresh, hash, key)) {
    }
  } else {
    core().put(hash, &key, fresh.get());
    (void)fresh.release();
  }
}

template <class Row, auto Key, kind Kind>
bool table<Row, Key, Kind>::insert_new(Row row) const {
  detail::ets_writer writing{core()};
  auto hash = traits::hash(traits::key_of(row));
  auto fresh = traits::make(core(), hash, std::move(row));
  const plain& key = traits::key_of(fresh->row);
  if (!core().put_new(hash, &key, fresh.get())) return false;
  (void)fresh.release();
  return true;
}

template <class Row, auto Key, kind Kind>
auto table<Row, Key, Kind>::take(key_argument key) const -> found {
  detail::ets_writer writing{core()};
  const plain& wanted = key;
  return copy(static_cast<const node*>(core().remove(traits::hash(wanted), &wanted)));
}

template <class Row, auto Key, kind Kind>
bool table<Row, Key, Kind>::erase(key_argument key) const {
  detail::ets_writer writing{core()};
  const plain& wanted = key;
  return core().remove(traits::hash(wanted), &wanted) != nullptr;
}

template <class Row, auto Key, kind Kind>
bool table<Row, Key, Kind>::erase_object(const Row& row) const {
  only_comparable();
  detail::ets_writer writing{core()};
  auto same = [&](const Row& other) { return other == row; };
  return remove_if(traits::key_of(row), same) != 0;
}

template <class Row, auto Key, kind Kind>
template <std::predicate<const Row&> P>
std::size_t table<Row, Key, Kind>::select_delete(P predicate) const {
  detail::ets_writer writing{core()};
  std::size_t count = 0;
  auto each = [&](const detail::ets_node& head) {
    count += remove_if(traits::key_of(traits::typed(head).row), predicate);
    return true;
  };
  detail::ets_cursor cursor;
  core().scan(cursor, detail::ets_visitor{each});
  return count;
}

/// Deletes the rows of one key that the predicate holds for: those behind the last of them are kept
/// as they are, those before it are copied.
template <class Row, auto Key, kind Kind>
template <class P>
std::size_t table<Row, Key, Kind>::remove_if(const plain& key, P& predicate) const {
  auto hash = traits::hash(key);
  for (;;) {
    auto* head = find(hash, key);
    std::vector<const node*> survivors;
    const node* kept = head;
    std::size_t count = 0, survivors_before_kept = 0;
    for (auto* at = head; at != nullptr; at = older(at)) {
      if (std::invoke(predicate, at->row)) {
        ++count;
        kept = older(at);
        survivors_before_kept = survivors.size();
      } else {
        survivors.push_back(at);
      }
    }
    if (count == 0) return 0;
    survivors.resize(survivors_before_kept);
    if constexpr (many) {
      std::vector<node_ptr> copies;
      const node* below = kept;
      for (auto i = survivors.size(); i-- > 0; below = copies.back().get()) {
        copies.push_back(traits::make(core(), hash, survivors[i]->row));
        copies.back()->next = below;
      }
      auto* fresh = const_cast<node*>(below);
      if (!core().exchange(hash, &key, head, fresh, kept)) continue;
      for (auto& copy : copies) (void)copy.release();
    } else {
      node_ptr nothing;
      if (!exchange(hash, key, head, nothing)) continue;
    }
    return count;
  }
}

template <class Row, auto Key, kind Kind>
template <class F>
bool table<Row, Key, Kind>::change(const plain& key, F& function) const {
  only_sets();
  auto hash = traits::hash(key);
  for (;;) {
    auto* present = find(hash, key);
    if (present == nullptr) return false;
    auto fresh = traits::make(core(), hash, present->row);
    std::invoke(function, fresh->row);
    if (!traits::has_key(*fresh, &key)) detail::ets_throw_changed_key(core());
    if (exchange(hash, key, present, fresh)) return true;
  }
}

template <class Row, auto Key, kind Kind>
template <std::invocable<Row&> F>
bool table<Row, Key, Kind>::update(key_argument key, F function) const {
  detail::ets_writer writing{core()};
  return change(key, function);
}

template <class Row, auto Key, kind Kind>
template <class T>
bool table<Row, Key, Kind>::update_element(
    key_argument key, T Row::*element, std::type_identity_t<T> value) const {
  detail::ets_writer writing{core()};
  auto set_it = [&](Row& row) { row.*element = value; };
  return change(key, set_it);
}

template <class Row, auto Key, kind Kind>
template <class T>
T table<Row, Key, Kind>::count(T value, const counter_step<T>& step) const {
  T sum;
  bool up = !std::is_signed_v<T> || step.by >= 0;
  bool no_room = __builtin_add_overflow(value, step.by, &sum);
  bool beyond = step.threshold && (no_room || (up ? sum > *step.threshold : sum < *step.threshold));
  if (beyond) return step.set_to;
  if (no_room) detail::ets_throw_counter_overflow(core());
  return sum;
}

template <class Row, auto Key, kind Kind>
template <std::integral T>
T table<Row, Key, Kind>::update_counter(
    key_argument key, T Row::*counter, std::type_identity_t<counter_step<T>> step) const {
  detail::ets_writer writing{core()};
  T result{};
  auto add = [&](Row& row) { row.*counter = result = count(row.*counter, step); };
  if (!change(key, add)) detail::ets_throw_no_key(core());
  return result;
}

template <class Row, auto Key, kind Kind>
template <std::integral T>
T table<Row, Key, Kind>::update_counter(
    key_argument key, T Row::*counter, std::type_identity_t<counter_step<T>> step,
    Row initial) const {
  detail::ets_writer writing{core()};
  T result{};
  auto add = [&](Row& row) { row.*counter = result = count(row.*counter, step); };
  const plain& wanted = key;
  initial.*Key = key_type(wanted);
  while (!change(wanted, add)) {
    auto hash = traits::hash(wanted);
    auto fresh = traits::make(core(), hash, initial);
    add(fresh->row);
    if (core().put_new(hash, &wanted, fresh.get())) {
      (void)fresh.release();
      break;
    }
  }
  return result;
}

template <class Row, auto Key, kind Kind>
template <std::integral T>
T table<Row, Key, Kind>::update_counter(
    key_argument key, T Row::*counter, std::type_identity_t<T> by) const {
  return update_counter(key, counter, counter_step<T>{by});
}
template <class Row, auto Key, kind Kind>
template <std::integral T>
T table<Row, Key, Kind>::update_counter(
    key_argument key, T Row::*counter, std::type_identity_t<T> by, Row initial) const {
  return update_counter(key, counter, counter_step<T>{by}, std::move(initial));
}

}  // namespace roost::ets
