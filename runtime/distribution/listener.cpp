#include "runtime/distribution/listener.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/logger.hpp"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

namespace roost::detail {
namespace {

constexpr int accepts_per_turn = 64;

std::string text_of(const sockaddr_storage& address) {
  char host[NI_MAXHOST] = {};
  char port[NI_MAXSERV] = {};
  if (::getnameinfo(
          reinterpret_cast<const sockaddr*>(&address), sizeof address, host, sizeof host, port,
          sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "unknown";
  return std::string(host) + ":" + port;
}

[[noreturn]] void cannot_listen(const std::string& address, std::uint16_t port, const char* why) {
  throw std::runtime_error(
      "expected to listen for nodes on " + address + ":" + std::to_string(port) + ", got " + why);
}

}  // namespace

listener::listener(distribution& nodes, const std::string& address, std::uint16_t port)
    : nodes_(nodes), home_(scheduler::instance()->at(0)) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  auto code = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) cannot_listen(address, port, ::gai_strerror(code));
  fd_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  bool listens =
      fd_ >= 0 && ::bind(fd_, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd_, 512) == 0;
  auto error = errno;
  ::freeaddrinfo(found);
  if (!listens) {
    ::close(fd_);
    cannot_listen(address, port, ::strerror(error));
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size);
  port_ = ntohs(
      bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                  : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

listener::~listener() {
  ::close(fd_);
  ::close(spare_);
}

void listener::watch() {
  home_.post_function([this] { home_.watch(fd_, EPOLLIN, *this); });
}

void listener::refuse_one() {
  ::close(spare_);
  auto fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) ::close(fd);
  spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  logger::warning("no file descriptors are left for another node", {});
}

void listener::on_io(std::uint32_t) {
  for (int i = 0; i < accepts_per_turn; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    auto fd =
        ::accept4(fd_, reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) return refuse_one();
    if (fd < 0) return;
    int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    nodes_.accepted(fd, text_of(from));
  }
}

}  // namespace roost::detail
