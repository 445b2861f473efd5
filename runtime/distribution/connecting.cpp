// How links come and go.
#include "runtime/blocking.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/guests.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include "runtime/telemetry.hpp"
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
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

std::string host_of(std::string_view node) { return std::string(node.substr(node.find('@') + 1)); }
std::string short_name_of(std::string_view node) {
  return std::string(node.substr(0, node.find('@')));
}

/// Connects within the time, or throws with a sentence.
int connect_socket(const std::string& host, std::uint16_t port, clock::time_point deadline) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (auto code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found))
    throw std::runtime_error("cannot find the host " + host + ": " + ::gai_strerror(code));
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses{found, ::freeaddrinfo};
  int error = ETIMEDOUT;
  for (auto* at = found; at != nullptr; at = at->ai_next) {
    auto fd = ::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    auto code = ::connect(fd, at->ai_addr, at->ai_addrlen);
    error = code == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd wait{fd, POLLOUT, 0};
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now());
      auto ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
      socklen_t size = sizeof error;
      error = ETIMEDOUT;
      if (ready > 0) ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error == 0) return fd;
    ::close(fd);
  }
  char text[128] = {};
  throw std::runtime_error(
      "cannot connect to " + host + ":" + std::to_string(port) + ": " +
      ::strerror_r(error, text, sizeof text));
}

}  // namespace

// --- dialling ------------------------------------------------------------------------------------

bool distribution::begin(peer& peer) {
  peer.phase = peer::phase::connecting;
  peer.dialling = true;
  peer.deadline = clock::now() + options_.net_setuptime;
  peer.serial.store(++last_serial_, std::memory_order_release);
  return true;
}

void distribution::connect(const std::string& name, std::function<void(bool)> done) {
  if (!is_alive() || !is_node_name(name) || name == own_hello().node || !is_allowed(name))
    return done(is_alive() && name == own_hello().node);
  auto& peer = peer_named(name);
  std::uint64_t to_dial = 0;
  {
    std::unique_lock guard{peer.mutex};
    if (peer.phase == peer::phase::up) {
      guard.unlock();
      return done(true);
    }
    peer.on_connected.push_back(std::move(done));
    if (peer.phase == peer::phase::idle && begin(peer))
      to_dial = peer.serial.load(std::memory_order_relaxed);
    // One that is leaving is dialled when it has left.
  }
  if (to_dial != 0) dial(peer, to_dial);
}

/// Looking up names and connecting block, so they happen on the pool.
void distribution::dial(peer& peer, std::uint64_t serial) {
  wake_ticker();
  auto job = [this, &peer, serial] {
    std::string address;
    int fd = -1;
    try {
      fd = dial_socket(peer.name, address);
    } catch (const std::exception& error) {
      return failed(peer, serial, error.what());
    }
    dialled(peer, serial, fd, std::move(address));
  };
  std::unique_ptr<blocking_job> work =
      std::make_unique<blocking_function<decltype(job)>>(std::move(job));
  blocking_pool::run(
      make_message<std::unique_ptr<blocking_job>>(message_kind::task, std::move(work)));
}

int distribution::dial_socket(const std::string& name, std::string& address) {
  auto deadline = clock::now() + options_.net_setuptime;
  auto host = host_of(name);
  auto entry = epmd_lookup(
      host, options_.epmd_port, short_name_of(name),
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now()));
  if (!entry) throw std::runtime_error("no such node at the port mapper of " + host);
  if (entry->extra != "roost")
    throw std::runtime_error("expected a node of roost, got one of another kind");
  address = host + ":" + std::to_string(entry->port);
  auto fd = connect_socket(host, entry->port, deadline);
  int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

std::shared_ptr<node_link> distribution::make_connection(node_link::parts parts) {
  auto* all = scheduler::instance();
  parts.home = &all->at(0);
  for (std::size_t i = 1; i < all->size(); ++i)
    if (all->at(i).load() < parts.home->load()) parts.home = &all->at(i);
  parts.mine = own_hello();
  return std::make_shared<node_link>(*this, std::move(parts));
}

void distribution::start_connection(const std::shared_ptr<node_link>& link) {
  std::shared_ptr<node_link> oldest;
  {
    std::lock_guard guard{connections_mutex_};
    // One that was superseded before it began is not kept.
    if (!link->is_closed()) connections_.insert(link);
    oldest = oldest_stranger();
  }
  if (oldest) oldest->close("too many connections are being set up");
  link->home().post_function([link] { link->start(); });
  wake_ticker();
}

/// When too many have not said yet who they are, the one that has taken longest goes: a node needs
/// milliseconds for it, so a flood of strangers cannot keep nodes out.
std::shared_ptr<node_link> distribution::oldest_stranger() {
  constexpr std::size_t most_strangers = 128;
  std::shared_ptr<node_link> oldest;
  std::size_t count = 0;
  for (auto& link : connections_) {
    if (link->is_up() || link->side() == handshake::side::client) continue;
    ++count;
    if (!oldest || link->began() < oldest->began()) oldest = link;
  }
  return count > most_strangers ? oldest : nullptr;
}

void distribution::dialled(peer& peer, std::uint64_t serial, int fd, std::string address) {
  std::unique_lock guard{peer.mutex};
  // The other node's own connection may have come in the meantime.
  bool wanted = peer.phase == peer::phase::connecting && peer.dialling && !peer.attempt &&
                peer.serial.load(std::memory_order_relaxed) == serial;
  if (!wanted || !is_alive()) {
    ::close(fd);
    return;
  }
  node_link::parts parts;
  parts.fd = fd;
  parts.side = handshake::side::client;
  parts.expected = peer.name;
  parts.address = std::move(address);
  parts.channel = security_->client(peer.name);
  auto link = peer.attempt = make_connection(std::move(parts));
  guard.unlock();
  start_connection(link);
}

void distribution::accepted(int fd, std::string address) {
  if (!is_alive()) {
    ::close(fd);
    return;
  }
  node_link::parts parts;
  parts.fd = fd;
  parts.address = std::move(address);
  parts.channel = security_->server();
  start_connection(make_connection(std::move(parts)));
}

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
