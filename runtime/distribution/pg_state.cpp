#include "runtime/distribution/pg_state.hpp"
#include <optional>
#include <tuple>
#include <utility>

namespace roost::detail {
namespace {

constexpr std::size_t bytes_of_member = 16;
constexpr std::size_t bytes_of_group = 8;  // besides its name

std::uint32_t count_at(const pg_rows& rows, std::size_t i) {
  return rows.counts.empty() ? 1 : rows.counts[i];
}

/// Adds a member; the counts are written down from the first one that is not 1.
void add_row(pg_rows& rows, pid process, std::uint32_t count) {
  if (count != 1 && rows.counts.empty()) rows.counts.assign(rows.processes.size(), 1);
  rows.processes.push_back(process);
  if (count != 1 || !rows.counts.empty()) rows.counts.push_back(count);
}

/// Collects members into packets of a bounded size.
class packer {
 public:
  explicit packer(const pg_state::limits& limits) : limits_(limits) {}

  bool is_full() const { return members_ >= limits_.members || bytes_ >= limits_.bytes; }
  bool is_empty() const { return members_ == 0; }

  void add(const std::string& group, pid process, std::uint32_t count) {
    if (groups_.empty() || groups_.back().group != group) {
      groups_.push_back({group, {}, {}});
      bytes_ += group.size() + bytes_of_group;
    }
    add_row(groups_.back(), process, count);
    bytes_ += bytes_of_member;
    ++members_;
  }

  std::vector<pg_rows> take() {
    members_ = bytes_ = 0;
    return std::exchange(groups_, {});
  }

