// How two nodes agree on a connection, how it ends, and who is told.
#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/guests.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include "runtime/telemetry.hpp"
#include <algorithm>
#include <random>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;

/// After a failed attempt, sends do not dial again for so long; each node picks its own.
std::chrono::milliseconds pause_after_failure() {
  static thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(std::uniform_int_distribution<int>(100, 500)(random));
}

/// So long may those who are told of the loss of a connection hold up the next one.
constexpr auto patience_with_leaving = std::chrono::seconds(1);

}  // namespace

// --- agreeing ------------------------------------------------------------------------------------

verdict distribution::decide(const std::shared_ptr<node_link>& link, const hello& hello) {
  auto mine = own_hello();
  if (!is_alive()) return {verdict_code::refused, "the node is stopping"};
  if (hello.node == mine.node)
    return {verdict_code::refused, "expected another name than " + mine.node};
  if (!is_allowed(hello.node)) return {verdict_code::refused, hello.node + " is not allowed"};
  auto& peer = peer_named(hello.node);
  std::shared_ptr<node_link> superseded;
  verdict verdict;
  {
    std::unique_lock guard{peer.mutex};
    // It may be back before everybody has been told that it was lost.
    peer.left.wait_for(
        guard, patience_with_leaving, [&] { return peer.phase != peer::phase::leaving; });
    bool dialling = peer.phase == peer::phase::connecting && peer.dialling;
    verdict.code = arbitrate({mine.node, peer.name, dialling, peer.phase == peer::phase::leaving});
    if (verdict.code == verdict_code::refused) verdict.reason = "busy with the last connection";
    if (verdict.code != verdict_code::taken) return verdict;
    superseded = std::exchange(peer.attempt, link);
    if (peer.phase == peer::phase::idle) begin(peer);
    peer.dialling = false;
    peer.deadline = clock::now() + options_.net_setuptime;
  }
  if (superseded) superseded->close("superseded", true);
  return verdict;
}

void distribution::wait_for_other(const std::shared_ptr<node_link>& link) {
  auto& peer = peer_named(link->expected());
  std::lock_guard guard{peer.mutex};
  if (peer.attempt == link) peer.attempt = nullptr;
}

peer* distribution::up(
    const std::shared_ptr<node_link>& link, const hello& hello,
    const std::function<void(peer&)>& ready) {
  auto& peer = peer_named(hello.node);
  std::shared_ptr<node_link> before;
  {
    std::lock_guard guard{peer.mutex};
    if (peer.attempt != link || !is_alive()) return nullptr;
    before = peer.link;
  }
  // It has dialled again, so it has given up the connection that this node still believes in.
  if (before) before->close("connection_closed");
  std::vector<std::function<void(bool)>> done;
  {
    std::unique_lock guard{peer.mutex};
    // Another thread may have found the end of that connection: those who had something with the
    // peer hear of the loss before anything of the new connection.
    bool told = peer.left.wait_for(guard, patience_with_leaving, [&] {
      return peer.attempt != link || (!peer.link && peer.phase != peer::phase::leaving);
    });
    if (!told || peer.attempt != link) return nullptr;
    if (peer.phase == peer::phase::idle) begin(peer);
    peer.attempt = nullptr;
    peer.dialling = false;
    peer.phase = peer::phase::up;
    peer.number = node_number(hello.node, hello.incarnation);
    peer.hidden = hello.hidden || options_.hidden;
    peer.was_up = true;
    peer.link = link;
    peer.lanes = outgoing_lanes(hello.max_message);
    peer.largest_message = hello.max_message;
    peer.queued = 0;
    peer.told_types.clear();
    peer.type_names.clear();
    ready(peer);
  }
  logger::info("node up", {{"node", peer.name}, {"address", link->address()}});
  tell_subscribers(peer, nullptr);
  // What has waited goes first; senders join in when nothing waits any more.
  for (;;) {
    std::deque<peer::waiting_message> waiting;
    {
      std::lock_guard guard{peer.mutex};
      if (peer.link != link) return &peer;
      waiting.swap(peer.waiting);
      if (waiting.empty()) {
        done.swap(peer.on_connected);
        peer.open_to.store(peer.number, std::memory_order_release);
        break;
      }
    }
    for (auto& one : waiting) send_waiting(peer, std::move(one));
  }
  for (auto& tell : done) tell(true);
  if (!peer.hidden) send_nodes(peer);
  link->flush_soon();
  return &peer;
}

