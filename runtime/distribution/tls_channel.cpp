#include "runtime/distribution/tls_channel.hpp"
#include "runtime/config.hpp"
#include "runtime/distribution/link_key.hpp"
#include "runtime/distribution/tls_settings.hpp"
#include "runtime/node_table.hpp"
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/stat.h>
#include <array>
#include <atomic>
#include <exception>
#include <mutex>
#include <tuple>

namespace roost::detail {
namespace {

constexpr std::string_view key_label = "roost link tls 1.3 psk 1";
constexpr std::size_t most_handshake = std::size_t{64} << 10;
// Neither sending nor receiving waits for the other longer than this many bytes take.
constexpr std::size_t most_at_once = std::size_t{64} << 10;
constexpr std::size_t record_size = SSL3_RT_MAX_PLAIN_LENGTH;
constexpr std::size_t record_overhead = 5 + 1 + 16;  // header, kind, tag
// Of answers to a peer that asks for new keys while nothing is sent.
constexpr std::size_t most_pending = std::size_t{16} << 10;

struct ssl_freed {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};

constexpr std::size_t records_of(std::size_t bytes) {
  return (bytes + record_size - 1) / record_size;
}

class tls_channel : public secure_channel {
 public:
  enum class role { client, server };

  /// `server` is the name of the server, in either role.
  tls_channel(
      std::shared_ptr<const security_options> options, SSL_CTX* settings, role role,
      std::string_view server);

  state start(std::string& to_socket) override;
  state received(std::string_view from_socket, std::string& plain, std::string& to_socket) override;
  bool send(std::string_view plain, std::string& to_socket) override;
  void close(std::string& to_socket) override;
  bool closed() const noexcept override { return closed_; }
  std::string peer() const override;
  bool may_be(std::string_view node) const override;
  std::string error() const override;

  // What OpenSSL calls, on behalf of handshake, read and write.
  std::size_t take_input(char* out, std::size_t most);
  void put_output(std::string_view bytes) { output_->append(bytes); }
  const std::string& own_name() const { return options_->node; }
  SSL_SESSION* session_of_client();
  SSL_SESSION* session_of_server(std::string_view identity);
  bool looked_for(std::string_view name);
  bool has_proof_to_check(int& alert);
  bool accepts(X509_STORE_CTX* chain);
  void complain(std::string sentence) {
    if (complaint_.empty()) complaint_ = std::move(sentence);
  }

 private:
  bool by_cookie() const { return options_->mode == link_security::psk; }
  /// How the other end is called in sentences.
  std::string other_end() const;
  SSL_SESSION* make_session(const std::string& client) const;
  void take(std::string_view part, std::string& plain, std::string& to_socket);
  void handshake();
  void establish();
  void read(std::string& plain);
  bool write(std::string_view part, std::string& to_socket);
  std::string fault_in_handshake() const;
  std::string about_alert(int alert) const;
  std::string about_cookie_alert(int alert) const;
  void fail(std::string sentence);

  const std::shared_ptr<const security_options> options_;
  const role role_;
  const std::string server_;
  std::unique_ptr<SSL, ssl_freed> ssl_;

