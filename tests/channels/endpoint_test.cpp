// The endpoint as its clients and balancers see it.
#include "channels/endpoint.hpp"
#include "channels/base64.hpp"
#include "channels/debug.hpp"
#include "runtime/telemetry.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/http_connection.hpp"
#include "tests/channels/test_client.hpp"
#include "tests/distribution/certificates.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

std::mutex last_words_mutex;
std::string last_words;  // why the last channel ended

bool ended_with(std::string_view reason) {
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

join_result mirror_channel::join(std::string_view, const payload& params, roost::socket& s) {
  if (params.contains("later")) return later(ref(s));
  return ok();
}

in_result mirror_channel::handle_in(event<"who">, const payload&, roost::socket& s) {
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

struct server : node {
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

std::string upgrade(const std::string& target, const std::string& headers = "") {
  return "GET " + target +
         " HTTP/1.1\r\nhost: localhost:4000\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
         "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
         headers + "\r\n";
}

constexpr auto ws = "/socket/websocket?vsn=2.0.0";

int status_of(int port, const std::string& headers, const std::string& target = ws) {
  http_connection connection(port);
  connection.send(upgrade(target, headers));
  return connection.answer().status;
}

json read_json(const std::string& text) {
  auto parsed = json::parse(text);
  REQUIRE_MESSAGE(parsed, text);
  return *parsed;
}

json poll(http_connection& connection, const std::string& token, const std::string& headers = "") {
  auto answer = connection.get("/socket/longpoll?vsn=2.0.0&token=" + token, headers);
  REQUIRE(answer.status == 200);
  return read_json(answer.body);
}

json publish(http_connection& connection, const std::string& token, const std::string& lines) {
  auto answer = connection.request(
      "POST", "/socket/longpoll?vsn=2.0.0&token=" + token, lines,
      "content-type: application/x-ndjson\r\n");
  return answer.status == 200 ? read_json(answer.body) : json{{"http", answer.status}};
}

constexpr auto join_line = R"(["1","1","room:1","phx_join",{}])";

}  // namespace

// --- HTTP ----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "one connection carries many requests, also those sent at once") {
  start({.routes = {get("/hello/:name", [](const http_request& request) {
           return http_response{.body = "hello " + std::string(*request.parameters["name"])};
         })}});
  http_connection connection(port);
  for (auto name : {"a", "b"}) {
    auto answer = connection.get("/hello/" + std::string(name));
    CHECK(answer.status == 200);
    CHECK(answer.body == "hello " + std::string(name));
  }
  std::string many;
  for (int i = 0; i < 200; ++i)
    many += "GET /hello/" + std::to_string(i) + " HTTP/1.1\r\nhost: x\r\n\r\n";
  connection.send(many);
  for (int i = 0; i < 200; ++i) CHECK(connection.answer().body == "hello " + std::to_string(i));
  CHECK(connection.request("POST", "/hello/a").status == 404);
  CHECK(connection.request("HEAD", "/hello/a").body.empty());
  CHECK(connection.get("/hello/a", "connection: close\r\n").headers["connection"] == "close");
  CHECK(connection.ends());
}

TEST_CASE_FIXTURE(server, "a handler that throws costs its request only") {
  log_capture log;
  std::mutex mutex;
  std::vector<std::string> events;
  for (auto name :
       {"phoenix.endpoint.stop", "phoenix.router_dispatch.exception", "phoenix.error_rendered"})
    telemetry::attach(
        name, name,
        [&](std::string_view event, const telemetry::values&, const telemetry::values& about) {
          std::lock_guard guard{mutex};
          events.push_back(std::string(event) + " " + about["status"].to_string());
        });
  start({.routes = {post("/boom", [](const http_request&) -> http_response {
           throw std::runtime_error("boom");
         })}});
  http_connection connection(port);
  auto answer = connection.request("POST", "/boom", "x");
  CHECK(answer.status == 500);
  CHECK(answer.body == R"({"errors":{"detail":"Internal Server Error"}})");
  CHECK(connection.get("/nothing").status == 404);
  for (auto name :
       {"phoenix.endpoint.stop", "phoenix.router_dispatch.exception", "phoenix.error_rendered"})
    telemetry::detach(name);
  std::vector<std::string> expected{
      "phoenix.error_rendered 500", "phoenix.router_dispatch.exception 500",
      "phoenix.endpoint.stop 500", "phoenix.error_rendered 404", "phoenix.endpoint.stop 404"};
  CHECK((events == expected));
}

TEST_CASE_FIXTURE(server, "bodies and headers have limits, and requests a time") {
  start(
      {.routes = {post(
           "/size",
           [](const http_request& request) {
             return http_response{.body = std::to_string(request.body.size())};
           })},
       .limits = {.request_timeout = 300ms, .max_header = 2000, .max_body = 1000}});
  CHECK(http_connection(port).request("POST", "/size", std::string(1000, 'x')).body == "1000");
  CHECK(http_connection(port).request("POST", "/size", std::string(1001, 'x')).status == 413);
  CHECK(http_connection(port).get("/", "x: " + std::string(3000, 'x') + "\r\n").status == 431);
  http_connection chunked(port);
  chunked.send("POST /size HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
  chunked.send("400\r\n" + std::string(1024, 'x') + "\r\n");
  CHECK(chunked.answer().status == 413);
  http_connection slow(port);
  slow.send("GET / HTTP/1.1\r\nhost: x\r\n");
  CHECK(slow.ends());
  CHECK(endpoint::statistics().slow_handshakes >= 1);
}

TEST_CASE_FIXTURE(server, "a header of a response cannot smuggle in another") {
  start({.routes = {get("/x", [](const http_request& request) {
           return http_response{.headers = {{"location", std::string(*request.query["to"])}}};
         })}});
  auto answer = http_connection(port).get("/x?to=a%0d%0aset-cookie:%20evil");
  CHECK(answer.status == 200);
  CHECK(answer.headers.count("set-cookie") == 0);
  CHECK(http_connection(port).get("/x?to=fine").headers["location"] == "fine");
}

TEST_CASE_FIXTURE(server, "a large file is sent piece by piece, to several who read slowly") {
  directory files;
  std::string large(9'000'000, 'x');
  for (std::size_t i = 0; i < large.size(); i += 1000)
    large[i] = static_cast<char>('a' + i / 1000 % 26);
  files.write("large.bin", large);
  start({.static_files = files.path("")});
  http_connection one(port), other(port);
  one.send_request("GET", "/large.bin");
  other.send_request("GET", "/large.bin", "", "range: bytes=1000-1999\r\n");
  CHECK(other.answer().body == large.substr(1000, 1000));
  CHECK(one.answer().body == large);
  CHECK(one.get("/large.bin", "range: bytes=-10\r\n").body == large.substr(large.size() - 10));
}

TEST_CASE_FIXTURE(server, "a unix socket, whose file goes with it") {
  directory files;
  auto path = files.path("http.sock");
  start({.http = {.ip = "unix:" + path}, .routes = {get("/who", [](const http_request& request) {
                                           return http_response{
                                               .body = "[" + request.peer_address + "]"};
                                         })}});
  http_connection connection(path);
  CHECK(connection.get("/who").body == "[]");
  // Who may open the file is trusted as a balancer.
  CHECK(connection.get("/who", "x-forwarded-for: 1.2.3.4\r\n").body == "[1.2.3.4]");
  roost::stop(top).get();
  CHECK_FALSE(std::filesystem::exists(path));
}

// --- who connects --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "connect learns who it is") {
  start({.sockets = {socket_at<mirror_socket>("/in/:room", {.auth_token = true, .log = false})}});
  http_connection raw(port);
  raw.send(upgrade(
      "/in/lobby/websocket?vsn=2.0.0&a=1",
      "user-agent: tester\r\nX-Tenant: acme\r\ntraceparent: 00-abc\r\n"
      "sec-websocket-protocol: phoenix, base64url.bearer.phx." +
          detail::to_base64url("s3cret/?") + "\r\n"));
  auto answer = raw.answer();
  CHECK(answer.status == 101);
  CHECK(answer.headers["sec-websocket-protocol"] == "phoenix");

  // The rest through a client that speaks WebSocket, without those headers.
  test_client client(port, "/in/lobby/websocket?vsn=2.0.0");
  client.send(join_line);
  client.receive();
  client.send(R"(["1","2","room:1","who",{}])");
  auto who = read_json(client.receive())[4]["response"];
  CHECK(who["peer"] == "127.0.0.1");
  CHECK(who["uri"] == "http://localhost/in/lobby/websocket?vsn=2.0.0");
  CHECK(who["room"] == "lobby");
  CHECK(who["token"].is_null());
  CHECK(who["sec"]["sec-websocket-version"] == "13");
}

TEST_CASE_FIXTURE(server, "a poll tells the same") {
  start(
      {.trusted_proxies = {"127.0.0.1"},
       .sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{}, .auth_token = true, .log = false})}});
  http_connection connection(port);
  auto token = poll(
                   connection, "",
                   "x-phoenix-authtoken: s3cret\r\nx-tenant: acme\r\ntraceparent: 00-abc\r\n"
                   "user-agent: tester\r\nx-forwarded-for: 8.8.8.8, 1.2.3.4\r\n"
                   "x-forwarded-proto: https\r\nx-forwarded-host: chat.example\r\n")
                   .get<std::string>("token");
  publish(connection, token, std::string(join_line) + "\n" + R"(["1","2","room:1","who",{}])");
  auto messages = poll(connection, token)["messages"];
  REQUIRE(messages.size() == 2);
  auto who = read_json(messages[1].as_string())[4]["response"];
  CHECK(who["peer"] == "1.2.3.4");
  CHECK(who["uri"] == "https://chat.example/socket/longpoll?vsn=2.0.0&token=");
  CHECK(who["agent"] == "tester");
  CHECK(who["token"] == "s3cret");
  CHECK(who["x"]["x-tenant"] == "acme");
  CHECK(who["trace"]["traceparent"] == "00-abc");
}

