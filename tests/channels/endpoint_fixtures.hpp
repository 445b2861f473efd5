// A node with an endpoint as a test wants it, whose channels tell what they know.
#pragma once
#include "channels/endpoint.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/http_connection.hpp"
#include "tests/channels/test_client.hpp"
#include "tests/support.hpp"

namespace roost::test {

inline std::mutex last_words_mutex;
inline std::string last_words;  // why the last channel ended

inline bool ended_with(std::string_view reason) {
  return eventually([&] {
    std::lock_guard guard{last_words_mutex};
    return last_words.find(reason) != std::string::npos;
  });
}

struct mirror_channel {
  using events = roost::events<"echo", "slow", "who">;

  join_result join(std::string_view, const payload& params, roost::socket& socket);
  in_result handle_in(event<"echo">, const payload& p, roost::socket&) { return ok(p); }
  in_result handle_in(event<"slow">, const payload&, roost::socket&) { return noreply(); }
  in_result handle_in(event<"who">, const payload&, roost::socket& s);
  void terminate(const exit_reason& reason, roost::socket&) {
    std::lock_guard guard{last_words_mutex};
    last_words = reason.to_string();
  }
};

struct mirror_socket {
  static constexpr topic_router channels{{{"room:*", channel<mirror_channel>}}};
  connect_info info;
  std::string room;

  static connect_result<mirror_socket> connect(const params& p, const connect_info& info) {
    if (p["refuse"]) return refuse(std::string(*p["refuse"]));
    return mirror_socket{info, std::string(p["room"].value_or(""))};
  }
  std::optional<std::string> id() const { return "mirror"; }
};

inline join_result mirror_channel::join(std::string_view, const payload& params, roost::socket& s) {
  if (params.contains("later")) return later(ref(s));
  return ok();
}

inline in_result mirror_channel::handle_in(event<"who">, const payload&, roost::socket& s) {
  auto& socket = s.assigns<mirror_socket>();
  auto& info = socket.info;
  auto pairs = [](const http_headers& headers) {
    auto object = json::object();
    for (auto& [name, value] : headers) object[name] = value;
    return object;
  };
  return ok(json{
      {"peer", info.peer_address},
      {"uri", info.uri},
      {"agent", info.user_agent},
      {"x", pairs(info.x_headers)},
      {"trace", pairs(info.trace_context_headers)},
      {"sec", pairs(info.sec_websocket_headers)},
      {"token", info.auth_token ? json(*info.auth_token) : json()},
      {"room", socket.room}});
}

struct endpoint_server : node {
  pid top;
  int port = 0;

  void start(endpoint_spec spec) {
    spec.pub_sub = "test";
    spec.http.port = 0;
    if (spec.sockets.empty()) spec.sockets = {socket_at<mirror_socket>("/socket", {.log = false})};
    if (spec.drainer.shutdown > 5s) spec.drainer.shutdown = 3s;
    top = roost::start_link(
        supervisor_spec{.children = {child<pub_sub>({.name = "test"}), child<endpoint>(spec)}});
    port = endpoint_port();
  }
};

inline std::string upgrade(const std::string& target, const std::string& headers = "") {
  return "GET " + target +
         " HTTP/1.1\r\nhost: localhost:4000\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
         headers + "\r\n";
}

inline constexpr auto ws = "/socket/websocket?vsn=2.0.0";

inline int status_of(int port, const std::string& headers, const std::string& target = ws) {
  http_connection connection(port);
  connection.send(upgrade(target, headers));
  return connection.answer().status;
}

inline json read_json(const std::string& text) {
  auto parsed = json::parse(text);
  REQUIRE_MESSAGE(parsed, text);
  return *parsed;
}

inline json poll(
    http_connection& connection, const std::string& token, const std::string& headers = "") {
  auto answer = connection.get("/socket/longpoll?vsn=2.0.0&token=" + token, headers);
  REQUIRE(answer.status == 200);
  return read_json(answer.body);
}

inline json publish(
    http_connection& connection, const std::string& token, const std::string& lines) {
  auto answer = connection.request(
      "POST", "/socket/longpoll?vsn=2.0.0&token=" + token, lines,
      "content-type: application/x-ndjson\r\n");
  return answer.status == 200 ? read_json(answer.body) : json{{"http", answer.status}};
}

inline constexpr auto join_line = R"(["1","1","room:1","phx_join",{}])";

}  // namespace roost::test