  mutable std::mutex mutex_;  // guards what follows, and ssl_
  std::string_view input_;    // of the present call, not yet taken
  std::string* output_ = nullptr;
  std::string pending_;  // to be sent before what is sent next
  std::size_t allowance_ = most_handshake;
  std::uint64_t records_ = 0;  // under the present key
  std::string client_;         // the client's name, once it has a cookie
  bool asked_ = false;
  bool closing_ = false;
  std::string complaint_;  // of a callback
  std::string error_;
  std::atomic<bool> closed_{false};
  std::atomic<state> state_{state::handshaking};
};

// --- What OpenSSL calls --------------------------------------------------------------------------

tls_channel& channel_of(const SSL* ssl) {
  return *static_cast<tls_channel*>(SSL_get_ex_data(ssl, 0));
}

/// Exceptions end here, as OpenSSL cannot be unwound.
template <class T, class F>
T guarded(tls_channel& channel, T otherwise, F action) noexcept {
  try {
    return action();
  } catch (const std::exception& error) {
    channel.complain(error.what());
  } catch (...) {
    channel.complain("expected the cookie to be at hand, got an unknown exception");
  }
  return otherwise;
}

int bio_read(BIO* bio, char* out, std::size_t most, std::size_t* taken) {
  BIO_clear_retry_flags(bio);
  *taken = static_cast<tls_channel*>(BIO_get_data(bio))->take_input(out, most);
  if (*taken > 0) return 1;
  BIO_set_retry_read(bio);
  return 0;
}

int bio_write(BIO* bio, const char* bytes, std::size_t size, std::size_t* written) {
  BIO_clear_retry_flags(bio);
  auto& channel = *static_cast<tls_channel*>(BIO_get_data(bio));
  *written = size;
  return guarded(channel, 0, [&] {
    channel.put_output({bytes, size});
    return 1;
  });
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* bio_method() {
  static BIO_METHOD* method = [] {
    auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "roost link");
    if (made == nullptr) throw std::bad_alloc();
    BIO_meth_set_read_ex(made, bio_read);
    BIO_meth_set_write_ex(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

int use_session(
    SSL* ssl, const EVP_MD*, const unsigned char** identity, std::size_t* size,
    SSL_SESSION** session) {
  auto& channel = channel_of(ssl);
  *session = guarded<SSL_SESSION*>(channel, nullptr, [&] { return channel.session_of_client(); });
  const auto& name = channel.own_name();
  *identity = reinterpret_cast<const unsigned char*>(name.data());
  *size = name.size();
  return *session != nullptr ? 1 : 0;
}

int find_session(SSL* ssl, const unsigned char* identity, std::size_t size, SSL_SESSION** session) {
  auto& channel = channel_of(ssl);
  std::string_view name(reinterpret_cast<const char*>(identity), size);
  *session =
      guarded<SSL_SESSION*>(channel, nullptr, [&] { return channel.session_of_server(name); });
  return 1;
}

/// The name in the extension server_name: a list's length, a kind, a length, the name.
std::string_view name_in(const unsigned char* extension, std::size_t size) {
  constexpr std::size_t before = 5;
  if (size <= before) return {};
  return {reinterpret_cast<const char*>(extension) + before, size - before};
}

int client_hello(SSL* ssl, int* alert, void*) {
  const unsigned char* extension = nullptr;
  std::size_t size = 0;
  // It is left out by those who do not know whom they talk to. The cookie says whether they do.
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &size) != 1)
    return SSL_CLIENT_HELLO_SUCCESS;
  auto& channel = channel_of(ssl);
  if (guarded(channel, false, [&] { return channel.looked_for(name_in(extension, size)); }))
    return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_CLIENT_HELLO_ERROR;
}

/// Called whether or not the client has sent a name, when pre-shared keys have been looked at.
int server_name(SSL* ssl, int* alert, void*) {
  if (SSL_is_server(ssl) == 0) return SSL_TLSEXT_ERR_NOACK;
  return channel_of(ssl).has_proof_to_check(*alert) ? SSL_TLSEXT_ERR_NOACK
                                                    : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int verify(X509_STORE_CTX* chain, void*) {
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& channel = channel_of(ssl);
  return guarded(channel, false, [&] { return channel.accepts(chain); }) ? 1 : 0;
}

void set_callbacks(SSL_CTX* settings, link_security mode) {
  SSL_CTX_set_client_hello_cb(settings, client_hello, nullptr);
  SSL_CTX_set_tlsext_servername_callback(settings, server_name);
  SSL_CTX_set_cert_verify_callback(settings, verify, nullptr);
  if (mode != link_security::psk) return;
  SSL_CTX_set_psk_use_session_callback(settings, use_session);
  SSL_CTX_set_psk_find_session_callback(settings, find_session);
}

// --- The channel ---------------------------------------------------------------------------------

tls_channel::tls_channel(
    std::shared_ptr<const security_options> options, SSL_CTX* settings, role role,
    std::string_view server)
    : options_(std::move(options)), role_(role), server_(server), ssl_(SSL_new(settings)) {
  auto* bio = ssl_ ? BIO_new(bio_method()) : nullptr;
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  if (SSL_set_ex_data(ssl_.get(), 0, this) != 1) throw std::bad_alloc();
  if (role == role::client) {
    SSL_set_connect_state(ssl_.get());
    // Without a cookie a server could show a certificate instead. Nobody verifies those by default.
    SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER, nullptr);
    if (is_node_name(server_)) SSL_set_tlsext_host_name(ssl_.get(), server_.c_str());
  } else {
    SSL_set_accept_state(ssl_.get());
    if (!by_cookie())
      SSL_set_verify(ssl_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
}

secure_channel::state tls_channel::start(std::string& to_socket) {
  std::lock_guard lock(mutex_);
  if (role_ == role::server) return state_;
  if (!is_node_name(server_)) {
    fail("expected the node to be called name@host, got something else");
    return state_;
  }
  std::string hello;
  output_ = &hello;
  handshake();
  // There is nothing to say to the other end if there is no cookie for it.
  if (state_ != state::failed) to_socket += hello;
  return state_;
}

secure_channel::state tls_channel::received(
    std::string_view from_socket, std::string& plain, std::string& to_socket) {
  while (!from_socket.empty()) {
    auto part = from_socket.substr(0, most_at_once);
    from_socket.remove_prefix(part.size());
    std::lock_guard lock(mutex_);
    if (state_ != state::failed) take(part, plain, to_socket);
    if (state_ == state::failed) break;
  }
  return state_;
}

void tls_channel::take(std::string_view part, std::string& plain, std::string& to_socket) {
  try {
    input_ = part;
    if (state_ == state::handshaking) {
      output_ = &to_socket;
      handshake();
    }
    if (state_ == state::established) {
      output_ = &pending_;
      read(plain);
    }
    if (state_ == state::failed) to_socket += std::exchange(pending_, {});
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void tls_channel::handshake() {
  ERR_clear_error();
  int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return establish();
  if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) return fail(fault_in_handshake());
  if (!input_.empty())
    fail(
        "expected " + other_end() + " to need at most " + std::to_string(most_handshake) +
        " bytes for the handshake, got more");
}

void tls_channel::establish() {
  // It proves the cookie. A server that proves anything else instead ends here at the latest.
  if (by_cookie() && SSL_session_reused(ssl_.get()) != 1)
    return fail("expected " + other_end() + " to prove the cookie, got no proof");
  state_ = state::established;
}

void tls_channel::read(std::string& plain) {
  ERR_clear_error();
  std::array<char, record_size> block;
  std::size_t size = 0;
  while (SSL_read_ex(ssl_.get(), block.data(), block.size(), &size) == 1)
    plain.append(block.data(), size);
  int why = SSL_get_error(ssl_.get(), 0);
  if (why == SSL_ERROR_ZERO_RETURN) {
    closed_ = true;
    fail("the other end has closed the link");
  } else if (why != SSL_ERROR_WANT_READ) {
    fail(fault_in_handshake());
  } else if (pending_.size() > most_pending) {
    fail("expected " + other_end() + " to ask for new keys now and then, got no end of it");
  }
}

bool tls_channel::send(std::string_view plain, std::string& to_socket) {
  if (state_ != state::established) return false;
  to_socket.reserve(to_socket.size() + plain.size() + records_of(plain.size()) * record_overhead);
  while (!plain.empty()) {
    auto part = plain.substr(0, most_at_once);
    plain.remove_prefix(part.size());
    std::lock_guard lock(mutex_);
    if (!write(part, to_socket)) return false;
  }
  return true;
}

bool tls_channel::write(std::string_view part, std::string& to_socket) {
  if (state_ != state::established || closing_) return false;
  ERR_clear_error();
  to_socket += std::exchange(pending_, {});
  output_ = &to_socket;
  if (records_ >= options_->records_per_key) {
    records_ = 0;
    SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED);
  }
  records_ += records_of(part.size());
  std::size_t written = 0;
  if (SSL_write_ex(ssl_.get(), part.data(), part.size(), &written) == 1) return true;
  fail("expected TLS to encrypt what is sent, got: " + tls_reason());
  return false;
}

void tls_channel::close(std::string& to_socket) {
  std::lock_guard lock(mutex_);
  if (state_ != state::established || closing_) return;
  ERR_clear_error();
  to_socket += std::exchange(pending_, {});
  output_ = &to_socket;
  closing_ = true;
  SSL_shutdown(ssl_.get());
}

std::string tls_channel::peer() const {
  if (state_ != state::established || !by_cookie()) return {};
  return role_ == role::client ? server_ : client_;
}

bool tls_channel::may_be(std::string_view node) const {
  if (state_ != state::established) return false;
  if (by_cookie()) return node == peer();
  std::lock_guard lock(mutex_);
  std::unique_ptr<X509, ssl_freed> certificate(SSL_get1_peer_certificate(ssl_.get()));
  return certificate && certificate_covers(certificate.get(), node);
}

std::string tls_channel::error() const {
  std::lock_guard lock(mutex_);
  return error_;
}

void tls_channel::fail(std::string sentence) {
  error_ = std::move(sentence);
  state_ = state::failed;
}

// --- Bytes ---------------------------------------------------------------------------------------

std::size_t tls_channel::take_input(char* out, std::size_t most) {
  bool known = state_ == state::established;
  auto part = input_.substr(0, known ? most : std::min(most, allowance_));
  part.copy(out, part.size());
  input_.remove_prefix(part.size());
  if (!known) allowance_ -= part.size();
  return part.size();
}

// --- Proofs --------------------------------------------------------------------------------------

SSL_SESSION* tls_channel::make_session(const std::string& client) const {
  auto cookie = options_->cookie_for(role_ == role::client ? server_ : client);
  if (!cookie || cookie->empty()) return nullptr;
  const auto key = derive_link_key(*cookie, key_label, client, server_);
  OPENSSL_cleanse(cookie->data(), cookie->size());
  std::unique_ptr<SSL_SESSION, ssl_freed> session(SSL_SESSION_new());
  const auto* suite = SSL_CIPHER_find(ssl_.get(), tls_suite_number.data());
  if (!session || suite == nullptr ||
      SSL_SESSION_set1_master_key(session.get(), key.bytes.data(), key.bytes.size()) != 1 ||
      SSL_SESSION_set_cipher(session.get(), suite) != 1 ||
      SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1)
    throw std::runtime_error("expected OpenSSL to take the key of the cookie, got an error");
  return session.release();
}

SSL_SESSION* tls_channel::session_of_client() {
  auto* session = make_session(options_->node);
  if (session == nullptr)
    complain("expected a cookie for links with " + server_ + " to be set, got none");
  return session;
}

SSL_SESSION* tls_channel::session_of_server(std::string_view identity) {
  // Nodes offer one key. Whoever offers thousands does not make this one look for as many cookies.
  if (std::exchange(asked_, true)) return nullptr;
  if (!is_node_name(identity)) {
    complain("expected the other end to call itself name@host, got something else");
    return nullptr;
  }
  std::string client(identity);
  auto* session = make_session(client);
  if (session == nullptr)
    complain("expected a cookie for links with " + client + " to be set, got none");
  else
    client_ = std::move(client);
  return session;
}

bool tls_channel::looked_for(std::string_view name) {
  if (name == server_) return true;
  complain(
      "expected the other end to look for this node, " + server_ + ", got " +
      std::string(is_node_name(name) ? name : "something else"));
  return false;
}

bool tls_channel::has_proof_to_check(int& alert) {
  if (!by_cookie() || !client_.empty()) return true;
  complain("expected the other end to prove the cookie, got no proof");
  alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
  return false;
}

bool tls_channel::accepts(X509_STORE_CTX* chain) {
  if (by_cookie()) {
    complain("expected " + other_end() + " to prove the cookie, got a certificate");
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    return false;
  }
  if (X509_verify_cert(chain) != 1) {
    complain(
        "expected " + other_end() + " to show a certificate that holds, got one with a fault: " +
        X509_verify_cert_error_string(X509_STORE_CTX_get_error(chain)));
    return false;
  }
  if (role_ == role::server || certificate_covers(X509_STORE_CTX_get0_cert(chain), server_))
    return true;
  complain("expected the certificate of " + server_ + " to be for it, got one for other names");
  X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
  return false;
}

// --- Sentences -----------------------------------------------------------------------------------

std::string tls_channel::other_end() const {
  const auto& name = role_ == role::client ? server_ : client_;
  return name.empty() ? "the other end" : name;
}

std::string tls_channel::fault_in_handshake() const {
  if (!complaint_.empty()) return complaint_;
  // The first one is the cause; others say who passed it on.
  const int reason = ERR_GET_REASON(ERR_peek_error());
  constexpr int last_alert = 255;
  if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + last_alert)
    return about_alert(reason - SSL_AD_REASON_OFFSET);
  if (state_ == state::established)
    return "expected " + other_end() + " to keep to TLS, got: " + tls_reason();
  bool is_other_key =
      reason == SSL_R_BINDER_DOES_NOT_VERIFY || reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC;
  if (by_cookie() && is_other_key)
    return "expected " + other_end() + " to prove the cookie, got proof of another one";
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
    return "expected " + other_end() + " to show a certificate, got none";
  return "expected " + other_end() + " to shake hands by TLS 1.3, got: " + tls_reason();
}

bool is_about_certificate(int alert) {
  if (alert == SSL_AD_ILLEGAL_PARAMETER) return false;  // in the middle of those that are
  return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_ACCESS_DENIED) ||
         alert == SSL_AD_CERTIFICATE_REQUIRED;
}

std::string tls_channel::about_alert(int alert) const {
  if (alert == SSL_AD_UNRECOGNIZED_NAME && role_ == role::client)
    return "expected the node there to be " + server_ + ", got one with another name";
  if (by_cookie() && role_ == role::client && state_ == state::handshaking)
    if (auto sentence = about_cookie_alert(alert); !sentence.empty()) return sentence;
  const char* what =
      is_about_certificate(alert) ? " to accept this node's certificate" : " to go on";
  return "expected " + other_end() + what + ", got its alert: " + SSL_alert_desc_string_long(alert);
}

std::string tls_channel::about_cookie_alert(int alert) const {
  if (alert == SSL_AD_UNKNOWN_PSK_IDENTITY)
    return "expected " + server_ + " to have a cookie for this node, got a refusal";
  if (alert == SSL_AD_ILLEGAL_PARAMETER || alert == SSL_AD_DECRYPT_ERROR)
    return "expected " + server_ + " to have the same cookie, got a refusal: it has another one";
  return {};
}

// --- Contexts ------------------------------------------------------------------------------------

std::unique_ptr<secure_channel> make_client(
    const std::shared_ptr<const security_options>& options, SSL_CTX* settings,
    std::string_view server) {
  return std::make_unique<tls_channel>(options, settings, tls_channel::role::client, server);
}

std::unique_ptr<secure_channel> make_server(
    const std::shared_ptr<const security_options>& options, SSL_CTX* settings) {
  return std::make_unique<tls_channel>(options, settings, tls_channel::role::server, options->node);
}

class psk_context : public security_context {
 public:
  explicit psk_context(security_options options)
      : options_(std::make_shared<const security_options>(std::move(options))),
        settings_(make_tls_settings()) {
    set_callbacks(settings_.get(), options_->mode);
  }

  std::unique_ptr<secure_channel> client(std::string_view server) override {
    return make_client(options_, settings_.get(), server);
  }
  std::unique_ptr<secure_channel> server() override {
    return make_server(options_, settings_.get());
  }

 private:
  const std::shared_ptr<const security_options> options_;
  const std::shared_ptr<SSL_CTX> settings_;
};

/// What changes when a file is written or replaced.
using file_stamp = std::tuple<dev_t, ino_t, off_t, time_t, long>;

file_stamp stamp_of(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

class certificates_context : public security_context {
 public:
  explicit certificates_context(security_options options)
      : options_(std::make_shared<const security_options>(std::move(options))),
        stamps_(present_stamps()),
        settings_(load()) {}

  std::unique_ptr<secure_channel> client(std::string_view server) override {
    return make_client(options_, present().get(), server);
  }
  std::unique_ptr<secure_channel> server() override {
    return make_server(options_, present().get());
  }

 private:
  using stamps = std::array<file_stamp, 3>;

  stamps present_stamps() const {
    return {
        stamp_of(options_->certificate), stamp_of(options_->key), stamp_of(options_->authority)};
  }

  std::shared_ptr<SSL_CTX> load() const {
    auto settings = make_tls_settings(options_->certificate, options_->key, options_->authority);
    set_callbacks(settings.get(), options_->mode);
    return settings;
  }

  /// Files that are being replaced do not fit together for a moment: the next channel looks again.
  std::shared_ptr<SSL_CTX> present() {
    std::lock_guard lock(mutex_);
    // Looked at before they are read, so that what is written meanwhile counts as a change.
    auto now = present_stamps();
    if (now == stamps_) return settings_;
    stamps_ = now;
    try {
      settings_ = load();
    } catch (const std::exception& error) {
      if (options_->warn)
        options_->warn(std::string(error.what()) + "; links go on with the certificate before");
    }
    return settings_;
  }

  const std::shared_ptr<const security_options> options_;
  std::mutex mutex_;
  stamps stamps_;
  std::shared_ptr<SSL_CTX> settings_;
};

}  // namespace

std::shared_ptr<security_context> make_tls_context(security_options options) {
  if (options.mode == link_security::psk) return std::make_shared<psk_context>(std::move(options));
  return std::make_shared<certificates_context>(std::move(options));
}

}  // namespace roost::detail