TEST_CASE_FIXTURE(server, "nobody is believed who is not trusted") {
  start({.routes = {get("/who", [](const http_request& request) {
           return http_response{.body = request.peer_address};
         })}});
  CHECK(http_connection(port).get("/who", "x-forwarded-for: 1.2.3.4\r\n").body == "127.0.0.1");
}

TEST_CASE_FIXTURE(server, "a balancer's PROXY header says who it is, before anything else") {
  start(
      {.http = {.proxy_protocol = true},
       .trusted_proxies = {"127.0.0.1"},
       .routes = {get("/who", [](const http_request& request) {
         return http_response{.body = request.peer_address};
       })}});
  http_connection whole(port);
  whole.send("PROXY TCP4 9.9.9.9 127.0.0.1 1 2\r\n");
  CHECK(whole.get("/who").body == "9.9.9.9");
  CHECK(whole.get("/who").body == "9.9.9.9");
  http_connection pieces(port);
  for (char c : std::string_view("PROXY TCP4 9.9.9.8 127.0.0.1 1 2\r\n")) pieces.send({&c, 1});
  CHECK(pieces.get("/who").body == "9.9.9.8");
  http_connection none(port);
  none.send("GET /who HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(none.ends());
  http_connection stranger(port, "127.0.0.1");
  stranger.send("PROXY TCP4 nonsense\r\n");
  CHECK(stranger.ends());
}

TEST_CASE_FIXTURE(server, "pages of other origins are refused, in all forms of the check") {
  auto with = [](origin_check check) {
    return socket_at<mirror_socket>("/socket", {.check_origin = check, .log = false});
  };
  std::string own = "origin: http://localhost:4000\r\n", other = "origin: http://evil.example\r\n";
  SUBCASE("off") {
    start({.sockets = {with(false)}});
    CHECK(status_of(port, other) == 101);
  }
  SUBCASE("the endpoint's host") {
    start({});
    CHECK(status_of(port, own) == 101);
    CHECK(status_of(port, other) == 403);
    CHECK(status_of(port, "") == 101);
  }
  SUBCASE("the host of the request") {
    start({.url_host = "elsewhere", .sockets = {with(same_origin)}});
    CHECK(status_of(port, own) == 101);
    CHECK(status_of(port, "origin: https://localhost:4000\r\n") == 403);
    CHECK(status_of(port, "origin: http://localhost\r\n") == 403);
  }
  SUBCASE("a list, of this socket only") {
    start(
        {.check_origin = std::vector<std::string>{"//evil.example"},
         .sockets = {with(std::vector<std::string>{"//*.example.com"})}});
    CHECK(status_of(port, "origin: https://a.example.com\r\n") == 101);
    CHECK(status_of(port, other) == 403);
  }
  SUBCASE("a function") {
    start({.sockets = {with(origin_check([](std::string_view origin) {
             return origin == "null";
           }))}});
    CHECK(status_of(port, "origin: null\r\n") == 101);
    CHECK(status_of(port, own) == 403);
  }
}

TEST_CASE_FIXTURE(server, "a subprotocol of the socket is agreed on, others are not echoed") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.subprotocols = {"v2.chat"}, .log = false})}});
  http_connection spoken(port), unknown(port);
  spoken.send(upgrade(ws, "sec-websocket-protocol: x, v2.chat\r\n"));
  CHECK(spoken.answer().headers["sec-websocket-protocol"] == "v2.chat");
  unknown.send(upgrade(ws, "sec-websocket-protocol: phoenix\r\n"));
  CHECK(unknown.answer().headers.count("sec-websocket-protocol") == 0);
}

