#include "channels/transport/http_server.hpp"
#include "channels/socket_process.hpp"
#include "channels/transport/routes.hpp"
#include "channels/transport/web_socket.hpp"
#include "runtime/logger.hpp"
#include <arpa/inet.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace roost::detail {
namespace {

namespace http = boost::beast::http;

constexpr std::uint32_t max_header = 16 * 1024;
constexpr std::uint64_t max_body = 1 << 20;
constexpr std::uint64_t header_limit_ms = 15'000;  // for a whole request to come in
constexpr std::uint64_t keep_alive_ms = 60'000;    // between two requests
constexpr std::size_t max_unsent = 32 << 20;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string_view reason_phrase(int status) {
  return view(http::obsolete_reason(static_cast<http::status>(status)));
}

http_response error_response(int status, std::string_view detail) {
  return json_response(status, json{{"errors", json{{"detail", detail}}}});
}

http_response plain_response(int status, std::string body) {
  return {.status = status, .body = std::move(body)};
}

class http_session final : public connection {
 public:
  using request = http::request<http::string_body>;

  http_session(int fd, std::shared_ptr<const endpoint_context> endpoint, connection_list& list)
      : connection(fd), endpoint_(std::move(endpoint)), list_(list) {
    list_.add(*this);
    since_ = worker::current()->now();
    new_parser();
    worker::current()->watch(fd, EPOLLIN, *this);
  }

