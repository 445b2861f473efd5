#include "runtime/discovery/gossip.hpp"
#include "runtime/discovery/heartbeat.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <random>
#include <stdexcept>
#include <system_error>

namespace roost::discovery {
namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;
using system_clock = std::chrono::system_clock;

constexpr milliseconds longest_pause{5000};  // between heartbeats, as libcluster
constexpr milliseconds oldest_heartbeat{60'000};
// Interfaces come and go and take memberships along; whoever does not even hear itself joins again.
constexpr milliseconds deaf_after{20'000};
// A flood of garbage takes no more time than this many packets in each look.
constexpr int packets_per_look = 2000;

in_addr address_of(const std::string& text, const char* option) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1)
    throw std::invalid_argument(
        std::string("expected ") + option + " to be an IPv4 address, got " + text);
  return address;
}

/// A socket that hears and tells heartbeats.
class multicast_socket {
 public:
  explicit multicast_socket(const gossip::options& options) {
    descriptor_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0) fail("a socket");
    try {
      open(options);
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  multicast_socket(const multicast_socket&) = delete;
  multicast_socket& operator=(const multicast_socket&) = delete;
  ~multicast_socket() { ::close(descriptor_); }

  void send(std::string_view packet) const {
    auto sent = ::sendto(
        descriptor_, packet.data(), packet.size(), MSG_NOSIGNAL,
        reinterpret_cast<const sockaddr*>(&group_), sizeof group_);
    // A full buffer loses a heartbeat, as any network may.
    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
      fail("to send a heartbeat");
  }

  /// Answers the size of the next packet, which may be larger than the buffer; -1: there is none.
  ssize_t receive(char* buffer, std::size_t size) const {
    ssize_t received = 0;
    do received = ::recv(descriptor_, buffer, size, MSG_TRUNC);
    while (received < 0 && errno == EINTR);
    if (received < 0 && errno != EAGAIN && errno != ECONNREFUSED) fail("to hear heartbeats");
    return received;
  }

 private:
  void open(const gossip::options& options) {
    auto listen = address_of(options.if_addr, "if_addr");
    group_.sin_family = AF_INET;
    group_.sin_port = htons(options.port);
    group_.sin_addr = address_of(options.multicast_addr, "multicast_addr");
    set(SOL_SOCKET, SO_REUSEADDR, 1, "to share the port with other nodes of this host");
    set(SOL_SOCKET, SO_BROADCAST, 1, "to broadcast");
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = group_.sin_port;
    here.sin_addr = listen;
    if (!options.broadcast_only) {
      join(options, listen);
      // Bound to one address of this host it would hear nothing that is sent to the group.
      if (listen.s_addr != INADDR_ANY) here.sin_addr = group_.sin_addr;
    }
    if (::bind(descriptor_, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0)
      fail("to listen at " + options.if_addr + ":" + std::to_string(options.port));
  }

  void join(const gossip::options& options, in_addr listen) {
    auto interface =
        options.multicast_if.empty() ? listen : address_of(options.multicast_if, "multicast_if");
    set(IPPROTO_IP, IP_MULTICAST_TTL, options.multicast_ttl, "to set the time to live");
    set(IPPROTO_IP, IP_MULTICAST_LOOP, 1, "to hear itself");
    // Only what is sent to the group that this socket has joined, whatever others joined.
    set(IPPROTO_IP, IP_MULTICAST_ALL, 0, "to hear one group only");
    if (interface.s_addr != INADDR_ANY)
      set(IPPROTO_IP, IP_MULTICAST_IF, interface, "to send from its interface");
    ip_mreq membership{group_.sin_addr, interface};
    set(IPPROTO_IP, IP_ADD_MEMBERSHIP, membership, "to join " + options.multicast_addr);
  }

  template <class T>
  void set(int level, int option, const T& value, const std::string& what) {
    if (::setsockopt(descriptor_, level, option, &value, sizeof value) != 0) fail(what);
  }

  [[noreturn]] static void fail(const std::string& what) {
    auto error = errno;
    throw std::runtime_error(
        "expected " + what + ", got " + std::generic_category().message(error));
  }

  int descriptor_ = -1;
  sockaddr_in group_{};
};

}  // namespace

class gossip::state {
 public:
  state(gossip& owner, options options, bindings node)
      : owner_(owner), options_(std::move(options)), node_(std::move(node)) {
    address_of(options_.if_addr, "if_addr");
    address_of(options_.multicast_addr, "multicast_addr");
    if (!options_.multicast_if.empty()) address_of(options_.multicast_if, "multicast_if");
  }

