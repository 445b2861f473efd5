// The endpoint as its clients and balancers see it.
#include "channels/base64.hpp"
#include "channels/debug.hpp"
#include "runtime/telemetry.hpp"
#include "tests/channels/endpoint_fixtures.hpp"

using namespace roost;
using namespace roost::test;

// --- who connects --------------------------------------------------------------------------------

TEST_CASE_FIXTURE(endpoint_server, "connect learns who it is") {
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

TEST_CASE_FIXTURE(endpoint_server, "a poll tells the same") {
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

TEST_CASE_FIXTURE(endpoint_server, "nobody is believed who is not trusted") {
  start({.routes = {get("/who", [](const http_request& request) {
           return http_response{.body = request.peer_address};
         })}});
  CHECK(http_connection(port).get("/who", "x-forwarded-for: 1.2.3.4\r\n").body == "127.0.0.1");
}

TEST_CASE_FIXTURE(
    endpoint_server, "a balancer's PROXY header says who it is, before anything else") {
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

TEST_CASE_FIXTURE(
    endpoint_server, "pages of other origins are refused, in all forms of the check") {
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

TEST_CASE_FIXTURE(
    endpoint_server, "a subprotocol of the socket is agreed on, others are not echoed") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.subprotocols = {"v2.chat"}, .log = false})}});
  http_connection spoken(port), unknown(port);
  spoken.send(upgrade(ws, "sec-websocket-protocol: x, v2.chat\r\n"));
  CHECK(spoken.answer().headers["sec-websocket-protocol"] == "v2.chat");
  unknown.send(upgrade(ws, "sec-websocket-protocol: phoenix\r\n"));
  CHECK(unknown.answer().headers.count("sec-websocket-protocol") == 0);
}

TEST_CASE_FIXTURE(endpoint_server, "a refusal is answered as the socket's error handler says") {
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

TEST_CASE_FIXTURE(
    endpoint_server, "a herd is taken in at a pace, the others are told when to come back") {
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

TEST_CASE_FIXTURE(
    endpoint_server, "an address has so many sockets, and gets one back when one goes") {
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

TEST_CASE_FIXTURE(endpoint_server, "past max_connections a connection is closed at once") {
  log_capture log;
  start({.limits = {.max_connections = 2}});
  http_connection one(port), two(port);
  CHECK(one.get("/").status == 404);
  CHECK(two.get("/").status == 404);
  CHECK(http_connection(port).ends());
  CHECK(endpoint::statistics().connections == 2);
}

TEST_CASE_FIXTURE(
    endpoint_server, "who sends faster than its rate is read at its rate, and loses nothing") {
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
    endpoint_server, "messages for a join that takes its time wait in the client, past a limit") {
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

TEST_CASE_FIXTURE(endpoint_server, "so many joins may wait at a time") {
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
    endpoint_server, "compression is agreed on when the socket has it and the client offers it") {
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

// --- looking inside ------------------------------------------------------------------------------

TEST_CASE_FIXTURE(endpoint_server, "who is connected, and to what") {
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

TEST_CASE_FIXTURE(
    endpoint_server, "a drain sends all clients away in batches, and answers HTTP on") {
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
  CHECK(read_json(polls.answer().body)["status"] == 500);  // its client begins again, elsewhere
  CHECK(eventually([] { return endpoint::statistics().sockets == 0; }));
  CHECK(rounds >= 3);
  CHECK(ended_with("draining"));
  telemetry::detach("drain");

  http_connection late(port);
  late.send(upgrade(ws));
  auto answer = late.answer();
  CHECK(answer.status == 503);
  CHECK(answer.headers.count("retry-after") == 1);
  CHECK(late.ends());
  CHECK(http_connection(port).get("/").status == 404);
  CHECK(endpoint::statistics().refused_draining == 1);
}

TEST_CASE_FIXTURE(
    endpoint_server, "before a drain balancers have time to notice, and newcomers are served") {
  log_capture log;
  start(
      {.routes = {get("/hello", [](const http_request&) { return http_response{}; })},
       .drainer = {.delay = 500ms, .shutdown = 3s}});
  test_client before(port);
  http_connection kept(port);
  CHECK(kept.get("/hello").headers.count("connection") == 0);
  auto begin = std::chrono::steady_clock::now();
  CHECK(endpoint::drain());
  CHECK(eventually([] { return !endpoint::ready(); }));

  test_client newcomer(port);
  newcomer.send(join_line);
  CHECK(newcomer.receive().find(R"("status":"ok")") != std::string::npos);
  auto answer = kept.get("/hello");
  CHECK(answer.status == 200);
  CHECK(answer.headers["connection"] == "close");
  CHECK(kept.ends());
  REQUIRE(std::chrono::steady_clock::now() - begin < 500ms);  // else the machine was too slow

  CHECK(before.close_code_received() == 1012);
  CHECK(newcomer.close_code_received() == 1012);
  CHECK(std::chrono::steady_clock::now() - begin >= 500ms);
  http_connection late(port);
  late.send(upgrade(ws));
  CHECK(late.answer().status == 503);
}

TEST_CASE_FIXTURE(endpoint_server, "an endpoint that stops serves newcomers during the delay") {
  start({.drainer = {.delay = 300ms, .shutdown = 3s}});
  http_connection slow(port);
  slow.send("GET / HTTP/1.1\r\n");
  auto stopped = std::async(std::launch::async, [this] { roost::stop(top).get(); });
  CHECK(eventually([] { return !endpoint::ready(); }));
  test_client newcomer(port);
  CHECK(newcomer.close_code_received() == 1012);
  // Its request began before the end, so it is answered.
  slow.send("host: localhost\r\n\r\n");
  CHECK(slow.answer().status == 404);
  CHECK(slow.ends());
  stopped.get();
}

TEST_CASE_FIXTURE(
    endpoint_server, "who has just connected when an endpoint stops is heard and answered") {
  start({.drainer = {.shutdown = 5s}});
  std::vector<std::unique_ptr<http_connection>> kept;
  for (int i = 0; i < 4; ++i) {
    kept.push_back(std::make_unique<http_connection>(port));
    CHECK(kept.back()->get("/").status == 404);
  }
  http_connection newcomer(port);
  auto stopped = std::async(std::launch::async, [this] { roost::stop(top).get(); });
  // Those that nobody asks anything of any more end; by then nobody listens either.
  for (auto& connection : kept) CHECK(connection->ends());
  CHECK_THROWS((void)http_connection(port));
  CHECK(newcomer.request("POST", "/", "x").status == 404);
  CHECK(newcomer.ends());
  stopped.get();
}

TEST_CASE_FIXTURE(
    endpoint_server, "who connects and says nothing does not keep an endpoint from stopping") {
  start({.drainer = {.shutdown = 5s}});
  http_connection silent(port);
  auto begin = std::chrono::steady_clock::now();
  roost::stop(top).get();
  CHECK(std::chrono::steady_clock::now() - begin < 4s);
  CHECK(silent.ends());
}

TEST_CASE_FIXTURE(endpoint_server, "what is left at the deadline is cut") {
  start({.drainer = {.shutdown = 300ms}});
  http_connection stubborn(port);
  stubborn.send(upgrade(ws));
  CHECK(stubborn.answer().status == 101);
  auto begin = std::chrono::steady_clock::now();
  roost::stop(top).get();
  CHECK(std::chrono::steady_clock::now() - begin < 2s);
  CHECK(stubborn.ends());
}
