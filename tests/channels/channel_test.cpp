#include "channels/endpoint.hpp"
#include "runtime/blocking.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/test_client.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

std::atomic<int> terminated{0};

struct nudge { std::string word; };

struct room_channel {
  using events = roost::events<
      "echo", "shout", "shout_from", "later", "crash", "stop", "stop_bad", "stop_reply", "nothing",
      "whisper", "nudge_me", "flood">;
  using intercepts = roost::events<"whisper">;
  using infos = roost::messages<nudge>;

  join_result join(std::string_view topic, const payload& params, roost::socket& socket) {
    if (params.contains("deny")) return error({{"reason", "unauthorized"}});
    if (params.contains("raise")) throw std::runtime_error("join raised");
    if (params.contains("push")) push(socket, "too_early", {});
    if (!params.contains("later")) return ok({{"topic", topic}});
    auto ref = roost::ref(socket);
    bool accept = params["later"] == "ok";
    bool never = params["later"] == "never";
    if (!never)
      blocking([] { return 1; }).then([ref, accept](int) {
        roost::reply(
            ref, accept ? reply_with(ok({{"late", true}})) : reply_with(error({{"reason", "no"}})));
      });
    return later(ref);
  }
  in_result handle_in(event<"echo">, const payload& p, roost::socket&) { return ok(p); }
  in_result handle_in(event<"nothing">, const payload&, roost::socket&) { return noreply(); }
  in_result handle_in(event<"shout">, const payload& p, roost::socket& s) {
    broadcast(s, "shout", p);
    return noreply();
  }
  in_result handle_in(event<"shout_from">, const payload& p, roost::socket& s) {
    broadcast_from(s, "shout_from", p);
    return ok();
  }
  in_result handle_in(event<"whisper">, const payload& p, roost::socket& s) {
    broadcast(s, "whisper", p);
    return noreply();
  }
  in_result handle_in(event<"later">, const payload& p, roost::socket& s) {
    spawn([ref = roost::ref(s), p] { roost::reply(ref, ok(p)); });
    return noreply();
  }
  in_result handle_in(event<"nudge_me">, const payload&, roost::socket&) {
    send(self(), nudge{"hello"});
    return noreply();
  }
  in_result handle_in(event<"crash">, const payload&, roost::socket&) {
    throw std::runtime_error("told to crash");
  }
  in_result handle_in(event<"stop">, const payload&, roost::socket&) {
    return stop(exit_reason::normal);
  }
  in_result handle_in(event<"stop_bad">, const payload&, roost::socket&) {
    return stop("bad reason");
  }
  in_result handle_in(event<"stop_reply">, const payload& p, roost::socket&) {
    return stop(exit_reason::shutdown, ok(p));
  }
  in_result handle_in(event<"flood">, const payload&, roost::socket& s) {
    json big{{"text", std::string(16 * 1024, 'x')}};
    payload once{big};
    for (int i = 0; i < 4096; ++i) push(s, "flood", once);
    return noreply();
  }
  out_result handle_out(event<"whisper">, const payload& p, roost::socket& s) {
    json rewritten = p.value();
    rewritten["seen_by"] = s.topic();
    push(s, "whisper", rewritten);
    return noreply();
  }
  void handle_info(const nudge& n, roost::socket& s) { push(s, "nudged", {{"word", n.word}}); }
  void terminate(const exit_reason&, roost::socket&) { terminated.fetch_add(1); }
};

struct user_socket {
  static constexpr topic_router channels{{{"room:*", channel<room_channel>}}};
  std::string user;
  static connect_result<user_socket> connect(const params& p, const connect_info&) {
    if (p["refuse"]) return refuse("because");
    if (p["raise"]) throw std::runtime_error("connect raised");
    return user_socket{std::string(p["user"].value_or(""))};
  }
  std::optional<std::string> id() const {
    return user.empty() ? std::nullopt : std::optional("user:" + user);
  }
};

