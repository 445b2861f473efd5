#include "runtime/registry.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/process_core.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <algorithm>
#include <map>
#include <mutex>
#include <shared_mutex>

namespace roost {
namespace detail {
namespace {

struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};
template <class V>
using text_map = boost::unordered_flat_map<std::string, V, text_hash, std::equal_to<>>;

}  // namespace

// --- the entries ---------------------------------------------------------------------------------

/// What the processes of a registry share with everybody. A read takes the lock of one partition.
class registry_table {
 public:
  explicit registry_table(const registry::options& options)
      : name_(options.name),
        keys_(options.keys),
        listeners_(options.listeners),
        partitions_(static_cast<std::size_t>(options.partitions)) {}

  /// The running registry of this name; null when there is none.
  static std::shared_ptr<registry_table> find(std::string_view name) noexcept;
  static std::shared_ptr<registry_table> find_or_throw(std::string_view name);
  static std::vector<std::string> names();
  static void publish(const std::shared_ptr<registry_table>& table);
  static void withdraw(const registry_table& table);

  std::size_t partition_count() const noexcept { return partitions_.size(); }
  void set_owner(std::size_t partition, pid process) { partitions_[partition].process = process; }
  bool is_unique() const noexcept { return keys_ == registry::unique; }
  void require_unique(std::string_view what) const;

  pid add(std::string_view key, pid process, registry_value value);
  std::size_t remove(
      std::string_view key, pid process, const std::function<bool(const registry_value&)>& fits);
  std::optional<registry_value> value_of_entry(std::string_view key, pid process);
  void set_value(std::string_view key, pid process, registry_value value);
  void forget(pid process);

  pid owner(std::string_view key) noexcept;
  std::vector<std::vector<registry_entry>> entries(std::string_view key);
  std::vector<registry_entry> all();
  std::vector<std::string> keys_of(pid process);
  std::size_t count();

  std::mutex meta_mutex;
  std::map<std::string, registry_value, std::less<>> meta;

 private:
  struct item {
    pid process;
    registry_value value;
  };
  // Entries by key and keys by process have a lock each, never held together: a process changes its
  // own entries one after the other, and nobody else does until it has ended.
  struct partition {
    pid process;  // is linked to the owners, and cleans up after them
    std::shared_mutex entries_mutex;
    text_map<std::vector<item>> entries;
    std::mutex keys_mutex;
    boost::unordered_flat_map<pid, std::vector<std::string>, std::hash<pid>> keys;
  };

  partition& of_process(pid process) noexcept {
    return partitions_[std::hash<pid>{}(process) % partitions_.size()];
  }
  partition& of_entry(std::string_view key, pid process) noexcept {
    return is_unique() ? partitions_[text_hash{}(key) % partitions_.size()] : of_process(process);
  }
  pid insert(std::string_view key, pid process, registry_value value);
  std::size_t erase(
      std::string_view key, pid process, const std::function<bool(const registry_value&)>& fits);
  void drop_keys(std::string_view key, pid process, std::size_t count);
  void copy_entries(
      partition& partition, std::string_view key, std::vector<std::vector<registry_entry>>& to);
  template <class M>
  void tell_listeners(std::string_view key, pid process) const;

