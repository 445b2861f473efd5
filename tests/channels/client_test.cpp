#include "channels/client.hpp"
#include "channels/endpoint.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/scripted_server.hpp"
#include "tests/support.hpp"
#include <arpa/inet.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>

using namespace roost;
using namespace roost::test;

namespace {

std::atomic<int> terminated{0};
std::atomic<bool> locked{false};

struct room_channel {
  using events = roost::events<"echo", "shout", "later", "nothing", "crash", "stop", "odd">;

  join_result join(std::string_view topic, const payload& params, roost::socket&) {
    if (params.contains("deny") || (topic == "room:locked" && locked))
      return error({{"reason", "unauthorized"}});
    return ok({{"topic", topic}, {"params", params.value()}});
  }
  in_result handle_in(event<"echo">, const payload& p, roost::socket&) { return ok(p); }
  in_result handle_in(event<"shout">, const payload& p, roost::socket& s) {
    broadcast(s, "shout", p);
    return noreply();
  }
  in_result handle_in(event<"later">, const payload& p, roost::socket& s) {
    spawn([ref = roost::ref(s), p] { roost::reply(ref, ok(p)); });
    return noreply();
  }
  in_result handle_in(event<"nothing">, const payload&, roost::socket&) { return noreply(); }
  in_result handle_in(event<"crash">, const payload&, roost::socket&) {
    throw std::runtime_error("told to crash");
  }
  in_result handle_in(event<"stop">, const payload&, roost::socket&) {
    return stop(exit_reason::normal);
  }
  in_result handle_in(event<"odd">, const payload&, roost::socket&) {
    return roost::reply("maybe", {{"odd", true}});
  }
  void terminate(const exit_reason&, roost::socket&) { terminated.fetch_add(1); }
};

struct user_socket {
  static constexpr topic_router channels{{{"room:*", channel<room_channel>}}};
  std::string user;
  static connect_result<user_socket> connect(const params& p, const connect_info&) {
    if (p["refuse"]) return refuse("because");
    return user_socket{std::string(p["user"].value_or(""))};
  }
  std::optional<std::string> id() const {
    return user.empty() ? std::nullopt : std::optional("user:" + user);
  }
};

pid start_endpoint(int port) {
  return roost::start_link(supervisor_spec{
      .children = {
          child<pub_sub>({.name = "test"}),
          child<endpoint>(
              {.pub_sub = "test",
               .http = {.port = port},
               .sockets = {socket_at<user_socket>("/socket", {.log = false})},
               .drainer = {.shutdown = 2s}})}});
}

struct server : node {
  log_capture log;
  pid top = start_endpoint(0);
  int port = endpoint_port();

  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port) + "/socket"; }
  client connect(client_options options = {}) const {
    options.url = url();
    if (!options.rejoin_after) options.rejoin_after = [](unsigned) { return 5ms; };
    return client::start_link(std::move(options));
  }
  void stop() const {
    roost::detail::stop_root(top, exit_reason::shutdown);
    REQUIRE(eventually([&] { return !is_alive(top) && endpoint_port() == 0; }));
  }
};

/// A node with a client of a scripted server, quick to come back.
struct scripted : node {
  log_capture log;

  static client connect(const scripted_server& server, client_options options = {}) {
    if (options.url.empty()) options.url = server.url();
    if (!options.reconnect_after) options.reconnect_after = [](unsigned) { return 5ms; };
    if (!options.rejoin_after) options.rejoin_after = [](unsigned) { return 5ms; };
    return client::start_link(std::move(options));
  }
  static bool fails_with(const client& client, std::string_view text) {
    std::string last;
    bool failed = eventually([&] {
      last = client.info().get().last_error;
      return last.find(text) != last.npos;
    });
    CAPTURE(last);
    CHECK(failed);
    return failed;
  }
};