  void on_io(std::uint32_t events) override {
    if (done_) return;
    if ((events & EPOLLOUT) != 0) send_output();
    if (!done_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
  }

  void sweep(std::uint64_t now) override {
    auto limit = input_.empty() && requests_ > 0 ? keep_alive_ms : header_limit_ms;
    if (now - since_ > limit) end();
  }
  void drain() override { end(); }
  void cut() override { end(); }

 private:
  void new_parser() {
    parser_.emplace();
    parser_->header_limit(max_header);
    parser_->body_limit(max_body);
    parser_->eager(true);
  }

  void end() {
    if (done_) return;
    done_ = true;
    list_.remove(*this);
    close_fd();
    worker::current()->delete_after_poll(std::unique_ptr<io_handler>(this));
  }

  // --- reading -----------------------------------------------------------------------------------

  void read() {
    std::array<char, 16 * 1024> buffer;
    auto count = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return end();
    if (closing_) return;  // the answer is on its way; the rest of what it says is dropped
    input_.append(buffer.data(), static_cast<std::size_t>(count));
    parse();
  }

  void parse() {
    while (!done_ && !closing_ && !input_.empty()) {
      boost::system::error_code error;
      auto used = parser_->put(boost::asio::buffer(input_), error);
      input_.erase(0, used);
      if (error == http::error::need_more) return;
      if (error) return refuse(error);
      if (!parser_->is_done()) return;
      auto message = parser_->release();
      new_parser();
      ++requests_;
      since_ = worker::current()->now();
      handle(message);
    }
  }

  void refuse(const boost::system::error_code& error) {
    int status = 400;
    if (error == http::error::header_limit) status = 431;
    if (error == http::error::body_limit) status = 413;
    keep_alive_ = false;
    respond(plain_response(status, std::string(reason_phrase(status))), false);
  }

  // --- deciding ----------------------------------------------------------------------------------

  void handle(request& message) {
    keep_alive_ = message.keep_alive();
    auto target = view(message.target());
    auto path = target.substr(0, target.find('?'));
    bool head = message.method() == http::verb::head;
    if (message.version() >= 11 && message.count(http::field::host) != 1) {
      keep_alive_ = false;
      return respond(plain_response(400, "Bad Request"), head);
    }
    if (auto match = match_socket(endpoint_->spec, path, "websocket"))
      return match->mount->options.websocket ? upgrade(message, *match)
                                             : respond(error_response(404, "Not Found"), head);
    if (auto* route = match_route(endpoint_->spec, view(message.method_string()), path))
      return respond(run(*route, message), head);
    bool reads = head || message.method() == http::verb::get;
    if (reads)
      if (auto file = static_file(
              endpoint_->spec.static_files, path, view(message[http::field::if_none_match])))
        return respond(*file, head);
    respond(error_response(404, "Not Found"), head);
  }

  static std::string_view query_of(const request& message) {
    auto target = view(message.target());
    auto question = target.find('?');
    return question == target.npos ? std::string_view() : target.substr(question + 1);
  }

  /// The handler is user code, so it runs as a process of its own: a crash is reported, and
  /// answered with 500.
  http_response run(const http_route& route, const request& message) {
    http_request request;
    request.method = view(message.method_string());
    auto target = view(message.target());
    request.path = target.substr(0, target.find('?'));
    request.query = parse_query(query_of(message));
    for (auto& field : message) {
      std::string name(view(field.name_string()));
      for (auto& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers.emplace_back(std::move(name), view(field.value()));
    }
    request.body = message.body();
    auto response = std::make_shared<http_response>(error_response(500, "Internal Server Error"));

    struct handler_process final : behavior {
      const http_route& route;
      const http_request& request;
      std::shared_ptr<http_response> response;
      handler_process(const http_route& r, const http_request& q, std::shared_ptr<http_response> a)
          : route(r), request(q), response(std::move(a)) {}
      init_outcome init() override {
        *response = route.handler(request);
        return {init_status::ignore, {}};
      }
      void handle(detail::message&) override {}
      std::string_view initial_call() const noexcept override { return route.path; }
    };
    start_request options;
    options.worker = static_cast<int>(worker::current()->index());
    start_process(std::make_unique<handler_process>(route, request, response), std::move(options));
    return std::move(*response);
  }

  // --- becoming a WebSocket ----------------------------------------------------------------------

  void upgrade(const request& message, socket_match& match) {
    auto field = [&](http::field name) { return view(message[name]); };
    auto answer = check_upgrade(
        {.method = view(message.method_string()),
         .http_version = static_cast<int>(message.version()),
         .host = field(http::field::host),
         .upgrade = field(http::field::upgrade),
         .connection = field(http::field::connection),
         .version = field(http::field::sec_websocket_version),
         .key = field(http::field::sec_websocket_key),
         .protocol = field(http::field::sec_websocket_protocol)});
    if (answer.status != 101)
      return respond(plain_response(static_cast<int>(answer.status), answer.reason), false);
    if (!origin_is_allowed(message)) return respond(plain_response(403, ""), false);

    auto parameters = parse_query(query_of(message)).entries();
    parameters.insert(parameters.end(), match.path_parameters.begin(), match.path_parameters.end());
    params all(std::move(parameters));
    auto protocol = choose_protocol(all["vsn"]);
    if (!protocol) return respond(plain_response(403, ""), false);
    connect(answer, *protocol, {match.mount, endpoint_, std::move(all), info(message)});
  }

  void connect(
      const upgrade_answer& answer, enum protocol protocol, socket_process::request request) {
    auto behavior = std::make_unique<socket_process>(std::move(request));
    auto* process = behavior.get();
    start_request options;
    options.worker = static_cast<int>(worker::current()->index());
    auto outcome = start_process(std::move(behavior), std::move(options));
    if (outcome.status == start_status::ignored) return respond(plain_response(403, ""), false);
    if (outcome.status != start_status::ready)
      return respond(error_response(500, "Internal Server Error"), false);
    auto response =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
        answer.accept + "\r\n\r\n";
    output_ += response;
    if (!send_output()) return;
    if (!output_.empty()) return end();  // a client that cannot take 130 bytes takes nothing
    become(*process, protocol);
  }

  void become(socket_process& process, enum protocol protocol) {
    done_ = true;
    list_.remove(*this);
    worker::current()->unwatch(fd());
    auto early = std::move(input_);
    local_ptr<web_socket> socket(new web_socket(release_fd(), protocol, list_, process));
    run_as(process.core(), [&] { process.attach(local_ptr<transport>(socket.get())); });
    worker::current()->delete_after_poll(std::unique_ptr<io_handler>(this));
    socket->start(early);
  }

  bool origin_is_allowed(const request& message) const {
    auto origin = message.find(http::field::origin);
    if (origin == message.end()) return true;
    return origin_allowed(view(origin->value()), endpoint_->origins, endpoint_->spec.url_host);
  }

  connect_info info(const request& message) const {
    connect_info info;
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::getpeername(fd(), reinterpret_cast<sockaddr*>(&address), &size);
    if (auto* v4 = reinterpret_cast<sockaddr_in*>(&address); v4->sin_family == AF_INET) {
      ::inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
      info.peer_port = ntohs(v4->sin_port);
    } else if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&address); v6->sin6_family == AF_INET6) {
      ::inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
      info.peer_port = ntohs(v6->sin6_port);
    }
    info.peer_address = text.data();
    info.uri = view(message.target());
    info.user_agent = view(message[http::field::user_agent]);
    for (auto& header : message) {
      auto name = view(header.name_string());
      if (name.starts_with("x-") || name.starts_with("X-"))
        info.x_headers.emplace_back(name, view(header.value()));
    }
    return info;
  }

