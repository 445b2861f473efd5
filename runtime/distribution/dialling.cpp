// How a connection with another node begins: this one dials, or the other one has.
#include "runtime/blocking.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/distribution/distribution.hpp"
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;

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

}  // namespace roost::detail
