// How a client gets a connection, and what becomes of its channels when it ends. Most servers here
// do what no endpoint would.
#include "tests/channels/client_fixtures.hpp"
#include <filesystem>
#include <fstream>

using namespace roost;
using namespace roost::test;

// --- connections that end ------------------------------------------------------------------------

TEST_CASE_FIXTURE(room_server, "when the endpoint comes back on its port, all channels do") {
  auto client = connect({.reconnect_after = [](unsigned) { return 10ms; }});
  auto seen = std::make_shared<notes>();
  auto ann = roost::start<member>(client, "room:1", seen);
  auto bob = client.join("room:2");
  REQUIRE(bob.joined().get());
  REQUIRE(seen->become({"joined room:1"}));
  stop();
  CHECK(seen->become({"joined room:1", "errored room:1"}));
  CHECK(bob.call("echo", {}, 1ms).get().status == "timeout");
  top = start_endpoint(port);
  CHECK(seen->become({"joined room:1", "errored room:1", "joined room:1"}));
  CHECK(bob.call("echo").get());
  CHECK(roost::call(ann, member::ask{"echo", {}}).get());
  CHECK(client.info().get().connections == 2);
}

TEST_CASE_FIXTURE(scripted, "a call that was under way when the connection was lost is lost") {
  scripted_server server([](scripted_peer& peer) {
    peer.accept();
    peer.answer(*peer.next());
    if (peer.number == 1) return void(peer.next());  // takes the call and goes
    peer.answer_all();
  });
  auto room = connect(server).join("room:1");
  auto reply = room.call("ask").get();
  CHECK(reply.status == "lost");
  CHECK_FALSE(reply.from_server);
  CHECK(room.call("ask").get());
}

TEST_CASE_FIXTURE(scripted, "a server that does not answer the heartbeat is given up") {
  scripted_server server([](scripted_peer& peer) {
    peer.accept();
    if (peer.number > 2) return peer.answer_all();
    while (auto message = peer.next())
      if (message->find("phx_join") != message->npos) peer.answer(*message);
  });
  auto client = connect(server, {.heartbeat = 20ms});
  auto room = client.join("room:1");
  REQUIRE(room.joined().get());
  CHECK(eventually([&] { return server.connections() == 3; }));
  CHECK(room.call("ask").get());
  CHECK(log.saw("", "no answer to the heartbeat within 20 ms"));
  // The third server answers, so some beats later it is still that one.
  auto before = client.info().get().connections;
  for (int i = 0; i < 5; ++i) CHECK_FALSE(room.receive(20ms).get());
  CHECK(client.info().get().connections == before);
}

