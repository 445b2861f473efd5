#include "runtime/distribution/pg_table.hpp"
#include "runtime/process.hpp"
#include <map>
#include <mutex>

namespace roost::detail {
namespace {

struct all_tables {
  std::shared_mutex mutex;
  std::map<std::string, std::shared_ptr<pg_table>, std::less<>> by_scope;
};

all_tables& tables() {
  static auto& only = *new all_tables;  // outlives every thread
  return only;
}

void require_local(const std::vector<pid>& processes) {
  for (auto process : processes)
    if (!process || !process.is_local() || process.is_name())
      throw std::invalid_argument(
          "expected a member of a group to be a process of this node, got " +
          (process ? to_string(process) : "nobody"));
}

template <class Rows>
void copy_rows(const Rows& rows, std::vector<pid>& to) {
  for (auto& [process, count] : rows) to.insert(to.end(), count, process);
}

}  // namespace

std::shared_ptr<pg_table> pg_table::find(std::string_view scope) {
  auto& all = tables();
  std::shared_lock guard{all.mutex};
  auto found = all.by_scope.find(scope);
  return found != all.by_scope.end() ? found->second : nullptr;
}

std::shared_ptr<pg_table> pg_table::find_or_throw(std::string_view scope) {
  if (auto table = find(scope)) return table;
  throw std::invalid_argument(
      "expected the scope \"" + std::string(scope) +
      "\" of process groups to have been started, got none: write roost::pg::start_link(\"" +
      std::string(scope) + "\")");
}

std::shared_ptr<pg_table> pg_table::find_or_make(const std::string& scope) {
  auto& all = tables();
  std::unique_lock guard{all.mutex};
  auto& table = all.by_scope[scope];
  if (!table) table = std::make_shared<pg_table>();
  return table;
}

void pg_table::remove(const std::string& scope) {
  auto& all = tables();
  std::unique_lock guard{all.mutex};
  all.by_scope.erase(scope);
}

// --- writing ------------------------------------------------------------------------------------

/// Holds the group's lock, so that the owner hears of changes in the order in which they were made.
/// Never blocks: the owner is a process of this node.
void pg_table::tell_owner(pg_rows rows) {
  pid owner{owner_.load(std::memory_order_seq_cst), 0};
  if (!owner || rows.processes.empty()) return;
  enqueue(owner, make_message<pg_local_change>(message_kind::cast, std::move(rows)));
}

void pg_table::join(const std::string& group, const std::vector<pid>& processes) {
  require_local(processes);
  if (processes.empty()) return;
  pg_rows rows{group, processes, {}};
  auto& shard = shard_of(group);
  std::unique_lock guard{shard.mutex};
  auto& local = shard.groups[group].local;
  for (auto process : processes) rows.counts.push_back(++local[process]);
  tell_owner(std::move(rows));
}

bool pg_table::leave(const std::string& group, const std::vector<pid>& processes) {
  require_local(processes);
  auto& shard = shard_of(group);
  std::unique_lock guard{shard.mutex};
  auto found = shard.groups.find(group);
  if (found == shard.groups.end()) return false;
  auto& local = found->second.local;
  pg_rows rows{group, {}, {}};
  for (auto process : processes) {
    auto row = local.find(process);
    if (row == local.end()) continue;
    rows.processes.push_back(process);
    rows.counts.push_back(--row->second);
    if (row->second == 0) local.erase(row);
  }
  if (local.empty() && found->second.remote.empty()) shard.groups.erase(found);
  bool some = !rows.processes.empty();
  tell_owner(std::move(rows));
  return some;
}

void pg_table::store(const std::string& group, const std::vector<pg_change>& changes) {
  auto& shard = shard_of(group);
  std::unique_lock guard{shard.mutex};
  auto& all = shard.groups[group];
  for (auto& change : changes) {
    auto& rows = change.process.is_local() ? all.local : all.remote;
    if (change.after == 0)
      rows.erase(change.process);
    else
      rows[change.process] = change.after;
  }
  if (all.local.empty() && all.remote.empty()) shard.groups.erase(group);
}

void pg_table::drop_remote() {
  for (auto& shard : shards_) {
    std::unique_lock guard{shard.mutex};
    for (auto entry = shard.groups.begin(); entry != shard.groups.end();) {
      entry->second.remote.clear();
      if (entry->second.local.empty())
        shard.groups.erase(entry++);
      else
        ++entry;
    }
  }
}

// --- reading ------------------------------------------------------------------------------------

std::vector<pg_rows> pg_table::local_rows() const {
  std::vector<pg_rows> all;
  for (auto& shard : shards_) {
    std::shared_lock guard{shard.mutex};
    for (auto& [group, rows] : shard.groups) {
      pg_rows copy{group, {}, {}};
      for (auto& [process, count] : rows.local) {
        copy.processes.push_back(process);
        copy.counts.push_back(count);
      }
      if (!copy.processes.empty()) all.push_back(std::move(copy));
    }
  }
  return all;
}

std::vector<pid> pg_table::members(const std::string& group) const {
  std::vector<pid> all;
  auto& shard = shard_of(group);
  std::shared_lock guard{shard.mutex};
  auto found = shard.groups.find(group);
  if (found == shard.groups.end()) return all;
  all.reserve(found->second.local.size() + found->second.remote.size());
  copy_rows(found->second.local, all);
  copy_rows(found->second.remote, all);
  return all;
}

std::vector<pid> pg_table::local_members(const std::string& group) const {
  std::vector<pid> all;
  auto& shard = shard_of(group);
  std::shared_lock guard{shard.mutex};
  auto found = shard.groups.find(group);
  if (found != shard.groups.end()) copy_rows(found->second.local, all);
  return all;
}

template <class F>
std::vector<std::string> pg_table::groups_with(F has_members) const {
  std::vector<std::string> names;
  for (auto& shard : shards_) {
    std::shared_lock guard{shard.mutex};
    for (auto& [group, rows] : shard.groups)
      if (has_members(rows)) names.push_back(group);
  }
  return names;
}

std::vector<std::string> pg_table::groups() const {
  return groups_with([](const group_rows&) { return true; });
}

std::vector<std::string> pg_table::local_groups() const {
  return groups_with([](const group_rows& rows) { return !rows.local.empty(); });
}

}  // namespace roost::detail