struct server : node {
  pid top = roost::start_link(supervisor_spec{
      .children = {
          child<pub_sub>({.name = "test"}),
          child<endpoint>(
              {.pub_sub = "test",
               .http = {.port = 0},
               .sockets =
                   {socket_at<user_socket>("/socket", {.log = false}),
                    socket_at<user_socket>(
                        "/short/:room", {.timeout = 300ms,
                                         .max_frame_size = 1000,
                                         .max_channels = 3,
                                         .join_timeout = 50ms,
                                         .log = false})},
               .drainer = {.shutdown = 2s}})}});
  int port = endpoint_port();
};

std::string join_message(std::string_view topic, std::string_view params = "{}") {
  return "[\"1\",\"1\",\"" + std::string(topic) + "\",\"phx_join\"," + std::string(params) + "]";
}

void join(test_client& client, std::string_view topic) {
  client.send(join_message(topic));
  REQUIRE(client.receive().find("\"ok\"") != std::string::npos);
}

}  // namespace

TEST_CASE_FIXTURE(server, "a client joins, asks and is answered in order") {
  test_client client(port);
  CHECK(client.status == 101);
  client.send(join_message("room:1"));
  for (int i = 2; i < 100; ++i)
    client.send(
        "[\"1\",\"" + std::to_string(i) + "\",\"room:1\",\"echo\",{\"n\":" + std::to_string(i) +
        "}]");
  CHECK(
      client.receive() ==
      R"(["1","1","room:1","phx_reply",{"status":"ok","response":{"topic":"room:1"}}])");
  for (int i = 2; i < 100; ++i) {
    auto n = std::to_string(i);
    CHECK(
        client.receive() ==
        "[\"1\",\"" + n +
            "\",\"room:1\",\"phx_reply\",{\"status\":\"ok\",\"response\":{\"n\":" + n + "}}]");
  }
}

TEST_CASE_FIXTURE(server, "a broadcast reaches every member, in the order of one sender") {
  test_client a(port), b(port), outsider(port);
  join(a, "room:1");
  join(b, "room:1");
  join(outsider, "room:2");
  for (int i = 0; i < 200; ++i)
    a.send("[\"1\",\"2\",\"room:1\",\"shout\",{\"n\":" + std::to_string(i) + "}]");
  for (int i = 0; i < 200; ++i) {
    auto expected = "[null,null,\"room:1\",\"shout\",{\"n\":" + std::to_string(i) + "}]";
    CHECK(a.receive() == expected);
    CHECK(b.receive() == expected);
  }
  CHECK(outsider.silent_for(20ms));
}

TEST_CASE_FIXTURE(server, "broadcast_from spares the sender, and code outside may broadcast too") {
  test_client a(port), b(port);
  join(a, "room:1");
  join(b, "room:1");
  a.send(R"(["1","2","room:1","shout_from",{"x":1}])");
  CHECK(b.receive() == R"([null,null,"room:1","shout_from",{"x":1}])");
  CHECK(a.receive().find("phx_reply") != std::string::npos);
  broadcast("test", "room:1", "from_outside", {{"y", 2}});
  CHECK(a.receive() == R"([null,null,"room:1","from_outside",{"y":2}])");
  CHECK(b.receive() == R"([null,null,"room:1","from_outside",{"y":2}])");
  CHECK_THROWS_AS(broadcast("nobody", "room:1", "x", {}), std::invalid_argument);
}

TEST_CASE_FIXTURE(server, "an intercepted broadcast is rewritten for each member") {
  test_client a(port), b(port);
  join(a, "room:1");
  join(b, "room:1");
  a.send(R"(["1","2","room:1","whisper",{"x":1}])");
  CHECK(a.receive() == R"(["1",null,"room:1","whisper",{"x":1,"seen_by":"room:1"}])");
  CHECK(b.receive() == R"(["1",null,"room:1","whisper",{"x":1,"seen_by":"room:1"}])");
}

