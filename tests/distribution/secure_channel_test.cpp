#include "runtime/distribution/secure_channel.hpp"
#include "runtime/config.hpp"
#include "runtime/node_table.hpp"
#include "tests/distribution/certificates.hpp"
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace roost::detail;
using roost::config_error;
using roost::test::authority;
using roost::test::directory;
using roost::test::identity;

namespace {

using state = secure_channel::state;

const std::string secret = "5e8c0f2a91d47b36a0e9c8d1f3b2746d";
const std::string other_secret = "c0ffee0f2a91d47b36a0e9c8d1f3b274";

std::shared_ptr<security_context> context(
    const std::string& node, const std::string& cookie = secret,
    link_security mode = link_security::psk) {
  return security_context::make(
      {.mode = mode,
       .node = node,
       .cookie_for = [cookie](std::string_view) -> std::optional<std::string> {
         if (cookie.empty()) return std::nullopt;
         return cookie;
       }});
}

/// Cookies of their own for some nodes, none for others.
std::shared_ptr<security_context> context_with(
    const std::string& node, std::map<std::string, std::string, std::less<>> cookies,
    link_security mode) {
  return security_context::make(
      {.mode = mode,
       .node = node,
       .cookie_for = [cookies](std::string_view peer) -> std::optional<std::string> {
         auto found = cookies.find(peer);
         if (found == cookies.end()) return std::nullopt;
         return found->second;
       }});
}

/// One end of a link, and what is on its way from it.
struct link_end {
  std::unique_ptr<secure_channel> channel;
  std::string out = {};
  std::string plain = {};
  std::string sent = {};  // all that ever left
  state now = state::handshaking;

  explicit link_end(std::unique_ptr<secure_channel> made) : channel(std::move(made)) {
    now = channel->start(out);
  }

  void receive(std::string_view bytes) { now = channel->received(bytes, plain, out); }
  std::string take() {
    sent += out;
    return std::exchange(out, {});
  }
};

/// Carries bytes to and fro, so many at a time, until nothing is under way.
void shuttle(link_end& a, link_end& b, std::size_t step = 1 << 18) {
  auto carry = [step](link_end& from, link_end& to) {
    auto bytes = from.take();
    for (std::size_t at = 0; at < bytes.size(); at += step)
      to.receive(std::string_view(bytes).substr(at, step));
  };
  while (!a.out.empty() || !b.out.empty()) {
    carry(a, b);
    carry(b, a);
  }
}

struct pair {
  link_end a;
  link_end b;

  pair(
      const std::shared_ptr<security_context>& client,
      const std::shared_ptr<security_context>& server, std::string_view name = "b@host",
      std::size_t step = 1 << 18)
      : a(client->client(name)), b(server->server()) {
    shuttle(a, b, step);
  }

  bool is_established() const { return a.now == state::established && b.now == state::established; }
  bool is_refused() const { return a.now == state::failed && b.now == state::failed; }
};

pair linked(link_security mode) {
  pair result(context("a@host", secret, mode), context("b@host", secret, mode));
  REQUIRE(result.is_established());
  return result;
}

std::string random_bytes(std::mt19937& random, std::size_t size) {
  std::string result(size, '\0');
  for (auto& c : result) c = static_cast<char>(random());
  return result;
}

// --- A peer of another make ----------------------------------------------------------------------

/// What roost derives from a cookie, once more, with HMAC alone (RFC 5869).
std::string link_psk(std::string_view cookie, std::string_view client, std::string_view server) {
  auto hmac = [](std::string_view key, std::string_view text) {
    std::string result(32, '\0');
    HMAC(
        EVP_sha256(), key.data(), static_cast<int>(key.size()),
        reinterpret_cast<const unsigned char*>(text.data()), text.size(),
        reinterpret_cast<unsigned char*>(result.data()), nullptr);
    return result;
  };
  std::string info;
  for (auto part : {std::string_view("roost link tls 1.3 psk 1"), client, server})
    info += std::string{'\0', static_cast<char>(part.size())} + std::string(part);
  return hmac(hmac(std::string(32, '\0'), cookie), info + '\1');
}

/// OpenSSL as it comes, at one end.
class plain_openssl {
 public:
  enum class role { client, server };

  explicit plain_openssl(role role)
      : context_(SSL_CTX_new(TLS_method()), SSL_CTX_free), role_(role) {
    SSL_CTX_set_ex_data(context_.get(), 0, this);
  }

  SSL_CTX* settings() { return context_.get(); }
  SSL* ssl() { return ssl_.get(); }

  void use(const identity& who) {
    REQUIRE(SSL_CTX_use_certificate(settings(), who.certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(settings(), who.key.get()) == 1);
  }

  void use_psk(std::string identity, std::string key) {
    identity_ = std::move(identity);
    key_ = std::move(key);
    SSL_CTX_set_psk_use_session_callback(
        settings(), [](SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* size,
                       SSL_SESSION** session) {
          auto& self = of(ssl);
          *id = reinterpret_cast<const unsigned char*>(self.identity_.data());
          *size = self.identity_.size();
          *session = self.session();
          return 1;
        });
    SSL_CTX_set_psk_find_session_callback(
        settings(), [](SSL* ssl, const unsigned char* id, std::size_t size, SSL_SESSION** session) {
          of(ssl).seen_.assign(reinterpret_cast<const char*>(id), size);
          *session = of(ssl).session();
          return 1;
        });
  }

  void start() {
    ssl_.reset(SSL_new(settings()), SSL_free);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl(), in_, out_);
    if (role_ == role::client)
      SSL_set_connect_state(ssl());
    else
      SSL_set_accept_state(ssl());
    step();
  }