  // --- writing -----------------------------------------------------------------------------------

  void respond(const http_response& response, bool head) {
    output_ += "HTTP/1.1 " + std::to_string(response.status) + " ";
    output_.append(reason_phrase(response.status)).append("\r\n");
    bool has_body = response.status != 304 && response.status != 204;
    if (has_body) {
      output_ += "content-type: " + response.content_type + "\r\n";
      output_ += "content-length: " + std::to_string(response.body.size()) + "\r\n";
    }
    for (auto& [name, value] : response.headers) output_ += name + ": " + value + "\r\n";
    if (!keep_alive_) output_ += "connection: close\r\n";
    output_ += "\r\n";
    if (has_body && !head) output_ += response.body;
    closing_ = !keep_alive_;
    if (output_.size() - sent_ > max_unsent) return end();
    send_output();
  }

  /// Answers whether the connection is still there.
  bool send_output() {
    while (sent_ < output_.size()) {
      auto count =
          ::send(fd(), output_.data() + sent_, output_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) {
        watch_output(true);
        return true;
      }
      if (count < 0) {
        end();
        return false;
      }
      sent_ += static_cast<std::size_t>(count);
    }
    output_.clear();
    sent_ = 0;
    watch_output(false);
    if (closing_) {
      // The client closes when it has read the answer; a sweep ends it if it does not.
      ::shutdown(fd(), SHUT_WR);
    }
    return true;
  }

  void watch_output(bool on) {
    if (std::exchange(watching_output_, on) == on) return;
    worker::current()->rewatch(fd(), on ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
  }

  std::shared_ptr<const endpoint_context> endpoint_;
  connection_list& list_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string input_;
  std::string output_;
  std::size_t sent_ = 0;
  std::size_t requests_ = 0;
  std::uint64_t since_ = 0;
  bool keep_alive_ = true;
  bool closing_ = false;
  bool watching_output_ = false;
  bool done_ = false;
};

}  // namespace

void serve_http(int fd, std::shared_ptr<const endpoint_context> endpoint, connection_list& list) {
  int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Lives until it ends itself.
  new http_session(fd, std::move(endpoint), list);
}

int listen_on(const http_options& options) {
  auto where = options.ip + ":" + std::to_string(options.port);
  auto fail = [&](int fd, int error) {
    if (fd >= 0) ::close(fd);
    throw std::runtime_error(
        "expected to listen on " + where + ", got \"" + std::string(strerror(error)) + "\"");
  };
  sockaddr_storage address{};
  socklen_t size = 0;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
  if (::inet_pton(AF_INET, options.ip.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(options.port));
    size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, options.ip.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(options.port));
    size = sizeof *v6;
  } else {
    throw std::runtime_error("expected http.ip to be an IPv4 or IPv6 address, got " + options.ip);
  }
  int fd = ::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail(fd, errno);
  int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) < 0) fail(fd, errno);
  if (::listen(fd, 4096) < 0) fail(fd, errno);
  return fd;
}

int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) < 0) return 0;
  return ntohs(
      address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                    : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

}  // namespace roost::detail