  std::vector<std::string> look() {
    auto now = clock::now();
    self_ = node_.self();
    renew_key();
    try {
      if (socket_ == nullptr || now - heard_self_ > deaf_after) open(now);
      tell(now);
      hear(now);
    } catch (...) {
      socket_.reset();
      throw;
    }
    return heard_.current(now);
  }

 private:
  bool has_name() const { return self_.find('@') != self_.npos && self_ != "nonode@nohost"; }

  void renew_key() {
    auto secret = options_.secret.empty() ? node_.cookie() : options_.secret;
    if (secret.empty())
      throw std::runtime_error("expected a secret or a cookie for gossip, got neither");
    if (secret == secret_) return;
    key_ = derive_heartbeat_key(secret);
    secret_ = std::move(secret);
  }

  void open(clock::time_point now) {
    socket_.reset();
    socket_ = std::make_unique<multicast_socket>(options_);
    heard_self_ = now;
    next_heartbeat_ = now;
  }

  void tell(clock::time_point now) {
    if (!has_name()) {
      heard_self_ = now;
      return;
    }
    if (now < next_heartbeat_) return;
    socket_->send(seal_heartbeat(key_, {self_, system_clock::now()}));
    std::uniform_int_distribution<milliseconds::rep> pause(1, longest_pause.count());
    next_heartbeat_ = now + milliseconds(pause(random_));
  }

  void hear(clock::time_point now) {
    char buffer[largest_heartbeat];
    for (int i = 0; i < packets_per_look; ++i) {
      auto size = socket_->receive(buffer, sizeof buffer);
      if (size < 0) return;
      std::string_view packet(buffer, std::min(static_cast<std::size_t>(size), sizeof buffer));
      take(static_cast<std::size_t>(size) > sizeof buffer ? std::string_view() : packet, now);
    }
  }

  void take(std::string_view packet, clock::time_point now) {
    auto heartbeat = open_heartbeat(key_, packet);
    if (!heartbeat || !detail::is_node_name(heartbeat->node)) {
      owner_.garbage_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    auto off = std::chrono::duration_cast<milliseconds>(system_clock::now() - heartbeat->sent);
    if (off > oldest_heartbeat || off < -oldest_heartbeat) return stale(*heartbeat, off, now);
    if (heartbeat->node == self_) {
      heard_self_ = now;
      return;
    }
    owner_.heartbeats_.fetch_add(1, std::memory_order_relaxed);
    heard_.note(heartbeat->node, now);
  }

  /// Only a clock that is wrong makes a heartbeat of somebody who has the secret stale, or a
  /// replay.
  void stale(const heartbeat& heartbeat, milliseconds off, clock::time_point now) {
    owner_.stale_.fetch_add(1, std::memory_order_relaxed);
    if (now < next_warning_) return;
    next_warning_ = now + std::chrono::hours(1);
    logger::warning(
        "expected heartbeats to be less than a minute old, got one that is not; do the clocks "
        "agree?",
        {{"node", heartbeat.node}, {"milliseconds", off.count()}});
  }

  gossip& owner_;
  options options_;
  bindings node_;
  std::string self_;
  std::string secret_;
  heartbeat_key key_{};
  std::unique_ptr<multicast_socket> socket_;
  heard_nodes heard_;
  clock::time_point heard_self_{};
  clock::time_point next_heartbeat_{};
  clock::time_point next_warning_{};
  std::minstd_rand random_{std::random_device{}()};
};

gossip::gossip(options options, bindings node)
    : state_(std::make_unique<state>(*this, std::move(options), std::move(node))) {}

gossip::~gossip() = default;

std::vector<std::string> gossip::look() { return state_->look(); }

struct gossip::counts gossip::counts() const noexcept {
  return {
      heartbeats_.load(std::memory_order_relaxed), garbage_.load(std::memory_order_relaxed),
      stale_.load(std::memory_order_relaxed)};
}

}  // namespace roost::discovery