TEST_CASE_FIXTURE(server, "a refusal is answered as the socket's error handler says") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.log = false}),
           socket_at<mirror_socket>(
               "/own", {.error_handler =
                            [](std::string_view reason) {
                              return http_response{
                                  .status = 429, .body = "no: " + std::string(reason)};
                            },
                        .log = false})}});
  http_connection plain(port), own(port);
  plain.send(upgrade("/socket/websocket?vsn=2.0.0&refuse=full"));
  CHECK(plain.answer().status == 403);
  own.send(upgrade("/own/websocket?vsn=2.0.0&refuse=full"));
  auto answer = own.answer();
  CHECK(answer.status == 429);
  CHECK(answer.body == "no: full");
}

// --- limits --------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "a herd is taken in at a pace, the others are told when to come back") {
  log_capture log;
  start({.limits = {.accept_rate = 1, .accept_burst = 3}});
  std::vector<std::unique_ptr<http_connection>> herd;
  int in = 0, later = 0;
  for (int i = 0; i < 20; ++i) {
    herd.push_back(std::make_unique<http_connection>(port));
    herd.back()->send(upgrade(ws));
    auto answer = herd.back()->answer();
    if (answer.status == 101) ++in;
    if (answer.status != 503) continue;
    ++later;
    CHECK(std::stoi(answer.headers["retry-after"]) >= 1);
  }
  CHECK(in >= 3);
  CHECK(in < 10);
  CHECK(in + later == 20);
  CHECK(endpoint::statistics().refused_by_rate == static_cast<std::uint64_t>(later));
}

