#include "channels/client/tls_session.hpp"
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <mutex>
#include <stdexcept>

namespace roost::detail {
namespace {

// --- the socket as OpenSSL sees it ---------------------------------------------------------------

// OpenSSL's own socket BIO uses write(), which raises SIGPIPE when the server has gone.

int socket_of(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

bool try_again(int error) { return error == EAGAIN || error == EINTR; }

int send_bytes(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const auto count =
      ::send(socket_of(bio), bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && try_again(errno)) BIO_set_retry_write(bio);
  return static_cast<int>(count);
}

int receive_bytes(BIO* bio, char* buffer, int size) {
  BIO_clear_retry_flags(bio);
  const auto count = ::recv(socket_of(bio), buffer, static_cast<std::size_t>(size), MSG_DONTWAIT);
  if (count < 0 && try_again(errno)) BIO_set_retry_read(bio);
  return static_cast<int>(count);
}

long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* socket_method() {
  static auto* const method = [] {
    auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write(made, send_bytes);
    BIO_meth_set_read(made, receive_bytes);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

BIO* bio_of(int fd) {
  auto* bio = BIO_new(socket_method());
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

// --- errors --------------------------------------------------------------------------------------

std::string openssl_error() {
  std::array<char, 160> text{};
  const auto code = ERR_get_error();
  if (code == 0) return "a closed connection";
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

std::shared_ptr<ssl_ctx_st> make_settings(const std::string& ca_file, bool verify) {
  std::shared_ptr<ssl_ctx_st> settings(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!settings) throw std::runtime_error("expected OpenSSL to offer TLS, got " + openssl_error());
  SSL_CTX_set_min_proto_version(settings.get(), TLS1_2_VERSION);
  // Buffers of an idle session go back, and what is to be sent may move in memory meanwhile.
  SSL_CTX_set_mode(
      settings.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(settings.get(), verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!verify) return settings;
  ERR_clear_error();
  const bool loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(settings.get()) == 1
                                      : SSL_CTX_load_verify_locations(
                                            settings.get(), ca_file.c_str(), nullptr) == 1;
  if (!loaded)
    throw std::invalid_argument(
        "expected the ca_file of a client to hold certificates, got " + openssl_error() + " (" +
        ca_file + ")");
  return settings;
}

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> address;
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

bool expect_host(ssl_st* session, std::string host) {
  auto* rules = SSL_get0_param(session);
  X509_VERIFY_PARAM_set_hostflags(
      rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1;
  if (host.ends_with('.')) host.pop_back();  // names end without a dot in certificates
  return X509_VERIFY_PARAM_set1_host(rules, host.data(), host.size()) == 1 &&
         SSL_set_tlsext_host_name(session, host.c_str()) == 1;
}

}  // namespace

std::shared_ptr<ssl_ctx_st> tls_settings(const std::string& ca_file, bool verify) {
  // Loading the system's certificates takes milliseconds and a megabyte; thousands of clients of
  // one server want the same.
  static std::mutex mutex;
  static auto& known = *new std::map<std::pair<std::string, bool>, std::weak_ptr<ssl_ctx_st>>;
  std::lock_guard guard{mutex};
  auto& place = known[{ca_file, verify}];
  auto settings = place.lock();
  if (settings) return settings;
  settings = make_settings(ca_file, verify);
  place = settings;
  return settings;
}

void tls_session::free_session::operator()(ssl_st* session) const noexcept { SSL_free(session); }

tls_session::tls_session(ssl_ctx_st& settings, int fd, const std::string& host, bool verify)
    : session_(SSL_new(&settings)) {
  if (!session_) throw std::bad_alloc();
  if (!expect_host(session_.get(), host) && verify)
    throw std::runtime_error("a name that TLS cannot verify");
  auto* bio = bio_of(fd);
  SSL_set_bio(session_.get(), bio, bio);
  SSL_set_connect_state(session_.get());
}

stream_result tls_session::result_of(int returned, std::string_view what) {
  if (returned > 0) return {.count = static_cast<std::size_t>(returned)};
  switch (SSL_get_error(session_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {.what = stream_result::blocked};
    case SSL_ERROR_WANT_WRITE:
      return {.what = stream_result::blocked, .wants_to_write = true};
    case SSL_ERROR_ZERO_RETURN:
      return {.what = stream_result::ended, .reason = "a closed connection"};
    default:
      break;
  }
  const auto verdict = SSL_get_verify_result(session_.get());
  if (verdict != X509_V_OK && SSL_get_verify_mode(session_.get()) != SSL_VERIFY_NONE)
    return {
        .what = stream_result::failed,
        .reason = std::string("a certificate that does not prove its name: ") +
                  X509_verify_cert_error_string(verdict)};
  return {.what = stream_result::failed, .reason = std::string(what) + ": " + openssl_error()};
}

stream_result tls_session::shake_hands() {
  ERR_clear_error();
  return result_of(SSL_do_handshake(session_.get()), "no TLS");
}

stream_result tls_session::read(std::span<char> buffer) {
  ERR_clear_error();
  return result_of(
      SSL_read(session_.get(), buffer.data(), static_cast<int>(buffer.size())), "broken TLS");
}

stream_result tls_session::write(std::string_view bytes) {
  ERR_clear_error();
  constexpr std::size_t most = 1 << 20;
  const auto size = static_cast<int>(std::min(bytes.size(), most));
  return result_of(SSL_write(session_.get(), bytes.data(), size), "broken TLS");
}

bool tls_session::has_more() const { return SSL_pending(session_.get()) > 0; }

}  // namespace roost::detail