TEST_CASE_FIXTURE(
    server, "a crashing channel ends alone, with phx_error, and can be joined again") {
  log_capture quiet;
  test_client client(port);
  join(client, "room:1");
  join(client, "room:2");
  client.send(R"(["1","2","room:1","crash",{}])");
  CHECK(client.receive() == R"(["1","1","room:1","phx_error",{}])");
  client.send(R"(["1","3","room:2","echo",{}])");
  CHECK(client.receive().find("\"3\"") != std::string::npos);
  join(client, "room:1");
  client.send(R"(["1","4","room:1","no_such_event",{}])");
  CHECK(client.receive() == R"(["1","1","room:1","phx_error",{}])");
  CHECK(quiet.saw("crash_report", "no_such_event"));
}

TEST_CASE_FIXTURE(server, "a channel that stops in order is closed, any other reason is an error") {
  log_capture quiet;
  test_client client(port);
  join(client, "room:1");
  client.send(R"(["1","2","room:1","stop",{}])");
  CHECK(client.receive() == R"(["1","1","room:1","phx_close",{}])");
  join(client, "room:1");
  client.send(R"(["1","2","room:1","stop_reply",{"a":1}])");
  CHECK(client.receive() == R"(["1","2","room:1","phx_reply",{"status":"ok","response":{"a":1}}])");
  CHECK(client.receive() == R"(["1","1","room:1","phx_close",{}])");
  join(client, "room:1");
  client.send(R"(["1","2","room:1","stop_bad",{}])");
  CHECK(client.receive() == R"(["1","1","room:1","phx_error",{}])");
}

TEST_CASE_FIXTURE(server, "join may refuse, raise, or be of a topic that nobody serves") {
  log_capture quiet;
  test_client client(port);
  client.send(join_message("room:1", R"({"deny":true})"));
  CHECK(
      client.receive() ==
      R"(["1","1","room:1","phx_reply",{"status":"error","response":{"reason":"unauthorized"}}])");
  client.send(join_message("room:1", R"({"raise":true})"));
  CHECK(
      client.receive() ==
      R"(["1","1","room:1","phx_reply",{"status":"error","response":{"reason":"join crashed"}}])");
  client.send(join_message("room:1", R"({"push":true})"));
  CHECK(client.receive().find("join crashed") != std::string::npos);
  client.send(join_message("other"));
  CHECK(
      client.receive() ==
      R"([null,"1","other","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}])");
  join(client, "room:1");
}

TEST_CASE_FIXTURE(
    server, "a join may be answered later; other topics go on, its own messages wait") {
  log_capture quiet;
  test_client client(port);
  join(client, "room:other");
  client.send(join_message("room:1", R"({"later":"ok"})"));
  client.send(R"(["1","2","room:1","echo",{"early":true}])");
  CHECK(
      client.receive() ==
      R"(["1","1","room:1","phx_reply",{"status":"ok","response":{"late":true}}])");
  CHECK(client.receive().find("early") != std::string::npos);
  client.send(join_message("room:2", R"({"later":"no"})"));
  CHECK(client.receive().find(R"("error","response":{"reason":"no"})") != std::string::npos);
  client.send(R"(["1","3","room:2","echo",{}])");
  CHECK(client.receive().find("unmatched topic") != std::string::npos);
  // One that never answers does not hold up the socket.
  client.send(join_message("room:3", R"({"later":"never"})"));
  client.send(R"(["1","4","room:other","echo",{}])");
  CHECK(client.receive().find("\"4\"") != std::string::npos);
}

TEST_CASE_FIXTURE(server, "a join that is never answered is given up after its time") {
  log_capture quiet;
  test_client client(port, "/short/x/websocket?vsn=2.0.0");
  client.send(join_message("room:1", R"({"later":"never"})"));
  CHECK(client.receive().find("join crashed") != std::string::npos);
}

TEST_CASE_FIXTURE(server, "joining a joined topic replaces the channel") {
  test_client client(port);
  join(client, "room:1");
  client.send(R"(["2","2","room:1","phx_join",{}])");
  client.send(R"(["2","3","room:1","echo",{}])");
  CHECK(client.receive().starts_with(R"(["2","2","room:1","phx_reply",{"status":"ok")"));
  CHECK(client.receive() == R"(["1","1","room:1","phx_close",{}])");
  CHECK(client.receive().starts_with(R"(["2","3","room:1","phx_reply")"));
}

