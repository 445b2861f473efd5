#include "channels/redis_connection.hpp"
#include "runtime/net/dns.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <algorithm>
#include <array>
#include <cerrno>

namespace roost::detail {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using std::chrono::milliseconds;
using tcp = asio::ip::tcp;

/// One connection, from the attempt to its end.
struct redis_connection::session {
  explicit session(redis_shared& shared) : socket(shared.context) {
    if (shared.tls) tls.emplace(socket, *shared.tls);
  }

  template <class Use>
  void with_stream(Use use) {
    tls ? use(*tls) : use(socket);
  }

  tcp::socket socket;
  std::optional<ssl::stream<tcp::socket&>> tls;
  net::resp_reader reader;
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

bool is_address(const std::string& host) {
  error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

/// Asio would open it without CLOEXEC, so that programs started meanwhile kept it open.
error_code open_anew(tcp::socket& socket, const tcp& protocol) {
  error_code error;
  socket.close(error);
  auto fd = ::socket(protocol.family(), SOCK_STREAM | SOCK_CLOEXEC, protocol.protocol());
  if (fd < 0) return {errno, boost::system::system_category()};
  socket.assign(protocol, fd, error);
  return error;
}

std::string reason_of(const error_code& error) {
  if (error == asio::error::eof || error == ssl::error::stream_truncated)
    return "a closed connection";
  return error.message();
}

std::string in_ms(milliseconds time) { return std::to_string(time.count()) + " ms"; }

}  // namespace

void redis_shared::prepare_tls() {
  if (!url.tls) return;
  tls.emplace(ssl::context::tls_client);
  error_code error;
  SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
  tls->set_verify_mode(ssl::verify_peer, error);
  if (ca_file.empty())
    tls->set_default_verify_paths(error);
  else
    tls->load_verify_file(ca_file, error);
  if (error)
    throw std::invalid_argument(
        "expected the ca_file of redis to hold certificates, got " + error.message() + " (" +
        ca_file + ")");
}

void redis_shared::look_up() {
  using namespace std::chrono_literals;
  if (looked_up && clock::now() - *looked_up < 1s) return;
  lookup_error.clear();
  try {
    addresses = net::addresses_of({.name = url.host, .timeout = connect_timeout});
  } catch (const net::dns_error& error) {
    lookup_error = error.what();
  }
  looked_up = clock::now();
}

redis_connection::redis_connection(redis_shared& shared, user& user)
    : shared_(shared), user_(user), timer_(shared.context), delay_(shared.retry_first) {}

template <class Do>
void redis_connection::after(milliseconds delay, Do what) {
  timer_.expires_after(delay);
  timer_.async_wait([what](error_code error) {
    if (!error) what();
  });
}

// --- connecting ----------------------------------------------------------------------------------

void redis_connection::open() {
  session_ = std::make_shared<session>(shared_);
  resolve(session_);
}

void redis_connection::resolve(const session_ptr& one) {
  if (is_address(shared_.url.host)) return connect(one, {shared_.url.host});
  asio::post(shared_.lookups, [this, one] {
    shared_.look_up();
    asio::post(
        shared_.context, [this, one, found = shared_.addresses, reason = shared_.lookup_error] {
          reason.empty() ? connect(one, found) : fail(one, reason);
        });
  });
}

/// To the first of the addresses that takes it, in what is left of the time for all of them.
void redis_connection::connect(const session_ptr& one, std::vector<std::string> addresses) {
  auto share = shared_.connect_timeout / static_cast<long>(addresses.size());
  tcp::endpoint endpoint(asio::ip::make_address(addresses.front()), shared_.url.port);
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
  if (auto error = open_anew(one->socket, endpoint.protocol())) return finished(error);
  one->socket.async_connect(endpoint, finished);
  after(share, [one] {
    error_code ignored;
    one->socket.close(ignored);
  });
}

void redis_connection::shake_hands(const session_ptr& one) {
  after(shared_.connect_timeout, [this, one] {
    fail(one, "no answer to the login within " + in_ms(shared_.connect_timeout));
  });
  if (!one->tls) return log_in(one);
  auto& host = shared_.url.host;
  auto* handle = one->tls->native_handle();
  auto* rules = SSL_get0_param(handle);
  X509_VERIFY_PARAM_set_hostflags(
      rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  bool is_set = is_address(host)
                    ? X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1
                    : X509_VERIFY_PARAM_set1_host(rules, host.data(), host.size()) == 1 &&
                          SSL_set_tlsext_host_name(handle, host.c_str()) == 1;
  if (!is_set) return fail(one, "a name that TLS cannot verify");
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
  auto& url = shared_.url;
  if (!url.password.empty()) {
    one->outgoing += url.user.empty() ? net::resp_command({"AUTH", url.password})
                                      : net::resp_command({"AUTH", url.user, url.password});
    ++one->logins;
  }
  one->outgoing += net::resp_command({"PING"});
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
      net::resp_value value;
      while (one == session_ && one->reader.next(value)) take(one, value);
    } catch (const std::exception& malformed) {
      return fail(one, malformed.what());
    }
    if (one == session_) read(one);
  };
  one->with_stream(
      [&](auto& stream) { stream.async_read_some(asio::buffer(one->incoming), came); });
}

void redis_connection::take(const session_ptr& one, net::resp_value& value) {
  using kind = net::resp_value::kind;
  if (one->logins > 0) {
    if (value.is == kind::error) {
      // Some servers repeat what they did not understand.
      auto& password = shared_.url.password;
      bool tells = !password.empty() && value.text.find(password) != value.text.npos;
      return fail(one, tells ? "a refused login" : value.text);
    }
    if (value.is != kind::status) return fail(one, "an odd answer to the login");
    if (--one->logins > 0) return;
    one->up = true;
    after(shared_.ping_interval, [this, one] { ping(one); });
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
    one->outgoing += net::resp_command({"PING"});
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
  after(shared_.ping_timeout, [this, one, asked = clock::now()] {
    if (one != session_) return;
    // This program itself may have stood still, and the answer be there unread.
    error_code ignored;
    bool answered = one->heard > asked || one->socket.available(ignored) > 0;
    if (!answered) return fail(one, "no answer within " + in_ms(shared_.ping_timeout));
    after(shared_.ping_interval, [this, one] { ping(one); });
  });
}

// --- disconnected --------------------------------------------------------------------------------

void redis_connection::fail(const session_ptr& one, const std::string& reason) {
  if (one != session_) return;
  session_.reset();
  error_code ignored;
  one->socket.close(ignored);
  timer_.cancel();
  // One that is taken and dropped at once again is not to be tried as fast as possible.
  if (one->up && clock::now() - one->since > shared_.retry_last) delay_ = shared_.retry_first;
  user_.disconnected(reason, one->heard);
  retry();
}

void redis_connection::retry() {
  std::uniform_int_distribution<milliseconds::rep> jitter(delay_.count() / 2, delay_.count());
  after(milliseconds(jitter(shared_.random)), [this] { open(); });
  delay_ = std::min(delay_ * 2, shared_.retry_last);
}

}  // namespace roost::detail