/// What a process that joins gets, as text.
class notes {
 public:
  void add(std::string note) {
    std::lock_guard guard{mutex_};
    notes_.push_back(std::move(note));
  }
  std::vector<std::string> all() const {
    std::lock_guard guard{mutex_};
    return notes_;
  }
  bool become(const std::vector<std::string>& expected) const {
    bool same = eventually([&] { return all() == expected; });
    if (!same) MESSAGE("got " << doctest::toString(all().size()));
    for (auto& note : all()) CAPTURE(note);
    return same;
  }
  bool have(std::string_view note) const {
    return eventually([&] {
      auto now = all();
      return std::find(now.begin(), now.end(), note) != now.end();
    });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> notes_;
};

std::string note_of(const client_status& status) {
  using kind = client_status::kind;
  return std::string(
             status.now == kind::joined    ? "joined "
             : status.now == kind::errored ? "errored "
                                           : "closed ") +
         status.topic;
}

/// A process that joins a room and says what it gets.
struct member {
  struct ask {
    using reply = client_reply;
    std::string event;
    roost::payload payload;
  };
  struct say {
    std::string event;
    roost::payload payload;
  };
  using messages = roost::messages<ask, say>;
  using infos = roost::messages<client_event, client_status>;

  client_channel room;
  std::shared_ptr<notes> seen;

  static init_result<member> init(client client, std::string topic, std::shared_ptr<notes> seen) {
    return member{client.join(std::move(topic), {{"name", "ann"}}), std::move(seen)};
  }
  call_result<client_reply> handle_call(const ask& question, from<client_reply> asker) {
    room.call(question.event, question.payload).then([asker](client_reply reply) {
      asker.reply(std::move(reply));
    });
    return noreply();
  }
  void handle_cast(const say& what) { room.push(what.event, what.payload); }
  void handle_info(const client_event& event) {
    seen->add(event.topic + " " + event.event + " " + std::string(event.payload.text()));
  }
  void handle_info(const client_status& status) { seen->add(note_of(status)); }
};

}  // namespace

// --- an ordinary thread --------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "a thread joins, asks, hears what others say, and leaves") {
  auto ann = connect(), bob = connect();
  auto room = ann.join("room:1", {{"name", "ann"}});
  auto other = bob.join("room:1");
  auto joined = room.joined().get();
  CHECK(joined.ok());
  CHECK(joined.response.value() == json{{"topic", "room:1"}, {"params", json{{"name", "ann"}}}});
  REQUIRE(other.joined().get());

  auto reply = room.call("echo", {{"n", 1}}).get();
  CHECK(reply.status == "ok");
  CHECK(reply.from_server);
  CHECK(reply.response.text() == R"({"n":1})");
  CHECK(room.call("later", {{"n", 2}}).get().response.text() == R"({"n":2})");
  CHECK(room.call("odd").get().status == "maybe");

  for (int i = 0; i < 100; ++i) room.push("shout", {{"n", i}});
  for (int i = 0; i < 100; ++i) {
    auto event = other.receive().get();
    REQUIRE(event);
    CHECK(event->topic == "room:1");
    CHECK(event->event == "shout");
    CHECK(event->payload["n"] == json(i));
  }
  auto before = terminated.load();
  room.leave();
  CHECK(room.left().get());
  CHECK(eventually([&] { return terminated == before + 1; }));
  CHECK(room.call("echo").get().status == "not_sent");
  CHECK(room.joined().get().status == "closed");
  CHECK(bob.info().get().joined == 1);
}

TEST_CASE_FIXTURE(server, "bytes travel both ways") {
  auto client = connect();
  auto room = client.join("room:1");
  std::string bytes("\x00\xff\x01[", 4);
  auto reply = room.call("echo", payload::binary(bytes)).get();
  CHECK(reply.ok());
  CHECK(reply.response == payload::binary(bytes));
  room.push("shout", payload::binary(bytes));
  auto event = room.receive().get();
  REQUIRE(event);
  CHECK(event->payload == payload::binary(bytes));
  // A large one comes in many pieces.
  std::string large(3'000'000, 'x');
  CHECK(room.call("echo", payload::binary(large)).get().response == payload::binary(large));
  CHECK(room.call("echo", json(large)).get().response.text().size() == large.size() + 2);
}

TEST_CASE_FIXTURE(server, "an event that nobody answers ends with timeout") {
  auto room = connect().join("room:1");
  auto reply = room.call("nothing", {}, 20ms).get();
  CHECK(reply.status == "timeout");
  CHECK_FALSE(reply.from_server);
  CHECK_FALSE(room.receive(1ms).get());
  CHECK(room.call("echo").get());
}

