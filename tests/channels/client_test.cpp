// A client and its channels, at a real endpoint.
#include "tests/channels/client_fixtures.hpp"

using namespace roost;
using namespace roost::test;

// --- an ordinary thread --------------------------------------------------------------------------

TEST_CASE_FIXTURE(room_server, "a thread joins, asks, hears what others say, and leaves") {
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

TEST_CASE_FIXTURE(room_server, "bytes travel both ways") {
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

TEST_CASE_FIXTURE(room_server, "an event that nobody answers ends with timeout") {
  auto room = connect().join("room:1");
  auto reply = room.call("nothing", {}, 20ms).get();
  CHECK(reply.status == "timeout");
  CHECK_FALSE(reply.from_server);
  CHECK_FALSE(room.receive(1ms).get());
  CHECK(room.call("echo").get());
}

TEST_CASE_FIXTURE(room_server, "a channel that nobody receives keeps the last events") {
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

TEST_CASE_FIXTURE(room_server, "functions get what a channel gets") {
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

TEST_CASE_FIXTURE(room_server, "a process that joins gets events and changes as messages") {
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

TEST_CASE_FIXTURE(room_server, "the channels of a process are left when it ends") {
  auto client = connect();
  auto seen = std::make_shared<notes>();
  auto ann = roost::start<member>(client, "room:1", seen);
  REQUIRE(seen->have("joined room:1"));
  auto before = terminated.load();
  roost::exit(ann.process(), exit_reason::kill);
  CHECK(eventually([&] { return terminated == before + 1; }));
  CHECK(eventually([&] { return client.info().get().channels == 0; }));
}

TEST_CASE_FIXTURE(room_server, "a supervised client is found by its name") {
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

TEST_CASE_FIXTURE(room_server, "joining a topic again closes the earlier channel only") {
  auto client = connect();
  auto first = client.join("room:1");
  REQUIRE(first.joined().get());
  auto second = client.join("room:1", {{"n", 2}});
  CHECK(second.joined().get().response["params"] == json{{"n", 2}});
  CHECK(first.call("echo").get().status == "not_sent");
  CHECK_FALSE(first.receive().get());
  for (int i = 0; i < 3; ++i) CHECK(second.call("echo").get());
}

TEST_CASE_FIXTURE(room_server, "many clients live in one program") {
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

TEST_CASE_FIXTURE(room_server, "a refused join is tried again until it is accepted") {
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
    room_server, "a channel that crashes is joined again, and nobody waits for its answer") {
  auto seen = std::make_shared<notes>();
  auto ann = roost::start<member>(connect(), "room:1", seen);
  CHECK(roost::call(ann, member::ask{"crash", {}}).get().status == "lost");
  CHECK(seen->become({"joined room:1", "errored room:1", "joined room:1"}));
  CHECK(roost::call(ann, member::ask{"echo", {}}).get());
  CHECK(seen->all().size() == 3);
}

TEST_CASE_FIXTURE(room_server, "a server that closes with 1000 is left alone until connect()") {
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

TEST_CASE_FIXTURE(room_server, "a refused connection is tried again") {
  auto client =
      connect({.params = {{"refuse", "1"}}, .reconnect_after = [](unsigned) { return 1ms; }});
  CHECK(scripted::fails_with(client, "status 403"));
}

// --- buffers -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(room_server, "pushes wait for their channel, in order, but not too many") {
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

TEST_CASE_FIXTURE(
    room_server, "a call that has waited too long for its channel is not sent any more") {
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

TEST_CASE_FIXTURE(room_server, "what waits when a channel is left is not sent") {
  auto client = connect({.connect_at_once = false});
  auto room = client.join("room:1");
  auto answer = std::async(std::launch::async, [&] { return room.call("echo").get(); });
  REQUIRE(eventually([&] { return client.info().get().buffered == 1; }));
  room.leave();
  CHECK(answer.get().status == "not_sent");
  CHECK(client.info().get().buffered == 0);
  CHECK(client.info().get().channels == 0);
}