TEST_CASE_FIXTURE(server, "an address has so many sockets, and gets one back when one goes") {
  log_capture log;
  start({.limits = {.max_sockets_per_address = 2}});
  auto first = std::make_unique<test_client>(port);
  test_client second(port);
  CHECK(second.status == 101);
  CHECK(test_client(port).status == 503);
  first.reset();
  CHECK(eventually([&] { return endpoint::statistics().sockets == 1; }));
  CHECK(test_client(port).status == 101);
  CHECK(endpoint::statistics().refused_by_address == 1);
}

TEST_CASE_FIXTURE(server, "past max_connections a connection is closed at once") {
  log_capture log;
  start({.limits = {.max_connections = 2}});
  http_connection one(port), two(port);
  CHECK(one.get("/").status == 404);
  CHECK(two.get("/").status == 404);
  CHECK(http_connection(port).ends());
  CHECK(endpoint::statistics().connections == 2);
}

TEST_CASE_FIXTURE(server, "who sends faster than its rate is read at its rate, and loses nothing") {
  log_capture log;
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.message_rate = 200, .message_burst = 20, .log = false})}});
  test_client flood(port), other(port);
  flood.send(join_line);
  flood.receive();
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i)
    flood.send("[\"1\",\"" + std::to_string(i) + "\",\"room:1\",\"echo\",{}]");
  other.send(join_line);
  CHECK(other.receive().find("ok") != std::string::npos);
  for (int i = 0; i < 100; ++i)
    CHECK(flood.receive().find("\"" + std::to_string(i) + "\"") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin > 350ms);
  CHECK(endpoint::statistics().throttled > 0);
}