  const std::string name_;
  const enum registry::keys keys_;
  const std::vector<std::string> listeners_;
  std::vector<partition> partitions_;
};

namespace {

struct all_tables {
  std::shared_mutex mutex;
  text_map<std::shared_ptr<registry_table>> by_name;
};
all_tables& tables() {
  static auto& tables = *new all_tables;  // outlives every thread
  return tables;
}

}  // namespace

std::shared_ptr<registry_table> registry_table::find(std::string_view name) noexcept {
  auto& all = tables();
  std::shared_lock guard{all.mutex};
  auto found = all.by_name.find(name);
  return found == all.by_name.end() ? nullptr : found->second;
}

std::shared_ptr<registry_table> registry_table::find_or_throw(std::string_view name) {
  if (auto table = find(name)) return table;
  throw std::invalid_argument(
      "expected a registry named \"" + std::string(name) +
      "\", got none: add roost::child<roost::registry>({.name = \"" + std::string(name) +
      "\"}) to the supervisor, before its users");
}

std::vector<std::string> registry_table::names() {
  auto& all = tables();
  std::shared_lock guard{all.mutex};
  std::vector<std::string> result;
  for (auto& [name, table] : all.by_name) result.push_back(name);
  std::sort(result.begin(), result.end());
  return result;
}

void registry_table::publish(const std::shared_ptr<registry_table>& table) {
  auto& all = tables();
  std::unique_lock guard{all.mutex};
  all.by_name.insert_or_assign(table->name_, table);
}

void registry_table::withdraw(const registry_table& table) {
  auto& all = tables();
  std::unique_lock guard{all.mutex};
  auto found = all.by_name.find(table.name_);
  if (found != all.by_name.end() && found->second.get() == &table) all.by_name.erase(found);
}

void registry_table::require_unique(std::string_view what) const {
  if (is_unique()) return;
  throw std::invalid_argument(
      "expected " + std::string(what) + " to be used with unique keys, got the registry \"" +
      name_ + "\", which has duplicate keys");
}

/// Answers the present owner when the key is taken, else nobody.
pid registry_table::add(std::string_view key, pid process, registry_value value) {
  auto& own = of_process(process);
  // The key is written down first: should the process end now, the partition finds what to remove.
  link(own.process);
  {
    std::lock_guard guard{own.keys_mutex};
    own.keys[process].emplace_back(key);
  }
  auto owner = insert(key, process, std::move(value));
  if (owner)
    drop_keys(key, process, 1);
  else
    tell_listeners<registry::registered>(key, process);
  return owner;
}

pid registry_table::insert(std::string_view key, pid process, registry_value value) {
  auto& partition = of_entry(key, process);
  std::unique_lock guard{partition.entries_mutex};
  auto& items = partition.entries[std::string(key)];
  if (is_unique() && !items.empty()) {
    // The owner may have ended without having been cleaned up after yet.
    if (is_alive(items.front().process)) return items.front().process;
    items.clear();
  }
  items.push_back({process, std::move(value)});
  return pid{};
}

std::size_t registry_table::erase(
    std::string_view key, pid process, const std::function<bool(const registry_value&)>& fits) {
  auto& partition = of_entry(key, process);
  std::unique_lock guard{partition.entries_mutex};
  auto found = partition.entries.find(key);
  if (found == partition.entries.end()) return 0;
  auto erased = std::erase_if(found->second, [&](const item& item) {
    return item.process == process && (!fits || fits(item.value));
  });
  if (found->second.empty()) partition.entries.erase(found);
  return erased;
}

/// Forgets that the process has `count` entries of this key. Without entries it is unlinked.
void registry_table::drop_keys(std::string_view key, pid process, std::size_t count) {
  auto& own = of_process(process);
  std::unique_lock guard{own.keys_mutex};
  auto found = own.keys.find(process);
  if (found == own.keys.end()) return;
  std::erase_if(found->second, [&](const std::string& each) {
    return each == key && count != 0 && count-- != 0;
  });
  if (!found->second.empty()) return;
  own.keys.erase(found);
  guard.unlock();
  unlink(own.process);
}

std::size_t registry_table::remove(
    std::string_view key, pid process, const std::function<bool(const registry_value&)>& fits) {
  // The predicate is the user's: it runs on copies, without the lock.
  std::vector<const void*> fitting;
  if (fits) {
    for (auto& partition : entries(key))
      for (auto& entry : partition)
        if (entry.process == process && fits(entry.value))
          fitting.push_back(entry.value.data.get());
  }
  auto erased = erase(key, process, [&](const registry_value& value) {
    return !fits || std::find(fitting.begin(), fitting.end(), value.data.get()) != fitting.end();
  });
  drop_keys(key, process, erased);
  if (erased != 0) tell_listeners<registry::unregistered>(key, process);
  return erased;
}

/// The process has ended.
void registry_table::forget(pid process) {
  auto& own = of_process(process);
  std::vector<std::string> keys;
  {
    std::lock_guard guard{own.keys_mutex};
    auto found = own.keys.find(process);
    if (found == own.keys.end()) return;
    keys = std::move(found->second);
    own.keys.erase(found);
  }
  for (auto& key : keys) erase(key, process, {});
}

std::optional<registry_value> registry_table::value_of_entry(std::string_view key, pid process) {
  auto& partition = of_entry(key, process);
  std::shared_lock guard{partition.entries_mutex};
  auto found = partition.entries.find(key);
  if (found == partition.entries.end() || found->second.front().process != process)
    return std::nullopt;
  return found->second.front().value;
}

void registry_table::set_value(std::string_view key, pid process, registry_value value) {
  auto& partition = of_entry(key, process);
  std::unique_lock guard{partition.entries_mutex};
  auto found = partition.entries.find(key);
  if (found == partition.entries.end() || found->second.front().process != process) return;
  found->second.front().value = std::move(value);
}

pid registry_table::owner(std::string_view key) noexcept {
  auto& partition = of_entry(key, {});
  std::shared_lock guard{partition.entries_mutex};
  auto found = partition.entries.find(key);
  if (found == partition.entries.end()) return pid{};
  auto process = found->second.front().process;
  return is_alive(process) ? process : pid{};
}

void registry_table::copy_entries(
    partition& partition, std::string_view key, std::vector<std::vector<registry_entry>>& to) {
  std::vector<registry_entry> copies;
  std::shared_lock guard{partition.entries_mutex};
  auto found = partition.entries.find(key);
  if (found == partition.entries.end()) return;
  for (auto& item : found->second)
    if (is_alive(item.process)) copies.push_back({{}, item.process, item.value});
  if (!copies.empty()) to.push_back(std::move(copies));
}

/// The living owners of a key; no partition without any.
std::vector<std::vector<registry_entry>> registry_table::entries(std::string_view key) {
  std::vector<std::vector<registry_entry>> found;
  if (is_unique()) {
    copy_entries(of_entry(key, {}), key, found);
  } else {
    for (auto& partition : partitions_) copy_entries(partition, key, found);
  }
  return found;
}

std::vector<registry_entry> registry_table::all() {
  std::vector<registry_entry> found;
  for (auto& partition : partitions_) {
    std::shared_lock guard{partition.entries_mutex};
    for (auto& [key, items] : partition.entries)
      for (auto& item : items)
        if (is_alive(item.process)) found.push_back({key, item.process, item.value});
  }
  return found;
}

std::vector<std::string> registry_table::keys_of(pid process) {
  auto& own = of_process(process);
  std::lock_guard guard{own.keys_mutex};
  auto found = own.keys.find(process);
  return found == own.keys.end() ? std::vector<std::string>{} : found->second;
}

std::size_t registry_table::count() {
  std::size_t sum = 0;
  for (auto& partition : partitions_) {
    std::shared_lock guard{partition.entries_mutex};
    for (auto& [key, items] : partition.entries) sum += items.size();
  }
  return sum;
}

template <class M>
void registry_table::tell_listeners(std::string_view key, pid process) const {
  for (auto& listener : listeners_) send(whereis(listener), M{name_, std::string(key), process});
}

// --- the processes -------------------------------------------------------------------------------

namespace {

/// Cleans up after processes that have ended: it is linked to every owner of entries.
class registry_partition final : public behavior {
 public:
  explicit registry_partition(std::shared_ptr<registry_table> table) : table_(std::move(table)) {}
  std::string_view initial_call() const noexcept override { return "roost::registry partition"; }

