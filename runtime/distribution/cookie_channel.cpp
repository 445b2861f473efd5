#include "runtime/distribution/cookie_channel.hpp"
#include "runtime/distribution/link_key.hpp"
#include "runtime/node_table.hpp"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <array>
#include <atomic>
#include <exception>
#include <stdexcept>

namespace roost::detail {
namespace {

constexpr std::string_view magic = "roost";
constexpr unsigned char version = 1;
constexpr std::string_view key_label = "roost link cookie 1";
constexpr std::string_view proof_label = "roost link proof 1";

constexpr std::size_t header_size = 3;
constexpr std::size_t secret_size = 32;  // of nonces and proofs
// Of all frames that one end sends before it is known.
constexpr std::size_t most_bytes = 512;
constexpr std::size_t most_hello =
    most_bytes - header_size - (header_size + secret_size);  // the proof is to come

enum class kind : unsigned char { hello = 1, challenge = 2, proof = 3, refused = 4 };
enum class refusal : unsigned char {
  version = 1,
  other_name = 2,
  no_cookie = 3,
  wrong_cookie = 4,
  failed = 5
};
enum class role : unsigned char { client = 1, server = 2 };

using nonce = std::array<unsigned char, secret_size>;

std::string_view view(const nonce& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Ends the handshake; what() is the sentence.
struct handshake_error : std::runtime_error {
  using std::runtime_error::runtime_error;
  std::optional<refusal> answer;
};

[[noreturn]] void refuse(std::string sentence, std::optional<refusal> answer = {}) {
  handshake_error error(std::move(sentence));
  error.answer = answer;
  throw error;
}

nonce fresh_nonce() {
  nonce result;
  if (RAND_bytes(result.data(), static_cast<int>(result.size())) != 1)
    throw std::runtime_error("expected the system to give random bytes, got an error");
  return result;
}

void append_text(std::string& out, std::string_view text) {
  out += static_cast<char>(text.size());
  out += text;
}

void append_frame(std::string& out, kind kind, std::string_view body) {
  out += static_cast<char>(body.size() >> 8);
  out += static_cast<char>(body.size() & 0xff);
  out += static_cast<char>(kind);
  out += body;
}

struct frame {
  kind what;
  std::string body;
};

/// Takes the parts of a body one after the other.
class reader {
 public:
  explicit reader(std::string_view rest) : rest_(rest) {}

  std::string_view bytes(std::size_t count) {
    if (count > rest_.size()) refuse("expected a handshake frame to be whole, got a short one");
    auto result = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return result;
  }
  unsigned char byte() { return static_cast<unsigned char>(bytes(1)[0]); }
  std::string_view text() { return bytes(byte()); }
  nonce secret() {
    nonce result;
    auto from = bytes(secret_size);
    std::copy(from.begin(), from.end(), result.begin());
    return result;
  }
  void end() const {
    if (!rest_.empty()) refuse("expected a handshake frame to end, got more");
  }

 private:
  std::string_view rest_;
};

/// What both ends know after two frames.
struct exchange {
  std::string client;
  std::string server;
  nonce of_client{};
  nonce of_server{};
  link_key key;

  nonce proof(role role) const {
    std::string text;
    append_text(text, proof_label);
    text += static_cast<char>(role);
    append_text(text, client);
    append_text(text, server);
    text += view(of_client);
    text += view(of_server);
    nonce result;
    if (HMAC(
            EVP_sha256(), key.bytes.data(), static_cast<int>(key.bytes.size()),
            reinterpret_cast<const unsigned char*>(text.data()), text.size(), result.data(),
            nullptr) == nullptr)
      throw std::runtime_error("expected HMAC-SHA256 to work, got an error");
    return result;
  }

  bool proves(role role, const nonce& given) const {
    auto wanted = proof(role);
    return CRYPTO_memcmp(wanted.data(), given.data(), wanted.size()) == 0;
  }
};

/// Collects the frames of the other end, up to the limit.
class frame_buffer {
 public:
  /// Takes no more than it needs from the front of `bytes`.
  std::optional<frame> next(std::string_view& bytes) {
    take(bytes, header_size);
    if (data_.size() < header_size) return std::nullopt;
    std::size_t length =
        static_cast<unsigned char>(data_[0]) << 8 | static_cast<unsigned char>(data_[1]);
    if (before_ + header_size + length > most_bytes)
      refuse(
          "expected a handshake to take at most " + std::to_string(most_bytes) +
          " bytes, got more");
    take(bytes, header_size + length);
    if (data_.size() < header_size + length) return std::nullopt;
    frame result{static_cast<kind>(data_[2]), data_.substr(header_size)};
    before_ += data_.size();
    data_.clear();
    return result;
  }

 private:
  void take(std::string_view& bytes, std::size_t until) {
    if (data_.size() >= until) return;
    auto part = bytes.substr(0, until - data_.size());
    data_ += part;
    bytes.remove_prefix(part.size());
  }

  std::string data_;
  std::size_t before_ = 0;
};

class cookie_channel : public secure_channel {
 public:
  explicit cookie_channel(std::shared_ptr<const security_options> options)
      : options_(std::move(options)) {}

  state start(std::string& to_socket) override {
    std::string first;
    guarded(first, [&] { begin(first); });
    // There is nothing to say to the other end if there is no cookie for it.
    if (state_ != state::failed) to_socket += first;
    return state_;
  }

  state received(
      std::string_view from_socket, std::string& plain, std::string& to_socket) override {
    if (state_ != state::handshaking) {
      if (state_ == state::established) plain += from_socket;
      return state_;
    }
    return guarded(to_socket, [&] {
      while (state_ == state::handshaking) {
        auto next = frames_.next(from_socket);
        if (!next) return;
        take(*next, to_socket);
      }
      plain += from_socket;
    });
  }

  bool send(std::string_view plain, std::string& to_socket) override {
    if (state_ != state::established) return false;
    to_socket += plain;
    return true;
  }

  bool passes_through() const noexcept override { return true; }
  std::string peer() const override {
    return state_ == state::established ? other_end() : std::string();
  }
  bool may_be(std::string_view node) const override {
    return state_ == state::established && node == other_end();
  }
  // Written before the state says so, and not again.
  std::string error() const override { return state_ == state::failed ? error_ : std::string(); }

 protected:
  virtual void begin(std::string& to_socket) = 0;
  virtual void take(const frame& frame, std::string& to_socket) = 0;
  virtual const std::string& other_end() const = 0;

  void expect(const frame& frame, kind kind) const {
    if (frame.what != kind)
      refuse("expected the other end to begin as a roost node does, got something else");
  }

  /// Looks the cookie up when both names are known.
  void derive_key() {
    auto cookie = options_->cookie_for(other_end());
    if (!cookie || cookie->empty())
      refuse(
          "expected a cookie for links with " + other_end() + " to be set, got none",
          refusal::no_cookie);
    exchange_.key = derive_link_key(*cookie, key_label, exchange_.client, exchange_.server);
    OPENSSL_cleanse(cookie->data(), cookie->size());
  }

  void send_proof(role role, std::string& to_socket) const {
    append_frame(to_socket, kind::proof, view(exchange_.proof(role)));
  }

  void check_proof(role role, const frame& frame) const {
    reader body(frame.body);
    auto given = body.secret();
    body.end();
    if (!exchange_.proves(role, given))
      refuse(
          "expected " + other_end() + " to prove the cookie, got proof of another one",
          refusal::wrong_cookie);
  }

  void establish() { state_ = state::established; }

  const std::shared_ptr<const security_options> options_;
  exchange exchange_;

 private:
  template <class F>
  state guarded(std::string& to_socket, F action) {
    try {
      action();
    } catch (const handshake_error& error) {
      if (error.answer) answer(*error.answer, to_socket);
      fail(error.what());
    } catch (const std::exception& error) {
      answer(refusal::failed, to_socket);
      fail(error.what());
    } catch (...) {
      answer(refusal::failed, to_socket);
      fail("expected the cookie to be at hand, got an unknown exception");
    }
    return state_;
  }

  static void answer(refusal why, std::string& to_socket) {
    append_frame(to_socket, kind::refused, std::string(1, static_cast<char>(why)));
  }

  void fail(std::string sentence) {
    error_ = std::move(sentence);
    state_ = state::failed;
  }

  frame_buffer frames_;
  std::string error_;
  std::atomic<state> state_{state::handshaking};
};

class cookie_client : public cookie_channel {
 public:
  cookie_client(std::shared_ptr<const security_options> options, std::string_view server)
      : cookie_channel(std::move(options)) {
    exchange_.client = options_->node;
    exchange_.server = server;
  }

 private:
  const std::string& other_end() const override { return exchange_.server; }

  void begin(std::string& to_socket) override {
    if (!is_node_name(exchange_.server))
      refuse("expected the node to be called name@host, got not");
    derive_key();
    exchange_.of_client = fresh_nonce();
    std::string body(magic);
    body += static_cast<char>(version);
    append_text(body, exchange_.client);
    append_text(body, exchange_.server);
    body += view(exchange_.of_client);
    if (body.size() > most_hello)
      refuse("expected the names of both nodes to fit into a handshake frame, got longer ones");
    append_frame(to_socket, kind::hello, body);
  }

  void take(const frame& frame, std::string& to_socket) override {
    if (frame.what == kind::refused) refused(frame);
    reader body(frame.body);
    if (!challenged_) {
      expect(frame, kind::challenge);
      exchange_.of_server = body.secret();
      body.end();
      challenged_ = true;
      send_proof(role::client, to_socket);
      return;
    }
    expect(frame, kind::proof);
    check_proof(role::server, frame);
    establish();
  }

  [[noreturn]] void refused(const frame& frame) const {
    const auto& server = exchange_.server;
    reader body(frame.body);
    switch (static_cast<refusal>(body.byte())) {
      case refusal::version:
        refuse("expected " + server + " to speak version 1 of the handshake, got a refusal");
      case refusal::other_name:
        refuse("expected the node there to be " + server + ", got one with another name");
      case refusal::no_cookie:
        refuse("expected " + server + " to have a cookie for this node, got a refusal");
      case refusal::failed:
        refuse("expected " + server + " to look its cookie up, got a refusal");
      case refusal::wrong_cookie:
        refuse(
            "expected " + server + " to have the same cookie, got a refusal: it has another one");
    }
    refuse("expected " + server + " to accept this node, got a refusal");
  }

  bool challenged_ = false;
};

class cookie_server : public cookie_channel {
 public:
  explicit cookie_server(std::shared_ptr<const security_options> options)
      : cookie_channel(std::move(options)) {
    exchange_.server = options_->node;
  }

 private:
  const std::string& other_end() const override { return exchange_.client; }

  void begin(std::string&) override {}

  void take(const frame& frame, std::string& to_socket) override {
    if (exchange_.client.empty()) {
      expect(frame, kind::hello);
      read_hello(frame);
      derive_key();
      exchange_.of_server = fresh_nonce();
      append_frame(to_socket, kind::challenge, view(exchange_.of_server));
      return;
    }
    if (frame.what == kind::refused)
      refuse("expected " + exchange_.client + " to go on with the handshake, got a refusal");
    expect(frame, kind::proof);
    check_proof(role::client, frame);
    send_proof(role::server, to_socket);
    establish();
  }

  void read_hello(const frame& frame) {
    reader body(frame.body);
    if (body.bytes(magic.size()) != magic)
      refuse("expected the other end to begin as a roost node does, got something else");
    if (auto theirs = body.byte(); theirs != version)
      refuse(
          "expected the other end to speak version 1 of the handshake, got version " +
              std::to_string(theirs),
          refusal::version);
    auto client = body.text();
    auto server = body.text();
    exchange_.of_client = body.secret();
    body.end();
    // Names are told in logs.
    if (!is_node_name(client) || !is_node_name(server))
      refuse("expected the other end to call nodes name@host, got something else");
    if (server != exchange_.server)
      refuse(
          "expected " + std::string(client) + " to look for this node, " + exchange_.server +
              ", got " + std::string(server),
          refusal::other_name);
    exchange_.client = client;
  }
};

class cookie_context : public security_context {
 public:
  explicit cookie_context(security_options options)
      : options_(std::make_shared<const security_options>(std::move(options))) {}

  std::unique_ptr<secure_channel> client(std::string_view server) override {
    return std::make_unique<cookie_client>(options_, server);
  }
  std::unique_ptr<secure_channel> server() override {
    return std::make_unique<cookie_server>(options_);
  }

 private:
  const std::shared_ptr<const security_options> options_;
};

}  // namespace

std::shared_ptr<security_context> make_cookie_context(security_options options) {
  return std::make_shared<cookie_context>(std::move(options));
}

}  // namespace roost::detail
