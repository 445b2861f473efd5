// channels/client.hpp
//
// A client of Phoenix Channels (protocol 2.0.0), for services, tests and tools: one process with
// one WebSocket and the channels that were joined over it. It does what phoenix.js does: connects
// again when the connection is lost, joins again when a channel has crashed, and keeps pushes until
// their channel is joined.
//
//   roost::child<roost::client>({.name = "feed", .url = "wss://example.com/socket"})
//
//   struct reader {                                    // a process
//     using messages = roost::messages<>;
//     using infos = roost::messages<roost::client_event, roost::client_status>;
//     roost::client_channel room;
//
//     static roost::init_result<reader> init() {
//       return reader{roost::client("feed").join("room:lobby", {{"name", "reader"}})};
//     }
//     void handle_info(const roost::client_event& event) { … event.event, event.payload … }
//     void handle_info(const roost::client_status& status) { … joined, errored, closed … }
//   };
//
//   auto room = roost::client("feed").join("room:lobby");        // an ordinary thread
//   if (!room.joined().get()) …                                  // blocks, 10 s at most
//   room.push("new_msg", {{"body", "hi"}});                      // no answer is wanted
//   auto reply = room.call("ping", {{"n", 1}}).get();            // in a process: .then(…)
//   while (auto event = room.receive(5s).get()) …                // what the server sends
//
// Who gets the events. A channel that was joined in a process sends it a client_event for each
// event and a client_status for each change, and is left when that process ends. Joined by another
// thread, a channel keeps the last `max_events` until receive() takes them. With `on`, functions
// get them, in the client's process.
//
// Reconnecting. After a lost connection the client waits 10, 50, 100, 150, 200, 250, 500, 1000,
// 2000, then 5000 ms; after phx_error or a refused join the channel waits 1, 2, 5, then 10 s. Each
// wait is a random share longer or shorter (`jitter`), so that clients of one server do not come
// back all at once. A `retry-after` with which the server refused is waited for, and up to that
// share longer. A server that closes with 1000 wants the client to stay away: it waits for
// connect(). The delays begin anew once a connection has held for 5 s.
//
// Delivery is at most once. An answer `lost` or `timeout` leaves open whether the server has
// handled the push; `not_sent` is certain.
//
// Errors. A bad url, header or ca_file throws std::invalid_argument with one sentence. Whatever a
// server sends can at most end the connection: that is logged and the client connects again. A
// function of `on` or before_connect that throws crashes the client.
//
// Cost. One process, one descriptor and one timer, the heartbeat's; no thread. Clients are spread
// over the schedulers. Memory is bounded by the options below, but for what waits in the mailbox of
// a process that joined: see mailbox_options.
//
// Thread safety: handles are values; all functions may be called from any process or thread.
// Source: Phoenix 1.8, assets/js/phoenix (socket.js, channel.js, push.js).
#pragma once
#include "channels/payload.hpp"
#include "supervision/child_spec.hpp"
#include <map>

namespace roost {

// --- what the server says ------------------------------------------------------------------------

/// An event of the server.
struct client_event {
  std::string topic;
  std::string event;
  roost::payload payload;
};

/// A channel has changed.
struct client_status {
  enum class kind {
    joined,   // also again, after it was errored; `response` is what the server's join answered
    errored,  // it will be joined again; `response` says why: {"reason": …}, or what refused it
    closed,   // for good: left, closed by the server, or another join of the topic
  };
  std::string topic;
  kind now = kind::closed;
  roost::payload response;
};

/// What has become of a join, a call or a leave.
struct client_reply {
  /// The server's: "ok", "error" or a word of its own. The client's: "timeout", "lost" (connection
  /// or channel ended first), "not_sent" (the channel is closed, or too much waits), "closed".
  std::string status;
  roost::payload response;  // of the client's: {"reason": …}
  bool from_server = true;

  bool ok() const noexcept { return status == "ok"; }
  explicit operator bool() const noexcept { return ok(); }
};

// --- options -------------------------------------------------------------------------------------

using client_params = std::map<std::string, std::string>;
using client_headers = std::vector<std::pair<std::string, std::string>>;

/// What a connection is asked for with.
struct client_request {
  client_params params = {};    // in the query; a server's logs may show them
  client_headers headers = {};  // besides those of the upgrade
  std::string auth_token = {};  // offered as a subprotocol, as phoenix.js 1.8 does
};

struct client_options {
  using milliseconds = std::chrono::milliseconds;
  using delay_function = std::function<milliseconds(unsigned tries)>;  // tries count from 1

