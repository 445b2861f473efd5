#include "channels/transport/http_server.hpp"
#include "channels/meters.hpp"
#include "channels/transport/deflate.hpp"
#include "channels/transport/http_answers.hpp"
#include "channels/transport/http_output.hpp"
#include "channels/transport/long_poll.hpp"
#include "channels/transport/route_process.hpp"
#include "channels/transport/routes.hpp"
#include "channels/transport/socket_wish.hpp"
#include "channels/transport/static_files.hpp"
#include "channels/transport/web_socket.hpp"
#include "runtime/logger.hpp"
#include "runtime/telemetry.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace roost::detail {
namespace {

namespace http = boost::beast::http;

constexpr std::size_t max_unsent = 32 << 20;
constexpr std::size_t max_pipelined = 64 * 1024;  // bytes of later requests while one waits
// A drain waits so long for a client that has just connected: a balancer that could connect takes
// what comes after it for a request that may have been served, and sends no second one of a POST.
constexpr std::uint64_t first_words = 1000;  // ms

const telemetry::event request_start{"phoenix.endpoint.start"};
const telemetry::event request_stop{"phoenix.endpoint.stop"};

}  // namespace

class http_session final : public connection {
 public:
  using request = beast_request;

  http_session(
      byte_stream stream, const new_connection& accepted,
      std::shared_ptr<const endpoint_context> endpoint, client_list& list)
      : connection(std::move(stream), manner::patient),
        from_(accepted.from),
        endpoint_(std::move(endpoint)),
        list_(list) {
    list_.add(*this);
    since_ = worker::current()->now();
    if (!from_.local) peer_ = peer_of(accepted.peer);
    new_parser();
    worker::current()->watch(fd(), EPOLLIN, *this);
    if (!from_.proxy_protocol) begin();
  }

  ~http_session() override {
    if (counted_) endpoint_->admission->leave_connection();
  }

