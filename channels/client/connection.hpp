// private: one connection of a client, from the socket that connects to the WebSocket that has
// ended. It lives on one worker and belongs to one process, as which it calls its user.
//
//   auto connection = std::make_unique<client_connection>(core, user, std::move(settings));
//   if (auto why = connection->connect("127.0.0.1", 4000); !why.empty()) … // not even a socket
//   …                                           // user.on_open(), on_message()…, on_lost()
//   client_connection::drop(std::move(connection));
//
// An idle connection holds no buffers. It never tries again: that is the process's affair.
#pragma once
#include "channels/client/tls_session.hpp"
#include "channels/transport/frame_codec.hpp"
#include "runtime/scheduler.hpp"
#include <chrono>

namespace roost::detail {

/// Why there is no connection any more.
struct connection_end {
  std::string reason;
  close_code code = close_code::none;  // the server's, if it has closed
  bool bad_input = false;              // the server has sent what no server should
  bool no_address = false;             // there was no connection yet: another address may do
  std::optional<std::chrono::milliseconds> retry_after = {};
};

class client_connection final : public io_handler, public flushable {
 public:
  class user {
   public:
    virtual ~user() = default;
    virtual void on_connected() = 0;  // TCP is there, TLS and the upgrade are to come
    virtual void on_open() = 0;
    virtual void on_message(const frame_event& text_or_binary) = 0;
    /// The last call. The user drops the connection, here or later.
    virtual void on_lost(connection_end end) = 0;
  };

  struct settings {
    std::shared_ptr<ssl_ctx_st> tls = {};  // null: none
    bool verify = true;
    std::string host = {};  // whose certificate it is to be
    std::string request = {};
    std::string key = {};  // of the request
    std::size_t max_frame_size = 0;
    std::size_t max_outbound = 0;
  };

  client_connection(process& core, user& user, settings settings);
  ~client_connection() override;

  /// Begins to connect to an IP address; answers why not, empty when all is well.
  std::string connect(const std::string& address, std::uint16_t port);

  /// Sends a message, or answers false when too much waits already.
  bool write(opcode code, std::string_view payload);
  std::size_t waiting_bytes() const noexcept { return output_.size() - sent_; }

  /// Looks whether something has come that the worker has had no time for.
  void read_now();

  /// Says goodbye, as far as the kernel takes it at once, and tells the user why. Nothing happens
  /// when the connection has ended already.
  void close(close_code code, connection_end end);

  /// Lets go of it at any time; from now on it calls nobody. With a code, an open one says goodbye.
  static void drop(
      std::unique_ptr<client_connection> connection, std::optional<close_code> code = {});

  // io_handler, flushable
  void on_io(std::uint32_t events) override;
  void flush() override;

 private:
  enum class state : std::uint8_t { connecting, shaking_hands, upgrading, open, closed };

  void finish_connecting();
  void shake_hands();
  void upgrade();
  void read_head(std::span<char> bytes);
  void read();
  stream_result receive(std::span<char> buffer);
  stream_result transmit(std::string_view bytes);
  void feed(std::span<char> bytes);
  void on_frame(frame_event& event);
  void append(opcode code, std::string_view payload);
  void send_output();
  void watch(bool output);
  void close_fd() noexcept;
  void lost(connection_end end);
  void failed(std::string reason) { lost({.reason = std::move(reason)}); }

  process* core_;  // null: dropped
  user* user_;     // null: it has been told the end
  settings settings_;
  std::unique_ptr<tls_session> tls_;
  int fd_ = -1;
  state state_ = state::connecting;
  bool output_blocked_ = false;
  bool watching_output_ = false;
  std::string head_;  // of the answer to the upgrade, while it comes
  frame_limits limits_;
  frame_decoder decoder_;
  std::string output_;
  std::size_t sent_ = 0;  // of output_
};

}  // namespace roost::detail
