#include "runtime/distribution/epmd_sockets.hpp"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace roost::detail::epmd {
namespace {

// The kernel cuts it to net.core.somaxconn.
constexpr int line_of_waiting = 256;

struct resolved {
  int error = 0;
  std::vector<socket_address> addresses = {};
};

resolved ask_system(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  resolved result;
  result.error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (result.error != 0) return result;
  for (auto* one = found; one != nullptr; one = one->ai_next)
    result.addresses.emplace_back(one->ai_addr, one->ai_addrlen);
  ::freeaddrinfo(found);
  return result;
}

[[noreturn]] void throw_unresolved(const std::string& host, const std::string& why) {
  throw std::runtime_error(
      "expected the host " + host + " to be a number or a known name, got \"" + why + '"');
}

/// A source port that happens to be the one asked for connects a socket with itself when nobody
/// listens there.
bool is_connected_with_itself(const unique_fd& socket) {
  sockaddr_storage own{};
  sockaddr_storage peer{};
  socklen_t own_size = sizeof own;
  socklen_t peer_size = sizeof peer;
  return ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
         ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
         own_size == peer_size && std::memcmp(&own, &peer, own_size) == 0;
}

unique_fd new_socket(int family) {
  return unique_fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

bool switch_on(const unique_fd& socket, int level, int option) {
  int yes = 1;
  return ::setsockopt(socket.get(), level, option, &yes, sizeof yes) == 0;
}

}  // namespace

void unique_fd::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

// ----------------------------------------------------------------------------------- addresses

socket_address::socket_address(const sockaddr* address, socklen_t size)
    : size_(std::min(size, static_cast<socklen_t>(sizeof storage_))) {
  std::memcpy(&storage_, address, size_);
}

bool socket_address::is_loopback() const {
  if (family() == AF_INET) {
    auto& v4 = reinterpret_cast<const sockaddr_in&>(storage_);
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
  }
  auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage_);
  return family() == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

bool socket_address::is_any() const {
  if (family() == AF_INET)
    return reinterpret_cast<const sockaddr_in&>(storage_).sin_addr.s_addr == htonl(INADDR_ANY);
  auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage_);
  return family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr);
}

std::string socket_address::to_string() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (family() == AF_INET) {
    auto& v4 = reinterpret_cast<const sockaddr_in&>(storage_);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return text + (":" + std::to_string(ntohs(v4.sin_port)));
  }
  auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage_);
  if (family() == AF_INET6) ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
}

bool socket_address::operator==(const socket_address& other) const {
  // Not byte by byte: what pads the structure is anybody's guess.
  return to_string() == other.to_string();
}

socket_address loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return {reinterpret_cast<const sockaddr*>(&address), sizeof address};
}

std::vector<socket_address> resolve(
    const std::string& host, std::uint16_t port, clock::time_point deadline) {
  if (auto number = ask_system(host, port, AI_NUMERICHOST); number.error == 0)
    return number.addresses;
  // The system's resolver cannot be told to stop. When it takes too long its thread ends later,
  // with an answer for nobody.
  auto answer = std::make_shared<std::promise<resolved>>();
  auto future = answer->get_future();
  std::thread([answer, host, port] { answer->set_value(ask_system(host, port, 0)); }).detach();
  if (future.wait_until(deadline) != std::future_status::ready)
    throw_unresolved(host, "no answer in time");
  auto result = future.get();
  if (result.error != 0) throw_unresolved(host, ::gai_strerror(result.error));
  return result.addresses;
}

std::vector<socket_address> interface_addresses(std::uint16_t port) {
  std::vector<socket_address> result;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return result;
  for (auto* one = all; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    auto address = *reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
    address.sin_port = htons(port);
    socket_address where(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (!(where == loopback(port))) result.push_back(where);
  }
  ::freeifaddrs(all);
  return result;
}

// --------------------------------------------------------------------------------------- sockets

unique_fd start_connect(const socket_address& to, int& error) {
  auto socket = new_socket(to.family());
  error = 0;
  if (!socket || (::connect(socket.get(), to.get(), to.size()) != 0 && errno != EINPROGRESS)) {
    error = errno;
    socket.reset();
  }
  return socket;
}

int connect_error(const unique_fd& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  if (error == 0 && is_connected_with_itself(socket)) return ECONNREFUSED;
  return error;
}

unique_fd listen_at(const socket_address& at, bool shared, int& error) {
  auto socket = new_socket(at.family());
  error = 0;
  // Without SO_REUSEADDR the connections of the last one who listened would be in the way.
  const bool listens = socket && switch_on(socket, SOL_SOCKET, SO_REUSEADDR) &&
                       (!shared || switch_on(socket, SOL_SOCKET, SO_REUSEPORT)) &&
                       (at.family() != AF_INET6 || switch_on(socket, IPPROTO_IPV6, IPV6_V6ONLY)) &&
                       ::bind(socket.get(), at.get(), at.size()) == 0 &&
                       ::listen(socket.get(), line_of_waiting) == 0;
  if (!listens) {
    error = errno;
    socket.reset();
  }
  return socket;
}

std::string error_text(int error) { return std::generic_category().message(error); }

}  // namespace roost::detail::epmd
