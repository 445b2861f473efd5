// A node that knows the cookie and means no good, for hostile_test.py: for each line of hexadecimal
// digits it connects, proves who it is, and sends those bytes. Answers `closed` when the other end
// hangs up, `open` when it does not for a while. A connection is also made step by step: `meet`
// connects and agrees, `ready` says the last word, `leave` ends the one that was ready before.
//
//   sample_liar PORT COOKIE psk|off NODE
#include "runtime/distribution/handshake.hpp"
#include "runtime/distribution/secure_channel.hpp"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

using namespace roost::detail;

namespace {

constexpr int patience_ms = 5000;
constexpr int while_open_ms = 150;

class liar {
 public:
  liar(std::uint16_t port, std::unique_ptr<secure_channel> channel, hello mine, std::string node)
      : channel_(std::move(channel)),
        handshake_(handshake::side::client, std::move(mine), std::move(node)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("expected the node to listen, got a refusal");
  }
  ~liar() { ::close(fd_); }

  /// All but the last word, which it answers.
  std::string agree() {
    std::string out;
    auto state = channel_->start(out);
    write(out);
    while (state == secure_channel::state::handshaking) {
      out.clear();
      state = channel_->received(read_bytes(), in_, out);
      write(out);
    }
    if (state != secure_channel::state::established) throw std::runtime_error(channel_->error());
    out.clear();
    handshake_.start(out);
    send(out);
    for (;;) {
      std::string_view left = in_;
      auto frame = take_frame(left, largest_frame);
      if (!frame) {
        read_some();
        continue;
      }
      out.clear();
      auto step = handshake_.received(*frame, out);
      in_.erase(0, in_.size() - left.size());
      if (step == handshake::step::up) return out;
      send(out);
      if (step != handshake::step::more) throw std::runtime_error(handshake_.error());
    }
  }

  void send(const std::string& plain) {
    std::string bytes;
    channel_->send(plain, bytes);
    write(bytes);
  }

  bool is_closed_soon() {
    pollfd waits{fd_, POLLIN, 0};
    while (::poll(&waits, 1, while_open_ms) == 1) {
      char buffer[65536];
      if (::recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
    }
    return false;
  }

 private:
  std::string read_bytes() {
    pollfd waits{fd_, POLLIN, 0};
    if (::poll(&waits, 1, patience_ms) != 1) throw std::runtime_error("expected bytes, got none");
    char buffer[65536];
    auto count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count <= 0) throw std::runtime_error("expected bytes, got the end");
    return std::string(buffer, static_cast<std::size_t>(count));
  }

  void read_some() {
    std::string out;
    channel_->received(read_bytes(), in_, out);
    write(out);
  }

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      auto count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0) return;  // it has hung up: reading finds out
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  int fd_ = -1;
  std::unique_ptr<secure_channel> channel_;
  handshake handshake_;
  std::string in_;
};

std::string unhex(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

}  // namespace

int main(int, char** argv) {
  auto port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  std::string cookie = argv[2];
  auto mode = std::string(argv[3]) == "off" ? link_security::none : link_security::psk;
  auto security = security_context::make(
      {.mode = mode, .node = "liar@127.0.0.1", .cookie_for = [cookie](std::string_view) {
         return std::optional<std::string>(cookie);
       }});
  std::uint64_t incarnation = 1;
  auto dial = [&] {
    hello mine{.node = "liar@127.0.0.1", .incarnation = ++incarnation, .max_message = 1 << 20};
    return std::make_unique<liar>(port, security->client(argv[4]), std::move(mine), argv[4]);
  };
  auto fate = [](liar& one) { return one.is_closed_soon() ? "closed" : "open"; };
  std::unique_ptr<liar> met;
  std::unique_ptr<liar> current;
  std::string last_word;
  std::string line;
  while (std::getline(std::cin, line)) {
    try {
      std::string answer = "done";
      if (line == "meet") {
        met = dial();
        last_word = met->agree();
      } else if (line == "ready") {
        current = std::move(met);
        current->send(last_word);
        answer = fate(*current);
      } else if (line == "leave") {
        current = nullptr;
      } else {
        auto one = dial();
        one->send(one->agree());
        one->send(unhex(line));
        answer = fate(*one);
      }
      std::cout << answer << std::endl;
    } catch (const std::exception& error) {
      std::cout << "failed " << error.what() << std::endl;
    }
  }
}
