#include "runtime/distribution/global_state.hpp"
#include <algorithm>
#include <utility>

namespace roost::detail {
namespace {

using kind = enum global_packet::kind;
using std::chrono::milliseconds;

constexpr std::size_t bytes_of_claim = 24;  // besides its texts
constexpr std::uint32_t shortest_pause = 5;
constexpr std::uint32_t longest_pause = 500;

/// FNV-1a: the same everywhere, which std::hash need not be.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xCBF2'9CE4'8422'2325ULL;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100'0000'01B3ULL;
  return hash ^ (hash >> 29);
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

// --- other nodes --------------------------------------------------------------------------------

void global_state::node_up(const std::string& node) {
  auto [entry, is_new] = peers_.try_emplace(node);
  if (!is_new) return;
  greet(node, entry->second);
  go_on();
}

void global_state::node_down(const std::string& node) {
  auto found = peers_.find(node);
  if (found == peers_.end()) return;
  forget(node, found->second);
  peers_.erase(node);
  go_on();
}

/// The monitor tells when there is no name server there, for which nobody then waits.
void global_state::greet(const std::string& node, peer& peer) {
  peer.life = ++last_life_;
  watch(node, peer, effects_.monitor_server_of(node));
  effects_.send_to_node(node, {.kind = kind::hello, .server = self_, .life = peer.life});
}

void global_state::watch(const std::string& node, peer& peer, reference monitor) {
  peer.monitor = monitor;
  peer_monitors_.emplace(monitor, node);
}

void global_state::unwatch(peer& peer) {
  if (peer_monitors_.erase(peer.monitor) != 0) effects_.demonitor(peer.monitor);
}

/// Its names and locks are gone, and nobody waits for its answers.
void global_state::forget(const std::string&, peer& peer) {
  unwatch(peer);
  auto claims = std::move(peer.claims);
  auto server = peer.server;
  peer = {};
  for (auto& [name, claim] : claims) show(name);
  if (!server) return;
  release_all_of(server);
  lost_participant(server);
}

void global_state::down(reference ref, bool lost) {
  if (auto own = own_monitors_.find(ref); own != own_monitors_.end()) {
    auto names = own_processes_.find(own->second)->second.names;
    for (auto& name : names) tell(kind::remove, drop_own(name), nullptr);
  } else if (auto held = holder_monitors_.find(ref); held != holder_monitors_.end()) {
    auto [key, holder] = held->second;
    auto& lock = locks_.find(key)->second;
    holder_monitors_.erase(held);
    std::erase_if(lock.holders, [&](auto& one) { return one.process == holder; });
    if (lock.holders.empty()) locks_.erase(key);
  } else if (auto waiter = waiter_monitors_.find(ref); waiter != waiter_monitors_.end()) {
    auto& op = operations_.find(waiter->second)->second;
    release(op);
    finish(op, outcome::no);
  } else if (auto server = peer_monitors_.find(ref); server != peer_monitors_.end()) {
    auto node = server->second;
    auto& peer = peers_.find(node)->second;
    bool was_there = static_cast<bool>(peer.server);
    forget(node, peer);
    if (lost)
      peers_.erase(node);
    else if (was_there)
      greet(node, peer);  // a new one may be there already, whose hello came before this news
    else
      peer.absent = true;
  }
  go_on();
}

void global_state::receive(const std::string& node, const global_packet& packet) {
  if (packet.kind == kind::hello) {
    said_hello(node, packet);
    return go_on();
  }
  auto found = peers_.find(node);
  if (found == peers_.end() || found->second.server != packet.server) return;
  auto& peer = found->second;
  auto of_this_life = packet.life == peer.life;
  switch (packet.kind) {
    case kind::hello:
      break;
    case kind::part:
      if (of_this_life) take_part(node, peer, packet);
      break;
    case kind::received:
      if (packet.life != peer.its_life || peer.on_their_way == 0) break;
      --peer.on_their_way;
      send_parts(peer);
      break;
    case kind::insert:
      if (of_this_life)
        for (auto& claim : packet.claims) take_claim(node, peer, claim, packet.replaces);
      break;
    case kind::remove:
      if (of_this_life)
        for (auto& claim : packet.claims) take_removal(peer, claim);
      break;
    case kind::done:
      seen(packet.op, packet.server);
      break;
    case kind::lock: {
      auto [answer, other] = try_lock(packet);
      effects_.send(
          packet.server, {.kind = kind::answer,
                          .server = self_,
                          .op = packet.op,
                          .attempt = packet.attempt,
                          .answer = answer,
                          .other = other});
      break;
    }
    case kind::answer:
      answered(packet.op, packet.attempt, packet.server, packet.answer, packet.other);
      break;
    case kind::unlock:
      unlock({packet.of_name, packet.resource}, packet.requester, packet.holder);
      break;
    case kind::verdict:
      for (auto& claim : packet.claims) {
        auto own = own_.find(claim.name);
        if (own != own_.end() && own->second.process == claim.process)
          lose(claim.name, packet.loss, packet.other);
      }
      break;
  }
  bool is_awaited = packet.kind == kind::insert || packet.kind == kind::remove;
  if (is_awaited && packet.op != 0)
    effects_.send(packet.server, {.kind = kind::done, .server = self_, .op = packet.op});
  go_on();
}

void global_state::said_hello(const std::string& node, const global_packet& hello) {
  auto [entry, is_new] = peers_.try_emplace(node);
  auto& peer = entry->second;
  if (is_new) peer.life = ++last_life_;
  if (peer.server != hello.server) {
    if (peer.server) forget(node, peer);  // another process has taken its place
    if (peer.life == 0) peer.life = ++last_life_;
    unwatch(peer);
    peer.absent = false;
    peer.server = hello.server;
    watch(node, peer, effects_.monitor(hello.server));
    // The first hello may have come there before the server did.
    effects_.send(peer.server, {.kind = kind::hello, .server = self_, .life = peer.life});
  }
  if (peer.its_life == hello.life) return;  // said twice
  peer.its_life = hello.life;
  peer.told.clear();
  peer.told_some = peer.told_all = false;
  peer.next_index = 0;
  peer.on_their_way = 0;
  send_parts(peer);
}

// --- telling all names --------------------------------------------------------------------------

/// As in pg: no snapshot, but a position; what lies behind it is told as it changes.
void global_state::send_parts(peer& peer) {
  while (!peer.told_all && peer.on_their_way < limits_.window) {
    global_packet part{.kind = kind::part, .server = self_, .life = peer.its_life};
    std::size_t bytes = 0;
    auto next = peer.told_some ? own_.upper_bound(peer.told) : own_.begin();
    while (next != own_.end() && part.claims.size() < limits_.claims && bytes < limits_.bytes) {
      part.claims.push_back(next->second);
      bytes += next->first.size() + next->second.resolver.size() + bytes_of_claim;
      peer.told = next->first;
      peer.told_some = true;
      ++next;
    }
    part.index = peer.next_index++;
    part.last = peer.told_all = next == own_.end();
    ++peer.on_their_way;
    effects_.send(peer.server, std::move(part));
  }
}

void global_state::take_part(const std::string& node, peer& peer, const global_packet& part) {
  if (part.index != peer.next_part) return;
  ++peer.next_part;
  peer.heard_all = peer.heard_all || part.last;
  for (auto& claim : part.claims) take_claim(node, peer, claim, false);
  effects_.send(
      peer.server,
      {.kind = kind::received, .server = self_, .life = part.life, .index = part.index});
}

void global_state::take_claim(
    const std::string& node, peer& peer, const global_claim& claim, bool replaces) {
  // A node speaks for its own processes only.
  if (!claim.process || claim.process.is_name() || claim.process.node != peer.server.node) return;
  auto replaced = peer.replaced.find(claim.name);
  bool superseded = replaced != peer.replaced.end() && replaced->second == claim.process;
  peer.claims.insert_or_assign(claim.name, heard_claim{claim, superseded});
  if (replaces) {
    for (auto& [other_node, other] : peers_)
      if (auto old = other.claims.find(claim.name); old != other.claims.end() && &other != &peer)
        old->second.superseded = true;
    if (own_.count(claim.name) != 0) tell(kind::remove, drop_own(claim.name), nullptr);
  }
  show(claim.name);
  if (!superseded) settle(node, peer, claim.name);
}

void global_state::take_removal(peer& peer, const global_claim& claim) {
  auto replaced = peer.replaced.find(claim.name);
  if (replaced != peer.replaced.end() && replaced->second == claim.process)
    peer.replaced.erase(replaced);
  auto known = peer.claims.find(claim.name);
  if (known == peer.claims.end() || known->second.process != claim.process) return;
  peer.claims.erase(known);
  show(claim.name);
}

// --- names --------------------------------------------------------------------------------------

/// Who has the name in the eyes of this node.
pid global_state::owner(const std::string& name) {
  if (!is_free_of_dead(name)) return own_.find(name)->second.process;
  for (auto& [node, peer] : peers_)
    if (auto claim = peer.claims.find(name); claim != peer.claims.end())
      return claim->second.process;
  return {};
}

/// Answers whether no living process of this node has the name. One that has ended loses it here,
/// if the news of its end is still on the way.
bool global_state::is_free_of_dead(const std::string& name) {
  auto own = own_.find(name);
  if (own == own_.end()) return true;
  if (effects_.is_alive(own->second.process)) return false;
  tell(kind::remove, drop_own(name), nullptr);
  return true;
}

void global_state::adopt(global_claim claim) { set_own(claim); }

void global_state::set_own(const global_claim& claim) {
  if (own_.count(claim.name) != 0) drop_own(claim.name);
  own_.emplace(claim.name, claim);
  auto [known, is_new] = own_processes_.try_emplace(claim.process);
  known->second.names.insert(claim.name);
  if (is_new) {
    known->second.monitor = effects_.monitor(claim.process);
    own_monitors_.emplace(known->second.monitor, claim.process);
  }
  show(claim.name);
}

global_claim global_state::drop_own(const std::string& name) {
  auto own = own_.find(name);
  auto claim = std::move(own->second);
  own_.erase(own);
  auto process = own_processes_.find(claim.process);
  process->second.names.erase(claim.name);
  if (process->second.names.empty()) {
    own_monitors_.erase(process->second.monitor);
    effects_.demonitor(process->second.monitor);
    own_processes_.erase(process);
  }
  show(claim.name);
  return claim;
}

/// Tells everybody who has been told of names up to here. Answers who will say that it has seen it.
std::set<pid> global_state::tell(
    enum global_packet::kind what, const global_claim& claim, operation* op) {
  std::set<pid> told;
  for (auto& [node, peer] : peers_) {
    // What replaces another claim cannot wait for its place among the names that are still told.
    bool replaces = op != nullptr && op->replaces && peer.its_life != 0;
    if (!replaces && !peer.knows_of(claim.name)) continue;
    global_packet packet{.kind = what, .server = self_, .life = peer.its_life, .claims = {claim}};
    packet.op = op != nullptr ? op->id : 0;
    packet.replaces = replaces;
    effects_.send(peer.server, std::move(packet));
    told.insert(peer.server);
  }
  return told;
}

/// An order of all claims to a name in which everybody agrees, and which favours nobody.
bool global_state::is_before(const global_claim& a, const global_claim& b) {
  auto rank = [&](const global_claim& claim) {
    auto identity = effects_.identity(claim.process);
    return std::pair(hash_of(claim.name + '\n' + identity), identity);
  };
  return rank(a) < rank(b);
}

/// While a conflict lasts, all nodes that know of it show the same process.
void global_state::show(const std::string& name) {
  const global_claim* best = nullptr;
  bool is_old = false;
  auto look_at = [&](const global_claim& claim, bool superseded) {
    bool is_better = best == nullptr || (is_old && !superseded) ||
                     (is_old == superseded && is_before(claim, *best));
    if (!is_better) return;
    best = &claim;
    is_old = superseded;
  };
  if (auto own = own_.find(name); own != own_.end()) look_at(own->second, false);
  for (auto& [node, peer] : peers_)
    if (auto claim = peer.claims.find(name); claim != peer.claims.end())
      look_at(claim->second, claim->second.superseded);
  effects_.show(name, best);
}

/// Two nodes that have been apart may both have given the name away. The one whose own name comes
/// first decides, so that there is one decision, whatever the function does.
void global_state::settle(const std::string& node, peer& peer, const std::string& name) {
  auto theirs = peer.claims.find(name);
  if (theirs == peer.claims.end() || is_free_of_dead(name)) return;
  auto mine = own_.find(name)->second;
  auto other = theirs->second;
  if (effects_.this_node() > node) return;
  // Not by chance: with three claims, three decisions of chance could leave nobody.
  auto loss = mine.resolver == "random_exit_name" ? global_loss::exit : global_loss::notify;
  bool i_lose = is_before(other, mine);
  bool it_loses = !i_lose;
  if (mine.resolver == "notify_all_name") {
    i_lose = it_loses = true;
  } else if (mine.resolver != "random_exit_name" && mine.resolver != "random_notify_name") {
    if (auto winner = effects_.resolve(mine, other.process)) {
      loss = global_loss::nothing;
      i_lose = *winner != mine.process;
      it_loses = *winner != other.process;
    }
  }
  if (it_loses)
    effects_.send(
        peer.server, {.kind = kind::verdict,
                      .server = self_,
                      .claims = {other},
                      .loss = loss,
                      .other = mine.process});
  if (i_lose) lose(name, loss, other.process);
}

void global_state::lose(const std::string& name, global_loss loss, pid other) {
  auto claim = drop_own(name);
  tell(kind::remove, claim, nullptr);
  effects_.lost(claim, loss, other);
}

// --- locks --------------------------------------------------------------------------------------

/// The lock of this node. For a name also: whether a process of this node has it, and who has it as
/// far as this node has heard (which may be old news, but not for a node that the asker cannot
/// see).
std::pair<global_answer, pid> global_state::try_lock(const global_packet& wish) {
  pid hint;
  if (wish.of_name && !is_free_of_dead(wish.resource)) {
    hint = own_.find(wish.resource)->second.process;
    if (!wish.replaces) return {global_answer::taken, hint};
  } else if (wish.of_name && !wish.replaces) {
    for (auto& [node, peer] : peers_)
      if (auto claim = peer.claims.find(wish.resource);
          claim != peer.claims.end() && peer.server != wish.server)
        hint = claim->second.process;
  }
  lock_key key{wish.of_name, wish.resource};
  auto& lock = locks_[key];
  if (!lock.holders.empty() && lock.requester != wish.requester)
    return {global_answer::refused, {}};
  lock.requester = wish.requester;
  auto holder = std::find_if(lock.holders.begin(), lock.holders.end(), [&](auto& one) {
    return one.process == wish.holder;
  });
  if (holder == lock.holders.end()) {
    lock.holders.push_back({.process = wish.holder});
    holder = std::prev(lock.holders.end());
    if (!wish.of_name) {  // of name servers this node hears anyway
      holder->monitor = effects_.monitor(wish.holder);
      holder_monitors_.emplace(holder->monitor, std::pair(key, wish.holder));
    }
  }
  ++holder->count;
  return {global_answer::granted, hint};
}

void global_state::unlock(const lock_key& key, const std::string& requester, pid process) {
  auto lock = locks_.find(key);
  if (lock == locks_.end() || lock->second.requester != requester) return;
  auto& holders = lock->second.holders;
  auto holder = std::find_if(
      holders.begin(), holders.end(), [&](auto& one) { return one.process == process; });
  if (holder == holders.end() || --holder->count != 0) return;
  if (holder_monitors_.erase(holder->monitor) != 0) effects_.demonitor(holder->monitor);
  holders.erase(holder);
  if (holders.empty()) locks_.erase(lock);
}

/// Locks of names that a name server has held.
void global_state::release_all_of(pid server) {
  for (auto lock = locks_.begin(); lock != locks_.end();) {
    if (lock->first.first)
      std::erase_if(lock->second.holders, [&](auto& one) { return one.process == server; });
    if (lock->second.holders.empty())
      lock = locks_.erase(lock);
    else
      ++lock;
  }
}

// --- operations: what takes several nodes -------------------------------------------------------

global_state::operation* global_state::find(std::uint64_t id) {
  auto found = operations_.find(id);
  return found != operations_.end() ? &found->second : nullptr;
}

global_state::operation& global_state::add(operation op) {
  op.id = ++last_op_;
  op.began = effects_.now();
  if (op.requester.empty()) op.requester = effects_.identity(self_) + ' ' + std::to_string(op.id);
  return operations_.emplace(op.id, std::move(op)).first->second;
}

void global_state::register_name(std::uint64_t client, global_claim claim, bool replaces) {
  operation fresh;
  fresh.client = client;
  fresh.claim = std::move(claim);
  fresh.replaces = replaces;
  auto& op = add(std::move(fresh));
  effects_.after(limits_.deadline, {timer_kind::deadline, op.id});
  // Registrations of the same name on the same node would only take the lock away from each other.
  auto& queue = queues_[op.claim.name];
  queue.push_back(op.id);
  if (queue.size() == 1) ready_.push_back(op.id);
  go_on();
}

void global_state::unregister_name(std::uint64_t client, const std::string& name, pid process) {
  auto own = own_.find(name);
  if (own == own_.end() || own->second.process != process)
    return effects_.answer(client, outcome::yes);
  operation fresh;
  fresh.kind = operation::kind::unregister;
  fresh.client = client;
  auto& op = add(std::move(fresh));
  op.phase = operation::phase::committing;
  op.pending = tell(kind::remove, drop_own(name), &op);
  if (op.pending.empty())
    finish(op, outcome::yes);
  else
    effects_.after(limits_.commit, {timer_kind::commit, op.id});
  go_on();
}

void global_state::set_lock(std::uint64_t client, lock_wish wish) {
  operation fresh;
  fresh.kind = operation::kind::lock;
  fresh.client = client;
  fresh.requester = wish.requester;
  fresh.wish = std::move(wish);
  auto& op = add(std::move(fresh));
  op.monitor = effects_.monitor(op.wish.holder);
  waiter_monitors_.emplace(op.monitor, op.id);
  ready_.push_back(op.id);
  go_on();
}

void global_state::del_lock(const lock_wish& wish) {
  global_packet packet{
      .kind = kind::unlock,
      .server = self_,
      .resource = wish.resource,
      .requester = wish.requester,
      .holder = wish.holder};
  for (auto& [node, peer] : peers_)
    if (peer.server && (wish.everywhere || contains(wish.nodes, node)))
      effects_.send(peer.server, packet);
  if (wish.everywhere || contains(wish.nodes, effects_.this_node()))
    unlock({false, wish.resource}, wish.requester, wish.holder);
}

/// Begins what may begin, here rather than where that is found out, so that nothing calls itself.
void global_state::go_on() {
  if (!greeting_.empty() && !is_greeting())
    for (auto id : std::exchange(greeting_, {})) ready_.push_back(id);
  while (!ready_.empty()) {
    auto id = ready_.front();
    ready_.pop_front();
    if (auto* op = find(id)) begin(*op);
  }
  if (syncing_.empty()) return;
  bool all = std::all_of(peers_.begin(), peers_.end(), [](auto& entry) {
    return entry.second.absent || entry.second.heard_all;
  });
  if (!all) return;
  for (auto client : std::exchange(syncing_, {})) effects_.answer(client, outcome::yes);
}

bool global_state::is_greeting() const {
  return std::any_of(
      peers_.begin(), peers_.end(), [](auto& entry) { return entry.second.is_greeting(); });
}

void global_state::sync(std::uint64_t client) {
  syncing_.push_back(client);
  go_on();
}

void global_state::begin(operation& op) {
  if (op.kind == operation::kind::name && !op.replaces && owner(op.claim.name))
    return finish(op, outcome::no);
  attempt(op);
}

/// Locks on the node whose name comes first, then on all others: whoever is second finds that out
/// there, rather than each getting half of the locks.
void global_state::attempt(operation& op) {
  ++op.attempt;
  op.hints.clear();
  if (is_greeting()) {
    op.phase = operation::phase::greeting;
    greeting_.push_back(op.id);
    return;
  }
  bool everywhere = op.kind == operation::kind::name || op.wish.everywhere;
  auto is_wanted = [&](const std::string& node) {
    return everywhere || contains(op.wish.nodes, node);
  };
  op.phase = operation::phase::locking;
  if (auto self = effects_.this_node(); is_wanted(self)) op.participants.push_back({self, {}});
  for (auto& [node, peer] : peers_)
    if (peer.server && is_wanted(node)) op.participants.push_back({node, peer.server});
  std::sort(op.participants.begin(), op.participants.end(), [](auto& a, auto& b) {
    return a.node < b.node;
  });
  effects_.after(limits_.attempt, {timer_kind::attempt, op.id, op.attempt});
  if (op.participants.empty()) return locked(op);
  ask(op, op.participants.front());
}

global_packet global_state::packet_of(const operation& op, enum global_packet::kind what) const {
  bool of_name = op.kind == operation::kind::name;
  return {
      .kind = what,
      .server = self_,
      .op = op.id,
      .attempt = op.attempt,
      .of_name = of_name,
      .replaces = op.replaces,
      .resource = of_name ? op.claim.name : op.wish.resource,
      .requester = op.requester,
      .holder = of_name ? self_ : op.wish.holder};
}

void global_state::ask(operation& op, participant& one) {
  one.status = participant::status::asked;
  auto wish = packet_of(op, kind::lock);
  if (one.server) return effects_.send(one.server, std::move(wish));
  auto [answer, other] = try_lock(wish);
  answered(op.id, op.attempt, {}, answer, other);
}

void global_state::answered(
    std::uint64_t id, std::uint64_t attempt, pid server, global_answer answer, pid other) {
  auto* op = find(id);
  if (op == nullptr || op->attempt != attempt || op->phase != operation::phase::locking) return;
  auto one = std::find_if(op->participants.begin(), op->participants.end(), [&](auto& each) {
    return each.server == server && each.status == participant::status::asked;
  });
  if (one == op->participants.end()) return;
  if (answer == global_answer::granted) {
    one->status = participant::status::granted;
    if (other) op->hints.push_back(other);
    return advance(*op);
  }
  one->status = participant::status::idle;
  release(*op);
  if (answer == global_answer::taken)
    finish(*op, outcome::no);
  else
    again(*op);
}

/// Some answer has come, or will not come any more.
void global_state::advance(operation& op) {
  auto with = [&](enum participant::status status) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < op.participants.size(); ++i)
      if (op.participants[i].status == status) found.push_back(i);
    return found;
  };
  if (!with(participant::status::asked).empty()) return;
  auto rest = with(participant::status::idle);
  if (rest.empty()) return locked(op);
  // This node first: its refusal saves the others the trouble.
  std::stable_sort(rest.begin(), rest.end(), [&](std::size_t a, std::size_t b) {
    return !op.participants[a].server && op.participants[b].server;
  });
  auto id = op.id;
  auto number = op.attempt;
  for (auto i : rest) op.participants[i].status = participant::status::asked;
  for (auto i : rest) {
    auto* still = find(id);
    bool goes_on =
        still != nullptr && still->attempt == number && still->phase == operation::phase::locking;
    if (!goes_on) return;
    ask(*still, still->participants[i]);
  }
}

