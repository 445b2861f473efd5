// channels/endpoint.hpp
//
// Where clients arrive: an HTTP server with the sockets of the application at their paths, plain
// HTTP routes, and static files. A supervised process like any other; it stops by telling every
// client to come back elsewhere (close code 1012).
//
//   struct user_socket {
//     static constexpr roost::topic_router channels{{{"room:*", roost::channel<room_channel>}}};
//
//     std::string user_id;                                     // the assigns, typed
//
//     static roost::connect_result<user_socket> connect(const roost::params& params,
//                                                       const roost::connect_info&) {
//       if (!params["token"]) return roost::refuse("no token");
//       return user_socket{.user_id = std::string(*params["token"])};
//     }
//     std::optional<std::string> id() const { return "user:" + user_id; }   // optional
//   };
//
//   roost::child<roost::endpoint>({
//       .pub_sub = "chat",
//       .http    = {.ip = "127.0.0.1", .port = 4000},
//       .sockets = {roost::socket_at<user_socket>("/socket")},
//       .routes  = {roost::get("/hello", hello)},
//   })
//
// A socket at "/socket" is a WebSocket at /socket/websocket and, with `.longpoll`, long polling at
// /socket/longpoll, which any node of the cluster serves. A broadcast of the event "disconnect" on
// a socket's id closes all sockets with that id.
//
// Limits. What a client may use up is bounded by socket_options and endpoint_limits. All refusals
// are counted (endpoint::statistics) and the first of each kind is logged, then one a second; near
// a limit a warning comes before. `limits.enforce = false` only counts and logs.
//
// Drain. When the endpoint stops, or endpoint::drain is called, endpoint::ready turns false.
// After `drainer.delay`, in which everybody is still served, new sockets are refused with 503 and
// Retry-After, those there are closed in batches with 1012, and what is left at the deadline is
// cut.
//
// Configuration. The section with the endpoint's name overrides numbers, addresses and files; all
// keys are in docs/endpoint.md.
//
// Errors: a port in use, a missing directory or certificate stops the endpoint's start with one
// sentence.
// Thread safety: values; handlers of one route may run at the same time on different workers. The
// functions of endpoint may be called from any thread.
// Source: Phoenix.Endpoint, Phoenix.Socket.
#pragma once
#include "channels/channel.hpp"
#include "channels/http.hpp"

namespace roost {

// --- what a client brings along
// --------------------------------------------------------------------

/// What is known of the connection besides its parameters.
struct connect_info {
  std::string peer_address = {};  // of the client, as trusted proxies tell it; empty: a unix socket
  std::uint16_t peer_port = 0;
  std::string uri = {};  // "https://host:port/path?query", as the client addressed the endpoint
  std::string user_agent = {};
  http_headers x_headers = {};              // names in lower case, as everywhere below
  http_headers trace_context_headers = {};  // traceparent, tracestate
  http_headers sec_websocket_headers = {};
  /// phoenix.js 1.8's `authToken`: from the subprotocol of a WebSocket (which keeps it out of logs
  /// of URLs), or the header x-phoenix-authtoken of a poll. With socket_options::auth_token.
  std::optional<std::string> auth_token = {};
};

struct refused { std::string reason; };
/// From connect: answer 403. The reason is logged, the client does not see it.
inline refused refuse(std::string reason = {}) { return {std::move(reason)}; }

/// What connect may answer: the socket's state, or refuse(reason).
template <class S>
class connect_result {
 public:
  connect_result(S state) : state(std::move(state)) {}
  connect_result(refused refusal) : refusal(std::move(refusal)) {}

  std::optional<S> state;
  refused refusal;
};

// --- sockets
// ---------------------------------------------------------------------------------------

/// Which pages may open sockets. false: all. true: those whose host is `url_host`. A list:
/// "//host", "https://host:port", "//*.host". same_origin (:conn in Phoenix): the page's scheme,
/// host and port are those of the request. A function: asked with the Origin header. A request
/// without that header does not come from a page and is allowed.
struct origin_check {
  using function = std::function<bool(std::string_view origin)>;
  enum class kind { off, url_host, same_origin, listed, asked };

  template <std::same_as<bool> B>
  origin_check(B on) : what(on ? kind::url_host : kind::off) {}
  origin_check(std::vector<std::string> allowed)
      : what(kind::listed), allowed(std::move(allowed)) {}
  origin_check(kind what) : what(what) {}
  origin_check(function ask) : what(kind::asked), ask(std::move(ask)) {}
  origin_check(const char*) = delete;  // one origin is a list of one