TEST_CASE_FIXTURE(
    server, "messages for a join that takes its time wait in the client, past a limit") {
  log_capture log;
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.join_timeout = 400ms, .max_inbound = 20'000, .log = false})}});
  test_client client(port);
  client.send(R"(["1","1","room:1","phx_join",{"later":true}])");
  std::string big(5000, 'x');
  for (int i = 0; i < 10; ++i)
    client.send("[\"1\",\"e\",\"room:1\",\"echo\",{\"a\":\"" + big + "\"}]");
  client.send(R"([null,"h","phoenix","heartbeat",{}])");
  CHECK(eventually([] { return endpoint::statistics().throttled == 1; }));
  // The join is given up, what waited goes with it, and the client is read again.
  CHECK(client.receive().find("join crashed") != std::string::npos);
  std::string last;
  do last = client.receive();
  while (last.find("heartbeat") == std::string::npos && last.find("\"h\"") == std::string::npos);
  CHECK(endpoint::statistics().join_timeouts == 1);
}

TEST_CASE_FIXTURE(server, "so many joins may wait at a time") {
  log_capture log;
  start({.sockets = {socket_at<mirror_socket>("/socket", {.max_joins = 2, .log = false})}});
  test_client client(port);
  for (auto topic : {"a", "b", "c"})
    client.send("[\"1\",\"1\",\"room:" + std::string(topic) + "\",\"phx_join\",{\"later\":true}]");
  CHECK(
      client.receive() ==
      R"(["1","1","room:c","phx_reply",{"status":"error","response":{"reason":"too many joins"}}])");
  client.send(R"(["1","2","room:d","phx_join",{}])");
  CHECK(client.receive().find("too many joins") != std::string::npos);
}

// --- compression ---------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    server, "compression is agreed on when the socket has it and the client offers it") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.compress = true, .log = false}),
           socket_at<mirror_socket>("/plain", {.log = false})}});
  auto offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
  http_connection with(port), without(port), plain(port);
  with.send(upgrade(ws, offer));
  CHECK(with.answer().headers["sec-websocket-extensions"].starts_with("permessage-deflate"));
  without.send(upgrade(ws));
  CHECK(without.answer().headers.count("sec-websocket-extensions") == 0);
  plain.send(upgrade("/plain/websocket?vsn=2.0.0", offer));
  CHECK(plain.answer().headers.count("sec-websocket-extensions") == 0);
}

// --- long polling --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "a poll waits for messages, and the newest poll gets them") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 5s}, .log = false})}});
  http_connection polls(port), newer(port), posts(port);
  auto opened = poll(polls, "");
  CHECK(opened["status"] == 410);
  auto token = opened.get<std::string>("token");
  polls.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  newer.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  CHECK(eventually([] { return endpoint::statistics().connections == 3; }));
  CHECK(publish(posts, token, join_line)["status"] == 200);
  // Which of the two came later is up to their workers.
  int empty = 0, messages = 0;
  for (auto* connection : {&polls, &newer}) {
    auto answer = read_json(connection->answer().body);
    empty += answer["status"] == 204;
    messages += static_cast<int>(answer["messages"].size());
  }
  CHECK(empty == 1);
  CHECK(messages == 1);
  CHECK(endpoint::statistics().sockets == 1);
}

TEST_CASE_FIXTURE(server, "a session whose client stays away ends, and its token opens a new one") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 200ms}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  CHECK(poll(connection, token)["status"] == 204);
  CHECK(eventually([] { return endpoint::statistics().sockets == 0; }));
  CHECK(publish(connection, token, join_line)["status"] == 410);
  auto again = poll(connection, token);
  CHECK(again["status"] == 410);
  CHECK(again.get<std::string>("token") != token);
}

TEST_CASE_FIXTURE(
    server, "a client that hangs up is not waited for, and the next poll is answered") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 60s}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  {
    http_connection gone(port);
    gone.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  }
  CHECK(eventually([] { return endpoint::statistics().connections == 1; }));
  CHECK(publish(connection, token, join_line)["status"] == 200);
  CHECK(poll(connection, token)["messages"].size() == 1);
}

TEST_CASE_FIXTURE(server, "nobody makes a token, and nobody's token fits another session") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.longpoll = longpoll_options{}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  auto changed = token;
  changed[token.size() / 2] = changed[token.size() / 2] == 'A' ? 'B' : 'A';
  for (auto& bad : {changed, token.substr(1), std::string("x"), token + "A"}) {
    CHECK(publish(connection, bad, join_line)["status"] == 410);
    CHECK(poll(connection, bad)["status"] == 410);
  }
  CHECK(publish(connection, token, join_line)["status"] == 200);
}