void global_state::release(operation& op) {
  auto participants = std::exchange(op.participants, {});
  auto packet = packet_of(op, kind::unlock);
  for (auto& one : participants) {
    bool may_hold =
        one.status == participant::status::asked || one.status == participant::status::granted;
    if (!may_hold) continue;
    // One that has not answered yet gets this behind the question.
    if (one.server)
      effects_.send(one.server, packet);
    else
      unlock({packet.of_name, packet.resource}, packet.requester, packet.holder);
  }
}

void global_state::again(operation& op) {
  op.phase = operation::phase::pausing;
  if (op.kind == operation::kind::lock) {
    if (op.wish.retries == 0) return finish(op, outcome::no);
    if (op.wish.retries != forever) --op.wish.retries;
  }
  auto longest = std::min<std::uint64_t>(
      longest_pause, shortest_pause << std::min<std::uint64_t>(op.attempt + 1, 10));
  auto pause = shortest_pause + effects_.random(static_cast<std::uint32_t>(longest));
  effects_.after(milliseconds(pause), {timer_kind::retry, op.id, op.attempt});
}

void global_state::locked(operation& op) {
  if (op.kind == operation::kind::lock) return finish(op, outcome::yes);
  // Whoever is connected has spoken for its own processes. Others cannot be asked: their names
  // count for as long as a node between does not take them back.
  bool is_foreign = !op.replaces && std::any_of(op.hints.begin(), op.hints.end(), [&](pid process) {
    return !process.is_local() && std::none_of(peers_.begin(), peers_.end(), [&](auto& entry) {
      return entry.second.server && entry.second.server.node == process.node;
    });
  });
  if (is_foreign) {
    release(op);
    return effects_.now() - op.began < limits_.patience ? again(op) : finish(op, outcome::no);
  }
  if (!effects_.is_alive(op.claim.process) || (!op.replaces && owner(op.claim.name))) {
    release(op);
    return finish(op, outcome::no);
  }
  commit(op);
}

