// A server for the tests of the client that does with each connection what a script likes: answers
// as a server should, as none should, or not at all. With an identity it speaks TLS.
#pragma once
#include "channels/json.hpp"
#include "channels/transport/frame_codec.hpp"
#include "channels/transport/handshake.hpp"
#include "tests/net/http_server.hpp"
#include <deque>

namespace roost::test {

/// One connection of the server. Ends by an exception when the client has gone.
class scripted_peer {
 public:
  using read_function = std::function<std::size_t(std::span<char>)>;
  using write_function = std::function<void(std::string_view)>;

  scripted_peer(int number, read_function read, write_function write)
      : number(number), read_(std::move(read)), write_(std::move(write)) {}

  const int number;  // of the connection, from 1

  /// The request, up to its empty line.
  std::string read_request() {
    while (input_.find("\r\n\r\n") == input_.npos) read_more();
    auto end = input_.find("\r\n\r\n") + 4;
    auto head = input_.substr(0, end);
    input_.erase(0, end);
    return head;
  }

  static std::string header(const std::string& request, const std::string& name) {
    auto at = request.find("\r\n" + name + ": ");
    if (at == request.npos) return {};
    at += name.size() + 4;
    return request.substr(at, request.find("\r\n", at) - at);
  }

  /// Becomes a WebSocket, and answers the request that did it.
  std::string accept() {
    auto request = read_request();
    write_raw(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        "sec-websocket-accept: " +
        sec_websocket_accept(header(request, "sec-websocket-key")) + "\r\n\r\n");
    return request;
  }

  void write_raw(std::string_view bytes) { write_(bytes); }
  void write_frame(opcode code, std::string_view payload) {
    std::string bytes;
    append_frame(bytes, code, payload);
    write_raw(bytes);
  }
  void write(std::string_view text) { write_frame(opcode::text, text); }

  /// The next message of the client; nothing when it has closed.
  std::optional<std::string> next() {
    while (messages_.empty()) {
      std::span<char> bytes(input_);
      while (auto event = decoder_.next(bytes, {.role = frame_role::server})) {
        if (event.kind == frame_event::close || event.kind == frame_event::error) return {};
        if (event.kind == frame_event::text || event.kind == frame_event::binary)
          messages_.emplace_back(event.payload.data(), event.payload.size());
      }
      input_.clear();
      if (messages_.empty()) read_more();
    }
    auto first = std::move(messages_.front());
    messages_.pop_front();
    return first;
  }

  /// Answers ok to a message, in text.
  void answer(const std::string& message) {
    auto fields = json::parse(message);
    auto at = [&](std::size_t i) { return fields->items()[i].dump(); };
    write(
        "[" + at(0) + "," + at(1) + "," + at(2) + R"(,"phx_reply",{"status":"ok","response":{}}])");
  }

  /// … to all that come, until the client goes.
  void answer_all() {
    while (auto message = next()) answer(*message);
  }

 private:
  void read_more() {
    std::array<char, 16384> buffer;
    auto count = read_(buffer);
    input_.append(buffer.data(), count);
  }

  read_function read_;
  write_function write_;
  std::string input_;
  frame_decoder decoder_;
  std::deque<std::string> messages_;
};

class scripted_server {
 public:
  explicit scripted_server(
      std::function<void(scripted_peer&)> script, std::optional<identity> who = {})
      : script_(std::move(script)),
        who_(std::move(who)),
        server_([this](tcp::socket& socket) { serve(socket); }) {}

  std::string url(const std::string& host = "127.0.0.1") const {
    return (who_ ? "wss://" : "ws://") + host + ":" + std::to_string(server_.port()) + "/socket";
  }
  int connections() const { return connections_; }

 private:
  void serve(tcp::socket& socket) {
    const int number = ++connections_;
    if (!who_) return run(number, socket);
    namespace ssl = boost::asio::ssl;
    ssl::context settings(ssl::context::tls_server);
    settings.use_certificate_chain(boost::asio::buffer(who_->certificate_pem()));
    settings.use_private_key(boost::asio::buffer(who_->key_pem()), ssl::context::pem);
    ssl::stream<tcp::socket&> stream(socket, settings);
    stream.handshake(ssl::stream_base::server);
    run(number, stream);
  }

  template <class Stream>
  void run(int number, Stream& stream) {
    scripted_peer peer(
        number,
        [&](std::span<char> buffer) {
          return stream.read_some(boost::asio::buffer(buffer.data(), buffer.size()));
        },
        [&](std::string_view bytes) {
          boost::asio::write(stream, boost::asio::buffer(bytes.data(), bytes.size()));
        });
    script_(peer);
  }

  std::function<void(scripted_peer&)> script_;
  std::optional<identity> who_;
  std::atomic<int> connections_{0};
  tcp_server server_;
};

}  // namespace roost::test