TEST_CASE_FIXTURE(
    server, "a batch that cannot be read is refused whole; a malformed message ends the session") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.longpoll = longpoll_options{}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  CHECK(publish(connection, token, std::string(join_line) + "\nneither")["http"] == 400);
  CHECK(publish(connection, token, join_line)["status"] == 200);
  CHECK(poll(connection, token)["messages"].size() == 1);
  CHECK(publish(connection, token, "[1,2]")["status"] == 410);
  CHECK(poll(connection, token)["status"] == 410);
  CHECK(connection.request("PUT", "/socket/longpoll?vsn=2.0.0").status == 400);
}

TEST_CASE_FIXTURE(
    server, "a disconnect by id ends the session, and a waiting poll hears of it at once") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 60s}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  connection.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  broadcast("test", "mirror", "disconnect", {});
  auto answer = read_json(connection.answer().body);
  CHECK(answer["status"] == 410);
  CHECK(endpoint::statistics().sockets == 1);  // the one that the answer has begun
}

TEST_CASE_FIXTURE(server, "a client that polls too rarely for what it is sent loses its session") {
  log_capture log;
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{}, .max_outbound = 10'000, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  publish(connection, token, join_line);
  for (int i = 0; i < 3; ++i)
    broadcast("test", "room:1", "news", {{"text", std::string(5000, 'x')}});
  CHECK(eventually([] { return endpoint::statistics().slow_consumers == 1; }));
  CHECK(poll(connection, token)["status"] == 410);
}

// --- TLS -----------------------------------------------------------------------------------------

namespace {

struct certified {
  directory files;
  authority ca;
  std::string certificate = files.path("cert.pem");
  std::string key = files.path("key.pem");

  certified() { renew("first"); }
  void renew(const std::string& name) {
    auto fresh = ca.issue({.common_name = name, .names = "DNS:localhost"});
    files.write("key.pem", fresh.key_pem());
    files.write("cert.pem", fresh.certificate_pem());
  }
};

std::string common_name(X509* certificate) {
  char text[64] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
  return text;
}

}  // namespace

TEST_CASE_FIXTURE(server, "HTTP and WebSockets over TLS") {
  certified own;
  directory files;
  std::string large(3'000'000, 'x');
  files.write("large.bin", large);
  start(
      {.https = {.port = 0, .certfile = own.certificate, .keyfile = own.key},
       .static_files = files.path("")});
  http_connection connection(endpoint_https_port());
  connection.start_tls();
  CHECK(connection.get("/nothing").status == 404);
  CHECK(connection.get("/large.bin").body == large);
  connection.send(upgrade(ws));
  CHECK(connection.answer().status == 101);
  std::string frame;
  append_frame(frame, opcode::text, join_line, {.mask = mask_key{'m', 'a', 's', 'k'}});
  connection.send(frame);
  CHECK(eventually([] { return endpoint::statistics().sockets == 1; }));
}

TEST_CASE_FIXTURE(server, "a renewed certificate is shown to newcomers, without a restart") {
  certified own;
  log_capture log;
  start(
      {.https = {
           .port = 0, .certfile = own.certificate, .keyfile = own.key, .reload_interval = 20ms}});
  auto shown = [] {
    http_connection connection(endpoint_https_port());
    return common_name(connection.start_tls().get());
  };
  http_connection old(endpoint_https_port());
  old.start_tls();
  CHECK(shown() == "first");
  own.renew("second");
  CHECK(eventually([&] { return shown() == "second"; }));
  CHECK(old.get("/").status == 404);
  SUBCASE("one that cannot be used is not") {
    own.files.write("cert.pem", "nonsense");
    CHECK(eventually(
        [&] { return log.saw("", "the new certificate cannot be used, keeping the old one"); }));
    CHECK(shown() == "second");
  }
}

