#include "channels/transport/stream.hpp"
#include "runtime/send_batch.hpp"
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <climits>
#include <stdexcept>

namespace roost::detail {

void byte_stream::start_tls(SSL_CTX& context) {
  tls_.reset(SSL_new(&context));
  if (!tls_ || SSL_set_fd(tls_.get(), fd_) != 1)
    throw std::runtime_error("expected OpenSSL to make a connection, got no memory");
  SSL_set_accept_state(tls_.get());
}

io_result byte_stream::outcome(int returned) noexcept {
  if (returned > 0) return {io_state::done, static_cast<std::size_t>(returned)};
  switch (SSL_get_error(tls_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {io_state::blocked, 0};
    default:
      return {io_state::ended, 0};
  }
}

io_result byte_stream::read(std::span<char> buffer) {
  if (tls_) {
    ERR_clear_error();
    auto most = static_cast<int>(std::min<std::size_t>(buffer.size(), INT_MAX));
    return outcome(SSL_read(tls_.get(), buffer.data(), most));
  }
  auto count = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count > 0) return {io_state::done, static_cast<std::size_t>(count)};
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {io_state::blocked, 0};
  return {io_state::ended, 0};
}

io_result byte_stream::write(std::string_view bytes) {
  if (tls_) {
    ERR_clear_error();
    auto most = static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
    return outcome(SSL_write(tls_.get(), bytes.data(), most));
  }
  auto count = send_now(fd_, bytes);
  if (count >= 0) return {io_state::done, static_cast<std::size_t>(count)};
  return {count == -EAGAIN ? io_state::blocked : io_state::ended, 0};
}

void byte_stream::end_output() noexcept {
  if (is_secure()) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  ::shutdown(fd_, SHUT_WR);
}

void byte_stream::close() noexcept {
  tls_.reset();
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace roost::detail