TEST_CASE_FIXTURE(scripted, "whatever a server sends, the client goes on") {
  using namespace std::string_literals;
  const std::vector<std::string> odd_frames = {
      "\x81\x02{}"s,                                // no array
      "\x81\x03[1]"s,                               // too short
      "\x81\x01["s,                                 // no JSON
      "\x81\x02\xff\xff"s,                          // no UTF-8
      "\x82\x01\x07"s,                              // no such kind
      "\x82\x03\x01\xff\xff"s,                      // lengths beyond the end
      "\x82\x00"s,                                  // nothing
      "\x83\x00"s,                                  // reserved
      "\xc1\x00"s,                                  // compressed
      "\x81\x80mask"s,                              // masked
      "\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"s,  // longer than can be
      "\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff"s,  // longer than is wanted
      "\x89\x7e\x01\x00"s,                          // long ping
      "\x88\x01x"s,                                 // short close
      "\x00\x00"s,                                  // continues nothing
      "HTTP/1.1 200 OK\r\n\r\n"s,
      "\x88\x02\x03\xf3"s,  // 1011
      ""s,                  // just goes
  };
  std::string deep = "[null,null,\"room:1\",\"e\"," + std::string(100'000, '[') + "]";
  scripted_server server([&](scripted_peer& peer) {
    const auto index = static_cast<std::size_t>(peer.number) - 1;
    peer.accept();
    if (index > odd_frames.size()) return peer.answer_all();
    peer.answer(*peer.next());
    if (index == odd_frames.size()) return peer.write(deep), void(peer.next());
    peer.write_raw(odd_frames[index]);
    if (!odd_frames[index].empty()) peer.next();
  });
  auto client = connect(server, {.max_frame_size = 1'000'000});
  auto room = client.join("room:1");
  const auto all = static_cast<int>(odd_frames.size()) + 2;
  CHECK(eventually([&] { return server.connections() == all; }));
  CHECK(room.call("ask").get());
  CHECK(is_alive(client.process()));
  CHECK(log.saw("", "client got bad input"));
  CHECK(log.saw("", "a malformed message"));
  CHECK(log.saw("", "message longer than max_frame_size"));
}

TEST_CASE_FIXTURE(scripted, "whatever a server answers to the upgrade, the client tries again") {
  const std::vector<std::string> answers = {
      "",
      "\r\n\r\n",
      "nonsense\r\n\r\n",
      "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n",
      "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
      "HTTP/1.1 200 OK\r\n" + std::string(20'000, 'x')};
  scripted_server server([&](scripted_peer& peer) {
    const auto index = static_cast<std::size_t>(peer.number) - 1;
    if (index >= answers.size()) return peer.accept(), peer.answer_all();
    peer.read_request();
    peer.write_raw(answers[index]);
  });
  auto client = connect(server);
  CHECK(client.join("room:1").joined().get());
  CHECK(server.connections() == static_cast<int>(answers.size()) + 1);
  CHECK(log.saw("", "a wrong sec-websocket-accept"));
  CHECK(log.saw("", "an answer with headers of more than 16 KiB"));
}

TEST_CASE_FIXTURE(scripted, "a message of an earlier join is dropped") {
  scripted_server server([](scripted_peer& peer) {
    peer.accept();
    peer.answer(*peer.next());
    peer.write(R"(["99",null,"room:1","stale",{}])");
    peer.write(R"(["99","99","room:1","phx_close",{}])");
    peer.write(R"(["99","99","room:1","phx_error",{}])");
    peer.write(R"([null,null,"room:2","not joined",{}])");
    peer.write(R"([null,null,"room:1","fresh",{}])");
    peer.answer_all();
  });
  auto room = connect(server).join("room:1");
  auto event = room.receive().get();
  REQUIRE(event);
  CHECK(event->event == "fresh");
  CHECK(room.call("ask").get());
}

TEST_CASE_FIXTURE(scripted, "a message comes whole, in pieces, with others or after a ping") {
  scripted_server server([](scripted_peer& peer) {
    peer.accept();
    peer.answer(*peer.next());
    std::string bytes;
    const std::string text = R"([null,null,"room:1","e",{"n":1}])";
    append_frame(bytes, opcode::text, std::string_view(text).substr(0, 10), {.fin = false});
    append_frame(bytes, opcode::ping, "ping");
    append_frame(bytes, opcode::continuation, std::string_view(text).substr(10));
    append_frame(bytes, opcode::text, text);
    for (char byte : bytes) peer.write_raw({&byte, 1});
    peer.answer_all();
  });
  auto room = connect(server).join("room:1");
  for (int i = 0; i < 2; ++i) {
    auto event = room.receive().get();
    REQUIRE(event);
    CHECK(event->payload.text() == R"({"n":1})");
  }
}

TEST_CASE_FIXTURE(scripted, "a join that is not answered is taken back and tried again") {
  std::mutex mutex;
  std::vector<std::string> messages;
  scripted_server server([&](scripted_peer& peer) {
    peer.accept();
    for (int i = 0; i < 2; ++i) {
      auto message = *peer.next();
      std::lock_guard guard{mutex};
      messages.push_back(message);
    }
    peer.answer_all();
  });
  auto client = connect(server, {.timeout = 20ms});
  auto room = client.join("room:1", {{"a", 1}});
  CHECK(room.joined().get().status == "timeout");
  CHECK(eventually([&] { return room.joined().get().ok(); }));
  CHECK(client.info().get().connections == 1);
  std::lock_guard guard{mutex};
  auto join = json::parse(messages[0]), leave = json::parse(messages[1]);
  auto at = [](parsed_json& message, std::size_t i) { return message->items()[i]; };
  CHECK(at(join, 0) == at(join, 1));
  CHECK(at(join, 3) == "phx_join");
  CHECK(at(join, 4) == json{{"a", 1}});
  CHECK(at(leave, 0) == at(join, 0));
  CHECK(at(leave, 3) == "phx_leave");
}

// --- connecting ----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(scripted, "a server that does not answer the upgrade is given up in time") {
  scripted_server server([](scripted_peer& peer) {
    if (peer.number > 1) return peer.accept(), peer.answer_all();
    peer.read_request();
    peer.read_request();  // there is none
  });
  auto client = connect(server, {.connect_timeout = 30ms});
  CHECK(client.join("room:1").joined().get());
  CHECK(log.saw("", "no connection within 30 ms"));
}

TEST_CASE_FIXTURE(scripted, "a name is looked up, and one that nobody has is told") {
  scripted_server server([](scripted_peer& peer) { peer.accept(), peer.answer_all(); });
  auto client = connect(server, {.url = server.url("localhost")});
  CHECK(client.join("room:1").joined().get());
  auto lost = connect(server, {.url = "ws://127.0.0.1:1/socket"});
  CHECK(fails_with(lost, "Connection refused"));
}

TEST_CASE_FIXTURE(scripted, "a server that is too busy is asked again when it has said") {
  using clock = std::chrono::steady_clock;
  std::atomic<clock::time_point> refused, came_back;
  scripted_server server([&](scripted_peer& peer) {
    if (peer.number > 1) {
      came_back = clock::now();
      return peer.accept(), peer.answer_all();
    }
    peer.read_request();
    refused = clock::now();
    peer.write_raw("HTTP/1.1 503 busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
  });
  auto client = connect(server, {.jitter = 0});
  CHECK(client.join("room:1").joined().get());
  CHECK(came_back.load() - refused.load() >= 999ms);
}

TEST_CASE_FIXTURE(scripted, "a connection is asked for with params, headers and a fresh token") {
  std::mutex mutex;
  std::vector<std::string> requests;
  scripted_server server([&](scripted_peer& peer) {
    auto request = peer.accept();
    {
      std::lock_guard guard{mutex};
      requests.push_back(request);
    }
    if (peer.number > 1) peer.answer_all();
  });
  int tokens = 0;
  auto client = connect(
      server, {.params = {{"user", "ann"}},
               .headers = {{"x-tool", "load"}},
               .auth_token = "old",
               .before_connect = [&](client_request& request) {
                 CHECK(request.auth_token == "old");
                 request.auth_token = "abc" + std::to_string(++tokens);
               }});
  CHECK(client.join("room:1").joined().get());
  std::lock_guard guard{mutex};
  CHECK(requests[0].starts_with("GET /socket/websocket?user=ann&vsn=2.0.0 HTTP/1.1\r\n"));
  CHECK(scripted_peer::header(requests[0], "x-tool") == "load");
  CHECK(
      scripted_peer::header(requests[0], "sec-websocket-protocol") ==
      "phoenix, base64url.bearer.phx.YWJjMQ");
  CHECK(
      scripted_peer::header(requests[1], "sec-websocket-protocol") ==
      "phoenix, base64url.bearer.phx.YWJjMg");
}

TEST_CASE_FIXTURE(scripted, "over TLS a server proves its name or address by a certificate") {
  authority trusted, other("other");
  auto path = std::filesystem::temp_directory_path() /
              ("roost_client_test_" + std::to_string(::getpid()) + ".pem");
  std::ofstream(path) << trusted.pem();
  auto script = [](scripted_peer& peer) { peer.accept(), peer.answer_all(); };
  scripted_server good(script, local_identity(trusted));
  scripted_server liar(script, local_identity(other));
  scripted_server elsewhere(
      script, trusted.issue({.common_name = "server", .names = "DNS:example.com"}));
  auto secure = [&](const std::string& url, bool verify = true) {
    return connect(good, {.url = url, .ca_file = path.string(), .verify = verify});
  };
  for (auto* host : {"127.0.0.1", "localhost"}) {
    auto room = secure(good.url(host)).join("room:1");
    CHECK(room.joined().get());
    std::string large(1'000'000, 'x');
    CHECK(room.call("ask", json(large)).get());
  }
  CHECK(fails_with(secure(liar.url()), "a certificate that does not prove its name"));
  CHECK(fails_with(secure(elsewhere.url()), "a certificate that does not prove its name"));
  CHECK(fails_with(connect(good, {.url = good.url()}), "a certificate that does not prove"));
  CHECK(secure(liar.url(), false).join("room:1").joined().get());
  std::filesystem::remove(path);
}

TEST_CASE_FIXTURE(node, "options that no client could use are one clear sentence") {
  auto start = [](client_options options) { return client::start_link(std::move(options)); };
  const std::string url = "ws://127.0.0.1:1/socket";
  CHECK_THROWS_WITH(
      start({}),
      "expected the url of a client to be ws://host[:port]/path or wss://…, got an empty one");
  CHECK_THROWS_WITH(
      start({.url = url, .heartbeat = 0ms}),
      "expected heartbeat of a client to be at least 1 ms, got 0 ms");
  CHECK_THROWS_AS(start({.url = url, .jitter = 1.5}), std::invalid_argument);
  CHECK_THROWS_AS(start({.url = url, .headers = {{"host", "x"}}}), std::invalid_argument);
  CHECK_THROWS_AS(child<client>({.url = "x"}), std::invalid_argument);
  log_capture quiet;
  CHECK_THROWS_WITH_AS(
      start({.url = "wss://127.0.0.1:1/socket", .ca_file = "/no/such/file"}),
      doctest::Contains("expected the ca_file of a client to hold certificates"), start_error);
  client idle(start({.url = url, .connect_at_once = false}));
  CHECK_THROWS_AS(idle.join(""), std::invalid_argument);
  CHECK_THROWS_AS(idle.join("room:\xff"), std::invalid_argument);
  CHECK_THROWS_AS(idle.join("room:1", payload::binary("x")), std::invalid_argument);
}

TEST_CASE_FIXTURE(scripted, "a server that does not read costs so much memory and no more") {
  std::atomic<bool> done{false};
  scripted_server server([&](scripted_peer& peer) {
    peer.accept();
    peer.answer(*peer.next());
    eventually([&] { return done.load(); });
  });
  auto client = connect(server, {.max_outbound = 100'000});
  auto room = client.join("room:1");
  REQUIRE(room.joined().get());
  payload large{json(std::string(50'000, 'x'))};
  CHECK(eventually([&] {
    room.push("x", large);
    return client.info().get().not_sent > 0;
  }));
  CHECK(client.info().get().waiting_bytes < 200'000);
  CHECK(
      room.call("y").get().response["reason"] ==
      "expected no more than max_outbound bytes to wait for the server");
  done = true;
}
