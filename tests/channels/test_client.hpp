// A blocking WebSocket client for the tests, on the codec in its client role.
#pragma once
#include "channels/json.hpp"
#include "channels/transport/frame_codec.hpp"
#include "channels/transport/handshake.hpp"
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <chrono>
#include <deque>
#include <stdexcept>
#include <vector>

namespace roost::test {

class test_client {
 public:
  explicit test_client(int port, const std::string& target = "/socket/websocket?vsn=2.0.0") {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("cannot connect");
    send_raw(
        encode_upgrade({.host = "localhost", .target = target, .key = "dGhlIHNhbXBsZSBub25jZQ=="}));
    auto head = read_head();
    status = std::stoi(head.substr(9, 3));
  }
  test_client(const test_client&) = delete;
  test_client& operator=(const test_client&) = delete;
  ~test_client() { ::close(fd_); }

  int status = 0;  // of the upgrade: 101 when all is well

  void send_raw(std::string_view bytes) {
    while (!bytes.empty()) {
      auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("cannot send");
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void send_frame(opcode code, std::string_view payload) {
    std::string bytes;
    append_frame(bytes, code, payload, {.mask = mask_key{'m', 'a', 's', 'k'}});
    send_raw(bytes);
  }
  void send_together(const std::vector<std::string>& texts) {
    std::string bytes;
    for (auto& text : texts)
      append_frame(bytes, opcode::text, text, {.mask = mask_key{'m', 'a', 's', 'k'}});
    send_raw(bytes);
  }
  void send(std::string_view text) { send_frame(opcode::text, text); }

  /// The next text message as JSON text; throws after 5 s, or when the connection ends first.
  std::string receive() {
    auto frame = next();
    if (frame.kind != frame_event::text)
      throw std::runtime_error("expected a text, got close code " + std::to_string(frame.code));
    return frame.payload;
  }

  /// The code of the close frame; what comes before it is dropped. 0: the connection just ended.
  int close_code_received() {
    for (;;) {
      auto frame = next();
      if (frame.kind == frame_event::close) return frame.code;
      if (frame.kind == frame_event::none) return 0;
    }
  }

  bool silent_for(std::chrono::milliseconds time) {
    return queue_.empty() && !readable(static_cast<int>(time.count()));
  }

 private:
  struct frame {
    frame_event::kind_of_event kind = frame_event::none;
    std::string payload;
    int code = 0;
  };

  bool readable(int ms) {
    pollfd poll{fd_, POLLIN, 0};
    return ::poll(&poll, 1, ms) > 0;
  }

  std::string read_head() {
    std::string head;
    char c;
    while (!head.ends_with("\r\n\r\n")) {
      if (!readable(5000) || ::recv(fd_, &c, 1, 0) != 1) throw std::runtime_error("no answer");
      head += c;
    }
    return head;
  }

  frame next() {
    while (queue_.empty()) {
      if (!readable(5000)) throw std::runtime_error("nothing received within 5 s");
      std::array<char, 65536> buffer;
      auto count = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (count <= 0) return {};
      std::span<char> input(buffer.data(), static_cast<std::size_t>(count));
      while (auto event = decoder_.next(input, {.role = frame_role::client}))
        queue_.push_back(
            {event.kind, std::string(event.payload.data(), event.payload.size()),
             static_cast<int>(event.code)});
    }
    auto first = std::move(queue_.front());
    queue_.pop_front();
    return first;
  }

  int fd_;
  frame_decoder decoder_;
  std::deque<frame> queue_;
};

}  // namespace roost::test
