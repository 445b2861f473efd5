#include "bench/load/dialer.hpp"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>

namespace roost::load {
namespace {

void set_option(int fd, int level, int name) {
  int on = 1;
  ::setsockopt(fd, level, name, &on, sizeof on);
}

}  // namespace

dialer::dialer(const options& options) : options_(options) {
  auto is_secure = [](const target& target) { return target.secure; };
  if (std::none_of(options.targets.begin(), options.targets.end(), is_secure)) return;
  // The servers that are measured have certificates of their own making.
  tls_ = ::SSL_CTX_new(::TLS_client_method());
  SSL_CTX_set_mode(
      tls_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                SSL_MODE_RELEASE_BUFFERS);
}

bool dialer::dial(client& client) {
  auto& target = target_of(client);
  client.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (client.fd < 0) return false;
  set_option(client.fd, IPPROTO_TCP, TCP_NODELAY);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (!options_.sources.empty()) {
    auto& source = options_.sources[client.index % options_.sources.size()];
    ::inet_pton(AF_INET, source.c_str(), &address.sin_addr);
    // The port is chosen by connect(), for the pair of addresses: each pair has all ports.
    set_option(client.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    if (::bind(client.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  }
  address.sin_port = htons(target.port);
  if (::inet_pton(AF_INET, target.host.c_str(), &address.sin_addr) != 1) return false;
  if (::connect(client.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS)
    return false;
  if (target.secure) {
    client.ssl.reset(::SSL_new(tls_));
    ::SSL_set_fd(client.ssl.get(), client.fd);
    ::SSL_set_connect_state(client.ssl.get());
  }
  return true;
}

}  // namespace roost::load
