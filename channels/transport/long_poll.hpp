// private: a client that polls instead of keeping a WebSocket.
//
// Its *session* is the transport of an ordinary socket process, on the worker and node where it
// began. Every poll and every batch is a process of its own on the worker of its connection, on
// whatever node a balancer sent it to: it finds the session by the pid in the token, asks it by
// message, and answers the client. So no sticky sessions are needed, and a poll notices when the
// session, or its node, ends.
//
// The token is signed (nobody can make one), and names the session's process and a number that only
// the session knows (nobody's old token fits a new process).
//
// Source: Phoenix.Transports.LongPoll, whose sessions are found by a topic.
#pragma once
#include "channels/socket_process.hpp"
#include "channels/transport/connection.hpp"
#include "channels/transport/http_server.hpp"
#include "channels/transport/long_poll_body.hpp"

namespace roost::detail {

// --- between polls and sessions, on any nodes ----------------------------------------------------

struct poll_session_id {
  pid process;
  std::uint64_t secret = 0;
};

/// Asks for what waits, now or when it comes.
struct poll_ask {
  static constexpr std::string_view wire_name = "roost.long_poll.ask";
  pid from;
  std::uint64_t secret = 0;
};
/// A batch of the client's messages.
struct poll_publish {
  static constexpr std::string_view wire_name = "roost.long_poll.publish";
  pid from;
  std::uint64_t secret = 0;
  std::vector<poll_message> messages;
};
struct poll_result {
  static constexpr std::string_view wire_name = "roost.long_poll.result";
  int status = 0;
  std::vector<std::string> messages;
};

std::string make_poll_token(const endpoint_context& endpoint, const poll_session_id& session);
std::optional<poll_session_id> read_poll_token(
    const endpoint_context& endpoint, const longpoll_options& options, std::string_view token);

// --- the session ---------------------------------------------------------------------------------

class long_poll_session final : public attended, public transport {
 public:
  long_poll_session(
      enum protocol protocol, client_list& list, socket_process& process,
      const longpoll_options& options);
  ~long_poll_session() override;

  /// As the process.
  void start();
  const poll_session_id& id() const noexcept { return id_; }

  // outlet, transport
  void write(const fan_out_ptr& frame) override;
  void close(close_code code, std::string_view reason) override;
  void abort() override;
  bool on_message(message& message) override;

  // attended
  void sweep(std::uint64_t) override {}
  void drain() override { close(close_code::service_restart, {}); }
  void cut() override;
  bool is_socket() const noexcept override { return true; }

 private:
  struct flush_now {};
  struct close_now { close_code code; };
  struct window_over { std::uint64_t poll; };

  void put(encoded kind, std::string_view message) override;
  void destroy() noexcept override { delete this; }
  void on_ask(const poll_ask& ask);
  void on_publish(poll_publish& publish);
  void answer(int status);
  void on_delivered(bool taken);
  void queue(std::string message);
  void wait_for_poll();
  void end();

  client_list& list_;
  socket_process* process_;  // null once it has ended
  poll_session_id id_;
  longpoll_options options_;
  std::vector<std::string> waiting_;
  std::vector<std::string> on_the_way_;  // to a poll that may find its client gone
  reference delivery_;                   // its monitor
  std::size_t waiting_bytes_ = 0;        // of both
  pid asker_;                            // whose poll waits
  reference asker_monitor_;
  std::uint64_t polls_ = 0;  // tells timers whether they are still meant
  bool flushing_ = false;
  bool closing_ = false;
};

// --- a request -----------------------------------------------------------------------------------

/// What a poll needs to begin a session, or to find its own.
struct poll_request {
  enum class kind { poll, publish };

  kind what = kind::poll;
  std::optional<poll_session_id> session;
  std::vector<poll_message> messages = {};
};

/// Runs the request as a process on this worker, which answers the exchange.
void run_poll(
    local_ptr<http_exchange> exchange, std::shared_ptr<const endpoint_context> endpoint,
    const longpoll_options& options, poll_request request);

http_response poll_response(std::string body);

/// To a poll of a session that has ended, with its node perhaps. A new session (410) would be none:
/// phoenix.js goes on then as if its channels were joined. At 500 it connects and joins again.
http_response session_is_lost();

}  // namespace roost::detail
