#include "bench/load/client.hpp"
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include <limits>

namespace roost::load {
namespace {

using outcome = transfer::outcome;

transfer of_system(ssize_t result, bool zero_is_end) noexcept {
  if (result > 0 || (result == 0 && !zero_is_end))
    return {outcome::done, static_cast<std::size_t>(result)};
  if (result < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    return {outcome::again};
  return {outcome::ended};
}

transfer of_tls(SSL* ssl, int result) noexcept {
  if (result > 0) return {outcome::done, static_cast<std::size_t>(result)};
  auto error = SSL_get_error(ssl, result);
  bool again = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  return {again ? outcome::again : outcome::ended};
}

int clamped(std::size_t size) noexcept {
  return static_cast<int>(std::min<std::size_t>(size, std::numeric_limits<int>::max()));
}

}  // namespace

transfer receive(client& client, char* buffer, std::size_t size) noexcept {
  if (client.ssl)
    return of_tls(client.ssl.get(), SSL_read(client.ssl.get(), buffer, clamped(size)));
  return of_system(::recv(client.fd, buffer, size, 0), true);
}

transfer transmit(client& client, const char* bytes, std::size_t size) noexcept {
  if (client.ssl)
    return of_tls(client.ssl.get(), SSL_write(client.ssl.get(), bytes, clamped(size)));
  return of_system(::send(client.fd, bytes, size, MSG_NOSIGNAL), false);
}

}  // namespace roost::load
