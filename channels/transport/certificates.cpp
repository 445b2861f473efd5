#include "channels/transport/certificates.hpp"
#include <openssl/err.h>
#include <sys/stat.h>
#include <array>
#include <cstring>
#include <stdexcept>

namespace roost::detail {
namespace {

/// A key with a passphrase is an error rather than a question at the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

std::string tls_fault() {
  const char* text = ERR_reason_error_string(ERR_peek_error());
  return text != nullptr ? text : std::strerror(errno);
}

void require(bool done, const std::string& key, const std::string& file, const std::string& what) {
  if (!done)
    throw std::invalid_argument(
        "expected " + key + " to be " + what + ", got " + file + ": " + tls_fault());
}

/// Browsers and phoenix.js speak HTTP/1.1 to a WebSocket server.
int choose_protocol_name(
    SSL*, const unsigned char** out, unsigned char* size, const unsigned char* offered,
    unsigned offered_size, void*) {
  static constexpr std::array<unsigned char, 9> ours{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  auto** chosen = const_cast<unsigned char**>(out);
  auto found = SSL_select_next_proto(chosen, size, ours.data(), ours.size(), offered, offered_size);
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

std::shared_ptr<SSL_CTX> load(const std::string& certfile, const std::string& keyfile) {
  ERR_clear_error();
  errno = 0;
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  auto* ctx = context.get();
  bool made =
      ctx != nullptr && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!MD5:!DSS") == 1 &&
      SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
  if (!made) throw std::runtime_error("expected OpenSSL to take its settings, got " + tls_fault());
  SSL_CTX_set_options(
      ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
               SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(
      ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
  // Tickets carry the session, so nothing is kept here for each client; one saves its bytes.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 1);
  SSL_CTX_set_alpn_select_cb(ctx, choose_protocol_name, nullptr);
  SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
  require(
      SSL_CTX_use_certificate_chain_file(ctx, certfile.c_str()) == 1, "https.certfile", certfile,
      "a certificate in PEM");
  require(
      SSL_CTX_use_PrivateKey_file(ctx, keyfile.c_str(), SSL_FILETYPE_PEM) == 1, "https.keyfile",
      keyfile, "the private key of " + certfile + ", in PEM and without a passphrase");
  return context;
}

}  // namespace

certificates::certificates(const https_options& options)
    : certfile_(options.certfile), keyfile_(options.keyfile) {
  reload();
}

void certificates::reload() {
  auto seen = stamp();
  auto fresh = load(certfile_, keyfile_);
  loaded_ = std::move(seen);
  std::atomic_store(&context_, std::move(fresh));
}

bool certificates::changed() const { return stamp() != loaded_; }

std::string certificates::stamp() const {
  std::string text;
  for (auto* file : {&certfile_, &keyfile_}) {
    struct stat info {};
    if (::stat(file->c_str(), &info) != 0) continue;
    text += std::to_string(info.st_ino) + "," + std::to_string(info.st_mtim.tv_sec) + "," +
            std::to_string(info.st_mtim.tv_nsec) + "," + std::to_string(info.st_size) + ";";
  }
  return text;
}

}  // namespace roost::detail