TEST_CASE_FIXTURE(server, "leaving is answered, then closed; what follows finds nobody") {
  test_client client(port);
  auto before = terminated.load();
  join(client, "room:1");
  client.send(R"(["9","2","room:1","phx_leave",{}])");  // of an earlier join: not for us
  client.send(R"(["1","3","room:1","phx_leave",{}])");
  client.send(R"(["1","4","room:1","phx_leave",{}])");
  client.send(R"(["1","5","room:1","echo",{}])");
  CHECK(client.receive() == R"(["1","3","room:1","phx_reply",{"status":"ok","response":{}}])");
  CHECK(client.receive() == R"(["1","1","room:1","phx_close",{}])");
  CHECK(client.receive() == R"(["1","4","room:1","phx_reply",{"status":"ok","response":{}}])");
  CHECK(client.receive().find("unmatched topic") != std::string::npos);
  CHECK(eventually([&] { return terminated.load() == before + 1; }));
}

TEST_CASE_FIXTURE(server, "replies may come from other processes, and messages from anywhere") {
  test_client client(port);
  join(client, "room:1");
  client.send(R"(["1","2","room:1","later",{"a":1}])");
  CHECK(client.receive() == R"(["1","2","room:1","phx_reply",{"status":"ok","response":{"a":1}}])");
  client.send(R"(["1","3","room:1","nudge_me",{}])");
  CHECK(client.receive() == R"(["1",null,"room:1","nudged",{"word":"hello"}])");
}

TEST_CASE_FIXTURE(
    server, "heartbeats are answered, pings are ponged, references come back as sent") {
  test_client client(port);
  client.send(R"([null,"7","phoenix","heartbeat",{}])");
  CHECK(client.receive() == R"([null,"7","phoenix","phx_reply",{"status":"ok","response":{}}])");
  client.send(R"([null,{"odd":[1]},"phoenix","heartbeat",{}])");
  CHECK(
      client.receive() ==
      R"([null,{"odd":[1]},"phoenix","phx_reply",{"status":"ok","response":{}}])");
}

TEST_CASE_FIXTURE(server, "malformed input closes its own socket with the right code") {
  struct bad_input {
    opcode code;
    std::string bytes;
    int close;
  };
  test_client bystander(port);
  join(bystander, "room:1");
  for (auto& bad : std::vector<bad_input>{
           {opcode::text, "not json", 1011},
           {opcode::text, "", 1011},
           {opcode::text, R"({"topic":"x"})", 1011},
           {opcode::text, R"(["1","1","t","e"])", 1011},
           {opcode::binary, "\x07", 1011},
           {opcode::text, "[\"\xff\"]", 1007}}) {
    test_client client(port);
    client.send_frame(bad.code, bad.bytes);
    CHECK(client.close_code_received() == bad.close);
  }
  test_client unmasked(port);
  unmasked.send_raw("\x81\x02{}");
  CHECK(unmasked.close_code_received() == 1002);
  test_client large(port, "/short/x/websocket?vsn=2.0.0");
  large.send(std::string(1001, 'x'));
  CHECK(large.close_code_received() == 1009);
  bystander.send(R"(["1","2","room:1","echo",{}])");
  CHECK(bystander.receive().find("phx_reply") != std::string::npos);
}

TEST_CASE_FIXTURE(server, "connect may refuse with 403; a crash in it is a 500") {
  log_capture quiet;
  CHECK(test_client(port, "/socket/websocket?vsn=2.0.0&refuse=1").status == 403);
  CHECK(test_client(port, "/socket/websocket?vsn=2.0.0&raise=1").status == 500);
  CHECK(test_client(port, "/socket/websocket?vsn=9.0.0").status == 403);
  CHECK(test_client(port, "/nowhere/websocket?vsn=2.0.0").status == 404);
}