  init_outcome init() override {
    trap_exit(true);
    return {};
  }

  void handle(message& message) override {
    auto* exit = value_of<exited>(message);
    if (exit == nullptr) return unexpected(message, initial_call());
    if (is_parent_exit(*exit)) return stop_self(exit->reason);
    table_->forget(exit->from);
  }

 private:
  std::shared_ptr<registry_table> table_;
};

/// The registry's own process. It ends with any of its partitions, and they with it.
class registry_process final : public behavior {
 public:
  explicit registry_process(registry::options options) : options_(std::move(options)) {}
  registry_process(const registry_process&) = delete;
  registry_process& operator=(const registry_process&) = delete;
  ~registry_process() override {
    if (table_) registry_table::withdraw(*table_);
  }
  std::string_view initial_call() const noexcept override { return "roost::registry"; }

  init_outcome init() override {
    auto table = std::make_shared<registry_table>(options_);
    for (std::size_t i = 0; i < table->partition_count(); ++i) {
      start_request request;
      request.attach = attachment::link;
      auto started = start_process(std::make_unique<registry_partition>(table), std::move(request));
      table->set_owner(i, started.process);
    }
    table_ = std::move(table);
    registry_table::publish(table_);
    return {};
  }

  void handle(message& message) override { unexpected(message, initial_call()); }

 private:
  registry::options options_;
  std::shared_ptr<registry_table> table_;
};

void validate(const registry::options& options) {
  if (options.name.empty())
    throw std::invalid_argument("expected a registry's .name to be set, got an empty one");
  if (options.partitions < 1)
    throw std::invalid_argument(
        "expected a registry's .partitions to be 1 or more, got " +
        std::to_string(options.partitions) + " for " + options.name);
}

pid owner_of_entries(const char* what) {
  if (inside_process()) return self();
  throw std::logic_error(
      std::string("expected ") + what +
      " to be called in a process, got a thread outside the scheduler");
}

// --- via -----------------------------------------------------------------------------------------

class registry_names final : public name_service {
 public:
  registry_names(std::string_view registry, registry_value value)
      : registry_(registry), value_(std::move(value)) {}