  /// Carries bytes between the two until nothing moves.
  void shuttle(link_end& other) {
    while (true) {
      auto bytes = taken();
      if (!bytes.empty()) other.receive(bytes);
      auto answer = other.take();
      if (answer.empty() && bytes.empty()) return;
      if (!answer.empty()) BIO_write(in_, answer.data(), static_cast<int>(answer.size()));
      step();
    }
  }

  bool is_done() { return SSL_is_init_finished(ssl()) == 1; }
  void write(std::string_view text) {
    REQUIRE(SSL_write(ssl(), text.data(), static_cast<int>(text.size())) > 0);
  }
  const std::string& plain() const { return plain_; }
  const std::string& seen_identity() const { return seen_; }
  unsigned long error() const { return error_; }

  std::string taken() {
    char* data = nullptr;
    auto size = BIO_get_mem_data(out_, &data);
    std::string result(data, static_cast<std::size_t>(size));
    static_cast<void>(BIO_reset(out_));
    return result;
  }

 private:
  static plain_openssl& of(SSL* ssl) {
    return *static_cast<plain_openssl*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0));
  }

  SSL_SESSION* session() {
    auto* session = SSL_SESSION_new();
    const unsigned char suite[] = {0x13, 0x01};
    SSL_SESSION_set1_master_key(
        session, reinterpret_cast<const unsigned char*>(key_.data()), key_.size());
    SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl(), suite));
    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION);
    return session;
  }

  void step() {
    ERR_clear_error();
    char block[4096];
    for (int n; (n = SSL_read(ssl(), block, sizeof block)) > 0;)
      plain_.append(block, static_cast<std::size_t>(n));
    if (error_ == 0) error_ = ERR_peek_error();
    ERR_clear_error();
  }

  std::shared_ptr<SSL_CTX> context_;
  std::shared_ptr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
  role role_;
  std::string identity_;
  std::string key_;
  std::string seen_;
  std::string plain_;
  unsigned long error_ = 0;
};

const auto all_modes = {link_security::psk, link_security::none};

}  // namespace

// --- By cookie, in both modes --------------------------------------------------------------------

TEST_CASE("two nodes with the same cookie get through, in pieces of any size") {
  for (auto mode : all_modes)
    for (std::size_t step : {1, 2, 7, 100, 1 << 18}) {
      CAPTURE(step);
      pair link(context("a@host", secret, mode), context("b@host", secret, mode), "b@host", step);
      REQUIRE(link.is_established());
      CHECK(link.a.channel->peer() == "b@host");
      CHECK(link.b.channel->peer() == "a@host");
      CHECK(link.a.channel->may_be("b@host"));
      CHECK_FALSE(link.a.channel->may_be("c@host"));
      CHECK(link.b.channel->may_be("a@host"));
      CHECK_FALSE(link.b.channel->may_be("b@host"));
      CHECK(link.a.channel->passes_through() == (mode == link_security::none));
      CHECK(link.a.plain.empty());
      CHECK(link.b.plain.empty());
      CHECK(link.a.channel->error().empty());

      CHECK(link.a.channel->send("hello", link.a.out));
      CHECK(link.b.channel->send("welcome", link.b.out));
      shuttle(link.a, link.b, step);
      CHECK(link.b.plain == "hello");
      CHECK(link.a.plain == "welcome");
    }
}