TEST_CASE_FIXTURE(server, "a disconnect broadcast on a socket's id closes it for good") {
  test_client ann(port, "/socket/websocket?vsn=2.0.0&user=ann");
  test_client bob(port, "/socket/websocket?vsn=2.0.0&user=bob");
  join(ann, "room:1");
  join(bob, "room:1");
  broadcast("test", "user:ann", "disconnect", {});
  CHECK(ann.close_code_received() == 1000);
  bob.send(R"(["1","2","room:1","echo",{}])");
  CHECK(bob.receive().find("phx_reply") != std::string::npos);
}

TEST_CASE_FIXTURE(
    server, "a silent client is closed so that it comes back, a heart-beating one is not") {
  test_client silent(port, "/short/x/websocket?vsn=2.0.0");
  test_client beating(port, "/short/x/websocket?vsn=2.0.0");
  auto closed = std::async(std::launch::async, [&] { return silent.close_code_received(); });
  while (closed.wait_for(50ms) != std::future_status::ready) {
    beating.send(R"([null,"7","phoenix","heartbeat",{}])");
    CHECK(beating.receive().find("phx_reply") != std::string::npos);
  }
  CHECK(closed.get() == 1001);
}

TEST_CASE_FIXTURE(server, "a socket joins only so many channels") {
  test_client client(port, "/short/x/websocket?vsn=2.0.0");
  for (auto topic : {"room:1", "room:2", "room:3"}) join(client, topic);
  client.send(join_message("room:4"));
  CHECK(client.receive().find("too many channels joined") != std::string::npos);
  client.send(join_message("room:3"));
  CHECK(client.receive().find("\"ok\"") != std::string::npos);
}

TEST_CASE_FIXTURE(server, "short answers that leave together all arrive") {
  test_client client(port);
  std::vector<std::string> together{join_message("room:1")};
  for (int i = 2; i < 10; ++i)
    together.push_back("[\"1\",\"" + std::to_string(i) + "\",\"room:1\",\"echo\",{}]");
  client.send_together(together);
  for (int i = 1; i < 10; ++i)
    CHECK(client.receive().starts_with("[\"1\",\"" + std::to_string(i) + "\""));
}

TEST_CASE_FIXTURE(server, "a client that does not read is closed with 1013, others do not notice") {
  log_capture log;
  test_client slow(port), other(port);
  join(slow, "room:1");
  join(other, "room:2");
  slow.send(R"(["1","2","room:1","flood",{}])");
  other.send(R"(["1","3","room:2","echo",{}])");
  CHECK(other.receive().find("phx_reply") != std::string::npos);
  CHECK(eventually([&] { return endpoint::statistics().slow_consumers == 1; }));
  CHECK(slow.close_code_received() == 1013);
}

TEST_CASE_FIXTURE(server, "when a client goes, its channels end with terminate") {
  auto before = terminated.load();
  auto processes = runtime.process_count();
  {
    test_client client(port);
    join(client, "room:1");
    join(client, "room:2");
  }
  CHECK(eventually([&] { return terminated.load() == before + 2; }));
  CHECK(eventually([&] { return runtime.process_count() == processes; }));
}

TEST_CASE_FIXTURE(server, "when the endpoint stops, clients are told to come back: 1012") {
  test_client client(port);
  join(client, "room:1");
  roost::detail::stop_root(top, exit_reason::shutdown);
  CHECK(client.close_code_received() == 1012);
  CHECK(eventually([&] { return !is_alive(top); }));
  CHECK(endpoint_port() == 0);
}

TEST_CASE_FIXTURE(node, "a port in use is one clear sentence") {
  log_capture quiet;
  auto start = [](int port) {
    return roost::start_link(supervisor_spec{
        .children = {
            child<pub_sub>({.name = "test"}),
            child<endpoint>({.pub_sub = "test", .http = {.port = port}})}});
  };
  auto first = start(0);
  auto port = endpoint_port();
  CHECK(is_alive(first));
  auto again = [&] {
    return roost::start_link(supervisor_spec{
        .children = {
            child<endpoint>({.name = "second", .pub_sub = "test", .http = {.port = port}})}});
  };
  CHECK_THROWS_WITH_AS(again(), doctest::Contains("Address already in use"), start_error);
}
