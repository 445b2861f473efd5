// Servers for the tests of HTTP clients: one that speaks HTTP or HTTPS and answers with what a
// function makes of each request, and one below it that does what a function likes with
// connections.
#pragma once
#include "tests/distribution/certificates.hpp"
#include "tests/support.hpp"
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <sys/socket.h>
#include <atomic>
#include <list>
#include <optional>

namespace roost::test {

using tcp = boost::asio::ip::tcp;

/// A port of 127.0.0.1 with a thread for each connection.
class tcp_server {
 public:
  explicit tcp_server(std::function<void(tcp::socket&)> serve)
      : serve_(std::move(serve)),
        acceptor_(context_, {boost::asio::ip::make_address("127.0.0.1"), 0}),
        port_(acceptor_.local_endpoint().port()),
        accepting_([this] { accept(); }) {}
  tcp_server(const tcp_server&) = delete;
  tcp_server& operator=(const tcp_server&) = delete;
  ~tcp_server() {
    stops_ = true;
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    accepting_.join();
    {
      std::lock_guard guard{mutex_};
      for (auto& each : connections_)
        if (each.socket.is_open()) ::shutdown(each.socket.native_handle(), SHUT_RDWR);
    }
    for (auto& each : connections_) each.thread.join();
  }

  std::uint16_t port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  bool stops() const { return stops_; }
  /// How many are open now.
  int open() const { return open_; }

 private:
  struct connection {
    tcp::socket socket;
    std::thread thread = {};
  };

  void accept() {
    while (!stops_) {
      boost::system::error_code error;
      tcp::socket socket(context_);
      acceptor_.accept(socket, error);
      if (error || stops_) continue;
      std::lock_guard guard{mutex_};
      auto& added = connections_.emplace_back(connection{std::move(socket)});
      ++open_;
      added.thread = std::thread([this, &added] { run(added.socket); });
    }
  }

  void run(tcp::socket& socket) {
    try {
      serve_(socket);
    } catch (const std::exception&) {
      // The client went away, or does not believe the certificate.
    }
    std::lock_guard guard{mutex_};
    boost::system::error_code ignored;
    socket.close(ignored);
    --open_;
  }

  std::function<void(tcp::socket&)> serve_;
  boost::asio::io_context context_;
  tcp::acceptor acceptor_;
  std::uint16_t port_;
  std::atomic<bool> stops_ = false;
  std::atomic<int> open_ = 0;
  std::mutex mutex_;
  std::list<connection> connections_;
  std::thread accepting_;
};

struct reply {
  int status = 200;
  std::string body = {};
  std::string content_type = "text/plain";
  std::vector<std::pair<std::string, std::string>> headers = {};
};

class http_server {
 public:
  using request = boost::beast::http::request<boost::beast::http::string_body>;

  /// With an identity it speaks TLS. `answer` runs in several threads.
  explicit http_server(
      std::function<reply(const request&)> answer, std::optional<identity> who = {})
      : answer_(std::move(answer)),
        settings_(make_settings(who)),
        server_([this](tcp::socket& socket) { serve(socket); }) {}

  std::uint16_t port() const { return server_.port(); }
  std::string address() const { return server_.address(); }
  std::string url(const std::string& target = "/") const {
    return (settings_ ? "https://" : "http://") + address() + target;
  }
  int open() const { return server_.open(); }
  /// What the client of the last connection named by SNI.
  std::string server_name() const {
    std::lock_guard guard{mutex_};
    return server_name_;
  }

 private:
  static std::unique_ptr<boost::asio::ssl::context> make_settings(
      const std::optional<identity>& who) {
    namespace ssl = boost::asio::ssl;
    if (!who) return nullptr;
    auto settings = std::make_unique<ssl::context>(ssl::context::tls_server);
    settings->use_certificate_chain(boost::asio::buffer(who->certificate_pem()));
    settings->use_private_key(boost::asio::buffer(who->key_pem()), ssl::context::pem);
    return settings;
  }

  void serve(tcp::socket& socket) {
    if (!settings_) return talk(socket);
    boost::asio::ssl::stream<tcp::socket&> stream(socket, *settings_);
    stream.handshake(boost::asio::ssl::stream_base::server);
    auto* name = SSL_get_servername(stream.native_handle(), TLSEXT_NAMETYPE_host_name);
    {
      std::lock_guard guard{mutex_};
      server_name_ = name != nullptr ? name : "";
    }
    talk(stream);
  }

  template <class Stream>
  void talk(Stream& stream) {
    namespace http = boost::beast::http;
    boost::beast::flat_buffer buffer;
    request request;
    http::read(stream, buffer, request);
    auto reply = answer_(request);
    http::response<http::string_body> response(
        static_cast<http::status>(reply.status), request.version());
    response.set(http::field::content_type, reply.content_type);
    for (auto& [name, value] : reply.headers) response.set(name, value);
    response.keep_alive(false);
    response.body() = std::move(reply.body);
    response.prepare_payload();
    http::write(stream, response);
  }

  std::function<reply(const request&)> answer_;
  std::unique_ptr<boost::asio::ssl::context> settings_;
  mutable std::mutex mutex_;
  std::string server_name_;
  tcp_server server_;
};

/// For who is to be asked at 127.0.0.1.
inline identity local_identity(const authority& authority) {
  return authority.issue({.common_name = "server", .names = "IP:127.0.0.1,DNS:localhost"});
}

}  // namespace roost::test