TEST_CASE_FIXTURE(server, "a channel that nobody receives keeps the last events") {
  auto client = connect({.max_events = 3});
  auto room = client.join("room:1");
  for (int i = 0; i < 10; ++i) room.push("shout", {{"n", i}});
  REQUIRE(room.call("echo").get());
  CHECK(eventually([&] { return client.info().get().events == 10; }));
  for (int i = 7; i < 10; ++i) CHECK(room.receive().get()->payload["n"] == json(i));
  CHECK_FALSE(room.receive(1ms).get());
  CHECK(client.info().get().dropped == 7);
  CHECK(log.saw("", "client drops events"));
}

TEST_CASE_FIXTURE(server, "functions get what a channel gets") {
  auto seen = std::make_shared<notes>();
  auto room = connect().join(
      "room:1", {},
      {.event = [seen](const client_event& event) { seen->add(event.event); },
       .status = [seen](const client_status& status) { seen->add(note_of(status)); }});
  room.push("shout");
  CHECK(seen->have("shout"));
  room.leave();
  CHECK(seen->become({"joined room:1", "shout", "closed room:1"}));
}

// --- a process -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "a process that joins gets events and changes as messages") {
  auto seen = std::make_shared<notes>();
  auto ann = roost::start<member>(connect(), "room:1", seen);
  auto reply = roost::call(ann, member::ask{"echo", {{"n", 1}}}).get();
  CHECK(reply.response.text() == R"({"n":1})");
  cast(ann, member::say{"shout", {{"n", 2}}});
  CHECK(seen->become({"joined room:1", R"(room:1 shout {"n":2})"}));
  cast(ann, member::say{"stop", {}});
  CHECK(seen->have("closed room:1"));
  CHECK(roost::call(ann, member::ask{"echo", {}}).get().status == "not_sent");
}

TEST_CASE_FIXTURE(server, "the channels of a process are left when it ends") {
  auto client = connect();
  auto seen = std::make_shared<notes>();
  auto ann = roost::start<member>(client, "room:1", seen);
  REQUIRE(seen->have("joined room:1"));
  auto before = terminated.load();
  roost::exit(ann.process(), exit_reason::kill);
  CHECK(eventually([&] { return terminated == before + 1; }));
  CHECK(eventually([&] { return client.info().get().channels == 0; }));
}

TEST_CASE_FIXTURE(server, "a supervised client is found by its name") {
  auto supervisor = roost::start_link(
      supervisor_spec{.children = {child<client>({.name = "feed", .url = url()})}});
  REQUIRE(is_alive(supervisor));
  auto room = client("feed").join("room:1");
  CHECK(room.joined().get());
  auto first = client("feed").process();
  roost::exit(first, exit_reason::kill);
  CHECK(eventually([&] { return client("feed") && client("feed").process() != first; }));
  CHECK(client("feed").join("room:1").joined().get());
  CHECK_THROWS_AS(room.call("echo").get(), process_exit);
}

TEST_CASE_FIXTURE(server, "joining a topic again closes the earlier channel only") {
  auto client = connect();
  auto first = client.join("room:1");
  REQUIRE(first.joined().get());
  auto second = client.join("room:1", {{"n", 2}});
  CHECK(second.joined().get().response["params"] == json{{"n", 2}});
  CHECK(first.call("echo").get().status == "not_sent");
  CHECK_FALSE(first.receive().get());
  for (int i = 0; i < 3; ++i) CHECK(second.call("echo").get());
}

TEST_CASE_FIXTURE(server, "many clients live in one program") {
  constexpr int count = 300;
  std::vector<client> clients;
  std::vector<client_channel> rooms;
  for (int i = 0; i < count; ++i) {
    clients.push_back(connect());
    rooms.push_back(clients.back().join("room:" + std::to_string(i % 10)));
  }
  for (auto& room : rooms) REQUIRE(room.joined().get());
  rooms[0].push("shout", {{"n", 1}});
  for (int i = 0; i < count; i += 10) {
    auto event = rooms[static_cast<std::size_t>(i)].receive().get();
    REQUIRE(event);
    CHECK(event->event == "shout");
  }
}