 private:
  pg_state::limits limits_;
  std::vector<pg_rows> groups_;
  std::size_t members_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

// --- other nodes --------------------------------------------------------------------------------

void pg_state::node_up(const std::string& node) {
  auto [entry, is_new] = peers_.try_emplace(node);
  if (!is_new) return;
  entry->second.life = ++last_life_;
  ask(node, entry->second);
}

void pg_state::node_down(const std::string& node) {
  auto found = peers_.find(node);
  if (found == peers_.end()) return;
  forget(found->second);
  peers_.erase(found);
}

void pg_state::ask(const std::string& node, peer& peer) {
  pg_packet question{.kind = pg_packet::kind::discover, .scope = self_, .life = peer.life};
  if (peer.scope)
    effects_.send(peer.scope, std::move(question));
  else
    effects_.send_to_node(node, std::move(question));
}

/// Its members have left, and it has not been told anything.
void pg_state::forget(peer& peer) {
  if (peer.monitor) {
    peer_monitors_.erase(peer.monitor);
    effects_.demonitor(peer.monitor);
  }
  auto groups = std::move(peer.groups);
  peer = {};
  peer.life = ++last_life_;
  for (auto& [group, rows] : groups) {
    std::vector<pg_change> changes;
    for (auto& [process, count] : rows) changes.push_back({process, count, 0});
    effects_.changed(group, changes, store::yes);
  }
}

void pg_state::down(reference ref, bool lost) {
  if (auto process = process_monitors_.find(ref); process != process_monitors_.end())
    return remove_local(pid(process->second));
  auto monitor = peer_monitors_.find(ref);
  if (monitor == peer_monitors_.end()) return;
  auto node = monitor->second;
  auto& peer = peers_.find(node)->second;
  forget(peer);
  if (lost)
    peers_.erase(node);
  else
    ask(node, peer);  // a new scope may be there already, whose question came before this news
}

void pg_state::receive(const std::string& node, pg_packet packet) {
  using kind = enum pg_packet::kind;
  if (packet.kind == kind::discover) return discovered(node, packet.scope, packet.life);
  auto found = peers_.find(node);
  if (found == peers_.end() || found->second.scope != packet.scope) return;
  auto& peer = found->second;
  if (packet.kind == kind::part) take_part(peer, packet);
  if (packet.kind == kind::taken) part_taken(peer, packet.life);
  if (packet.kind == kind::update) take_update(peer, packet);
}

void pg_state::discovered(const std::string& node, pid scope, std::uint64_t life) {
  auto [entry, is_new] = peers_.try_emplace(node);
  auto& peer = entry->second;
  if (is_new) peer.life = ++last_life_;
  if (peer.scope != scope) {
    if (peer.scope) forget(peer);  // another process has taken its place
    peer.scope = scope;
    peer.monitor = effects_.monitor(scope);
    peer_monitors_.emplace(peer.monitor, node);
    // The first question may have come there before the scope did.
    ask(node, peer);
  }
  if (peer.its_life == life) return;  // asked twice
  flush();
  peer.its_life = life;
  peer.told = {};
  peer.told_all = false;
  peer.next_index = 0;
  peer.on_their_way = 0;
  send_parts(peer);
}

// --- telling all members ------------------------------------------------------------------------

void pg_state::send_parts(peer& peer) {
  while (!peer.told_all && peer.on_their_way < limits_.window) {
    ++peer.on_their_way;
    effects_.send(peer.scope, next_part(peer));
  }
}

/// The members behind those that the peer has been told of. There is no copy of how it was when the
/// peer asked: it is sent what is there now, and later changes of what it has been sent.
pg_packet pg_state::next_part(peer& peer) const {
  packer packer{limits_};
  auto group = local_.lower_bound(peer.told.group);
  for (; group != local_.end() && !packer.is_full(); ++group) {
    bool goes_on = group->first == peer.told.group && peer.told.process;
    auto row = goes_on ? group->second.upper_bound(peer.told.process) : group->second.begin();
    for (; row != group->second.end() && !packer.is_full(); ++row) {
      packer.add(group->first, row->first, row->second);
      peer.told = {group->first, row->first};
    }
  }
  bool last = !packer.is_full();
  peer.told_all = last;
  return {pg_packet::kind::part, self_, peer.its_life, peer.next_index++, last, packer.take()};
}

void pg_state::part_taken(peer& peer, std::uint64_t life) {
  if (life != peer.its_life || peer.on_their_way == 0) return;
  --peer.on_their_way;
  send_parts(peer);
}

void pg_state::take_part(peer& peer, const pg_packet& part) {
  if (part.life != peer.life || part.index != peer.next_part) return;
  ++peer.next_part;
  for (auto& rows : part.groups) store_rows(peer, rows);
  effects_.send(
      peer.scope,
      {.kind = pg_packet::kind::taken, .scope = self_, .life = part.life, .index = part.index});
}

void pg_state::take_update(peer& peer, const pg_packet& update) {
  if (update.life != peer.life) return;
  for (auto& rows : update.groups) store_rows(peer, rows);
}

void pg_state::store_rows(peer& peer, const pg_rows& rows) {
  if (!rows.counts.empty() && rows.counts.size() != rows.processes.size()) return;
  auto& group = peer.groups[rows.group];
  std::vector<pg_change> changes;
  for (std::size_t i = 0; i < rows.processes.size(); ++i) {
    auto process = rows.processes[i];
    // A node speaks for its own processes only.
    if (!process || process.is_name() || process.node != peer.scope.node) continue;
    auto count = count_at(rows, i);
    auto before = std::exchange(group[process], count);
    if (count == 0) group.erase(process);
    if (before != count) changes.push_back({process, before, count});
  }
  if (group.empty()) peer.groups.erase(rows.group);
  if (!changes.empty()) effects_.changed(rows.group, changes, store::yes);
}

// --- members of this node -----------------------------------------------------------------------

void pg_state::set_local(const pg_rows& rows) { change_local(rows, store::no); }

void pg_state::change_local(const pg_rows& rows, enum store store) {
  std::vector<pg_change> changes;
  for (std::size_t i = 0; i < rows.processes.size(); ++i) {
    auto& members = local_[rows.group];
    auto process = rows.processes[i];
    auto count = count_at(rows, i);
    auto before = std::exchange(members[process], count);
    if (count == 0) members.erase(process);
    if (members.empty()) local_.erase(rows.group);
    if (before == count) continue;
    changes.push_back({process, before, count});
    note_local(rows.group, changes.back());
  }
  if (!changes.empty()) effects_.changed(rows.group, changes, store);
}

/// Watches the process while it is in any group, and writes down what others have to be told.
void pg_state::note_local(const std::string& group, const pg_change& change) {
  auto [known, is_new] = processes_.try_emplace(change.process);
  if (is_new) {
    auto ref = known->second.monitor = effects_.monitor(change.process);
    process_monitors_.emplace(ref, change.process);
  }
  if (change.after != 0) {
    known->second.groups.insert(group);
  } else {
    known->second.groups.erase(group);
    if (known->second.groups.empty()) {
      process_monitors_.erase(known->second.monitor);
      effects_.demonitor(known->second.monitor);
      processes_.erase(known);
    }
  }
  outbox_.push_back({group, change.process, change.after});
  if (outbox_.size() >= limits_.members) return flush();
  if (!std::exchange(flush_asked_, true)) effects_.flush_soon();
}

void pg_state::remove_local(pid process) {
  auto groups = processes_.find(process)->second.groups;
  for (auto& group : groups) change_local({group, {process}, {0}}, store::yes);
}

// --- telling changes ----------------------------------------------------------------------------

/// What lies behind the position is told later, as it will be then.
bool pg_state::knows_of(const peer& peer, const delta& delta) {
  if (peer.told_all) return true;
  if (!peer.told.process) return false;
  return std::tie(delta.group, delta.process) <= std::tie(peer.told.group, peer.told.process);
}

std::vector<std::vector<pg_rows>> pg_state::packed(const peer* peer) const {
  std::vector<std::vector<pg_rows>> packets;
  packer packer{limits_};
  for (auto& delta : outbox_) {
    if (peer != nullptr && !knows_of(*peer, delta)) continue;
    packer.add(delta.group, delta.process, delta.count);
    if (packer.is_full()) packets.push_back(packer.take());
  }
  if (!packer.is_empty()) packets.push_back(packer.take());
  return packets;
}

void pg_state::flush() {
  flush_asked_ = false;
  if (outbox_.empty()) return;
  std::optional<std::vector<std::vector<pg_rows>>> whole;  // what most are told
  for (auto& [node, peer] : peers_) {
    if (peer.its_life == 0) continue;
    if (peer.told_all && !whole) whole = packed(nullptr);
    for (auto& groups : peer.told_all ? *whole : packed(&peer))
      effects_.send(peer.scope, {pg_packet::kind::update, self_, peer.its_life, 0, false, groups});
  }
  outbox_.clear();
}

// --- what is known ------------------------------------------------------------------------------

std::vector<pid> pg_state::members(const std::string& group) const {
  std::vector<pid> all;
  auto add = [&](const auto& rows) {
    for (auto& [process, count] : rows) all.insert(all.end(), count, process);
  };
  if (auto local = local_.find(group); local != local_.end()) add(local->second);
  for (auto& [node, peer] : peers_)
    if (auto found = peer.groups.find(group); found != peer.groups.end()) add(found->second);
  return all;
}

std::map<std::string, std::vector<pid>> pg_state::groups() const {
  std::map<std::string, std::vector<pid>> all;
  auto add = [&](const auto& groups) {
    for (auto& [group, rows] : groups)
      for (auto& [process, count] : rows) {
        auto& members = all[group];
        members.insert(members.end(), count, process);
      }
  };
  add(local_);
  for (auto& [node, peer] : peers_) add(peer.groups);
  return all;
}

}  // namespace roost::detail
