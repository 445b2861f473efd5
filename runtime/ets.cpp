// Who owns which table, and what happens to it when the owner ends.
//
// One process, the keeper, monitors the owners. It hears of an end a moment after it, so whoever
// asks for a name whose owner has ended does the keeper's work first: a server that is restarted
// finds the name of its table free, as in Erlang, where tables go before anybody hears of the end.
#include "runtime/ets.hpp"
#include "runtime/blocking.hpp"
#include "runtime/ets_store.hpp"
#include "runtime/process_core.hpp"
#include "runtime/spawn.hpp"
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace roost::detail {
namespace {

using table_ptr = std::shared_ptr<ets_table>;

pid caller() noexcept {
  auto* me = current_process();
  return me != nullptr ? me->self() : pid{};
}

std::string who(pid process) {
  return process ? to_string(process) : "the threads outside processes";
}

std::string_view word_for(ets::kind kind) {
  switch (kind) {
    case ets::kind::set:
      return "set";
    case ets::kind::ordered_set:
      return "ordered_set";
    case ets::kind::bag:
      return "bag";
    case ets::kind::duplicate_bag:
      return "duplicate_bag";
  }
  return "";
}

std::string name_of(const ets_type& type) {
  return "ets::" + std::string(word_for(type.kind)) + "<" + std::string(type.row) + ", " +
         std::string(type.key) + ">";
}

}  // namespace

/// Names and owners. A table is kept alive here if somebody could still come for it: by its name,
/// or as its heir. A table that only handles lead to goes with the last of them.
struct ets_registry {
  struct owned {
    ets_table* table;
    table_ptr keep;
  };

  static ets_registry& instance() {
    static auto& registry = *new ets_registry;  // outlives every thread
    return registry;
  }

  static pid owner_of(const ets_table& table) noexcept {
    return pid{table.owner_.load(std::memory_order_acquire), 0};
  }

  void add(const table_ptr& table);
  void remove(ets_table& table) noexcept;
  table_ptr find(std::string_view name);
  std::vector<table_ptr> named();
  bool close(ets_table& table) noexcept;
  void give(const table_ptr& table, pid to, std::any data);
  void set_heir(const table_ptr& table, pid heir, std::any data);
  ets::info describe(const ets_table& table);

  enum class heirs { inherit, are_gone };
  void owner_ended(pid owner, heirs heirs = heirs::inherit);

 private:
  void own(const table_ptr& table);
  void disown(ets_table& table) noexcept;
  void close_locked(ets_table& table) noexcept;

  std::mutex mutex_;
  std::unordered_map<std::string, ets_table*> names_;
  std::unordered_map<pid, std::vector<owned>> owners_;
};

// --- the keeper ----------------------------------------------------------------------------------

namespace {

struct watch { pid owner; };

/// Frees the rows of a closed table.
struct dispose { table_ptr table; };

/// How long to wait for those who read a whole table, so as to free its rows at once. If they take
/// longer, a deleted table is freed with its last handle.
constexpr std::chrono::milliseconds patience{2};

/// Rows with destructors, beyond which they are freed on a thread that may take its time.
constexpr std::size_t many_rows = 20'000;

void free_rows_now(ets_table& table) {
  if (ets_epoch::wait_for_readers(patience)) table.drop();
}

bool takes_long(const ets_table& table) {
  return table.type().destroy != nullptr && table.rows() > many_rows;
}

class keeper final : public behavior {
 public:
  ~keeper() override {
    // The node is stopped by force, heirs and all.
    for (auto& owner : watched_)
      ets_registry::instance().owner_ended(owner, ets_registry::heirs::are_gone);
  }

  init_outcome init() override {
    trap_exit(true);
    return {};
  }

  void handle(message& message) override {
    if (auto* one = value_of<watch>(message)) {
      if (watched_.insert(one->owner).second) monitor(one->owner);
    } else if (auto* gone = value_of<down>(message)) {
      ets_registry::instance().owner_ended(gone->process);
      watched_.erase(gone->process);
    } else if (auto* big = value_of<dispose>(message)) {
      blocking([table = std::move(big->table)] {
        free_rows_now(*table);
      }).then([] {}, [](const exit_reason&) {});
    } else if (auto* told = value_of<exited>(message); told != nullptr && !told->from) {
      stopping_ = true;
    }
    // The node is stopping. Owners may use their tables until they have ended themselves.
    if (stopping_ && watched_.empty()) stop_self(exit_reason::shutdown);
  }

  std::string_view initial_call() const noexcept override { return "roost::ets"; }

 private:
  std::unordered_set<pid> watched_;
  bool stopping_ = false;
};

/// The running keeper, started by whoever needs it first.
pid the_keeper() {
  static std::atomic<std::uint64_t> known{0};
  for (;; std::this_thread::yield()) {
    pid present{known.load(std::memory_order_acquire), 0};
    if (is_alive(present)) return present;
    auto outcome = start_process(std::make_unique<keeper>(), {.name = "roost_ets"});
    // That of a node that ends just now may still have the name.
    if (!is_alive(outcome.process)) continue;
    // Whoever has started it is not its parent: it is told to end with the node.
    find_slot(outcome.process.id)->root.store(true, std::memory_order_relaxed);
    known.store(outcome.process.id, std::memory_order_release);
  }
}

void free_rows(table_ptr table) {
  if (inside_process() && takes_long(*table))
    send(the_keeper(), dispose{std::move(table)});
  else
    free_rows_now(*table);
}

}  // namespace

// --- the registry --------------------------------------------------------------------------------

void ets_registry::add(const table_ptr& table) {
  auto& name = table->options_.name;
  auto owner = owner_of(*table);
  for (;;) {
    pid gone;
    {
      std::lock_guard guard{mutex_};
      auto taken = name.empty() ? names_.end() : names_.find(name);
      // The last handle of the one that has the name may be going at this moment.
      if (taken == names_.end() || taken->second->weak_from_this().expired()) {
        if (!name.empty()) names_[name] = table.get();
        if (owner) own(table);
        break;
      }
      gone = owner_of(*taken->second);
      if (!gone || is_alive(gone))
        throw std::invalid_argument(
            "expected the table name " + name + " to be free, got one that " + who(gone) +
            " owns (badarg)");
    }
    owner_ended(gone);
  }
  if (owner) send(the_keeper(), watch{owner});
}

/// The caller holds the lock.
void ets_registry::own(const table_ptr& table) {
  auto& options = table->options_;
  bool can_be_found = !options.name.empty() || options.heir;
  owners_[owner_of(*table)].push_back({table.get(), can_be_found ? table : nullptr});
}

/// The caller holds the lock, and a handle or the table itself, so that the last one does not go
/// here.
void ets_registry::disown(ets_table& table) noexcept {
  auto owner = owners_.find(owner_of(table));
  if (owner == owners_.end()) return;
  std::erase_if(owner->second, [&](const owned& one) { return one.table == &table; });
  if (owner->second.empty()) owners_.erase(owner);
}

/// For a table that no handle leads to any more.
void ets_registry::remove(ets_table& table) noexcept {
  std::lock_guard guard{mutex_};
  if (auto named = names_.find(table.options_.name);
      named != names_.end() && named->second == &table)
    names_.erase(named);
  disown(table);
}

table_ptr ets_registry::find(std::string_view name) {
  for (;;) {
    pid gone;
    {
      std::lock_guard guard{mutex_};
      auto found = names_.find(std::string(name));
      if (found == names_.end()) return nullptr;
      gone = owner_of(*found->second);
      if (!gone || is_alive(gone)) return found->second->weak_from_this().lock();
    }
    owner_ended(gone);
  }
}

/// The caller holds the lock.
void ets_registry::close_locked(ets_table& table) noexcept {
  if (!table.options_.name.empty()) names_.erase(table.options_.name);
  table.deleted_.store(true, std::memory_order_seq_cst);
  table.open_to_readers_.store(false, std::memory_order_seq_cst);
  table.open_to_writers_.store(false, std::memory_order_seq_cst);
}

/// Takes the table out of use. Answers whether it was in use.
bool ets_registry::close(ets_table& table) noexcept {
  std::lock_guard guard{mutex_};
  if (table.deleted_.load(std::memory_order_relaxed)) return false;
  close_locked(table);
  disown(table);
  return true;
}

void ets_registry::give(const table_ptr& table, pid to, std::any data) {
  auto from = caller();
  {
    std::lock_guard guard{mutex_};
    table->check_exists();
    table->check_owner("give it away");
    if (!to.is_local() || to == from || !is_alive(to))
      throw std::invalid_argument(
          "expected another living process to be given the table " + table->label() + ", got " +
          to_string(to) + " (badarg)");
    disown(*table);
    table->owner_.store(to.id, std::memory_order_release);
    own(table);
  }
  // If it has ended meanwhile, the keeper is told so at once.
  send(the_keeper(), watch{to});
  send(to, ets::transfer{ets::any_table(table), from, std::move(data)});
}

void ets_registry::set_heir(const table_ptr& table, pid heir, std::any data) {
  std::lock_guard guard{mutex_};
  table->check_exists();
  table->check_owner("set its heir");
  table->options_.heir = heir;
  table->options_.heir_data.swap(data);
  if (!owner_of(*table)) return;
  disown(*table);
  own(table);
}

ets::info ets_registry::describe(const ets_table& table) {
  std::lock_guard guard{mutex_};
  auto& options = table.options_;
  return {options.name, table.type().kind, options.access, owner_of(table),
          options.heir, table.rows(),      table.bytes()};
}

void ets_registry::owner_ended(pid owner, heirs heirs) {
  struct bequest {
    pid heir;
    ets::transfer message;
  };
  std::vector<bequest> bequests;
  std::vector<table_ptr> closed;
  std::vector<owned> left;  // goes last, and after the lock, as it may hold the last handles
  {
    std::lock_guard guard{mutex_};
    auto found = owners_.find(owner);
    if (found == owners_.end()) return;
    left.swap(found->second);
    owners_.erase(found);
    for (auto& one : left) {
      auto table = one.table->weak_from_this().lock();
      if (!table) continue;  // its last handle goes at this moment
      auto heir = table->options_.heir;
      if (heirs == heirs::inherit && heir != owner && is_alive(heir)) {
        table->owner_.store(heir.id, std::memory_order_release);
        own(table);
        bequests.push_back({heir, {ets::any_table(table), owner, table->options_.heir_data}});
      } else {
        close_locked(*table);
        closed.push_back(std::move(table));
      }
    }
  }
  for (auto& [heir, message] : bequests) {
    send(the_keeper(), watch{heir});
    send(heir, std::move(message));
  }
  for (auto& table : closed)
    if (heirs == heirs::inherit)
      free_rows(std::move(table));
    else
      free_rows_now(*table);
}

std::vector<table_ptr> ets_registry::named() {
  std::lock_guard guard{mutex_};
  std::vector<table_ptr> all;
  for (auto& [name, table] : names_)
    if (auto one = table->weak_from_this().lock()) all.push_back(std::move(one));
  return all;
}

// --- a table -------------------------------------------------------------------------------------

std::shared_ptr<ets_table> ets_table::create(const ets_type& type, ets::options options) {
  auto table = type.kind == ets::kind::ordered_set
                   ? make_ets_ordered_table(type, std::move(options))
                   : make_ets_hash_table(type, std::move(options));
  ets_registry::instance().add(table);
  return table;
}

std::shared_ptr<ets_table> ets_table::find_by_name(std::string_view name) {
  return ets_registry::instance().find(name);
}

ets_table::ets_table(const ets_type& type, ets::options options)
    : type_(type),
      open_to_readers_(options.access != ets::private_),
      open_to_writers_(options.access == ets::public_),
      owner_(caller().id),
      options_(std::move(options)) {}

ets_table::~ets_table() { ets_registry::instance().remove(*this); }

std::string ets_table::label() const {
  return options_.name.empty() ? "(unnamed, " + name_of(type_) + ")" : options_.name;
}

void ets_table::check_exists() const {
  if (deleted_.load(std::memory_order_seq_cst))
    throw std::invalid_argument(
        "expected the table " + label() + " to exist, got one that was deleted (badarg)");
}

void ets_table::check_owner(const char* what) const {
  auto owner = ets_registry::owner_of(*this);
  if (caller() == owner) return;
  static constexpr const char* kinds[] = {"public", "protected", "private"};
  throw std::logic_error(
      "expected " + who(owner) + ", the owner of the " + kinds[options_.access] + " table " +
      label() + ", to " + what + ", got " + who(caller()) + " (badarg)");
}

/// Pinned, so that whoever deletes the table meanwhile waits for this.
void ets_table::collect_if_open() {
  ets_epoch::pin writing;
  if (!deleted_.load(std::memory_order_seq_cst)) collect();
}

void ets_table::check_reader() const {
  check_exists();
  check_owner("read it");
}

void ets_table::check_writer() const {
  check_exists();
  check_owner("write to it");
}

ets_reader::ets_reader() noexcept { ets_epoch::enter(); }
ets_reader::~ets_reader() { ets_epoch::leave(); }

// --- sentences -----------------------------------------------------------------------------------

void ets_check_limit(std::size_t limit) {
  if (limit == 0)
    throw std::invalid_argument("expected the limit of select to be at least 1, got 0 (badarg)");
}

void ets_throw_no_key(const ets_table& table) {
  throw std::invalid_argument(
      "expected the table " + table.label() + " to have a row with this key, got none (badarg)");
}

void ets_throw_changed_key(const ets_table& table) {
  throw std::invalid_argument(
      "expected a row of the table " + table.label() +
      " to keep its key, got another one: erase it and insert (badarg)");
}

void ets_throw_counter_overflow(const ets_table& table) {
  throw std::overflow_error(
      "expected the counter in the table " + table.label() +
      " to have room for the sum, got an overflow");
}

void ets_throw_other_type(const ets_table& table, const ets_type& wanted) {
  throw std::invalid_argument(
      "expected the table " + table.label() + " to be an " + name_of(wanted) + ", got an " +
      name_of(table.type()) + " (badarg)");
}

}  // namespace roost::detail

