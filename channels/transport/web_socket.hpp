// private: one WebSocket. Reads frames into the worker's shared buffer and hands them to the
// socket's process; collects what is written during a turn of the worker and sends it in one go.
//
// An idle connection holds no buffers. A client that does not read makes the output wait; past
// `max_outbound` bytes it is closed with 1013. One that sends more than its channels take, or more
// messages than its rate, is not read for a while. So neither costs anybody else anything.
#pragma once
#include "channels/socket_process.hpp"
#include "channels/transport/connection.hpp"
#include "channels/transport/outgoing.hpp"
#include "channels/transport/rate_meter.hpp"

namespace roost::detail {

class web_socket final : public connection, public flushable, public transport {
 public:
  struct settings {
    enum protocol protocol;
    int deflate_bits = 0;  // of the window; 0: no compression
  };

  web_socket(byte_stream stream, settings settings, client_list& list, socket_process& process);
  ~web_socket() override;

  /// The connection is open, and watched on behalf of the upgrade request so far; `early` came in
  /// behind it.
  void start(std::string& early);

  // io_handler, flushable
  void on_io(std::uint32_t events) override;
  void flush() override;
  void on_sent(int result) override;

  // outlet, transport
  void write(const fan_out_ptr& frame) override;
  void close(close_code code, std::string_view reason) override;
  void abort() override;
  void inbound_freed() override;
  bool on_message(message& message) override;
  std::optional<std::vector<char>> hold(std::string_view message) override;
  void release_hold() override;

  // attended
  void sweep(std::uint64_t now) override;
  void drain() override { close(close_code::service_restart, {}); }
  void cut() override { abort(); }
  bool is_socket() const noexcept override { return true; }

 private:
  enum class state : std::uint8_t {
    open,
    closing,  // the close frame is on its way; what the client still says is dropped
    closed,
  };

  void put(encoded kind, std::string_view message) override;
  struct read_on {};

  void destroy() noexcept override;
  void read();
  void become(manner how);
  void feed(std::span<char> bytes);
  void on_event(frame_event& event);
  void on_message(frame_event& event);
  void on_compressed(frame_event& event);
  bool must_pause();
  bool too_many_bytes(std::size_t count);
  bool must_wait(std::uint64_t ms);
  void pause(std::span<char> rest);
  void resume_soon();
  void resume();
  void append(opcode code, std::string_view payload, bool rsv1 = false);
  std::string& open_output();
  void watch();
  std::uint32_t interests() const noexcept;
  void send_output();
  void settle();
  void wait_to_write();
  void finish_output();
  void close_if_slow();
  std::size_t max_outbound() const;
  void schedule_flush();
  void lost();

  template <class F>
  void as_socket(F f);

  // What a broadcast touches comes first: it shares two cache lines with what the bases have.
  state state_ = state::open;
  std::uint8_t deflate_bits_;
  bool waiting_to_write_ = false;  // the kernel's buffer is full
  bool paused_ = false;
  bool held_back_ = false;  // by the process
  bool half_closed_ = false;
  bool has_spoken_ = false;
  std::uint8_t watched_ = 0;  // 1: input, 2: output
  outgoing output_;
  frame_decoder decoder_;
  socket_process* process_;  // null once it has ended
  pid socket_;
  client_list& list_;
  std::unique_ptr<std::string> held_;  // while it is not read: what had come already
  std::uint64_t last_heard_ = 0;       // ms
  std::uint64_t closing_since_ = 0;
  rate_meter messages_;
  rate_meter bytes_;
  std::uint64_t resume_at_ = 0;  // ms
  std::size_t swallowed_ = 0;
};

}  // namespace roost::detail