  pid register_name(const std::string& key, pid process) const override {
    auto table = registry_table::find_or_throw(registry_);
    table->require_unique("via");
    return table->add(key, process, value_);
  }
  void unregister_name(const std::string& key, pid process) const override {
    if (auto table = registry_table::find(registry_)) table->remove(key, process, {});
  }
  pid whereis_name(const std::string& key) const noexcept override {
    auto table = registry_table::find(registry_);
    return table && table->is_unique() ? table->owner(key) : pid{};
  }

 private:
  std::string registry_;
  registry_value value_;
};

std::string_view name_of(const value_type* type) { return type ? type->name : "no value"; }

}  // namespace

via_name via_registry(std::string_view registry, std::string key, registry_value value) {
  return {std::make_shared<registry_names>(registry, std::move(value)), std::move(key)};
}

void throw_other_value(std::string_view key, const value_type* wanted, const value_type* got) {
  throw std::invalid_argument(
      "expected the value of " + std::string(key) + " to be " + std::string(name_of(wanted)) +
      ", got " + std::string(name_of(got)));
}

}  // namespace detail

// --- the handle ----------------------------------------------------------------------------------

using detail::registry_table;

std::unique_ptr<detail::behavior> registry::make_process(options options) {
  detail::validate(options);
  return std::make_unique<detail::registry_process>(std::move(options));
}

std::vector<std::string> registry::names() { return registry_table::names(); }

pid registry::start_link(options options) {
  auto name = options.name;
  return detail::start_server(
      make_process(std::move(options)), {name}, detail::attachment::link, "registry " + name);
}

registry::registration registry::add(std::string_view key, detail::registry_value value) const {
  auto me = detail::owner_of_entries("register_name");
  return registration(registry_table::find_or_throw(name_)->add(key, me, std::move(value)));
}

void registry::unregister_name(std::string_view key) const {
  auto me = detail::owner_of_entries("unregister_name");
  registry_table::find_or_throw(name_)->remove(key, me, {});
}

std::size_t registry::remove_matching(
    std::string_view key, const std::function<bool(const detail::registry_value&)>& fits) const {
  auto me = detail::owner_of_entries("unregister_match");
  return registry_table::find_or_throw(name_)->remove(key, me, fits);
}

std::optional<detail::registry_value> registry::own_value(std::string_view key) const {
  auto table = registry_table::find_or_throw(name_);
  table->require_unique("update_value");
  return table->value_of_entry(key, detail::owner_of_entries("update_value"));
}

void registry::set_own_value(std::string_view key, detail::registry_value value) const {
  registry_table::find_or_throw(name_)->set_value(key, self(), std::move(value));
}

pid registry::whereis_name(std::string_view key) const {
  auto table = registry_table::find_or_throw(name_);
  table->require_unique("whereis_name");
  return table->owner(key);
}

std::vector<pid> registry::lookup(std::string_view key) const {
  std::vector<pid> processes;
  for (auto& entry : entries(key)) processes.push_back(entry.process);
  return processes;
}

std::vector<std::vector<detail::registry_entry>> registry::entries_by_partition(
    std::string_view key) const {
  return registry_table::find_or_throw(name_)->entries(key);
}

std::vector<detail::registry_entry> registry::entries(std::string_view key) const {
  std::vector<detail::registry_entry> found;
  for (auto& partition : entries_by_partition(key))
    std::move(partition.begin(), partition.end(), std::back_inserter(found));
  return found;
}

std::vector<detail::registry_entry> registry::all_entries() const {
  return registry_table::find_or_throw(name_)->all();
}

std::vector<std::string> registry::keys_of(pid process) const {
  return registry_table::find_or_throw(name_)->keys_of(process);
}

std::size_t registry::count() const { return registry_table::find_or_throw(name_)->count(); }

void registry::set_meta(std::string_view key, detail::registry_value value) const {
  auto table = registry_table::find_or_throw(name_);
  std::lock_guard guard{table->meta_mutex};
  table->meta.insert_or_assign(std::string(key), std::move(value));
}

std::optional<detail::registry_value> registry::find_meta(std::string_view key) const {
  auto table = registry_table::find_or_throw(name_);
  std::lock_guard guard{table->meta_mutex};
  auto found = table->meta.find(key);
  if (found == table->meta.end()) return std::nullopt;
  return found->second;
}

void registry::delete_meta(std::string_view key) const {
  auto table = registry_table::find_or_throw(name_);
  std::lock_guard guard{table->meta_mutex};
  if (auto found = table->meta.find(key); found != table->meta.end()) table->meta.erase(found);
}

}  // namespace roost