  kind what;
  std::vector<std::string> allowed;
  function ask;
};
inline constexpr auto same_origin = origin_check::kind::same_origin;

struct longpoll_options {
  std::chrono::milliseconds window{10'000};         // how long a poll waits; 100 ms to 10 min
  std::chrono::milliseconds pubsub_timeout{2'000};  // for the session to answer, on any node
  std::chrono::seconds max_age{1'209'600};          // of a session's token: two weeks
  std::size_t max_body = 10'000'000;                // bytes of one batch of messages
};

struct socket_options {
  bool websocket = true;
  std::optional<longpoll_options> longpoll = {};  // none: no long polling
  std::chrono::milliseconds timeout{60'000};  // without a frame from the client; infinity: never
  std::size_t max_frame_size = 10'000'000;    // bytes of one message
  bool compress = false;                      // permessage-deflate, if the client offers it
  std::optional<origin_check> check_origin = {};  // instead of the endpoint's
  bool auth_token = false;                        // see connect_info
  std::vector<std::string> subprotocols = {};     // that it speaks, the preferred one first
  /// What a refused WebSocket is answered with, given the reason of refuse(); default: 403, empty.
  std::function<http_response(std::string_view reason)> error_handler = {};

  // What one client may use up.
  std::size_t max_channels = 100;
  std::size_t max_joins = 100;                     // that wait for their answer
  std::chrono::milliseconds join_timeout{10'000};  // for a join that is answered later
  std::size_t max_outbound = 1 << 20;              // bytes waiting for a slow client, then 1013
  std::size_t max_inbound = 1 << 20;     // bytes waiting for its channels, then it is not read
  std::uint32_t message_rate = 10'000;   // messages a second; past it the client is not read
  std::uint32_t message_burst = 20'000;  // … after a silence
  std::uint64_t byte_rate = 16 << 20;    // bytes a second; past it the client is not read; 0: any
  std::uint64_t byte_burst = 16 << 20;   // … after a silence: one message of the largest size

  bool log = true;
};

namespace detail {

/// A user's socket type, erased.
struct socket_type {
  struct connected {
    std::shared_ptr<const void> assigns;
    std::optional<std::string> id;
    std::optional<refused> refusal;
  };
  std::string_view name;
  connected (*connect)(const params&, const connect_info&);
  const channel_type* (*find)(std::string_view topic);
};

template <class S>
socket_type::connected connect_as(const params& params, const connect_info& info) {
  connect_result<S> result = S::connect(params, info);
  if (!result.state) return {{}, {}, std::move(result.refusal)};
  auto state = std::make_shared<const S>(std::move(*result.state));
  std::optional<std::string> id;
  if constexpr (requires { state->id(); }) id = state->id();
  return {std::move(state), std::move(id), {}};
}

template <class S>
const channel_type* find_channel(std::string_view topic) {
  return S::channels.find(topic);
}

template <class S>
inline constexpr socket_type socket_type_of{type_name<S>(), &connect_as<S>, &find_channel<S>};

}  // namespace detail

/// A socket at a path. A segment ":name" of the path matches anything and becomes a parameter.
struct socket_mount {
  std::string path;
  const detail::socket_type* type;
  socket_options options;
};

template <class S>
socket_mount socket_at(std::string path, socket_options options = {}) {
  static_assert(
      requires(const params& params, const connect_info& info) {
        { S::connect(params, info) } -> std::convertible_to<connect_result<S>>;
      },
      "a socket needs  static roost::connect_result<S> connect(const roost::params&, "
      "const roost::connect_info&)");
  static_assert(
      requires(std::string_view topic) { S::channels.find(topic)->make(); },
      "a socket needs  static constexpr roost::topic_router channels{{...}}");
  return {std::move(path), &detail::socket_type_of<S>, options};
}

// --- the endpoint
// ----------------------------------------------------------------------------------

struct http_options {
  std::string ip = "127.0.0.1";  // IPv4, IPv6, or "unix:/run/chat.sock"
  int port = 4000;               // 0: any free one, see endpoint_port
  bool enabled = true;           // false: https only
  bool proxy_protocol = false;   // every connection begins with HAProxy's header, version 1 or 2
};

/// Listens when there is a certificate. TLS 1.2 and 1.3, without weak suites.
struct https_options {
  std::string ip = "127.0.0.1";
  int port = 4001;
  std::string certfile = {};  // PEM, with intermediate certificates
  std::string keyfile = {};
  /// Changed files are taken at the next look, without a restart; connections keep what they have.
  std::chrono::milliseconds reload_interval{10'000};
  bool proxy_protocol = false;
};

struct endpoint_limits {
  std::size_t max_connections = 0;  // 0: the descriptors that the process may have, less 256
  std::size_t max_sockets = 0;      // of this endpoint; 0: as many as connections
  std::size_t max_sockets_per_address = 0;  // 0: any number; behind a NAT there may be many
  std::uint32_t accept_rate = 0;            // new sockets a second; 0: any number
  std::uint32_t accept_burst = 1'000;       // … after a silence
  std::chrono::milliseconds handshake_timeout{5'000};    // for TLS and the PROXY header
  std::chrono::milliseconds request_timeout{15'000};     // for a whole request
  std::chrono::milliseconds keep_alive_timeout{60'000};  // between two requests
  std::size_t max_header = 16 * 1024;                    // bytes
  std::size_t max_body = 1 << 20;                        // bytes
  bool enforce = true;  // false: count and log what would be refused, to find fitting numbers
};

/// Phoenix's drainer.
struct drainer_options {
  std::size_t batch_size = 10'000;
  std::chrono::milliseconds batch_interval{2'000};
  /// Between "not ready" and the first closed socket: longer than balancers need to notice, so that
  /// nobody is sent here any more. Everybody who comes meanwhile is served.
  std::chrono::milliseconds delay{0};
  std::chrono::milliseconds shutdown{30'000};  // from the end of the delay to cutting what is left
};

struct endpoint_spec {
  std::string name = "endpoint";  // also its section in the configuration
  std::string pub_sub = {};       // required: the name of a pub_sub that is started before
  http_options http = {};
  https_options https = {};
  std::string url_host = "localhost";
  origin_check check_origin = true;
  /// Signs the tokens of long polling; the same on every node. Empty: made of the node's cookie.
  std::string secret_key_base = {};
  /// Addresses or networks ("10.0.0.0/8") of balancers whose X-Forwarded-For, X-Forwarded-Proto,
  /// X-Forwarded-Host and PROXY header are believed. Those of a unix socket always are.
  std::vector<std::string> trusted_proxies = {};
  std::vector<socket_mount> sockets = {};
  std::vector<http_route> routes = {};
  std::string static_files = {};  // a directory; "/" serves its index.html
  endpoint_limits limits = {};
  drainer_options drainer = {};
};

/// Numbers since the endpoint's start, and of now. All are read one by one, without a lock.
struct endpoint_statistics {
  std::uint64_t connections = 0;  // now
  std::uint64_t sockets = 0;      // now, long polling included
  std::uint64_t accepted = 0;     // connections
  std::uint64_t connected = 0;    // sockets
  std::uint64_t refused_connections = 0;
  std::uint64_t refused_sockets = 0;
  std::uint64_t refused_by_address = 0;
  std::uint64_t refused_by_rate = 0;
  std::uint64_t refused_draining = 0;
  std::uint64_t slow_handshakes = 0;  // TLS, PROXY or a request that took too long
  std::uint64_t too_many_channels = 0;
  std::uint64_t too_many_joins = 0;
  std::uint64_t join_timeouts = 0;
  std::uint64_t messages_too_big = 0;
  std::uint64_t throttled = 0;  // how often a client was not read for a while
  std::uint64_t slow_consumers = 0;
  std::uint64_t idle_timeouts = 0;
};

class endpoint {
 public:
  using options = endpoint_spec;
  static roost::child_spec child_spec(options options);

  /// Whether it wants sockets: started, and not about to drain. For a balancer's readiness check.
  static bool ready(std::string_view name = "endpoint");

  /// The endpoints that have started.
  static std::vector<std::string> names();

  /// Begins to drain: sockets are closed, the endpoint stays and answers HTTP. Answers false if
  /// there is no such endpoint. Calling it again changes nothing.
  static bool drain(std::string_view name = "endpoint");

  /// Takes the certificate files as they are now. The old ones stay in use, and an error is logged,
  /// when they cannot be used.
  static bool reload_certificates(std::string_view name = "endpoint");

  static endpoint_statistics statistics(std::string_view name = "endpoint");
};

/// The port that the endpoint listens on, or 0 if it does not.
int endpoint_port(std::string_view name = "endpoint");
int endpoint_https_port(std::string_view name = "endpoint");

}  // namespace roost
