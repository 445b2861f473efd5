#include "runtime/net/redis_connection.hpp"
#include "runtime/net/client_socket.hpp"
#include "runtime/net/dns.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/write.hpp>
#include <openssl/x509_vfy.h>
#include <algorithm>
#include <array>
#include <random>

namespace roost::net {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using std::chrono::milliseconds;
using tcp = asio::ip::tcp;

struct redis_loop::asio_parts {
  asio::io_context context{1};
  // While a name server is asked there may be nothing else to do, and run() is not to end.
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  // Of the thread of `lookups`, hence before it: the connections of a pool want to know at the
  // same time.
  std::vector<std::string> addresses = {};
  std::string lookup_error = {};
  std::optional<std::chrono::steady_clock::time_point> looked_up = {};

  asio::thread_pool lookups{1};  // name servers are asked where waiting is no harm
  std::optional<ssl::context> tls = {};
  std::minstd_rand random{std::random_device{}()};
};

struct redis_connection::timer : asio::steady_timer {
  using asio::steady_timer::steady_timer;
};

/// One connection, from the attempt to its end.
struct redis_connection::session {
  session(asio::io_context& context, std::optional<ssl::context>& settings) : socket(context) {
    if (settings) tls.emplace(socket, *settings);
  }

  template <class Use>
  void with_stream(Use use) {
    tls ? use(*tls) : use(socket);
  }

