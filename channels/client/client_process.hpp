// private: the process of a client. It decides when to connect, to join and to give up, and keeps
// what waits: pushes for their channels, callers for their answers.
//
// Everything that waits for an answer or a deadline is a `wait` under the reference that it has on
// the wire (or would have), in one table with one timer for the earliest deadline; a client that
// waits for nothing has no timer but that of the heartbeat.
#pragma once
#include "channels/client/client_codec.hpp"
#include "channels/client/client_messages.hpp"
#include "channels/client/connection.hpp"
#include "channels/client/upgrade.hpp"
#include "runtime/process_core.hpp"
#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>

namespace roost::detail {

/// Throws std::invalid_argument with one sentence for options that no client could use.
void validate(const client_options& options);

inline std::uint64_t in_ms(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(std::max<std::chrono::milliseconds::rep>(time.count(), 0));
}

inline std::size_t size_of(const client_event& event) {
  return event.payload.contents().size() + event.event.size();
}

inline roost::payload because(std::string_view reason) { return {{"reason", reason}}; }

/// What the client itself says to a push, in the server's stead.
inline client_reply own_reply(std::string status, std::string_view reason) {
  return {std::move(status), because(reason), false};
}

class client_process final : public behavior, public client_connection::user {
 public:
  explicit client_process(std::shared_ptr<const client_options> options);
  ~client_process() override;

  std::string_view initial_call() const noexcept override { return "roost::client"; }
  std::string state_text() const override;
  init_outcome init() override;
  void handle(message& message) override;

 private:
  using milliseconds = std::chrono::milliseconds;

  enum class phase : std::uint8_t {
    idle,        // until connect(): not started, told to disconnect, or closed with 1000
    waiting,     // for the next try
    connecting,  // from the look-up of the name to the upgrade
    open,
  };

  /// Of the process to itself. A generation tells those of an earlier connection apart.
  struct connect_due { std::uint64_t generation; };
  struct attempt_expired { std::uint64_t generation; };
  struct heartbeat_due { std::uint64_t generation; };
  struct rejoin_due {
    reference channel;
    std::string topic;
    std::uint64_t generation;
  };
  struct deadline_due {};

  struct buffered_push {
    std::uint64_t ref;
    std::string event;
    roost::payload payload;
  };

  /// Of a channel that was joined outside processes.
  struct inbox {
    std::deque<roost::client_event> events;
    std::size_t bytes = 0;
    bool told_full = false;
  };

  struct channel {
    enum class state : std::uint8_t {
      waiting,  // for the connection, or for the time to join again
      joining,
      joined,
      leaving,
      closed,  // only its inbox is left
    };
    reference id;
    std::string topic;
    roost::payload params;
    pid owner;
    reference owner_monitor;
    client_on on;
    std::unique_ptr<inbox> waiting_events;
    state now = state::waiting;
    std::uint64_t join_ref = no_ref;
    unsigned tries = 0;
    std::optional<client_reply> outcome;  // of the last join; none while one is under way
    std::vector<buffered_push> buffer;
  };

  struct wait {
    enum class kind : std::uint8_t { push, join, leave, joined, left, receive };
    kind what = kind::push;
    std::uint64_t deadline = 0;  // ms of the scheduler's clock
    channel* of = nullptr;
    bool sent = false;
    pid caller = {};  // who is answered
    reference call = {};
  };
  using wait_table = std::map<std::uint64_t, wait>;

  // --- the connection
  void connect_now();
  void look_up();
  void try_address();
  void connect_failed(const connection_end& end);
  void connect_later(std::optional<milliseconds> retry_after);
  void disconnect();
  void on_attempt_expired();
  void on_heartbeat_due();
  void beat_after(milliseconds delay);
  void log_loss(const connection_end& end);
  void after_loss(const connection_end& end);
  void make_request();

  void on_connected() override;
  void on_open() override;
  void on_message(const frame_event& frame) override;
  void on_lost(connection_end end) override;

  // --- channels
  void join(client_join& request);
  void leave(channel& channel);
  void send_join(channel& channel);
  void on_joined(channel& channel, const server_message& reply);
  void errored(channel& channel, const roost::payload& response);
  void rejoin_later(channel& channel);
  void close(channel& channel, std::string_view reason);
  void close_all(channel::state state, std::string_view reason);
  void erase(channel& channel);
  void lose_pushes(const channel* of, std::string_view reason);
  channel* find(const client_channel_id& which);
  channel* find(std::string_view topic);
  void on_owner_down(const down& down);

  // --- messages
  void dispatch(const server_message& message);
  void on_reply(const server_message& message);
  void deliver(channel& channel, const server_message& message);
  void tell(channel& channel, client_status::kind now, const roost::payload& response);
  void push(message& message, client_push& request);
  /// Answers why not, nothing when it is on its way.
  const char* send(
      std::uint64_t join_ref, std::uint64_t ref, std::string_view topic, std::string_view event,
      const roost::payload& payload);
  const char* buffer(channel& channel, std::uint64_t ref, client_push& request);
  std::vector<buffered_push> take_buffer(channel& channel);
  void send_buffered(channel& channel);
  void drop_buffered(channel& channel, std::uint64_t ref);

  // --- what waits
  void add_wait(std::uint64_t ref, wait wait, milliseconds timeout);
  void await_join(message& message, const client_await_join& request);
  void await_leave(message& message, const client_await_leave& request);
  void receive(message& message, const client_receive& request);
  void on_deadline();
  void expire(std::uint64_t ref, const wait& wait);
  void arm_deadline();
  void answer(const wait& wait, client_reply reply);
  void answer_event(const wait& wait, std::optional<roost::client_event> event);
  void refuse(pid caller, reference call, std::string_view reason);
  template <class Wanted, class Finish>
  void finish_waits(Wanted wanted, Finish finish);

  client_info info() const;
  double random();
  milliseconds delay_of(
      const client_options::delay_function& function, milliseconds fallback, unsigned tries);

  std::shared_ptr<const client_options> options_;
  client_target target_;
  std::shared_ptr<ssl_ctx_st> tls_;
  process* core_ = nullptr;
  std::minstd_rand random_;

  phase phase_ = phase::idle;
  std::uint64_t generation_ = 0;  // one more with each connection and each wait for one
  unsigned tries_ = 0;
  std::unique_ptr<client_connection> connection_;
  std::vector<std::string> addresses_;
  std::size_t address_ = 0;
  std::uint64_t attempt_deadline_ = 0;  // ms of the scheduler's clock
  timer attempt_timer_;
  std::string request_;  // of the present attempt
  std::string key_;
  std::uint64_t opened_ = 0;
  timer heartbeat_timer_;
  std::uint64_t heartbeat_ref_ = no_ref;  // not answered yet

  std::uint64_t next_ref_ = 1;
  std::map<std::string, channel, std::less<>> channels_;
  wait_table waits_;
  timer deadline_timer_;
  std::uint64_t armed_deadline_ = ~0ULL;
  std::size_t buffered_ = 0;
  std::size_t buffered_bytes_ = 0;
  client_info counters_;
  bool told_not_sent_ = false;  // since the connection was opened
};

template <class Wanted, class Finish>
void client_process::finish_waits(Wanted wanted, Finish finish) {
  for (auto each = waits_.begin(); each != waits_.end();) {
    if (!wanted(each->second)) {
      ++each;
      continue;
    }
    const auto taken = each->second;
    each = waits_.erase(each);
    finish(taken);
  }
}

}  // namespace roost::detail
