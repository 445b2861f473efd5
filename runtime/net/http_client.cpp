#include "runtime/net/http_client.hpp"
#include "runtime/net/client_socket.hpp"
#include "runtime/net/dns.hpp"
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <algorithm>
#include <charconv>
#include <optional>

namespace roost::net {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace http = boost::beast::http;
using boost::system::error_code;
using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using tcp = asio::ip::tcp;

/// Names end without a dot in certificates and in headers, also those that are whole.
std::string without_dot(std::string host) {
  if (host.ends_with('.')) host.pop_back();
  return host;
}

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return (c < ' ' && c != '\t') || c == 0x7f;
  });
}

http::verb verb_of(http_method method) {
  switch (method) {
    case http_method::get:
      return http::verb::get;
    case http_method::post:
      return http::verb::post;
    case http_method::put:
      return http::verb::put;
  }
  return http::verb::get;
}

/// One request with its answer. All that waits is asynchronous on a context of its own, which runs
/// in the calling thread until the deadline and not longer.
class exchange {
 public:
  explicit exchange(const http_request& request)
      : request_(request),
        url_(parse_http_url(request.url)),
        deadline_(clock::now() + request.timeout) {}

  http_response run() {
    auto message = make_message();  // what is wrong with it is told before anybody is bothered
    connect(resolve());
    if (!url_.tls) return talk(socket_, message);
    auto settings = make_settings();
    ssl::stream<tcp::socket&> stream(socket_, settings);
    shake_hands(stream);
    return talk(stream, message);
  }

 private:
  using message = http::request<http::string_body>;

  message make_message() const {
    message made(verb_of(request_.method), url_.target, 11);
    made.set(http::field::host, url_.authority());
    made.set(http::field::user_agent, "roost");
    made.set(http::field::connection, "close");
    for (auto& [name, value] : request_.headers) {
      if (name.empty() || !is_one_line(name + value))
        throw failure("be asked with headers of one line each", "one that is not: " + name);
      made.set(name, value);
    }
    made.body() = request_.body;
    made.prepare_payload();
    return made;
  }

  std::vector<std::string> resolve() const {
    if (is_address(url_.host)) return {url_.host};
    try {
      return addresses_of(
          {.name = url_.host, .server = request_.name_server, .timeout = time_left()});
    } catch (const dns_error& error) {
      throw http_error(url_.without_secrets() + ": " + error.what());
    }
  }

  void connect(const std::vector<std::string>& addresses) {
    error_code error;
    auto waiting = static_cast<long>(addresses.size());
    for (auto& address : addresses) {
      // A silent address may not use up the time of those that follow.
      auto until = clock::now() + (deadline_ - clock::now()) / waiting--;
      tcp::endpoint endpoint(asio::ip::make_address(address), url_.port);
      error = open_socket(socket_, endpoint.protocol());
      if (!error)
        error = finish(until, [&](auto done) { socket_.async_connect(endpoint, std::move(done)); });
      if (!error) return;
    }
    throw failure("take a connection", error);
  }

  ssl::context make_settings() const {
    error_code error;
    auto settings = tls_client(request_.ca_file, error);
    if (error)
      throw failure(
          "be verified by the certificates of " +
              (request_.ca_file.empty() ? "the system" : request_.ca_file),
          error);
    return settings;
  }

  void shake_hands(ssl::stream<tcp::socket&>& stream) {
    auto host = without_dot(url_.host);
    auto* handle = stream.native_handle();
    if (!expect_host(handle, host)) throw failure("have a name that TLS can verify", host);
    auto error = finish(deadline_, [&](auto done) {
      stream.async_handshake(ssl::stream_base::client, std::move(done));
    });
    if (!error) return;
    auto verdict = SSL_get_verify_result(handle);
    if (verdict == X509_V_OK) throw failure("begin with TLS", error);
    throw failure(
        "prove its name by a certificate", std::string(X509_verify_cert_error_string(verdict)));
  }

