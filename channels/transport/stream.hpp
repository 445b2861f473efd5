// private: the bytes of one accepted connection, plain or through TLS.
//
// Reading and writing never block. Plain connections cost one comparison more than the system call;
// with TLS, OpenSSL reads record by record, so nothing waits in it that epoll does not know of,
// except what `has_buffered` says.
//
// Thread safety: one worker.
#pragma once
#include <openssl/ssl.h>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace roost::detail {

enum class io_state { done, blocked, ended };
struct io_result {
  io_state state = io_state::done;
  std::size_t count = 0;
};

struct free_ssl {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};
using ssl_ptr = std::unique_ptr<SSL, free_ssl>;

class byte_stream {
 public:
  byte_stream() = default;
  explicit byte_stream(int fd) noexcept : fd_(fd) {}
  byte_stream(byte_stream&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), tls_(std::move(other.tls_)) {}
  byte_stream& operator=(byte_stream&&) = delete;
  ~byte_stream() { close(); }

  int fd() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }
  bool is_tls() const noexcept { return tls_ != nullptr; }
  /// TLS has been asked for and agreed on.
  bool is_secure() const noexcept { return tls_ != nullptr && SSL_is_init_finished(tls_.get()); }

  /// What comes from now on is TLS. Throws std::runtime_error when OpenSSL has no memory.
  void start_tls(SSL_CTX& context);

  io_result read(std::span<char> buffer);
  io_result write(std::string_view bytes);
  bool has_buffered() const noexcept { return tls_ != nullptr && SSL_pending(tls_.get()) > 0; }

  /// The other side learns that nothing more comes.
  void end_output() noexcept;
  void close() noexcept;

 private:
  io_result outcome(int returned) noexcept;

  int fd_ = -1;
  ssl_ptr tls_;
};

}  // namespace roost::detail
