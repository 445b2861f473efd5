// private: the few things about sockets that the port mapper and those who ask it share.
//
// Thread safety: functions: any thread; objects: one thread at a time.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace roost::detail::epmd {

using clock = std::chrono::steady_clock;

/// Closes a descriptor when it goes.
class unique_fd {
 public:
  unique_fd() noexcept = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    other.reset();
    return *this;
  }
  ~unique_fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

/// An IPv4 or IPv6 address with a port.
class socket_address {
 public:
  socket_address() = default;
  socket_address(const sockaddr* address, socklen_t size);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }
  bool is_loopback() const;
  bool is_any() const;  // 0.0.0.0 or ::
  std::string to_string() const;
  bool operator==(const socket_address& other) const;

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

/// 127.0.0.1
socket_address loopback(std::uint16_t port);

/// Numbers at once; names by asking the system, for which the deadline is kept as well. Throws
/// std::runtime_error when there is no such host or no answer in time.
std::vector<socket_address> resolve(
    const std::string& host, std::uint16_t port, clock::time_point deadline);

/// The IPv4 addresses of this host other than 127.0.0.1.
std::vector<socket_address> interface_addresses(std::uint16_t port);

/// Begins to connect, without waiting. No descriptor: `error` says why.
unique_fd start_connect(const socket_address& to, int& error);

/// How the connecting has ended, once the socket is writable; 0: connected.
int connect_error(const unique_fd& socket);

/// Listens without waiting. No descriptor: `error` says why. Shared: others that share may listen
/// at the same address, if they run as the same user.
unique_fd listen_at(const socket_address& at, bool shared, int& error);

/// "Connection refused"
std::string error_text(int error);

}  // namespace roost::detail::epmd