  template <class Stream>
  http_response talk(Stream& stream, const message& message) {
    // A server may answer and close before it has read everything: the answer counts.
    auto unsent =
        finish(deadline_, [&](auto done) { http::async_write(stream, message, std::move(done)); });
    if (unsent == asio::error::timed_out) throw failure("take the request", unsent);
    http::response_parser<http::string_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(request_.max_headers));
    parser.body_limit(request_.max_body);
    boost::beast::flat_buffer buffer;
    auto error = finish(
        deadline_, [&](auto done) { http::async_read(stream, buffer, parser, std::move(done)); });
    if (error) throw failure("answer", error);
    http_response response;
    response.status = static_cast<int>(parser.get().result_int());
    for (auto& field : parser.get())
      response.headers.emplace_back(field.name_string(), field.value());
    response.body = std::move(parser.get().body());
    return response;
  }

  /// Runs what has been started until it is done, or until then.
  template <class Start>
  error_code finish(clock::time_point until, Start start) {
    std::optional<error_code> result;
    start([&result](error_code error, auto&&...) { result = error; });
    context_.restart();
    context_.run_until(until);
    if (result) return *result;
    error_code ignored;
    socket_.close(ignored);
    // What was started ends at once now, and uses the caller's variables until it does.
    context_.restart();
    context_.run();
    return asio::error::timed_out;
  }

  milliseconds time_left() const {
    return std::max(milliseconds(1), std::chrono::ceil<milliseconds>(deadline_ - clock::now()));
  }

  std::string reason_of(const error_code& error) const {
    if (error == asio::error::timed_out)
      return "no end of it within " + std::to_string(request_.timeout.count()) + " ms";
    if (error == http::error::body_limit)
      return "a body of more than " + std::to_string(request_.max_body) + " bytes";
    if (error == http::error::header_limit)
      return "headers of more than " + std::to_string(request_.max_headers) + " bytes";
    if (error == http::error::end_of_stream) return "a closed connection";
    if (error == http::error::partial_message || error == ssl::error::stream_truncated)
      return "an answer that is cut off";
    return error.message();
  }

  http_error failure(const std::string& expectation, const error_code& error) const {
    return failure(expectation, reason_of(error));
  }
  http_error failure(const std::string& expectation, const std::string& got) const {
    return http_error("expected " + url_.without_secrets() + " to " + expectation + ", got " + got);
  }

  const http_request& request_;
  http_url url_;
  clock::time_point deadline_;
  asio::io_context context_{1};
  tcp::socket socket_{context_};
};

[[noreturn]] void refuse_url(std::string_view url) {
  auto shown = url.find('@') == url.npos ? url.substr(0, url.find_first_of("?#"))
                                         : std::string_view("one with a user");
  throw http_error(
      "expected a url to be http://host[:port]/path or https://…, got " + std::string(shown));
}

}  // namespace

std::string_view http_response::header(std::string_view name) const noexcept {
  for (auto& [known, value] : headers)
    if (boost::beast::iequals({known.data(), known.size()}, {name.data(), name.size()}))
      return value;
  return {};
}

std::string http_url::authority() const {
  auto bare = without_dot(host);
  auto text = bare.find(':') == bare.npos ? bare : "[" + bare + "]";
  return port == (tls ? 443 : 80) ? text : text + ":" + std::to_string(port);
}

std::string http_url::without_secrets() const {
  return (tls ? "https://" : "http://") + authority() + target.substr(0, target.find('?'));
}

http_url parse_http_url(std::string_view text) {
  http_url url;
  auto rest = text;
  bool odd = std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c >= 0x7f; });
  if (rest.starts_with("https://"))
    url.tls = true;
  else if (!rest.starts_with("http://") || odd)
    refuse_url(text);
  rest.remove_prefix(url.tls ? 8 : 7);
  auto authority = rest.substr(0, rest.find_first_of("/?#"));
  url.target = rest.substr(authority.size());
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  auto host_end = authority.starts_with('[') ? authority.find(']') : authority.find(':');
  auto host = authority.substr(0, host_end);
  auto port = host_end == authority.npos ? std::string_view() : authority.substr(host_end);
  if (host.starts_with('[')) {
    host.remove_prefix(1);
    odd = odd || port.empty() || !is_address(std::string(host));
    if (!port.empty()) port.remove_prefix(1);
  }
  url.host = host;
  url.port = url.tls ? 443 : 80;
  if (!port.empty()) {
    auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), url.port);
    odd = odd || port[0] != ':' || error != std::errc() || end != port.data() + port.size() ||
          url.port == 0;
  }
  if (odd || host.empty() || host.find('@') != host.npos || url.target.find('#') != url.target.npos)
    refuse_url(text);
  return url;
}

http_response ask_http(const http_request& request) { return exchange(request).run(); }

std::string percent_encoded(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '.' || c == '_' || c == '~';
    if (plain)
      encoded += static_cast<char>(c);
    else
      (encoded += '%').append(1, digits[c >> 4]).append(1, digits[c & 15]);
  }
  return encoded;
}

}  // namespace roost::net