// --- refused, crashed, closed --------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "a refused join is tried again until it is accepted") {
  locked = true;
  auto client = connect();
  auto room = client.join("room:locked");
  auto refused = room.joined().get();
  CHECK(refused.status == "error");
  CHECK(refused.response["reason"] == "unauthorized");
  auto waiting = room.joined();
  locked = false;
  CHECK(eventually([&] { return room.joined().get().ok(); }));
  CHECK(client.join("elsewhere").joined().get().response["reason"] == "unmatched topic");
}

TEST_CASE_FIXTURE(
    server, "a channel that crashes is joined again, and nobody waits for its answer") {
  auto seen = std::make_shared<notes>();
  auto ann = roost::start<member>(connect(), "room:1", seen);
  CHECK(roost::call(ann, member::ask{"crash", {}}).get().status == "lost");
  CHECK(seen->become({"joined room:1", "errored room:1", "joined room:1"}));
  CHECK(roost::call(ann, member::ask{"echo", {}}).get());
  CHECK(seen->all().size() == 3);
}

TEST_CASE_FIXTURE(server, "a server that closes with 1000 is left alone until connect()") {
  auto client = connect({.params = {{"user", "ann"}}});
  auto room = client.join("room:1");
  REQUIRE(room.joined().get());
  broadcast("test", "user:ann", "disconnect", {});
  REQUIRE(eventually([&] { return !client.info().get().connected; }));
  CHECK(client.info().get().last_error == "close code 1000");
  CHECK(room.call("echo", {}, 30ms).get().status == "timeout");  // waited, and nobody came back
  CHECK(client.info().get().connections == 1);
  client.connect();
  CHECK(room.call("echo").get());
  client.disconnect();
  CHECK(eventually([&] { return !client.info().get().connected; }));
  CHECK(client.info().get().connections == 2);
}

TEST_CASE_FIXTURE(server, "a refused connection is tried again") {
  auto client =
      connect({.params = {{"refuse", "1"}}, .reconnect_after = [](unsigned) { return 1ms; }});
  CHECK(scripted::fails_with(client, "status 403"));
}

// --- buffers -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "pushes wait for their channel, in order, but not too many") {
  auto client = connect({.connect_at_once = false, .max_buffered = 3});
  auto room = client.join("room:1");
  for (int i = 0; i < 3; ++i) room.push("shout", {{"n", i}});
  auto refused = room.call("echo").get();
  CHECK(refused.status == "not_sent");
  CHECK(
      refused.response["reason"] ==
      "expected no more than max_buffered pushes to wait for their channel");
  room.push("shout", {{"n", 3}});
  CHECK(client.info().get().buffered == 3);
  CHECK(client.info().get().not_sent == 2);
  CHECK(log.saw("", "client did not send"));
  client.connect();
  for (int i = 0; i < 3; ++i) {
    auto event = room.receive().get();
    REQUIRE(event);
    CHECK(event->payload["n"] == json(i));
  }
  CHECK(room.call("echo").get());
  CHECK(client.info().get().buffered == 0);
}

TEST_CASE_FIXTURE(server, "a call that has waited too long for its channel is not sent any more") {
  auto client = connect({.connect_at_once = false});
  auto room = client.join("room:1");
  CHECK(room.call("shout", {}, 1ms).get().status == "timeout");
  CHECK(room.joined(1ms).get().status == "timeout");
  CHECK(client.info().get().buffered == 0);
  client.connect();
  CHECK(room.call("echo").get());
  CHECK_FALSE(room.receive(1ms).get());
  room.leave();
  CHECK(room.left().get());
}

TEST_CASE_FIXTURE(server, "what waits when a channel is left is not sent") {
  auto client = connect({.connect_at_once = false});
  auto room = client.join("room:1");
  auto answer = std::async(std::launch::async, [&] { return room.call("echo").get(); });
  REQUIRE(eventually([&] { return client.info().get().buffered == 1; }));
  room.leave();
  CHECK(answer.get().status == "not_sent");
  CHECK(client.info().get().buffered == 0);
  CHECK(client.info().get().channels == 0);
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

// --- connections that end ------------------------------------------------------------------------

TEST_CASE_FIXTURE(server, "when the endpoint comes back on its port, all channels do") {
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