TEST_CASE_FIXTURE(server, "a wrong certificate stops the start with one sentence") {
  certified own;
  auto failure = [&](const std::string& certificate, const std::string& key) {
    try {
      (void)endpoint::child_spec(
          {.pub_sub = "test", .https = {.certfile = certificate, .keyfile = key}});
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  CHECK(failure(own.certificate, own.key) == "none");
  CHECK(failure("missing.pem", own.key)
            .starts_with("expected https.certfile to be a certificate in PEM, got missing.pem: "));
  CHECK(failure(own.certificate, own.certificate)
            .starts_with("expected https.keyfile to be the private key of "));
  certified other;
  CHECK(failure(own.certificate, other.key).ends_with("key values mismatch"));
}

TEST_CASE_FIXTURE(server, "who does not shake hands is sent away") {
  certified own;
  log_capture log;
  start(
      {.https = {.port = 0, .certfile = own.certificate, .keyfile = own.key},
       .limits = {.handshake_timeout = 200ms}});
  http_connection silent(endpoint_https_port());
  CHECK(silent.ends());
  http_connection plain(endpoint_https_port());
  plain.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(plain.ends());
  CHECK(endpoint::statistics().slow_handshakes == 1);
}

// --- looking inside ------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "who is connected, and to what") {
  start({});
  test_client one(port), two(port);
  one.send(join_line);
  one.receive();
  one.send(R"(["2","2","room:late","phx_join",{"later":true}])");
  one.send(R"([null,"h","phoenix","heartbeat",{}])");
  one.receive();
  auto sockets = debug::list_sockets();
  REQUIRE(sockets.size() == 2);
  std::vector<debug::channel_details> channels;
  for (auto& socket : sockets) {
    CHECK(socket.id == "mirror");
    CHECK(socket.socket.ends_with("mirror_socket"));
    CHECK(debug::is_socket(socket.process));
    CHECK_FALSE(debug::is_channel(socket.process));
    for (auto& channel : debug::list_channels(socket.process)) {
      CHECK(debug::socket_of(channel.process) == socket.process);
      channels.push_back(channel);
    }
  }
  REQUIRE(channels.size() == 2);
  CHECK(channels[0].topic == "room:1");
  CHECK(channels[0].joined);
  CHECK(channels[0].channel.ends_with("mirror_channel"));
  CHECK(debug::is_channel(channels[0].process));
  CHECK(channels[1].topic == "room:late");
  CHECK_FALSE(channels[1].joined);
  CHECK_THROWS_AS(debug::list_channels(channels[0].process), std::invalid_argument);
  CHECK_THROWS_AS(debug::socket_of(top), std::invalid_argument);
}

// --- draining ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "a drain sends all clients away in batches, and answers HTTP on") {
  log_capture log;
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 60s}, .log = false})},
       .drainer = {.batch_size = 4, .batch_interval = 50ms, .shutdown = 3s}});
  CHECK(endpoint::ready());
  std::vector<std::unique_ptr<test_client>> clients;
  clients.push_back(std::make_unique<test_client>(port));
  clients.front()->send(join_line);
  clients.front()->receive();
  for (int i = 1; i < 10; ++i) clients.push_back(std::make_unique<test_client>(port));
  http_connection polls(port);
  auto token = poll(polls, "").get<std::string>("token");
  polls.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);

  std::atomic<int> rounds{0};
  telemetry::attach(
      "drain", "phoenix.socket_drain",
      [&](std::string_view, const telemetry::values& numbers, const telemetry::values&) {
        CHECK(numbers["total"].integer() == 11);
        CHECK(numbers["rounds"].integer() == 3);
        rounds = static_cast<int>(numbers["index"].integer());
      });
  CHECK(endpoint::drain());
  CHECK(eventually([] { return !endpoint::ready(); }));
  for (auto& client : clients) CHECK(client->close_code_received() == 1012);
  CHECK(polls.answer().status == 503);  // its session has ended, and a new one is refused
  CHECK(eventually([] { return endpoint::statistics().sockets == 0; }));
  CHECK(rounds >= 3);
  CHECK(ended_with("draining"));
  telemetry::detach("drain");

  http_connection late(port);
  late.send(upgrade(ws));
  auto answer = late.answer();
  CHECK(answer.status == 503);
  CHECK(answer.headers.count("retry-after") == 1);
  CHECK(late.get("/").status == 404);
  CHECK(endpoint::statistics().refused_draining == 2);
}

TEST_CASE_FIXTURE(server, "what is left at the deadline is cut") {
  start({.drainer = {.shutdown = 300ms}});
  http_connection stubborn(port);
  stubborn.send(upgrade(ws));
  CHECK(stubborn.answer().status == 101);
  auto begin = std::chrono::steady_clock::now();
  roost::stop(top).get();
  CHECK(std::chrono::steady_clock::now() - begin < 2s);
  CHECK(stubborn.ends());
}
