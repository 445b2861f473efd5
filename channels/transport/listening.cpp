#include "channels/transport/listening.hpp"
#include "runtime/logger.hpp"
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <array>
#include <cstring>

namespace roost::detail {
namespace {

struct socket_address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

constexpr std::string_view unix_prefix = "unix:";
constexpr int backlog = 4096;                     // connections that wait to be accepted
constexpr int max_unsent_in_kernel = 128 * 1024;  // bytes

socket_address unix_address(const std::string& path) {
  socket_address address;
  auto* local = reinterpret_cast<sockaddr_un*>(&address.bytes);
  if (path.empty() || path.size() >= sizeof local->sun_path)
    throw std::runtime_error(
        "expected the path of http.ip to have 1 to " + std::to_string(sizeof local->sun_path - 1) +
        " bytes, got " + path);
  local->sun_family = AF_UNIX;
  std::memcpy(local->sun_path, path.c_str(), path.size() + 1);
  address.size = sizeof *local;
  return address;
}

socket_address tcp_address(const std::string& ip, int port) {
  socket_address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.bytes);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.bytes);
  if (::inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    address.size = sizeof *v6;
  } else {
    throw std::runtime_error(
        "expected http.ip to be an IPv4 or IPv6 address or unix:/path, got " + ip);
  }
  return address;
}

/// A socket that nobody listens on is left over from a program that was killed.
void remove_leftover(const std::string& path, const socket_address& address) {
  int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool dead =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address.bytes), address.size) < 0 &&
      errno == ECONNREFUSED;
  ::close(probe);
  if (dead) ::unlink(path.c_str());
}

}  // namespace

new_connection::~new_connection() {
  if (fd >= 0) ::close(fd);
}

listening_socket::listening_socket(const std::string& ip, int port) {
  bool local = ip.starts_with(unix_prefix);
  auto path = local ? ip.substr(unix_prefix.size()) : std::string();
  auto address = local ? unix_address(path) : tcp_address(ip, port);
  if (local) remove_leftover(path, address);
  auto fail = [&](int error) {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    throw std::runtime_error(
        "expected to listen on " + (local ? path : ip + ":" + std::to_string(port)) + ", got \"" +
        std::strerror(error) + "\"");
  };
  fd_ = ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) fail(errno);
  int on = 1;
  if (!local) {
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // What is accepted has these as well.
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // What waits for a slow client waits here, where it is counted, not in the kernel: its buffers
    // may grow to megabytes. What is on the way is not limited by this.
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &max_unsent_in_kernel, sizeof(int));
  }
  if (::bind(fd_, reinterpret_cast<sockaddr*>(&address.bytes), address.size) < 0) fail(errno);
  if (local) file_ = path;
  if (::listen(fd_, backlog) < 0) fail(errno);
}

listening_socket::~listening_socket() {
  if (fd_ >= 0) ::close(fd_);
  if (!file_.empty()) ::unlink(file_.c_str());
}

void listening_socket::stop_greeting() const noexcept {
  // The socket sees segments from their TCP header on: no SYN (without ACK) reaches it any more.
  constexpr std::uint32_t flags = 13, syn = 0x02, ack = 0x10;
  std::array<sock_filter, 5> program{{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, flags),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, syn | ack),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  }};
  sock_fprog filter{program.size(), program.data()};
  if (file_.empty()) ::setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

int listening_socket::port() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) < 0) return 0;
  if (address.ss_family == AF_INET)
    return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  if (address.ss_family == AF_INET6)
    return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return 0;
}

acceptor::acceptor(listening_socket socket, listening what, std::vector<pid> targets)
    : io_handler(manner::patient),
      socket_(std::move(socket)),
      what_(what),
      spare_(::dup(socket_.fd())),
      targets_(std::move(targets)) {
  worker::current()->watch(socket_.fd(), EPOLLIN, *this);
}

acceptor::~acceptor() {
  worker::current()->unwatch(socket_.fd(), *this);
  if (spare_ >= 0) ::close(spare_);
}

void acceptor::on_io(std::uint32_t) {
  // A bounded number at a time, so that a flood of connections leaves time for the others.
  for (int i = 0; i < 4; ++i)
    if (!accept_one()) return;
}

void acceptor::accept_the_last() {
  socket_.stop_greeting();
  // No more than the queue holds, as newcomers may be faster than we are.
  for (int i = 0; i < backlog; ++i)
    if (!accept_one()) return;
}

bool acceptor::accept_one() {
  sockaddr_in6 peer{};
  socklen_t size = sizeof peer;
  int fd = ::accept4(
      socket_.fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    send(targets_[least_loaded()], new_connection(fd, peer, what_));
    return true;
  }
  bool out_of_descriptors = errno == EMFILE || errno == ENFILE;
  if (out_of_descriptors) shed();
  return !out_of_descriptors && (errno == EINTR || errno == ECONNABORTED);
}

std::size_t acceptor::least_loaded() {
  auto* all = scheduler::instance();
  // What was just handed over is not counted there yet, so equals take turns.
  std::size_t best = next_++ % targets_.size();
  for (std::size_t i = 0; i < targets_.size(); ++i)
    if (all->at(i).load() + 8 < all->at(best).load()) best = i;
  return best;
}

/// Out of descriptors: without this the waiting connection would wake us for ever.
void acceptor::shed() {
  if (spare_ >= 0) ::close(std::exchange(spare_, -1));
  int fd = ::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) ::close(fd);
  spare_ = ::dup(socket_.fd());
  if (complaints_.due(exact_now()))
    logger::error("out of file descriptors, refusing connections", {});
}

}  // namespace roost::detail