  void on_io(std::uint32_t events) override {
    if (done_) return;
    if ((events & EPOLLOUT) != 0) send_output();
    if (!done_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read();
  }

  void sweep(std::uint64_t now) override {
    if (exchange_) return;  // whoever answers has a limit of his own
    auto& limits = endpoint_->spec.limits;
    bool shaking_hands = from_.proxy_protocol && !begun_;
    if (from_.tls && begun_ && !stream().is_secure()) shaking_hands = true;
    bool idle = input_.empty() && requests_ > 0;
    auto limit = shaking_hands ? limits.handshake_timeout
                 : idle        ? limits.keep_alive_timeout
                               : limits.request_timeout;
    if (draining_ && is_new() && asks_nothing(now)) return end();
    if (now - since_ <= static_cast<std::uint64_t>(limit.count())) return;
    if (!idle)
      endpoint_->admission->note(
          endpoint_->admission->slow_handshakes,
          shaking_hands ? "handshake_timeout" : "request_timeout");
    end();
  }
  /// Whoever has asked gets the answer, and then the connection ends.
  void drain() override {
    draining_ = true;
    if (exchange_ || !output_.empty()) return;
    if (asks_nothing(worker::current()->now())) end();
  }
  void cut() override { end(); }
  bool is_socket() const noexcept override { return false; }

  /// The answer to the exchange's request.
  void answer(const http_response& response) {
    auto head = std::exchange(head_, false);
    exchange_->session_ = nullptr;
    exchange_ = {};
    since_ = worker::current()->now();
    respond(response, head);
    if (!parsing_) parse();
  }

 private:
  void new_parser() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(endpoint_->spec.limits.max_header));
    parser_->body_limit(largest_body());
    parser_->eager(true);
  }

  std::size_t largest_body() const {
    auto largest = endpoint_->spec.limits.max_body;
    for (auto& mount : endpoint_->spec.sockets)
      if (mount.options.longpoll) largest = std::max(largest, mount.options.longpoll->max_body);
    return largest;
  }

  /// Has connected and not said a word yet.
  bool is_new() const { return requests_ == 0 && input_.empty() && !parser_->got_some(); }

  /// A part of a request is here, or in the kernel, which epoll will tell of.
  bool has_asked() const {
    char byte;
    return !input_.empty() || parser_->got_some() ||
           ::recv(fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }

  /// Nor is it about to, as who has just connected is.
  bool asks_nothing(std::uint64_t now) const {
    return !(is_new() && now - since_ <= first_words) && !has_asked();
  }

  void end() {
    if (done_) return;
    done_ = true;
    if (exchange_) {
      exchange_->client_gone();
      exchange_ = {};
    }
    list_.remove(*this);
    close_stream();
    worker::current()->delete_after_poll(std::unique_ptr<io_handler>(this));
  }

  // --- who it is ---------------------------------------------------------------------------------

  request_peer peer() const { return {peer_.address, peer_.port, from_.tls, trusts_peer()}; }
  bool trusts_peer() const { return from_.local || endpoint_->trusted.contain(peer_.address); }

  /// The balancer's header comes before everything else, TLS too, so not a byte more is taken: what
  /// is there is looked at first. All bytes of an unfinished header belong to it.
  void read_proxy_header() {
    std::array<char, max_proxy_header> buffer;
    auto room = buffer.size() - input_.size();
    auto count = ::recv(fd(), buffer.data(), room, MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return end();
    auto before = input_.size();
    input_.append(buffer.data(), static_cast<std::size_t>(count));
    auto header = parse_proxy_header(input_);
    bool complete = header.state == proxy_header::kind::complete;
    auto used = complete ? header.size - before : static_cast<std::size_t>(count);
    (void)!::recv(fd(), buffer.data(), used, MSG_DONTWAIT);
    if (header.state == proxy_header::kind::incomplete && input_.size() < max_proxy_header) return;
    if (!complete || !trusts_peer()) {
      logger::debug("no PROXY header of a trusted balancer, closing", {{"peer", peer_.address}});
      return end();
    }
    input_.clear();
    if (!header.address.empty()) {
      peer_ = {header.address, header.port};
      from_.local = false;
    }
    begin();
  }

  void begin() {
    begun_ = true;
    if (endpoint_->admission->enter_connection() != refusal::none) return end();
    counted_ = true;
    if (from_.tls) stream().start_tls(*endpoint_->tls->current());
  }

  // --- reading -----------------------------------------------------------------------------------

  void read() {
    if (!begun_) return read_proxy_header();
    std::array<char, 16 * 1024> buffer;
    do {
      auto [result, count] = stream().read(buffer);
      if (result == io_state::blocked) return;
      if (result == io_state::ended) return end();
      if (closing_) return;  // the answer is on its way; the rest of what it says is dropped
      input_.append(buffer.data(), count);
      if (exchange_ && input_.size() > max_pipelined) return end();
      parse();
    } while (!done_ && stream().has_buffered());
  }

  void parse() {
    parsing_ = true;
    parse_all();
    parsing_ = false;
  }

  void parse_all() {
    while (!done_ && !closing_ && !exchange_ && !input_.empty()) {
      boost::system::error_code error;
      auto used = parser_->put(boost::asio::buffer(input_), error);
      input_.erase(0, used);
      if (error && error != http::error::need_more) return refuse(error);
      if (parser_->is_header_done() && too_large()) return refuse(http::error::body_limit);
      if (error || !parser_->is_done()) return;
      auto message = parser_->release();
      new_parser();
      ++requests_;
      since_ = worker::current()->now();
      handle(message);
    }
  }

  /// Only long polling takes bodies as large as the parser does.
  bool too_large() {
    auto& message = parser_->get();
    auto limit = endpoint_->spec.limits.max_body;
    auto announced = parser_->content_length();
    if (message.body().size() <= limit && (!announced || *announced <= limit)) return false;
    auto path = path_of(message);
    auto match = match_socket(endpoint_->spec.sockets, path, "longpoll");
    if (match && match->mount->options.longpoll) limit = match->mount->options.longpoll->max_body;
    return message.body().size() > limit || (announced && *announced > limit);
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
    // A balancer that keeps connections for later is told that there is no later.
    keep_alive_ = message.keep_alive() && !draining_ && !endpoint_->admission->leaving();
    auto path = path_of(message);
    handling_since_ = std::chrono::steady_clock::now();
    telemetry::execute(
        request_start, {}, {{"path", path}, {"method", view(message.method_string())}});
    bool head = message.method() == http::verb::head;
    if (message.version() >= 11 && message.count(http::field::host) != 1) {
      keep_alive_ = false;
      return respond(plain_response(400, "Bad Request"), head);
    }
    auto& spec = endpoint_->spec;
    auto not_found = [&] { respond(error_response(404, "Not Found"), head); };
    if (auto match = match_socket(spec.sockets, path, "websocket"))
      return match->mount->options.websocket ? upgrade(message, *match) : not_found();
    if (auto match = match_socket(spec.sockets, path, "longpoll"))
      return match->mount->options.longpoll ? long_poll(message, *match, head) : not_found();
    if (auto match = match_route(spec.routes, view(message.method_string()), path))
      return respond(run(*match, message), head);
    bool reads = head || message.method() == http::verb::get;
    if (reads && send_static(message, path, head)) return;
    not_found();
  }

  bool send_static(const request& message, std::string_view path, bool head) {
    auto answer = static_file(
        endpoint_->spec.static_files,
        {.path = path,
         .query = query_of(message),
         .if_none_match = view(message[http::field::if_none_match]),
         .accept_encoding = view(message[http::field::accept_encoding]),
         .range = view(message[http::field::range])});
    if (!answer) return false;
    output_.follow_with(std::move(answer->file));
    respond(answer->response, head);
    return true;
  }

  http_response run(route_match& match, const request& message) {
    http_request request;
    request.method = view(message.method_string());
    request.path = path_of(message);
    request.query = parse_query(query_of(message));
    request.parameters = params(std::move(match.path_parameters));
    for (auto& field : message)
      request.headers.emplace_back(lowered(view(field.name_string())), view(field.value()));
    request.body = message.body();
    request.peer_address = client_address(message, peer(), endpoint_->trusted);
    return run_route(*match.route, request);
  }

  // --- becoming a WebSocket ----------------------------------------------------------------------

  void upgrade(const request& message, socket_match& match) {
    auto field = [&](http::field name) { return view(message[name]); };
    auto& options = match.mount->options;
    std::vector<std::string_view> spoken(options.subprotocols.begin(), options.subprotocols.end());
    if (options.auth_token) spoken.emplace_back("phoenix");
    auto answer = check_upgrade(
        {.method = view(message.method_string()),
         .http_version = static_cast<int>(message.version()),
         .host = field(http::field::host),
         .upgrade = field(http::field::upgrade),
         .connection = field(http::field::connection),
         .version = field(http::field::sec_websocket_version),
         .key = field(http::field::sec_websocket_key),
         .protocol = field(http::field::sec_websocket_protocol)},
        spoken);
    if (answer.status != 101)
      return respond(plain_response(static_cast<int>(answer.status), answer.reason), false);
    auto wish = socket_wish_of(message, peer(), match, endpoint_);
    if (!wish) return respond(plain_response(403, ""), false);
    auto why = endpoint_->admission->enter_socket(wish->request.info.peer_address);
    if (why != refusal::none) return respond(unavailable(why, *endpoint_->admission), false);
    std::optional<deflate_agreement> deflate;
    if (options.compress) deflate = agree_on_deflate(field(http::field::sec_websocket_extensions));
    connect(answer, std::move(*wish), deflate);
  }

  void connect(
      const upgrade_answer& answer, socket_wish wish,
      const std::optional<deflate_agreement>& deflate) {
    std::string reason;
    wish.request.refusal = &reason;
    auto& handler = wish.request.mount->options.error_handler;
    auto [process, status] = start_socket(std::move(wish.request));
    if (status == start_status::ignored)
      return respond(handler ? handler(reason) : plain_response(403, ""), false);
    if (status != start_status::ready)
      return respond(error_response(500, "Internal Server Error"), false);
    auto& text = output_.bytes();
    text +=
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
        answer.accept + "\r\n";
    if (!answer.protocol.empty()) text += "Sec-WebSocket-Protocol: " + answer.protocol + "\r\n";
    if (deflate) text += "Sec-WebSocket-Extensions: " + deflate->header + "\r\n";
    text += "\r\n";
    if (!send_output()) return;
    if (!output_.empty()) return end();  // a client that cannot take 200 bytes takes nothing
    become(*process, {wish.protocol, deflate ? deflate->window_bits : 0});
  }

  void become(socket_process& process, web_socket::settings settings) {
    done_ = true;
    list_.remove(*this);
    auto early = std::move(input_);
    counted_ = false;  // the WebSocket is the connection now, and what epoll tells of
    local_ptr<web_socket> socket(new web_socket(release_stream(), settings, list_, process));
    run_as(process.core(), [&] { process.attach(local_ptr<transport>(socket.get())); });
    worker::current()->delete_after_poll(std::unique_ptr<io_handler>(this));
    socket->start(early);
  }

  // --- polling -----------------------------------------------------------------------------------

  void long_poll(const request& message, socket_match& match, bool head) {
    auto& options = *match.mount->options.longpoll;
    auto method = message.method();
    if (method == http::verb::options) {
      auto response = plain_response(200, "");
      response.headers =
          preflight_headers(view(message[http::field::access_control_request_headers]));
      return respond(response, head);
    }
    if (method != http::verb::get && method != http::verb::post)
      return respond(plain_response(400, "Bad Request"), head);
    auto wish = socket_wish_of(message, peer(), match, endpoint_);
    if (!wish) return respond(poll_response(publish_answer(403)), head);

    std::string token(view(message["X-Phoenix-Longpoll-Token"]));
    if (token.empty()) token = wish->request.params["token"].value_or("");
    poll_request poll{
        .what = method == http::verb::get ? poll_request::kind::poll : poll_request::kind::publish,
        .session = read_poll_token(*endpoint_, options, token)};
    bool gone = poll.session && !poll.session->process;
    if (method == http::verb::post) {
      if (!poll.session || gone) return respond(poll_response(publish_answer(410)), head);
      auto body = parse_poll_body(view(message[http::field::content_type]), message.body());
      if (!body) return respond(plain_response(400, "Bad Request"), head);
      poll.messages = std::move(*body);
    }
    if (gone) return respond(session_is_lost(), head);
    head_ = head;
    exchange_ = local_ptr<http_exchange>(new http_exchange(this));
    if (!poll.session) return begin_session(*wish, options);
    run_poll(exchange_, endpoint_, options, std::move(poll));
  }

  void begin_session(socket_wish& wish, const longpoll_options& options) {
    auto why = endpoint_->admission->enter_socket(wish.request.info.peer_address);
    if (why != refusal::none) return answer(unavailable(why, *endpoint_->admission));
    auto [process, status] = start_socket(std::move(wish.request));
    if (status == start_status::ignored) return answer(poll_response(publish_answer(403)));
    if (status != start_status::ready) return answer(error_response(500, "Internal Server Error"));
    local_ptr<long_poll_session> session(
        new long_poll_session(wish.protocol, list_, *process, options));
    run_as(process->core(), [process = process, &session] {
      process->attach(local_ptr<transport>(session.get()));
      session->start();
    });
    answer(poll_response(poll_answer(410, make_poll_token(*endpoint_, session->id()))));
  }

  // --- writing -----------------------------------------------------------------------------------

  void respond(const http_response& response, bool head) {
    // A request that could not be read was never handled.
    auto since = std::exchange(handling_since_, {});
    auto took = since == std::chrono::steady_clock::time_point()
                    ? std::chrono::nanoseconds(0)
                    : std::chrono::steady_clock::now() - since;
    auto& counts = meters::here();
    counts.responses[static_cast<std::size_t>(std::clamp(response.status / 100, 0, 5))].add();
    counts.request.observe(took);
    telemetry::execute(request_stop, {{"duration", took}}, {{"status", response.status}});
    bool has_body = response.status != 304 && response.status != 204;
    auto size = output_.file_size() != 0 ? output_.file_size() : response.body.size();
    if (draining_) keep_alive_ = false;
    append_head(output_.bytes(), response, size, keep_alive_);
    if (has_body && !head)
      output_.bytes() += response.body;
    else
      output_.drop_file();
    closing_ = !keep_alive_;
    if (output_.unsent() > max_unsent) return end();
    send_output();
  }

  /// Answers whether the connection is still there.
  bool send_output() {
    auto [state, count] = output_.write_to(stream());
    if (count > 0) since_ = worker::current()->now();
    if (state == io_state::ended) {
      end();
      return false;
    }
    watch_output(state == io_state::blocked);
    // The client closes when it has read the answer; a sweep ends it if it does not.
    if (state == io_state::done && closing_) stream().end_output();
    return true;
  }

  void watch_output(bool on) {
    if (std::exchange(watching_output_, on) == on) return;
    worker::current()->rewatch(fd(), on ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
  }

  listening from_;
  std::shared_ptr<const endpoint_context> endpoint_;
  client_list& list_;
  peer_address peer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  local_ptr<http_exchange> exchange_;  // a request that is not answered yet
  std::string input_;
  http_output output_;
  std::size_t requests_ = 0;
  std::uint64_t since_ = 0;
  std::chrono::steady_clock::time_point handling_since_;  // of the present request
  bool begun_ = false;                                    // the PROXY header is behind us
  bool counted_ = false;                                  // by the admission
  bool head_ = false;                                     // of the exchange
  bool keep_alive_ = true;
  bool closing_ = false;
  bool draining_ = false;
  bool parsing_ = false;
  bool watching_output_ = false;
  bool done_ = false;
};

void http_exchange::respond(http_response response) {
  if (session_ != nullptr) session_->answer(response);
}

void http_exchange::client_gone() {
  session_ = nullptr;
  if (waiter_) exit(waiter_, exit_reason::shutdown);
}

void serve_http(
    new_connection connection, std::shared_ptr<const endpoint_context> endpoint,
    client_list& list) {
  int fd = std::exchange(connection.fd, -1);
  // Lives until it ends itself.
  new http_session(byte_stream(fd), connection, std::move(endpoint), list);
}

}  // namespace roost::detail
