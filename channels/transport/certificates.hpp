// private: the certificate that an endpoint shows, and TLS as it should be today.
//
// Thread safety: `current` may be called from any thread, the rest by the endpoint's process.
// Sources: RFC 8446; RFC 9325 (which suites a server should offer).
#pragma once
#include "channels/endpoint.hpp"
#include <openssl/ssl.h>
#include <atomic>
#include <memory>

namespace roost::detail {

class certificates {
 public:
  /// Throws std::invalid_argument, with a sentence, when the files cannot be used.
  explicit certificates(const https_options& options);

  std::shared_ptr<SSL_CTX> current() const { return std::atomic_load(&context_); }

  /// Takes the files as they are now. Throws as the constructor and then keeps the old ones.
  void reload();
  /// Whether the files are others than at the last load.
  bool changed() const;

 private:
  std::string stamp() const;

  std::string certfile_;
  std::string keyfile_;
  std::string loaded_;
  std::shared_ptr<SSL_CTX> context_;
};

}  // namespace roost::detail