namespace roost::ets {

void any_table::throw_no_table() {
  throw std::invalid_argument(
      "expected the handle of a table, got an empty one: write `table users{{.name = \"users\"}};` "
      "to create a table (badarg)");
}

const std::string& any_table::name() const { return core().options_.name; }

std::vector<info> all() {
  std::vector<info> result;
  for (auto& table : detail::ets_registry::instance().named())
    result.push_back(detail::ets_registry::instance().describe(*table));
  std::sort(result.begin(), result.end(), [](const info& left, const info& right) {
    return left.name < right.name;
  });
  return result;
}

ets::info any_table::info() const {
  core().check_exists();
  return detail::ets_registry::instance().describe(core());
}

std::size_t any_table::size() const {
  core().check_exists();
  return core().rows();
}

void any_table::delete_all_objects() const {
  {
    detail::ets_writer writing{core()};
    core().clear();
  }
  detail::ets_epoch::wait_for_readers(detail::patience);
  core().collect_if_open();
}

void any_table::delete_table() const {
  core().check_write();
  if (detail::ets_registry::instance().close(core())) detail::free_rows(core().shared_from_this());
}

void any_table::give_away(pid to, std::any data) const {
  detail::ets_registry::instance().give(core().shared_from_this(), to, std::move(data));
}

void any_table::set_heir(pid heir, std::any data) const {
  detail::ets_registry::instance().set_heir(core().shared_from_this(), heir, std::move(data));
}

}  // namespace roost::ets