  tcp::socket socket;
  std::optional<ssl::stream<tcp::socket&>> tls;
  resp_reader reader;
  std::array<char, 65536> incoming;
  std::string outgoing;
  bool writing = false;
  int logins = 0;  // answers to the login that have to come
  int pings = 0;   // … and to PINGs
  bool ping_due = false;
  bool up = false;
  clock::time_point since = clock::now();
  std::optional<clock::time_point> heard;
};

namespace {

std::string reason_of(const error_code& error) {
  if (error == asio::error::eof || error == ssl::error::stream_truncated)
    return "a closed connection";
  return error.message();
}

std::string in_ms(milliseconds time) { return std::to_string(time.count()) + " ms"; }

}  // namespace

redis_loop::redis_loop(redis_settings settings)
    : settings_(std::move(settings)), parts_(std::make_unique<asio_parts>()) {
  if (!settings_.url.tls) return;
  error_code error;
  parts_->tls = tls_client(settings_.ca_file, error);
  if (error)
    throw std::invalid_argument(
        "expected the ca_file of redis to hold certificates, got " + error.message() + " (" +
        settings_.ca_file + ")");
}

redis_loop::~redis_loop() = default;

void redis_loop::run() { parts_->context.run(); }

void redis_loop::stop() { parts_->context.stop(); }

void redis_loop::post(std::function<void()> what) { asio::post(parts_->context, std::move(what)); }

void redis_loop::look_up() {
  using namespace std::chrono_literals;
  auto& parts = *parts_;
  auto now = std::chrono::steady_clock::now();
  if (parts.looked_up && now - *parts.looked_up < 1s) return;
  parts.lookup_error.clear();
  try {
    parts.addresses =
        addresses_of({.name = settings_.url.host, .timeout = settings_.connect_timeout});
  } catch (const dns_error& error) {
    parts.lookup_error = error.what();
  }
  parts.looked_up = std::chrono::steady_clock::now();
}

redis_connection::redis_connection(redis_loop& loop, user& user)
    : loop_(loop),
      user_(user),
      timer_(std::make_unique<timer>(loop.parts_->context)),
      delay_(loop.settings_.retry_first) {}

redis_connection::~redis_connection() = default;

template <class Do>
void redis_connection::after(milliseconds delay, Do what) {
  timer_->expires_after(delay);
  timer_->async_wait([what](error_code error) {
    if (!error) what();
  });
}

// --- connecting ----------------------------------------------------------------------------------

void redis_connection::open() {
  session_ = std::make_shared<session>(loop_.parts_->context, loop_.parts_->tls);
  resolve(session_);
}

void redis_connection::resolve(const session_ptr& one) {
  if (is_address(loop_.url().host)) return connect(one, {loop_.url().host});
  asio::post(loop_.parts_->lookups, [this, one] {
    loop_.look_up();
    auto& parts = *loop_.parts_;
    loop_.post([this, one, found = parts.addresses, reason = parts.lookup_error] {
      reason.empty() ? connect(one, found) : fail(one, reason);
    });
  });
}

/// To the first of the addresses that takes it, in what is left of the time for all of them.
void redis_connection::connect(const session_ptr& one, std::vector<std::string> addresses) {
  auto share = loop_.settings_.connect_timeout / static_cast<long>(addresses.size());
  tcp::endpoint endpoint(asio::ip::make_address(addresses.front()), loop_.url().port);
  addresses.erase(addresses.begin());
  auto finished = [this, one, addresses, share](error_code error) {
    if (one != session_) return;
    if (!error) {
      one->socket.set_option(tcp::no_delay(true), error);
      return shake_hands(one);
    }
    if (!addresses.empty()) return connect(one, addresses);
    bool too_long = error == asio::error::operation_aborted;
    fail(one, too_long ? "no connection within " + in_ms(share) : reason_of(error));
  };
  if (auto error = open_socket(one->socket, endpoint.protocol())) return finished(error);
  one->socket.async_connect(endpoint, finished);
  after(share, [one] {
    error_code ignored;
    one->socket.close(ignored);
  });
}

void redis_connection::shake_hands(const session_ptr& one) {
  after(loop_.settings_.connect_timeout, [this, one] {
    fail(one, "no answer to the login within " + in_ms(loop_.settings_.connect_timeout));
  });
  if (!one->tls) return log_in(one);
  auto* handle = one->tls->native_handle();
  if (!expect_host(handle, loop_.url().host)) return fail(one, "a name that TLS cannot verify");
  one->tls->async_handshake(ssl::stream_base::client, [this, one, handle](error_code error) {
    if (!error) return log_in(one);
    auto verdict = SSL_get_verify_result(handle);
    fail(
        one, verdict == X509_V_OK ? "no TLS: " + reason_of(error)
                                  : std::string("a certificate that does not prove its name: ") +
                                        X509_verify_cert_error_string(verdict));
  });
}

/// The PING is answered with an error while Redis loads its data, or wants a password.
void redis_connection::log_in(const session_ptr& one) {
  if (one != session_) return;
  auto& url = loop_.url();
  if (!url.password.empty()) {
    one->outgoing += url.user.empty() ? resp_command({"AUTH", url.password})
                                      : resp_command({"AUTH", url.user, url.password});
    ++one->logins;
  }
  one->outgoing += resp_command({"PING"});
  ++one->logins;
  write(one);
  read(one);
}

// --- connected -----------------------------------------------------------------------------------

void redis_connection::read(const session_ptr& one) {
  auto came = [this, one](error_code error, std::size_t size) {
    if (one != session_) return;
    if (error) return fail(one, reason_of(error));
    one->heard = clock::now();
    try {
      one->reader.feed({one->incoming.data(), size});
      resp_value value;
      while (one == session_ && one->reader.next(value)) take(one, value);
    } catch (const std::exception& malformed) {
      return fail(one, malformed.what());
    }
    if (one == session_) read(one);
  };
  one->with_stream(
      [&](auto& stream) { stream.async_read_some(asio::buffer(one->incoming), came); });
}

void redis_connection::take(const session_ptr& one, resp_value& value) {
  using kind = resp_value::kind;
  if (one->logins > 0) {
    if (value.is == kind::error) {
      // Some servers repeat what they did not understand.
      auto& password = loop_.url().password;
      bool tells = !password.empty() && value.text.find(password) != value.text.npos;
      return fail(one, tells ? "a refused login" : value.text);
    }
    if (value.is != kind::status) return fail(one, "an odd answer to the login");
    if (--one->logins > 0) return;
    one->up = true;
    after(loop_.settings_.ping_interval, [this, one] { ping(one); });
    user_.connected();
    return wake();
  }
  bool pong =
      (value.is == kind::status && value.text == "PONG") ||
      (value.is == kind::array && value.elements.size() == 2 && value.elements[0].text == "pong");
  if (pong && one->pings > 0)
    --one->pings;
  else
    user_.received(value);
}

void redis_connection::wake() {
  if (session_ && session_->up && !session_->writing) write(session_);
}

void redis_connection::write(const session_ptr& one) {
  if (one->ping_due) {
    one->outgoing += resp_command({"PING"});
    ++one->pings;
    one->ping_due = false;
  }
  if (one->up) user_.take_output(one->outgoing);
  if (one->outgoing.empty()) return;
  one->writing = true;
  auto done = [this, one](error_code error, std::size_t) {
    one->writing = false;
    if (one != session_) return;
    if (error) return fail(one, reason_of(error));
    one->outgoing.clear();
    if (one->up) write(one);
  };
  one->with_stream(
      [&](auto& stream) { asio::async_write(stream, asio::buffer(one->outgoing), done); });
}

void redis_connection::ping(const session_ptr& one) {
  if (one != session_) return;
  one->ping_due = true;
  wake();
  after(loop_.settings_.ping_timeout, [this, one, asked = clock::now()] {
    if (one != session_) return;
    // This program itself may have stood still, and the answer be there unread.
    error_code ignored;
    bool answered = one->heard > asked || one->socket.available(ignored) > 0;
    if (!answered) return fail(one, "no answer within " + in_ms(loop_.settings_.ping_timeout));
    after(loop_.settings_.ping_interval, [this, one] { ping(one); });
  });
}

// --- disconnected --------------------------------------------------------------------------------

void redis_connection::fail(const session_ptr& one, const std::string& reason) {
  if (one != session_) return;
  session_.reset();
  error_code ignored;
  one->socket.close(ignored);
  timer_->cancel();
  // One that is taken and dropped at once again is not to be tried as fast as possible.
  if (one->up && clock::now() - one->since > loop_.settings_.retry_last)
    delay_ = loop_.settings_.retry_first;
  user_.disconnected(reason, one->heard);
  retry();
}

void redis_connection::retry() {
  std::uniform_int_distribution<milliseconds::rep> jitter(delay_.count() / 2, delay_.count());
  after(milliseconds(jitter(loop_.parts_->random)), [this] { open(); });
  delay_ = std::min(delay_ * 2, loop_.settings_.retry_last);
}

}  // namespace roost::net