void distribution::send_waiting(peer& peer, peer::waiting_message one) {
  if (!one.to.is_name() && one.to.node != peer.number)
    return answer_for_the_dead(one.to, std::move(one.message), exit_reason::noproc);
  try {
    transmit(peer, one.to, *one.message);
  } catch (const std::exception& error) {
    logger::error(
        "a message to another node was dropped", {{"node", peer.name}, {"reason", error.what()}});
  }
}

void distribution::failed(peer& peer, std::uint64_t serial, const std::string& reason) {
  farewell farewell;
  {
    std::lock_guard guard{peer.mutex};
    // Another connection of the same two nodes may be on its way.
    if (peer.phase != peer::phase::connecting || peer.attempt ||
        peer.serial.load(std::memory_order_relaxed) != serial)
      return;
    farewell = leave(peer);
    peer.retry_at = clock::now() + pause_after_failure();
  }
  logger::info("node not reached", {{"node", peer.name}, {"reason", reason}});
  tell(peer, std::move(farewell), reason);
}

void distribution::lost(
    const std::shared_ptr<node_link>& link, const std::string& reason, bool quiet) {
  {
    std::lock_guard guard{connections_mutex_};
    connections_.erase(link);
  }
  auto* peer = link->its_peer();
  if (peer == nullptr) return attempt_ended(link, reason, quiet);
  farewell farewell;
  {
    std::lock_guard guard{peer->mutex};
    if (peer->link != link) return;
    farewell = leave(*peer);
  }
  // Shells come and go.
  auto level = peer->hidden ? log_level::info : log_level::warning;
  if (!quiet) logger::log(level, "node down", {{"node", peer->name}, {"reason", reason}});
  tell(*peer, std::move(farewell), reason);
  if (options_.prevent_overlapping_partitions && reason != "disconnect")
    broadcast(frame_type::lost, peer->name, peer);
}

/// A connection that never came up.
void distribution::attempt_ended(
    const std::shared_ptr<node_link>& link, const std::string& reason, bool quiet) {
  auto name = link->expected();
  if (!quiet && is_alive() && reason != "simultaneous")
    logger::warning(
        "a connection of nodes was not made", {{"node", name.empty() ? "unknown" : name},
                                               {"address", link->address()},
                                               {"reason", reason}});
  for (auto* peer : name.empty() ? all_peers() : std::vector{&peer_named(name)}) {
    std::uint64_t serial = 0;
    {
      std::lock_guard guard{peer->mutex};
      if (peer->attempt != link) continue;
      peer->attempt = nullptr;
      if (peer->phase == peer::phase::connecting) serial = peer->serial.load();
    }
    if (serial != 0) failed(*peer, serial, reason);
  }
}

bool distribution::disconnect(std::string_view name) {
  auto* peer = find_peer(name);
  if (peer == nullptr) return false;
  std::shared_ptr<node_link> link;
  {
    std::lock_guard guard{peer->mutex};
    link = peer->link;
  }
  if (link) link->close("disconnect");
  return link != nullptr;
}

// --- telling -------------------------------------------------------------------------------------

/// Whoever has something with the peer, as of this moment; the peer keeps nothing.
distribution::farewell distribution::leave(peer& peer) {
  farewell farewell;
  farewell.was_up = peer.phase == peer::phase::up;
  farewell.loss = {peer.id, peer.serial.exchange(0, std::memory_order_acq_rel)};
  peer.open_to.store(0, std::memory_order_release);
  peer.phase = peer::phase::leaving;
  peer.link = nullptr;
  peer.dialling = false;
  peer.lanes = outgoing_lanes();
  peer.queued = 0;
  peer.drained.notify_all();
  farewell.blocked.swap(peer.blocked);
  farewell.waiting.swap(peer.waiting);
  farewell.monitors.swap(peer.monitors);
  farewell.on_connected.swap(peer.on_connected);
  farewell.tied.assign(peer.tied.begin(), peer.tied.end());
  peer.tied.clear();
  return farewell;
}