TEST_CASE("everything that is sent arrives as it was") {
  std::mt19937 random(1);
  for (auto mode : all_modes)
    for (std::size_t size : {0, 1, 100, 16'384, 16'385, 262'144, 1'000'000}) {
      CAPTURE(size);
      auto link = linked(mode);
      auto bytes = random_bytes(random, size);
      CHECK(link.a.channel->send(bytes, link.a.out));
      shuttle(link.a, link.b, 100'000);
      CHECK(link.b.plain == bytes);
      CHECK(link.b.now == state::established);
    }
}

TEST_CASE("what is encrypted is not to be read") {
  auto link = linked(link_security::psk);
  const std::string text = "a text that nobody else shall see";
  CHECK(link.a.channel->send(text, link.a.out));
  CHECK(link.a.out.find(text) == std::string::npos);
  CHECK(link.a.out.size() == text.size() + 22);
}

TEST_CASE("a wrong cookie is refused, and both ends say why") {
  for (auto mode : all_modes) {
    pair link(context("a@host", secret, mode), context("b@host", other_secret, mode));
    CHECK(link.is_refused());
    CHECK(
        link.a.channel->error() ==
        "expected b@host to have the same cookie, got a refusal: it has another one");
    CHECK(
        link.b.channel->error() == "expected a@host to prove the cookie, got proof of another one");
    CHECK(link.a.channel->peer().empty());
    CHECK_FALSE(link.a.channel->may_be("b@host"));
    CHECK_FALSE(link.b.channel->may_be("a@host"));
    CHECK_FALSE(link.a.channel->send("hello", link.a.out));
    CHECK(link.a.out.empty());
    link.b.receive("more");
    CHECK(link.b.plain.empty());
  }
}

TEST_CASE("a node without a cookie for the other one is refused") {
  for (auto mode : all_modes) {
    pair link(context("a@host", secret, mode), context("b@host", "", mode));
    CHECK(link.is_refused());
    CHECK(
        link.a.channel->error() == "expected b@host to have a cookie for this node, got a refusal");
    CHECK(link.b.channel->error() == "expected a cookie for links with a@host to be set, got none");

    link_end alone(context("a@host", "", mode)->client("b@host"));
    CHECK(alone.now == state::failed);
    CHECK(alone.out.empty());
    CHECK(alone.channel->error() == "expected a cookie for links with b@host to be set, got none");
  }
}

TEST_CASE("a node that is not the one looked for is told apart, though it has the same cookie") {
  for (auto mode : all_modes) {
    pair link(context("a@host", secret, mode), context("c@host", secret, mode), "b@host");
    CHECK(link.is_refused());
    CHECK(
        link.a.channel->error() ==
        "expected the node there to be b@host, got one with another name");
    CHECK(
        link.b.channel->error().find("to look for this node, c@host, got b@host") !=
        std::string::npos);
  }
}

TEST_CASE("a pair of nodes may have a cookie of its own") {
  for (auto mode : all_modes) {
    auto a = context_with("a@host", {{"b@host", secret}, {"c@host", other_secret}}, mode);
    auto b = context_with("b@host", {{"a@host", secret}}, mode);
    auto c = context_with("c@host", {{"a@host", other_secret}, {"b@host", secret}}, mode);
    CHECK(pair(a, b, "b@host").is_established());
    CHECK(pair(a, c, "c@host").is_established());
    CHECK(pair(b, c, "c@host").a.now == state::failed);  // b has none and says nothing at all
    CHECK(pair(c, b, "b@host").is_refused());
    // c knows one of b's cookies, but not the one for b's links with a.
    auto false_a = context_with("a@host", {{"b@host", other_secret}}, mode);
    CHECK(pair(false_a, b, "b@host").is_refused());
  }
}

TEST_CASE("what a node has sent cannot be turned back to it") {
  // Mirrors know no cookie. One that answers with a node's own frames looks as if it did, unless
  // roles and names are part of the proof (RFC 9257, section 4.1).
  for (auto mode : all_modes) {
    auto a = context("a@host", secret, mode);
    link_end client(a->client("b@host"));
    link_end server(a->server());
    shuttle(client, server);
    CHECK(client.now == state::failed);
    CHECK(server.now == state::failed);

    link_end alone(a->client("b@host"));
    for (int i = 0; i < 10 && alone.now == state::handshaking && !alone.out.empty(); ++i)
      alone.receive(alone.take());
    CHECK(alone.now == state::failed);
  }
}

TEST_CASE("nothing of the cookie leaks") {
  for (auto mode : all_modes)
    for (const auto& cookie : {secret, other_secret}) {
      pair link(context("a@host", secret, mode), context("b@host", cookie, mode));
      if (link.is_established()) link.a.channel->send("hello", link.a.out);
      shuttle(link.a, link.b);
      for (auto* end : {&link.a, &link.b})
        for (const auto& text : {end->sent, end->channel->error()})
          for (const auto& hidden : {secret, other_secret})
            for (std::size_t at = 0; at + 8 <= hidden.size(); ++at)
              CHECK(text.find(hidden.substr(at, 8)) == std::string::npos);
    }
}

TEST_CASE("a handshake that was cut off or changed does not get through") {
  for (auto mode : all_modes) {
    auto client = context("a@host", secret, mode);
    auto server = context("b@host", secret, mode);
    auto good = linked(mode);
    const auto from_a = good.a.sent.size();
    const auto from_b = good.b.sent.size();
    CAPTURE(from_a);
    CAPTURE(from_b);

    // Everything that one end sends passes here, and one byte of it is changed, or the rest is
    // lost.
    enum class mischief { flip, cut };
    auto meet = [&](bool at_client, std::size_t position, mischief what) {
      link_end a(client->client("b@host"));
      link_end b(server->server());
      std::size_t passed = 0;
      auto pass = [&](link_end& from, link_end& to, bool hit) {
        auto bytes = from.take();
        auto begin = std::exchange(passed, passed + (hit ? bytes.size() : 0));
        if (hit && position >= begin && position < passed) {
          if (what == mischief::flip)
            bytes[position - begin] ^= 0x41;
          else
            bytes.resize(position - begin);
        }
        if (!bytes.empty()) to.receive(bytes);
      };
      while (!a.out.empty() || !b.out.empty()) {
        pass(a, b, at_client);
        pass(b, a, !at_client);
      }
      return std::pair{a.now, b.now};
    };
    for (auto what : {mischief::flip, mischief::cut}) {
      for (std::size_t at = 0; at < from_a; ++at) {
        CAPTURE(at);
        auto [a, b] = meet(true, at, what);
        // The version in a record's head is to be ignored (RFC 8446, section 5.1).
        bool is_ignored =
            mode == link_security::psk && what == mischief::flip && (at == 1 || at == 2);
        if (!is_ignored) CHECK(b != state::established);
      }
      for (std::size_t at = 0; at < from_b; ++at) {
        CAPTURE(at);
        auto [a, b] = meet(false, at, what);
        CHECK((a != state::established || what == mischief::flip));
        if (mode == link_security::none) CHECK(a != state::established);
      }
    }
  }
}

TEST_CASE("random bytes fail a handshake and nothing else") {
  std::mt19937 random(7);
  for (auto mode : all_modes) {
    auto client = context("a@host", secret, mode);
    auto server = context("b@host", secret, mode);
    auto hello = [&] {
      link_end a(client->client("b@host"));
      return a.take();
    }();
    for (int i = 0; i < 3000; ++i) {
      link_end b(server->server());
      auto bytes = random_bytes(random, 1 + random() % 600);
      // Half of them begin as a handshake does.
      if (i % 2 == 0) {
        auto keep = random() % hello.size();
        bytes = hello.substr(0, keep) + bytes;
      }
      b.receive(bytes);
      CHECK(b.now != state::established);
      CHECK(b.plain.empty());
      link_end a(client->client("b@host"));
      a.receive(bytes);
      CHECK(a.now != state::established);
      CHECK(a.channel->error().size() < 500);
    }
  }
}

TEST_CASE("nodes whose names are none are refused") {
  for (auto mode : all_modes) {
    for (const std::string name : {"", "b", "b@", "b b@host", "b\n@host"}) {
      link_end a(context("a@host", secret, mode)->client(name));
      CHECK(a.now == state::failed);
      CHECK(a.out.empty());
    }
    CHECK_THROWS_AS(context("nobody", secret, mode), std::invalid_argument);
    CHECK_THROWS_AS(
        security_context::make({.mode = mode, .node = "a@host"}), std::invalid_argument);
  }
}

TEST_CASE("an exception of whoever keeps the cookies refuses the link") {
  for (auto mode : all_modes) {
    auto broken = [&](const std::string& node) {
      return security_context::make(
          {.mode = mode,
           .node = node,
           .cookie_for = [](std::string_view) -> std::optional<std::string> {
             throw std::runtime_error("expected the table to be there, got nothing");
           }});
    };
    link_end a(broken("a@host")->client("b@host"));
    CHECK(a.now == state::failed);
    CHECK(a.channel->error() == "expected the table to be there, got nothing");
    pair link(context("a@host", secret, mode), broken("b@host"));
    CHECK(link.is_refused());
    CHECK(link.b.channel->error() == "expected the table to be there, got nothing");
  }
}

TEST_CASE("two threads send and receive at the same time") {
  constexpr int rounds = 200;
  for (auto mode : all_modes) {
    std::mt19937 random(3);
    auto link = linked(mode);
    const auto block = random_bytes(random, 50'000);
    // What is on its way to each end, in order.
    struct queue {
      std::mutex mutex;
      std::string bytes;
    };
    queue to_a;
    queue to_b;
    auto sends = [&](link_end& from, queue& to) {
      for (int i = 0; i < rounds; ++i) {
        std::string out;
        CHECK(from.channel->send(block, out));
        std::lock_guard lock(to.mutex);
        to.bytes += out;
      }
    };
    auto receives = [&](link_end& at, queue& from) {
      while (at.plain.size() < rounds * block.size()) {
        std::string bytes;
        {
          std::lock_guard lock(from.mutex);
          bytes.swap(from.bytes);
        }
        std::string answer;
        if (at.channel->received(bytes, at.plain, answer) == state::failed) return;
        if (bytes.empty()) std::this_thread::yield();
      }
    };
    {
      std::jthread one([&] { sends(link.a, to_b); });
      std::jthread two([&] { sends(link.b, to_a); });
      std::jthread three([&] { receives(link.a, to_a); });
      std::jthread four([&] { receives(link.b, to_b); });
    }
    for (auto* end : {&link.a, &link.b}) {
      CHECK(end->channel->error().empty());
      REQUIRE(end->plain.size() == rounds * block.size());
      CHECK(end->plain.ends_with(block));
    }
  }
}

// --- psk -----------------------------------------------------------------------------------------

TEST_CASE("a server without the cookie that shows a certificate is refused by the client") {
  authority anybody;
  plain_openssl server(plain_openssl::role::server);
  server.use(anybody.issue({.common_name = "b@host", .names = "DNS:host,URI:b@host"}));
  server.start();
  link_end client(context("a@host")->client("b@host"));
  server.shuttle(client);
  CHECK(client.now == state::failed);
  CHECK(client.channel->error() == "expected b@host to prove the cookie, got a certificate");
  CHECK_FALSE(server.is_done());
  CHECK_FALSE(client.channel->send("hello", client.out));
}

TEST_CASE("a server that pretends to know the cookie is refused by the client") {
  plain_openssl server(plain_openssl::role::server);
  server.use_psk("", link_psk(other_secret, "a@host", "b@host"));
  server.start();
  link_end client(context("a@host")->client("b@host"));
  server.shuttle(client);
  CHECK(client.now == state::failed);
  CHECK_FALSE(server.is_done());
}

TEST_CASE("a client without a pre-shared key is refused, with certificate or without") {
  authority anybody;
  for (bool certificate : {false, true}) {
    plain_openssl client(plain_openssl::role::client);
    if (certificate) client.use(anybody.issue({.common_name = "a@host"}));
    client.start();
    link_end server(context("b@host")->server());
    client.shuttle(server);
    CHECK(server.now == state::failed);
    CHECK(server.channel->error() == "expected the other end to prove the cookie, got no proof");
    CHECK(ERR_GET_REASON(client.error()) == SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_PSK_IDENTITY);
  }
}

TEST_CASE("what is not TLS 1.3 is refused") {
  plain_openssl old(plain_openssl::role::client);
  SSL_CTX_set_max_proto_version(old.settings(), TLS1_2_VERSION);
  old.start();
  link_end server(context("b@host")->server());
  old.shuttle(server);
  CHECK(server.now == state::failed);
  CHECK(server.channel->error().starts_with(
      "expected the other end to shake hands by TLS 1.3, got: "));

  link_end web(context("b@host")->server());
  web.receive("GET / HTTP/1.1\r\nhost: b\r\n\r\n");
  CHECK(web.now == state::failed);
  CHECK(
      web.channel->error() ==
      "expected the other end to shake hands by TLS 1.3, got: http request");
}

TEST_CASE("a client of another make sees what this is: one suite, forward secrecy, no tickets") {
  plain_openssl client(plain_openssl::role::client);
  client.use_psk("a@host", link_psk(secret, "a@host", "b@host"));
  static int tickets = 0;
  SSL_CTX_set_session_cache_mode(client.settings(), SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(client.settings(), [](SSL*, SSL_SESSION*) { return ++tickets, 0; });
  client.start();
  link_end server(context("b@host")->server());
  client.shuttle(server);
  REQUIRE(server.now == state::established);
  REQUIRE(client.is_done());
  CHECK(server.channel->peer() == "a@host");
  CHECK(SSL_session_reused(client.ssl()) == 1);
  CHECK(SSL_version(client.ssl()) == TLS1_3_VERSION);
  CHECK(std::string(SSL_get_cipher_name(client.ssl())) == "TLS_AES_128_GCM_SHA256");
  EVP_PKEY* ephemeral = nullptr;
  CHECK(
      SSL_get_peer_tmp_key(client.ssl(), &ephemeral) == 1);  // there was a Diffie-Hellman exchange
  EVP_PKEY_free(ephemeral);
  CHECK(SSL_get0_peer_certificate(client.ssl()) == nullptr);

  client.write("hello");
  client.shuttle(server);
  CHECK(server.plain == "hello");
  CHECK(server.channel->send("welcome", server.out));
  client.shuttle(server);
  CHECK(client.plain() == "welcome");
  CHECK(tickets == 0);
  CHECK(SSL_SESSION_get_max_early_data(SSL_get0_session(client.ssl())) == 0);
}

TEST_CASE("a client that will not exchange keys besides the pre-shared one is refused") {
  plain_openssl client(plain_openssl::role::client);
  client.use_psk("a@host", link_psk(secret, "a@host", "b@host"));
  SSL_CTX_set_ciphersuites(client.settings(), "TLS_CHACHA20_POLY1305_SHA256");
  client.start();
  link_end server(context("b@host")->server());
  client.shuttle(server);
  CHECK(server.now == state::failed);
}

TEST_CASE("the identity of a client is its name, whose cookie is looked up") {
  plain_openssl server(plain_openssl::role::server);
  server.use_psk("", link_psk(secret, "a@host", "b@host"));
  server.start();
  link_end client(context("a@host")->client("b@host"));
  server.shuttle(client);
  CHECK(client.now == state::established);
  CHECK(server.is_done());
  CHECK(server.seen_identity() == "a@host");
  CHECK(std::string(SSL_get_servername(server.ssl(), TLSEXT_NAMETYPE_host_name)) == "b@host");
}

TEST_CASE("an identity that is no name of a node is not looked up, nor told") {
  for (const std::string name : {"a", "a@host\nERROR all is lost", "\x1b[31m@host", "@"}) {
    int lookups = 0;
    auto context = security_context::make(
        {.node = "b@host", .cookie_for = [&](std::string_view) -> std::optional<std::string> {
           ++lookups;
           return secret;
         }});
    plain_openssl client(plain_openssl::role::client);
    client.use_psk(name, link_psk(secret, name, "b@host"));
    client.start();
    link_end server(context->server());
    client.shuttle(server);
    CHECK(server.now == state::failed);
    CHECK(lookups == 0);
    CHECK(
        server.channel->error() ==
        "expected the other end to call itself name@host, got something else");
  }
}

TEST_CASE("a handshake that has no end is given up at 64 KiB") {
  // A ClientHello that claims to be as long as can be, and comes in records of a kilobyte.
  std::string record("\x16\x03\x01\x04\x00", 5);
  record.append(1024, 'x');
  link_end server(context("b@host")->server());
  std::string first = record;
  first.replace(5, 4, std::string("\x01\x01\xff\xff", 4));
  server.receive(first);
  std::size_t bytes = first.size();
  while (server.now == state::handshaking && bytes < (1 << 20)) {
    server.receive(record);
    bytes += record.size();
  }
  CHECK(server.now == state::failed);
  CHECK(bytes < (64 << 10) + 2000);
}

TEST_CASE("keys are changed in time, and nobody notices") {
  auto make = [](const std::string& node) {
    return security_context::make(
        {.node = node,
         .cookie_for = [](std::string_view) { return std::optional(secret); },
         .records_per_key = 3});
  };
  pair link(make("a@host"), make("b@host"));
  REQUIRE(link.is_established());
  std::string sent;
  for (int i = 0; i < 500; ++i) {
    auto text = "message " + std::to_string(i) + ";";
    sent += text;
    CHECK(link.a.channel->send(text, link.a.out));
    CHECK(link.b.channel->send(text, link.b.out));
    if (i % 7 == 0) shuttle(link.a, link.b);
  }
  shuttle(link.a, link.b);
  CHECK(link.a.plain == sent);
  CHECK(link.b.plain == sent);
  // 500 records of 22 bytes more than their text, and 166 that change the key.
  CHECK(link.a.sent.size() > sent.size() + 500 * 22 + 160 * 27);
}

TEST_CASE("a peer may ask for new keys, but not without end") {
  plain_openssl client(plain_openssl::role::client);
  client.use_psk("a@host", link_psk(secret, "a@host", "b@host"));
  client.start();
  link_end server(context("b@host")->server());
  client.shuttle(server);
  REQUIRE(server.now == state::established);
  auto ask = [&] {
    REQUIRE(SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED) == 1);
    client.write("x");
    server.receive(client.taken());
  };
  ask();
  CHECK(server.now == state::established);
  CHECK(server.out.empty());  // it would get in the way of what another thread sends
  CHECK(server.channel->send("under the new key", server.out));
  client.shuttle(server);
  CHECK(client.plain() == "under the new key");
  for (int i = 0; i < 10'000 && server.now == state::established; ++i) ask();
  CHECK(server.now == state::failed);
}

TEST_CASE("a record that was changed fails the channel, and what it held is not passed on") {
  auto link = linked(link_security::psk);
  CHECK(link.a.channel->send("first", link.a.out));
  auto changed = link.a.take();
  CHECK(link.a.channel->send("second", link.a.out));
  auto second = link.a.take();
  second[second.size() / 2] ^= 1;
  link.b.receive(changed + second);
  CHECK(link.b.now == state::failed);
  CHECK(link.b.plain == "first");
  CHECK_FALSE(link.b.channel->closed());
  CHECK(link.b.channel->error().starts_with("expected a@host to keep to TLS, got: "));
  CHECK_FALSE(link.b.channel->send("no more", link.b.out));
  // The alert tells the other end.
  link.a.receive(link.b.take());
  CHECK(link.a.now == state::failed);
  CHECK(link.a.channel->error() == "expected b@host to go on, got its alert: bad record mac");
}

TEST_CASE("records that are replayed or left out fail the channel") {
  for (bool replay : {false, true}) {
    auto link = linked(link_security::psk);
    CHECK(link.a.channel->send("first", link.a.out));
    auto first = link.a.take();
    CHECK(link.a.channel->send("second", link.a.out));
    auto second = link.a.take();
    link.b.receive(replay ? first + first : second);
    CHECK(link.b.now == state::failed);
    CHECK(link.b.plain == (replay ? "first" : ""));
  }
}

TEST_CASE("a goodbye is told apart from an end") {
  auto link = linked(link_security::psk);
  CHECK(link.a.channel->send("last words", link.a.out));
  link.a.channel->close(link.a.out);
  CHECK_FALSE(link.a.channel->send("too late", link.a.out));
  link.b.receive(link.a.take());
  CHECK(link.b.plain == "last words");
  CHECK(link.b.now == state::failed);
  CHECK(link.b.channel->closed());
  CHECK(link.b.channel->error() == "the other end has closed the link");
}

// --- none ----------------------------------------------------------------------------------------

TEST_CASE("without encryption the server proves nothing to who has not proved the cookie") {
  auto server = context("b@host", secret, link_security::none);
  link_end client(context("a@host", other_secret, link_security::none)->client("b@host"));
  link_end b(server->server());
  b.receive(client.take());
  CHECK(b.out.size() == 35);  // a random value
  client.receive(b.take());
  b.receive(client.take());
  CHECK(b.now == state::failed);
  CHECK(b.out.size() == 4);  // why not
}

TEST_CASE("without encryption what comes with the last frame is passed on") {
  auto server = context("b@host", secret, link_security::none)->server();
  link_end client(context("a@host", secret, link_security::none)->client("b@host"));
  link_end b(std::move(server));
  b.receive(client.take());
  client.receive(b.take());
  b.receive(client.take() + "hello");
  CHECK(b.now == state::established);
  CHECK(b.plain == "hello");
  client.receive(b.take() + "welcome");
  CHECK(client.now == state::established);
  CHECK(client.plain == "welcome");
}

TEST_CASE("without encryption every handshake has a proof of its own") {
  // Recorded frames of a client do not get in a second time.
  link_end client(context("a@host", secret, link_security::none)->client("b@host"));
  auto context_b = context("b@host", secret, link_security::none);
  link_end b(context_b->server());
  auto hello = client.take();
  b.receive(hello);
  client.receive(b.take());
  auto proof = client.take();
  b.receive(proof);
  CHECK(b.now == state::established);
  link_end again(context_b->server());
  again.receive(hello + proof);
  CHECK(again.now == state::failed);
}

TEST_CASE("without encryption a handshake is given up at 512 bytes") {
  auto context_b = context("b@host", secret, link_security::none);
  link_end large(context_b->server());
  large.receive(std::string("\x02\x00\x01", 3));
  CHECK(large.now == state::failed);
  CHECK(large.channel->error() == "expected a handshake to take at most 512 bytes, got more");

  link_end client(context("a@" + std::string(253, 'h'), secret, link_security::none)
                      ->client("b@" + std::string(253, 'h')));
  CHECK(client.now == state::failed);
  CHECK(client.out.empty());
}

TEST_CASE("without encryption frames look like this") {
  link_end client(context("a@host", secret, link_security::none)->client("b@host"));
  CHECK(client.out.size() == 3 + 5 + 1 + 7 + 7 + 32);
  CHECK(
      client.out.substr(0, 23) == std::string(
                                      "\x00\x34\x01roost\x01\x06"
                                      "a@host\x06"
                                      "b@host",
                                      23));
  link_end other(context("b@host", secret, link_security::none)->server());
  auto hello = client.take();
  hello[8] = 2;  // a version to come
  other.receive(hello);
  CHECK(other.out == std::string("\x00\x01\x04\x01", 4));
  CHECK(
      other.channel->error() ==
      "expected the other end to speak version 1 of the handshake, got version 2");
}

// --- certificates --------------------------------------------------------------------------------

namespace {

struct files {
  directory place = {};
  authority cluster = authority("cluster");

  security_options options(
      const std::string& node, const identity& who, const std::string& trusted) const {
    return {
        .mode = link_security::certificates,
        .node = node,
        .certificate = place.write(node + ".pem", who.certificate_pem()),
        .key = place.write(node + ".key", who.key_pem()),
        .authority = place.write(node + ".authority", trusted)};
  }
  std::shared_ptr<security_context> context(const std::string& node, const identity& who) const {
    return security_context::make(options(node, who, cluster.pem()));
  }
  std::shared_ptr<security_context> context(
      const std::string& node, const authority::request& request) const {
    return context(node, cluster.issue(request));
  }
};

}  // namespace

TEST_CASE("two nodes with certificates of one authority get through") {
  files pki;
  for (std::size_t step : {1, 1 << 18}) {
    pair link(
        pki.context("a@10.0.0.1", {.names = "IP:10.0.0.1"}),
        pki.context("b@host", {.names = "DNS:host"}), "b@host", step);
    REQUIRE(link.is_established());
    CHECK(link.a.channel->peer().empty());
    CHECK(link.a.channel->may_be("b@host"));
    CHECK(link.a.channel->may_be("c@host"));
    CHECK_FALSE(link.a.channel->may_be("b@elsewhere"));
    CHECK(link.b.channel->may_be("a@10.0.0.1"));
    CHECK_FALSE(link.b.channel->may_be("a@10.0.0.2"));
    CHECK(link.a.channel->send("hello", link.a.out));
    CHECK(link.b.channel->send("welcome", link.b.out));
    shuttle(link.a, link.b, step);
    CHECK(link.b.plain == "hello");
    CHECK(link.a.plain == "welcome");
  }
}

TEST_CASE("a certificate covers a node by its full name, or by its host") {
  files pki;
  auto b = pki.context("b@host", {.names = "DNS:host"});
  auto covers = [&](const authority::request& request, const std::string& node) {
    pair link(pki.context("a@host", request), b);
    REQUIRE(link.is_established());
    return link.b.channel->may_be(node);
  };
  CHECK(covers({.names = "URI:a@host"}, "a@host"));
  CHECK_FALSE(covers({.names = "URI:a@host"}, "c@host"));
  CHECK(covers({.names = "DNS:a@host"}, "a@host"));
  CHECK_FALSE(covers({.names = "DNS:a@host"}, "c@host"));
  CHECK_FALSE(covers({.names = "DNS:a@host"}, "A@host"));
  CHECK(covers({.common_name = "a@host"}, "a@host"));
  CHECK_FALSE(covers({.common_name = "a@host"}, "c@host"));
  CHECK(covers({.common_name = "host"}, "c@host"));
  CHECK_FALSE(covers({.common_name = "a@host", .names = "URI:c@host"}, "a@host"));
  CHECK(covers({.names = "DNS:one,DNS:two"}, "a@two"));
  CHECK(covers({.names = "DNS:*.example.org"}, "a@n1.example.org"));
  CHECK_FALSE(covers({.names = "DNS:*.example.org"}, "a@example.org"));
  CHECK_FALSE(covers({.names = "DNS:host"}, "a"));
  CHECK_FALSE(covers({.names = "DNS:host"}, "a@"));
  CHECK(covers({.names = "IP:::1"}, "a@::1"));
}

TEST_CASE("certificates that do not hold are refused with a sentence that says why") {
  files pki;
  authority stranger("stranger");
  auto a = pki.context("a@host", {.names = "DNS:host"});
  auto b = pki.context("b@host", {.names = "DNS:host"});

  SUBCASE("a server of another authority") {
    pair link(a, pki.context("b@host", stranger.issue({.names = "DNS:host"})));
    CHECK(link.is_refused());
    CHECK(
        link.a.channel->error() ==
        "expected b@host to show a certificate that holds, got one with a fault: unable to get "
        "local issuer certificate");
    CHECK(
        link.b.channel->error() ==
        "expected the other end to accept this node's certificate, got its alert: unknown CA");
  }
  SUBCASE("a client of another authority") {
    pair link(pki.context("a@host", stranger.issue({.names = "DNS:host"})), b);
    CHECK(link.is_refused());
    CHECK(
        link.b.channel->error() ==
        "expected the other end to show a certificate that holds, got one with a fault: unable to "
        "get local issuer certificate");
    CHECK(
        link.a.channel->error() ==
        "expected b@host to accept this node's certificate, got its alert: unknown CA");
  }
  SUBCASE("an expired one") {
    pair link(pki.context("a@host", {.names = "DNS:host", .days_left = -1}), b);
    CHECK(link.is_refused());
    CHECK(
        link.b.channel->error() ==
        "expected the other end to show a certificate that holds, got one with a fault: "
        "certificate has expired");
    CHECK(
        link.a.channel->error() ==
        "expected b@host to accept this node's certificate, got its alert: certificate expired");
  }
  SUBCASE("a server for other names") {
    pair link(a, pki.context("b@host", {.names = "DNS:elsewhere"}));
    CHECK(link.is_refused());
    CHECK(
        link.a.channel->error() ==
        "expected the certificate of b@host to be for it, got one for other names");
  }
  SUBCASE("a server with another name") {
    pair link(a, pki.context("c@host", {.names = "DNS:host"}), "b@host");
    CHECK(link.is_refused());
    CHECK(
        link.a.channel->error() ==
        "expected the node there to be b@host, got one with another name");
  }
  SUBCASE("none") {
    plain_openssl client(plain_openssl::role::client);
    client.start();
    link_end server(b->server());
    client.shuttle(server);
    CHECK(server.now == state::failed);
    CHECK(server.channel->error() == "expected the other end to show a certificate, got none");
    CHECK(ERR_GET_REASON(client.error()) == SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REQUIRED);
  }
  SUBCASE("a node that goes by the cookie instead") {
    pair link(context("a@host"), b);
    CHECK(link.is_refused());
    pair other(a, context("b@host"));
    CHECK(other.is_refused());
  }
}

TEST_CASE("files that cannot be used are named") {
  files pki;
  auto good = pki.options("a@host", pki.cluster.issue({.names = "DNS:host"}), pki.cluster.pem());
  CHECK_NOTHROW(security_context::make(good));
  auto message = [](const security_options& options) -> std::string {
    try {
      security_context::make(options);
      return "";
    } catch (const config_error& error) {
      return error.what();
    }
  };
  auto options = good;
  options.certificate = pki.place.path("missing.pem");
  CHECK(message(options).starts_with("expected the certificate " + options.certificate + " to be"));
  options = good;
  options.key = pki.place.write("garbage.key", "garbage");
  CHECK(message(options).starts_with("expected the key " + options.key + " to be"));
  options.key = pki.place.write("other.key", pki.cluster.issue({}).key_pem());
  CHECK(message(options).starts_with("expected the key " + options.key + " to be"));
  options = good;
  options.authority = pki.place.write("empty.pem", "");
  CHECK(message(options).starts_with("expected the authority " + options.authority + " to be"));
}

TEST_CASE("certificates that are renewed are used for new links, those that are broken are not") {
  files pki;
  std::vector<std::string> warnings;
  auto options = pki.options("b@host", pki.cluster.issue({.names = "DNS:b"}), pki.cluster.pem());
  options.warn = [&](const std::string& sentence) { warnings.push_back(sentence); };
  auto b = security_context::make(options);
  auto a = pki.context("a@host", {.names = "DNS:host"});
  auto reaches = [&](const std::string& host) {
    return pair(b, a, "a@host").b.channel->may_be("x@" + host);
  };
  CHECK(reaches("b"));

  auto renewed = pki.cluster.issue({.names = "DNS:renewed"});
  pki.place.write("b@host.pem", renewed.certificate_pem());
  CHECK(reaches("b"));  // the key is still the one before
  CHECK(warnings.size() == 1);
  CHECK(reaches("b"));
  CHECK(warnings.size() == 1);  // once is enough
  pki.place.write("b@host.key", renewed.key_pem());
  CHECK(reaches("renewed"));
  CHECK_FALSE(reaches("b"));

  pair old(b, a, "a@host");
  pki.place.write("b@host.key", "garbage");
  CHECK(reaches("renewed"));
  CHECK(warnings.size() == 2);
  CHECK(warnings[1].find("b@host.key") != std::string::npos);
  CHECK(warnings[1].find("garbage\n") == std::string::npos);
  std::filesystem::remove(pki.place.path("b@host.authority"));
  CHECK(reaches("renewed"));
  CHECK(warnings.size() == 3);
  CHECK(old.a.channel->send("still here", old.a.out));
  shuttle(old.a, old.b);
  CHECK(old.b.plain == "still here");
}

// STAND-IN until runtime/node_table.cpp is there.
namespace roost::detail {
[[gnu::weak]] bool is_node_name(std::string_view text) noexcept {
  auto at = text.find('@');
  if (at == text.npos || at == 0 || at + 1 == text.size() || text.size() > 255) return false;
  for (char c : text)
    if (c <= ' ' || c > '~') return false;
  return true;
}
}  // namespace roost::detail
