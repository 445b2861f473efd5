// private: one WebSocket. Reads frames into the worker's shared buffer and hands them to the
// socket's process; collects what is written during a turn of the worker and sends it in one go.
//
// An idle connection holds no buffers. A client that does not read makes the output wait; past
// `max_outbound` bytes it is closed with 1013, so that it costs nobody else anything.
#pragma once
#include "channels/socket_process.hpp"
#include "channels/transport/connection.hpp"

namespace roost::detail {

class web_socket final : public connection, public flushable, public transport {
 public:
  web_socket(int fd, enum protocol protocol, connection_list& list, socket_process& process);
  ~web_socket() override;

  /// The connection is open; `early` came in behind the upgrade request.
  void start(std::string& early);

  // io_handler, flushable
  void on_io(std::uint32_t events) override;
  void flush() override;

  // outlet, transport
  void write(encoded kind, std::string_view message) override;
  void write(const shared_frame_ptr& frame) override;
  void close(close_code code, std::string_view reason) override;
  void abort() override;

  // connection
  void sweep(std::uint64_t now) override;
  void drain() override { close(close_code::service_restart, {}); }
  void cut() override { abort(); }

 private:
  enum class state : std::uint8_t {
    open,
    closing,  // the close frame is on its way; what the client still says is dropped
    closed,
  };

  void destroy() noexcept override;
  void read();
  void feed(std::span<char> bytes);
  void on_event(frame_event& event);
  void append(opcode code, std::string_view payload);
  std::string& open_output();
  void watch_output(bool on);
  void send_output();
  void finish_output();
  void close_if_slow();
  std::size_t max_outbound() const;
  void schedule_flush();
  void lost();

  template <class F>
  void as_socket(F f);

  connection_list& list_;
  socket_process* process_;  // null once it has ended
  pid socket_;
  frame_limits limits_;
  frame_decoder decoder_;
  std::string output_;
  std::size_t sent_ = 0;          // of output_
  shared_frame_ptr only_;         // a single shared frame is sent without a copy
  std::uint64_t last_heard_ = 0;  // ms
  std::uint64_t closing_since_ = 0;
  std::size_t swallowed_ = 0;
  state state_ = state::open;
  bool waiting_to_write_ = false;  // the kernel's buffer is full
  bool watching_output_ = false;
  bool half_closed_ = false;
};

}  // namespace roost::detail
