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
//       return user_socket{.user_id = *params["token"]};
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
// A broadcast of the event "disconnect" on a socket's id closes all sockets with that id.
//
// Configuration. The section with the endpoint's name overrides numbers and addresses:
//   endpoint:
//     http: {ip: 127.0.0.1, port: 4000}
//     check_origin: true            # or false, or a list such as ["//example.com"]
//     url: {host: localhost}        # the host that check_origin: true compares with
//     static: share/chat            # a directory
//
// Errors: a port in use or a missing directory stops the endpoint's start with one sentence.
// Thread safety: values; handlers of one route may run at the same time on different workers.
// Source: Phoenix.Endpoint, Phoenix.Socket.
#pragma once
#include "channels/channel.hpp"

namespace roost {

// --- what a client brings along
// --------------------------------------------------------------------

/// Query and path parameters, decoded; the last one wins when a name comes twice.
class params {
 public:
  using entry = std::pair<std::string, std::string>;

  params() = default;
  explicit params(std::vector<entry> entries) : entries_(std::move(entries)) {}

  std::optional<std::string_view> operator[](std::string_view name) const noexcept;
  const std::vector<entry>& entries() const noexcept { return entries_; }

 private:
  std::vector<entry> entries_;
};

/// What is known of the connection besides its parameters.
struct connect_info {
  std::string peer_address;
  std::uint16_t peer_port = 0;
  std::string uri;
  std::string user_agent;
  std::vector<std::pair<std::string, std::string>> x_headers;
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

struct socket_options {
  bool websocket = true;
  std::chrono::milliseconds timeout{60'000};  // without a frame from the client; infinity: never
  std::size_t max_frame_size = 10'000'000;    // bytes of one message
  std::size_t max_channels = 100;             // per socket
  std::size_t max_outbound = 1 << 20;         // bytes waiting for a slow client, then 1013
  std::chrono::milliseconds join_timeout{10'000};  // for a join that is answered later
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

// --- plain HTTP
// ------------------------------------------------------------------------------------

struct http_request {
  std::string method;
  std::string path;
  params query;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  std::string_view header(std::string_view lower_case_name) const noexcept;  // empty: not there
};

struct http_response {
  int status = 200;
  std::string body = {};
  std::string content_type = "text/plain; charset=utf-8";
  std::vector<std::pair<std::string, std::string>> headers = {};
};

/// A JSON body.
http_response json_response(int status, const json& body);

/// Runs in a process of its own; an exception is answered with status 500.
using http_handler = std::function<http_response(const http_request&)>;

struct http_route {
  std::string method;  // empty: any
  std::string path;
  http_handler handler;
};

inline http_route get(std::string path, http_handler handler) {
  return {"GET", std::move(path), std::move(handler)};
}
inline http_route post(std::string path, http_handler handler) {
  return {"POST", std::move(path), std::move(handler)};
}
inline http_route any(std::string path, http_handler handler) {
  return {"", std::move(path), std::move(handler)};
}

// --- the endpoint
// ----------------------------------------------------------------------------------

struct http_options {
  std::string ip = "127.0.0.1";
  int port = 4000;  // 0: any free one, see endpoint_port
};

/// false: no check. true: the origin's host must be url_host. A list: "//host",
/// "https://host:port",
/// "//*.host".
struct origin_check {
  origin_check(bool on) : on(on) {}
  origin_check(std::vector<std::string> allowed) : on(true), allowed(std::move(allowed)) {}
  bool on;
  std::vector<std::string> allowed;
};

struct endpoint_spec {
  std::string name = "endpoint";  // also its section in the configuration
  std::string pub_sub = {};       // required: the name of a pub_sub that is started before
  http_options http = {};
  std::string url_host = "localhost";
  origin_check check_origin = true;
  std::vector<socket_mount> sockets = {};
  std::vector<http_route> routes = {};
  std::string static_files = {};                  // a directory; "/" serves its index.html
  std::chrono::milliseconds drain_timeout{5000};  // from 1012 to cutting the connection
};

class endpoint {
 public:
  using options = endpoint_spec;
  static roost::child_spec child_spec(options options);
};

/// The port that the endpoint listens on, or 0 if it does not.
int endpoint_port(std::string_view name = "endpoint");

}  // namespace roost
