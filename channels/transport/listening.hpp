// private: the listening sockets of an endpoint.
#pragma once
#include "channels/endpoint_context.hpp"
#include "runtime/scheduler.hpp"
#include <netinet/in.h>

namespace roost::detail {

/// What the connections of one listening socket have in common.
struct listening {
  bool tls = false;
  bool proxy_protocol = false;
  bool local = false;  // a unix socket
};

/// An accepted descriptor on its way to its worker; closed if it never gets there.
struct new_connection {
  new_connection(int fd, const sockaddr_in6& peer, listening from) noexcept
      : fd(fd), peer(peer), from(from) {}
  new_connection(new_connection&& other) noexcept
      : fd(std::exchange(other.fd, -1)), peer(other.peer), from(other.from) {}
  new_connection& operator=(new_connection&&) = delete;
  ~new_connection();

  int fd;
  sockaddr_in6 peer;  // or a sockaddr_in
  listening from;
};

/// A listening socket; removes the file of a unix socket when it goes. Throws std::runtime_error
/// with one sentence when it cannot be had.
class listening_socket {
 public:
  listening_socket(const std::string& ip, int port);
  listening_socket(listening_socket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), file_(std::exchange(other.file_, {})) {}
  listening_socket& operator=(listening_socket&&) = delete;
  ~listening_socket();

  int fd() const noexcept { return fd_; }
  int port() const;  // the real one; 0 of a unix socket
  bool is_local() const noexcept { return !file_.empty(); }
  void stop_greeting() const noexcept;  // no new connections; those that wait can be accepted

 private:
  int fd_ = -1;
  std::string file_;
};

/// Accepts connections and hands each to the worker with the fewest, on the worker that made it.
class acceptor final : public io_handler {
 public:
  acceptor(listening_socket socket, listening what, std::vector<pid> targets);
  ~acceptor() override;

  void on_io(std::uint32_t events) override;

  /// Before the end: those whose connection the kernel has made already, who would see it break. It
  /// makes no more; who tries is not answered, and refused once this is gone.
  void accept_the_last();

 private:
  /// Answers whether there may be more.
  bool accept_one();
  std::size_t least_loaded();
  void shed();

  listening_socket socket_;
  listening what_;
  int spare_;
  std::size_t next_ = 0;
  log_pace complaints_;
  std::vector<pid> targets_;
};

}  // namespace roost::detail