void global_state::commit(operation& op) {
  op.phase = operation::phase::committing;
  auto name = op.claim.name;
  if (op.replaces)
    for (auto& [node, peer] : peers_) expect_removal(peer, op);
  set_own(op.claim);
  op.pending = tell(kind::insert, op.claim, &op);
  release(op);
  if (op.pending.empty())
    finish(op, outcome::yes);
  else
    effects_.after(limits_.commit, {timer_kind::commit, op.id});
}

/// The peer gives up its own claim when it hears of this one; until then it may still speak of it.
void global_state::expect_removal(peer& peer, const operation& op) {
  for (auto process : op.hints)
    if (process.node == peer.server.node) peer.replaced.insert_or_assign(op.claim.name, process);
  auto claim = peer.claims.find(op.claim.name);
  if (claim != peer.claims.end()) claim->second.superseded = true;
}

void global_state::seen(std::uint64_t id, pid server) {
  auto* op = find(id);
  if (op == nullptr || op->phase != operation::phase::committing) return;
  op->pending.erase(server);
  if (op->pending.empty()) finish(*op, outcome::yes);
}

void global_state::finish(operation& op, outcome outcome) {
  effects_.answer(op.client, outcome);
  remove(op);
}

void global_state::remove(operation& op) {
  if (waiter_monitors_.erase(op.monitor) != 0) effects_.demonitor(op.monitor);
  if (op.kind == operation::kind::name) {
    auto entry = queues_.find(op.claim.name);
    auto& queue = entry->second;
    bool was_first = queue.front() == op.id;
    std::erase(queue, op.id);
    if (queue.empty())
      queues_.erase(entry);
    else if (was_first)
      ready_.push_back(queue.front());
  }
  operations_.erase(op.id);
}

