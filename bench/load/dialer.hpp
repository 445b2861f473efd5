// private: opens the sockets of clients: each to its target, from its source address, with TLS
// where the target wants it.
#pragma once
#include "bench/load/client.hpp"
#include "bench/load/options.hpp"

namespace roost::load {

class dialer {
 public:
  explicit dialer(const options& options);
  dialer(const dialer&) = delete;
  dialer& operator=(const dialer&) = delete;
  ~dialer() { ::SSL_CTX_free(tls_); }

  const target& target_of(const client& client) const noexcept {
    return options_.targets[client.index % options_.targets.size()];
  }
  /// Begins to connect. Answers false when that fails at once.
  bool dial(client& client);

 private:
  const options& options_;
  SSL_CTX* tls_ = nullptr;
};

}  // namespace roost::load