  process_name name = {};  // of the process; none is fine
  std::string url = {};    // required: ws:// or wss://, without the "/websocket" at its end
  client_params params = {};
  client_headers headers = {};
  std::string auth_token = {};
  /// Looks at each request before it is made, to renew a token. Must not block.
  std::function<void(client_request&)> before_connect = {};

  std::string ca_file = {};  // PEM, of those who may sign the server's certificate; empty: system's
  bool verify = true;        // false: anybody may pass for the server
  bool connect_at_once = true;  // false: waits for connect()

  milliseconds connect_timeout{10'000};  // from the name to the upgrade, at least 1
  milliseconds heartbeat{30'000};        // at least 1; not answered before the next is due: lost
  milliseconds timeout{10'000};          // for the answer to a join, a leave, a call; at least 1

  delay_function reconnect_after = {};  // instead of 10 ms to 5 s
  delay_function rejoin_after = {};     // instead of 1 s to 10 s
  double jitter = 0.5;                  // 0 (none) to 1: the share of a delay that chance decides

  std::size_t max_frame_size = 10'000'000;  // bytes of one message of the server
  std::size_t max_buffered = 100;           // pushes that wait for their channel, for each channel
  std::size_t max_outbound = 1 << 20;       // bytes that wait in these, and as much for the server
  /// Events that wait for receive(), in each channel, of max_frame_size bytes together at most;
  /// then the oldest are dropped.
  std::size_t max_events = 1000;
  bool log = true;
};

/// Functions that get what a channel gets. They run in the client's process, one at a time, and
/// must not block.
struct client_on {
  std::function<void(const client_event&)> event = {};
  std::function<void(const client_status&)> status = {};
};

struct client_info {
  bool connected = false;
  std::size_t channels = 0;  // joined, or to be joined again
  std::size_t joined = 0;
  std::size_t buffered = 0;       // pushes that wait for their channel
  std::size_t waiting_bytes = 0;  // for a server that does not read
  std::uint64_t connections = 0;  // that were opened so far
  std::uint64_t events = 0;       // of the server, delivered
  std::uint64_t dropped = 0;      // events that nobody took with receive() in time
  std::uint64_t not_sent = 0;     // pushes that were refused because too much waited
  std::string last_error = {};    // why there is no connection, or was none the last time
};

// --- a channel -----------------------------------------------------------------------------------

inline constexpr std::chrono::milliseconds client_timeout{10'000};

/// A handle to a channel that was joined. A default one is nobody's.
class client_channel {
 public:
  client_channel() noexcept = default;
  const std::string& topic() const noexcept { return topic_; }
  pid client() const noexcept { return client_; }

  /// How the join has ended: at once if it has, else when it does.
  pending<client_reply> joined(std::chrono::milliseconds timeout = client_timeout) const;

  /// Sends an event, whose answer nobody waits for. Waits for the channel to be joined.
  void push(std::string_view event, payload payload = {}) const;

  /// … and answers the server's reply. Without a timeout: that of the options.
  pending<client_reply> call(
      std::string_view event, payload payload = {},
      std::optional<std::chrono::milliseconds> timeout = {}) const;

  /// The oldest event that has not been taken; nothing after this time, or when the channel is
  /// closed. Only for channels that were joined outside processes and without `on`.
  pending<std::optional<client_event>> receive(
      std::chrono::milliseconds timeout = client_timeout) const;

  /// Leaves for good. What waits in the channel is not sent.
  void leave() const;
  /// Answers when the channel is closed.
  pending<client_reply> left(std::chrono::milliseconds timeout = client_timeout) const;

 private:
  friend class client;
  client_channel(pid client, reference id, std::string topic)
      : client_(client), id_(id), topic_(std::move(topic)) {}

  pid client_;
  reference id_;
  std::string topic_;
};

// --- the client ----------------------------------------------------------------------------------

class client {
 public:
  using options = client_options;
  static roost::child_spec child_spec(options options);

  /// Starts one, linked to the calling process if there is one. Does not wait for the connection.
  static client start_link(options options);

  client() noexcept = default;
  explicit client(pid process) noexcept : process_(process) {}
  explicit client(process_name name) : process_(name.process()) {}
  pid process() const noexcept { return process_; }
  explicit operator bool() const noexcept { return static_cast<bool>(process_); }

  /// Joins a topic, now or when there is a connection. A topic that this client has joined already
  /// is joined anew, and the earlier channel is closed.
  client_channel join(std::string topic, payload params = {}, client_on on = {}) const;

  /// Connects now, also after disconnect() or a server that closed with 1000.
  void connect() const;
  /// Closes with 1000 and stays away. The channels are joined again after connect().
  void disconnect() const;

  pending<client_info> info() const;

 private:
  pid process_;
};

}  // namespace roost