/// A node that is lost has released its locks, and holds up nobody.
void global_state::lost_participant(pid server) {
  std::vector<std::uint64_t> ids;
  for (auto& [id, op] : operations_) ids.push_back(id);
  for (auto id : ids) {
    auto* op = find(id);
    if (op == nullptr) continue;
    if (op->phase == operation::phase::committing) {
      seen(id, server);
      continue;
    }
    bool was_asked = false;
    for (auto& one : op->participants) {
      if (one.server != server) continue;
      was_asked = one.status == participant::status::asked;
      one.status = participant::status::lost;
    }
    if (was_asked && op->phase == operation::phase::locking) advance(*op);
  }
}

void global_state::timer_fired(timer timer) {
  auto* op = find(timer.op);
  if (op == nullptr) return;
  using phase = enum operation::phase;
  switch (timer.kind) {
    case timer_kind::deadline:
      if (op->phase == phase::committing) break;
      release(*op);
      finish(*op, outcome::timeout);
      break;
    case timer_kind::attempt:
      if (op->attempt != timer.attempt || op->phase != phase::locking) break;
      release(*op);
      again(*op);
      break;
    case timer_kind::retry:
      if (op->attempt == timer.attempt && op->phase == phase::pausing) ready_.push_back(op->id);
      break;
    case timer_kind::commit:
      if (op->phase == phase::committing) finish(*op, outcome::yes);
      break;
  }
  go_on();
}

}  // namespace roost::detail