void distribution::tell(peer& peer, farewell farewell, const std::string& reason) {
  release_senders(peer.id, farewell.blocked);
  for (auto& one : farewell.waiting)
    answer_for_the_dead(one.to, std::move(one.message), exit_reason::noconnection);
  for (auto process : farewell.tied)
    enqueue(process, make_message<node_loss>(message_kind::node_lost, farewell.loss));
  for (auto process : farewell.monitors) send(process, nodedown{peer.name, reason, peer.hidden});
  if (farewell.was_up) tell_subscribers(peer, &reason);
  bool again = false;
  {
    std::lock_guard guard{peer.mutex};
    peer.phase = peer::phase::idle;
    peer.left.notify_all();
    again = !peer.on_connected.empty() && is_alive();  // asked for while it was leaving
    if (again) begin(peer);
  }
  for (auto& done : farewell.on_connected) done(false);
  if (again) dial(peer, peer.serial.load());
}

void distribution::tell_subscribers(const peer& peer, const std::string* reason) {
  static const telemetry::event up{"roost.node.up"};
  static const telemetry::event down{"roost.node.down"};
  telemetry::execute(
      reason != nullptr ? down : up, {{"count", 1}},
      {{"node", peer.name}, {"reason", reason != nullptr ? *reason : std::string()}});
  using types = node::monitor_nodes_options::types;
  std::lock_guard guard{subscribers_mutex_};
  std::erase_if(subscribers_, [](const subscriber& one) { return !roost::is_alive(one.process); });
  for (auto& one : subscribers_) {
    if (one.types != types::all && (one.types == types::hidden) != peer.hidden) continue;
    for (unsigned i = 0; i < one.count; ++i)
      if (reason != nullptr)
        send(one.process, nodedown{peer.name, *reason, peer.hidden});
      else
        send(one.process, nodeup{peer.name, peer.hidden});
  }
}

// --- what nodes tell each other ------------------------------------------------------------------

void distribution::send_nodes(peer& to) {
  wire_buffer body;
  wire_writer writer{body};
  for (auto& name : list(node::which::visible)) {
    if (name == to.name) continue;
    if (body.size() + name.size() + 2 > fragment_size) break;
    writer.text(name);
  }
  if (body.size() == 0) return;
  std::lock_guard guard{to.mutex};
  if (to.phase != peer::phase::up) return;
  to.lanes.control(frame_type::nodes, body.view());
  to.queued += frame_header + body.size();
}

void distribution::broadcast(frame_type type, std::string_view body, const peer* except) {
  for (auto* peer : all_peers()) {
    if (peer == except) continue;
    std::lock_guard guard{peer->mutex};
    if (peer->phase != peer::phase::up || peer->hidden) continue;
    peer->lanes.control(type, body);
    peer->queued += frame_header + body.size();
    peer->link->flush_soon();
  }
}

void distribution::take_nodes(peer& peer, std::string_view body) {
  if (!options_.connect_all || options_.hidden || peer.hidden || is_guest(peer.name)) return;
  wire_reader in{body};
  while (!in.empty()) {
    std::string name(in.text());
    if (!is_node_name(name)) throw decode_error("expected the name of a node, got another text");
    connect(name, [](bool) {});
  }
}

/// Another node has lost one that this node still has: whoever is not connected to all is connected
/// to none. Source: global, prevent_overlapping_partitions.
void distribution::take_lost(peer& peer, std::string_view body) {
  if (!is_node_name(body)) throw decode_error("expected the name of a node, got another text");
  if (!options_.prevent_overlapping_partitions || is_guest(peer.name)) return;
  if (disconnect(body))
    logger::warning(
        "disconnected to prevent overlapping partitions", {{"node", std::string(body)}});
}

}  // namespace roost::detail
