#include "channels/testing.hpp"
#include "supervision/supervisor.hpp"
#include "tests/support.hpp"
#include <fstream>

using namespace roost;
using namespace roost::test;

namespace kit = roost::testing;
using kit::expectation_failed;

namespace {

struct remark { std::string text; };

struct room_channel {
  using events = roost::events<
      "ask", "say", "say_to_others", "whisper", "remember", "later", "chain", "crash", "stop",
      "nothing", "picture">;
  using intercepts = roost::events<"whisper">;
  using infos = roost::messages<remark, socket_ref>;

  int remembered = 0;

  join_result join(std::string_view topic, const payload& params, roost::socket& socket) {
    if (params.contains("deny")) return error({{"reason", "unauthorized"}});
    if (params.contains("raise")) throw std::runtime_error("no such room");
    if (!params.contains("later")) return ok({{"topic", topic}});
    auto ref = roost::ref(socket);
    send(self(), ref);  // waits until the join is answered
    if (params["later"] != "by_test") roost::reply(ref, ok({{"late", true}}));
    return later(ref);
  }
  in_result handle_in(event<"ask">, const payload& p, roost::socket&) { return ok(p); }
  in_result handle_in(event<"say">, const payload& p, roost::socket& s) {
    broadcast(s, "said", p);
    return noreply();
  }
  in_result handle_in(event<"say_to_others">, const payload& p, roost::socket& s) {
    broadcast_from(s, "said", p);
    return ok();
  }
  in_result handle_in(event<"whisper">, const payload& p, roost::socket& s) {
    broadcast(s, "whisper", p);
    return noreply();
  }
  in_result handle_in(event<"remember">, const payload&, roost::socket& s) {
    push(s, "remembered", {{"count", ++remembered}});
    return noreply();
  }
  in_result handle_in(event<"later">, const payload& p, roost::socket& s) {
    spawn([ref = roost::ref(s), p] { roost::reply(ref, ok(p)); });
    return noreply();
  }
  /// As many messages to itself, then a push.
  in_result handle_in(event<"chain">, const payload& p, roost::socket&) {
    send(self(), remark{std::string(p.get<std::size_t>("links"), '.')});
    return noreply();
  }
  in_result handle_in(event<"crash">, const payload&, roost::socket&) {
    throw std::runtime_error("told to crash");
  }
  in_result handle_in(event<"stop">, const payload&, roost::socket&) {
    return stop(exit_reason::shutdown_with("enough"));
  }
  in_result handle_in(event<"nothing">, const payload&, roost::socket&) { return noreply(); }
  in_result handle_in(event<"picture">, const payload& p, roost::socket& s) {
    push(s, "picture", p);
    broadcast(s, "gallery", p);
    return ok(p);
  }
  out_result handle_out(event<"whisper">, const payload& p, roost::socket& s) {
    push(s, "heard", {{"by", s.topic()}, {"text", p.get<std::string>("text")}});
    return noreply();
  }
  void handle_info(const remark& r, roost::socket& s) {
    if (r.text.size() > 1)
      send(self(), remark{r.text.substr(1)});
    else
      push(s, "remark", {{"text", r.text}});
  }
  void handle_info(const socket_ref&, roost::socket& s) { push(s, "after_join", {}); }
};

struct user_socket {
  static constexpr topic_router channels{{{"room:*", channel<room_channel>}}};
  std::string user;

  static connect_result<user_socket> connect(const params& p, const connect_info& info) {
    if (p["raise"]) throw std::runtime_error("connect raised");
    if (!p["user"]) return refuse("no user from " + info.peer_address);
    return user_socket{std::string(*p["user"])};
  }
  std::optional<std::string> id() const { return "user:" + user; }
};

struct nameless_socket {
  static constexpr topic_router channels{{{"room:*", channel<room_channel>}}};
  static connect_result<nameless_socket> connect(const params&, const connect_info&) {
    return nameless_socket{};
  }
};

struct kit_node : node {
  pid top = roost::start_link(supervisor_spec{.children = {child<pub_sub>({.name = "test"})}});
  kit::client_options options{.pub_sub = "test"};

  kit::test_socket client(std::string user = "ann") {
    return kit::socket<user_socket>({std::move(user)}, options);
  }
};

/// What the expectation says when it fails.
template <class F>
std::string complaint(F expectation) {
  try {
    expectation();
  } catch (const expectation_failed& failed) {
    return failed.what();
  }
  return "nothing failed";
}

}  // namespace

// --- connecting ----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(kit_node, "connect gives the state that the socket made of its parameters") {
  auto answer = kit::connect<user_socket>({{"user", "ann"}}, options);
  REQUIRE(answer);
  CHECK(answer->assigns<user_socket>().user == "ann");
  CHECK(answer->id() == "user:ann");
  CHECK(is_alive(answer->process()));
  CHECK(join(*answer, "room:1").joined());
  CHECK_THROWS_WITH(answer->assigns<nameless_socket>(), doctest::Contains("user_socket, got"));
}

TEST_CASE_FIXTURE(kit_node, "a refused connect says why, and is no socket") {
  auto answer =
      kit::connect<user_socket>({}, {.pub_sub = "test", .info = {.peer_address = "10.0.0.1"}});
  CHECK_FALSE(answer);
  CHECK(answer.refusal() == "no user from 10.0.0.1");
  CHECK(complaint([&] {
          (void)*answer;
        }) == "expected connect to accept the client, got the refusal \"no user from 10.0.0.1\"");
}

TEST_CASE_FIXTURE(kit_node, "a connect that throws fails the test with what it threw") {
  log_capture quiet;
  auto said = complaint([&] { (void)kit::connect<user_socket>({{"raise", "1"}}, options); });
  CHECK(said.starts_with("expected the connect of "));
  CHECK(said.find("connect raised") != said.npos);
}

TEST_CASE_FIXTURE(kit_node, "a socket may be given its state without a connect") {
  auto ann = client("ann");
  CHECK(ann.id() == "user:ann");
  CHECK(ann.assigns<user_socket>().user == "ann");
  auto nobody = kit::socket<nameless_socket>({}, options);
  CHECK_FALSE(nobody.id().has_value());
}

TEST_CASE_FIXTURE(kit_node, "what is missing for a test is named") {
  CHECK_THROWS_WITH(
      (void)kit::socket<user_socket>({"ann"}, {.pub_sub = "nobody"}),
      doctest::Contains("expected a pub_sub named \"nobody\", got none"));
  auto ann = client();
  auto said = in_process([&]() -> std::string {
    try {
      (void)join(ann, "room:1");
    } catch (const std::logic_error& wrong) {
      return wrong.what();
    }
    return "nothing failed";
  });
  CHECK(said.find("got a process, which must not wait") != said.npos);
}

// --- joining -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(kit_node, "join answers, is refused, or finds nobody for the topic") {
  log_capture quiet;
  auto ann = client();
  auto room = join(ann, "room:1");
  CHECK(room.joined());
  CHECK(room.answer().status == "ok");
  CHECK(room.answer().payload["topic"] == "room:1");
  CHECK(is_alive(room.process()));

  auto denied = join(ann, "room:2", {{"deny", true}});
  CHECK_FALSE(denied.joined());
  CHECK(denied.answer().status == "error");
  CHECK(denied.answer().payload["reason"] == "unauthorized");
  CHECK(denied.process() == pid{});

  CHECK(join(ann, "room:3", {{"raise", true}}).answer().payload["reason"] == "join crashed");
  CHECK(join(ann, "elsewhere").answer().payload["reason"] == "unmatched topic");
}

TEST_CASE_FIXTURE(
    kit_node, "a refused join is no channel: whoever uses it is told of the refusal") {
  auto ann = client();
  auto room = join(ann, "room:1", {{"deny", true}});
  auto expected =
      "expected the join of \"room:1\" to be accepted, got \"error\" {\"reason\":\"unauthorized\"}";
  CHECK(complaint([&] { push(room, "ask"); }) == expected);
  CHECK(complaint([&] { leave(room); }) == expected);
  CHECK(complaint([&] { refute_push(room); }) == expected);
  CHECK(complaint([&] { expect_push(room, "x"); }) == expected);
  CHECK(complaint([&] { expect_down(room); }) == expected);
  CHECK(complaint([&] { broadcast_from(room, "x", {}); }) == expected);
}

TEST_CASE_FIXTURE(kit_node, "a join that is answered later is waited for, or begun and left open") {
  auto ann = client();
  auto late = join(ann, "room:1", {{"later", "soon"}});
  CHECK(late.answer().payload["late"] == true);
  expect_push(late, "after_join");

  auto open = kit::begin_join(ann, "room:2", {{"later", "by_test"}});
  auto early = push(open, "ask", {{"n", 1}});
  CHECK_FALSE(open.joined());
  CHECK(complaint([&] {
          (void)open.answer();
        }) == "expected the join of \"room:2\" to be answered, got no answer yet");
  refute_reply(early);
  roost::reply(socket_ref{open.process(), "\"2\""}, ok());  // the second message of this client
  await_join(open);
  CHECK(open.joined());
  expect_reply(early, "ok", {{"n", 1}});
}

TEST_CASE_FIXTURE(kit_node, "a join that nobody answers fails the test") {
  log_capture quiet;
  auto ann = client();
  auto said = complaint([&] {
    (void)join(ann, "room:1", {{"later", "by_test"}}, {.timeout = 1ms});
  });
  CHECK(said == "expected an answer to the join of \"room:1\" within 1 ms, got nothing");
}

TEST_CASE_FIXTURE(kit_node, "one socket has many channels, and each hears its own") {
  auto ann = client();
  auto one = join(ann, "room:1");
  auto two = join(ann, "room:2");
  push(one, "remember");
  push(two, "remember");
  push(two, "remember");
  expect_push(one, "remembered", {{"count", 1}});
  expect_push(two, "remembered", {{"count", 1}});
  expect_push(two, "remembered", {{"count", 2}});
  refute_push(ann);
}

TEST_CASE_FIXTURE(kit_node, "joining a joined topic replaces the channel") {
  auto ann = client();
  auto before = join(ann, "room:1");
  auto after = join(ann, "room:1");
  CHECK(after.joined());
  CHECK(before.process() != after.process());
  expect_down(before, exit_reason::shutdown_with("duplicate_join"));
  expect_push(before, "phx_close");
  expect_reply(push(after, "ask"), "ok");
  refute_down(after);
}

// --- pushes and replies --------------------------------------------------------------------------

TEST_CASE_FIXTURE(kit_node, "a reply belongs to the message that it answers") {
  auto ann = client();
  auto room = join(ann, "room:1");
  auto first = push(room, "ask", {{"n", 1}});
  auto second = push(room, "ask", {{"n", 2}});
  auto third = push(room, "nothing");
  expect_reply(second, "ok", {{"n", 2}});
  CHECK(expect_reply(first, "ok")["n"] == 1);
  refute_reply(first);  // it has had its reply
  refute_reply(third);
}

TEST_CASE_FIXTURE(kit_node, "a reply from another process is waited for") {
  auto ann = client();
  auto room = join(ann, "room:1");
  expect_reply(push(room, "later", {{"n", 7}}), "ok", {{"n", 7}}, {.timeout = 10s});
}

TEST_CASE_FIXTURE(kit_node, "payloads fit by value, by predicate, or whatever they are") {
  auto ann = client();
  auto room = join(ann, "room:1");
  auto ask = [&] { return push(room, "ask", {{"a", 1}, {"b", "x"}}); };
  expect_reply(ask(), "ok", {{"b", "x"}, {"a", 1.0}});
  expect_reply(ask(), "ok", [](const payload& p) { return p["a"] == 1; });
  expect_reply(ask(), "ok", kit::anything, {.timeout = 1s});
  refute_reply(ask(), "ok", {{"a", 1}});
  refute_reply(ask(), "error");
  // A predicate that reads what is not there does not fit; it does not end the test.
  refute_reply(ask(), "ok", [](const payload& p) { return p.get<int>("missing") == 1; });
  json built{{"a", 1}, {"b", "x"}};
  expect_reply(ask(), "ok", built);
}

TEST_CASE_FIXTURE(kit_node, "binary payloads travel both ways, as pushes, replies and broadcasts") {
  auto ann = client();
  auto room = subscribe_and_join(ann, "room:1");
  auto picture = payload::binary(std::string_view("\x00\xff\x01", 3));
  auto sent = push(room, "picture", picture);
  expect_reply(sent, "ok", picture);
  expect_push(room, "picture", picture);
  expect_push(room, "gallery", picture);
  expect_broadcast(room, "gallery", picture);
  CHECK_THROWS_AS((void)join(ann, "room:2", picture), std::invalid_argument);
  CHECK_THROWS_AS(push(ann, std::string(256, 'x'), "picture", picture), std::invalid_argument);
}

TEST_CASE_FIXTURE(kit_node, "a client may send to topics that it has not joined, and heart beats") {
  auto ann = client();
  expect_reply(push(ann, "phoenix", "heartbeat"), "ok", {});
  expect_reply(push(ann, "room:1", "ask"), "error", {{"reason", "unmatched topic"}});
}

TEST_CASE_FIXTURE(kit_node, "a refute looks when all that was set going has happened") {
  auto ann = client("ann");
  auto bob = client("bob");
  auto a = join(ann, "room:1");
  auto b = join(bob, "room:1");
  for (int links : {1, 100, 10'000}) {
    push(a, "chain", {{"links", links}});
    CHECK(complaint([&] { refute_push(a, "remark"); }).starts_with("expected no push \"remark\""));
    expect_push(a, "remark");
  }
  for (int i = 0; i < 100; ++i) {
    push(a, "whisper", {{"text", "psst"}});  // goes through both channels before it is pushed
    CHECK(complaint([&] { refute_push(b, "heard"); }).starts_with("expected no push \"heard\""));
    expect_push(b, "heard", {{"by", "room:1"}, {"text", "psst"}});
    roost::broadcast("test", "room:1", "news", {{"i", i}});
    CHECK(complaint([&] { refute_push(b, "news"); }).starts_with("expected no push \"news\""));
    expect_push(b, "news", {{"i", i}});
  }
}

TEST_CASE_FIXTURE(kit_node, "a message sent to the channel's process arrives as from anybody") {
  auto ann = client();
  auto room = join(ann, "room:1");
  send(room.process(), remark{"!"});
  expect_push(room, "remark", {{"text", "!"}});
}

// --- broadcasts ----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(kit_node, "a subscribed test hears a broadcast, whoever made it") {
  auto ann = client("ann");
  auto room = subscribe_and_join(ann, "room:1");
  push(room, "say", {{"text", "hi"}});
  expect_broadcast(room, "said", {{"text", "hi"}});
  expect_push(room, "said", {{"text", "hi"}});  // the client heard it too
  roost::broadcast("test", "room:1", "news", {{"n", 1}});
  expect_broadcast(room, "news", {{"n", 1}});
  roost::spawn([] { roost::broadcast("test", "room:1", "news", {{"n", 2}}); });
  expect_broadcast(room, "news", {{"n", 2}}, {.timeout = 10s});
  roost::broadcast("test", "room:2", "news", {});
  refute_broadcast(ann);
  kit::subscribe(ann, "room:2");
  kit::subscribe(ann, "room:2");  // twice is once
  roost::broadcast("test", "room:2", "news", {});
  refute_broadcast(room, "news");
  expect_broadcast(ann, "news");
  refute_broadcast(ann);
}

TEST_CASE_FIXTURE(kit_node, "without a subscription there are no broadcasts, only pushes") {
  auto ann = client();
  auto room = join(ann, "room:1");
  push(room, "say", {});
  refute_broadcast(room, "said");
  expect_push(room, "said", {});
}

TEST_CASE_FIXTURE(kit_node, "broadcast_from spares its own client and reaches the others") {
  auto ann = client("ann");
  auto bob = client("bob");
  auto a = subscribe_and_join(ann, "room:1");
  auto b = join(bob, "room:1");
  broadcast_from(a, "joke", {{"n", 1}});
  expect_push(b, "joke", {{"n", 1}});
  expect_broadcast(a, "joke", {{"n", 1}});
  refute_push(a, "joke");
  push(a, "say_to_others", {{"n", 2}});
  expect_push(b, "said", {{"n", 2}});
  refute_push(a, "said");
}

// --- ends ----------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(kit_node, "leaving is answered and ends the channel") {
  auto ann = client();
  auto room = join(ann, "room:1");
  refute_down(room);
  expect_reply(leave(room), "ok", {});
  expect_down(room, exit_reason::shutdown_with("left"));
  expect_push(room, "phx_close");
  CHECK_FALSE(is_alive(room.process()));
  expect_reply(push(room, "ask"), "error", {{"reason", "unmatched topic"}});
}

TEST_CASE_FIXTURE(kit_node, "a crash is seen as the client sees it, and with its reason") {
  log_capture quiet;
  auto ann = client();
  auto room = join(ann, "room:1");
  auto other = join(ann, "room:2");
  auto sent = push(room, "crash");
  expect_push(room, "phx_error");
  refute_reply(sent);
  auto reason = expect_down(room);
  CHECK(reason.kind() == exit_reason::code::error);
  CHECK(reason.what() == "told to crash");
  refute_down(other);
  refute_closed(ann);
  auto again = join(ann, "room:1");
  push(again, "no such event");
  expect_down(again);
  CHECK(quiet.saw("crash_report", "no such event"));
}

TEST_CASE_FIXTURE(kit_node, "a channel that stops says why") {
  auto ann = client();
  auto room = join(ann, "room:1");
  push(room, "stop");
  expect_down(room, exit_reason::shutdown_with("enough"));
  CHECK(complaint([&] {
          expect_down(room, exit_reason::normal);
        }) == "expected the channel of \"room:1\" to end with normal, got {shutdown, enough}");
  CHECK(complaint([&] {
          refute_down(room);
        }) == "expected the channel of \"room:1\" to live, got the end {shutdown, enough}");
}

TEST_CASE_FIXTURE(kit_node, "closing a socket ends its channels before it returns") {
  auto ann = client();
  auto one = join(ann, "room:1");
  auto two = join(ann, "room:2");
  close(ann);
  CHECK_FALSE(is_alive(ann.process()));
  CHECK_FALSE(is_alive(one.process()));
  expect_down(one, exit_reason::shutdown_with("closed"));
  expect_down(two, exit_reason::shutdown_with("closed"));
  expect_closed(ann, 0);
  CHECK(
      complaint([&] { push(one, "ask"); }) ==
      "expected the socket to be open for \"ask\" to \"room:1\", got one that was closed with 0");
  close(ann);  // once more does nothing
}

TEST_CASE_FIXTURE(kit_node, "a channel that does not end in time is killed") {
  auto ann = client();
  auto open = kit::begin_join(ann, "room:1", {{"later", "by_test"}});
  auto room = join(ann, "room:2");
  close(ann, 1ms);  // the channel that has not joined yet takes no message that tells it to end
  CHECK_FALSE(is_alive(open.process()));
  expect_down(open, exit_reason::killed);
}

TEST_CASE_FIXTURE(kit_node, "a client that goes out of scope has disconnected") {
  pid socket, channel;
  {
    auto room = join(client(), "room:1");
    socket = room.socket().process();
    channel = room.process();
    CHECK(is_alive(channel));
  }
  CHECK_FALSE(is_alive(socket));
  CHECK_FALSE(is_alive(channel));
}

TEST_CASE_FIXTURE(kit_node, "\"disconnect\" on the id of a socket closes it, and no other") {
  auto ann = client("ann");
  auto bob = client("bob");
  auto room = join(ann, "room:1");
  roost::broadcast("test", *ann.id(), "disconnect", {});
  expect_closed(ann, 1000);
  expect_down(room, exit_reason::shutdown_with("closed"));
  refute_closed(bob);
  CHECK(complaint([&] {
          refute_closed(ann);
        }) == "expected the socket to stay open, got one that was closed with 1000");
  CHECK(complaint([&] {
          expect_closed(ann, 1001);
        }) == "expected the socket to be closed with 1001, got 1000");
}

TEST_CASE_FIXTURE(kit_node, "the options of a socket hold for a tested one") {
  auto ann = kit::socket<user_socket>(
      {"ann"}, {.pub_sub = "test", .socket = {.max_channels = 1, .log = false}});
  CHECK(join(ann, "room:1").joined());
  CHECK(join(ann, "room:2").answer().payload["reason"] == "too many channels joined");
}

// --- what a failure says -------------------------------------------------------------------------

TEST_CASE_FIXTURE(kit_node, "a failed expectation shows what was expected and all that came") {
  log_capture quiet;
  auto ann = client();
  auto room = subscribe_and_join(ann, "room:1");
  auto ask = push(room, "ask", {{"n", 1}});
  push(room, "remember");
  push(room, "say", {{"text", "hi"}});
  CHECK(
      complaint([&] {
        expect_push(room, "welcome", {{"to", "ann"}}, {.timeout = 1ms});
      }) ==
      R"(expected a push "welcome" with {"to":"ann"} on "room:1" within 1 ms, got
  reply "ok" {"n":1} to "ask" (ref 2) on "room:1"
  push "remembered" {"count":1} on "room:1"
  push "said" {"text":"hi"} on "room:1"
  broadcast "said" {"text":"hi"} on "room:1"
  besides 1 that the test has expected already)");
  CHECK(complaint([&] {
          expect_reply(ask, "error", kit::anything, {.timeout = 1ms});
        }).starts_with(R"(expected a reply "error" to "ask" (ref 2) within 1 ms, got)"));
  push(room, "crash");
  auto said = complaint(
      [&] { expect_broadcast(room, "x", [](const payload&) { return false; }, {.timeout = 1ms}); });
  CHECK(said.starts_with(
      R"(expected a broadcast "x" with a payload that the predicate accepts on "room:1" within)"));
  CHECK(
      said.find("\n  the channel of \"room:1\" has ended: {error, std::runtime_error") !=
      said.npos);
  CHECK(
      complaint([&] { refute_reply(ask); }) ==
      R"(expected no reply to "ask" (ref 2), got reply "ok" {"n":1} to "ask" (ref 2) on "room:1")");
}

TEST_CASE_FIXTURE(kit_node, "a failed expectation shows long and many messages in part") {
  auto ann = client();
  auto room = join(ann, "room:1");
  push(room, "ask", {{"text", std::string(1000, 'x')}});
  for (int i = 0; i < 30; ++i) push(room, "remember");
  auto said = complaint([&] { expect_push(room, "x", kit::anything, {.timeout = 1ms}); });
  CHECK(said.find("\n  (1 earlier ones)\n  push \"remembered\" {\"count\":1}") != said.npos);
  CHECK(said.find("xxx") == said.npos);
  push(room, "ask", {{"text", std::string(1000, 'x')}});
  said = complaint([&] { expect_push(room, "x", kit::anything, {.timeout = 1ms}); });
  CHECK(said.find("xxx... (1011 bytes) to \"ask\"") != said.npos);
  CHECK(complaint([&] {
          expect_down(room, {.timeout = 1ms});
        }).starts_with("expected the channel of \"room:1\" to end within 1 ms, got"));
  CHECK(complaint([&] {
          expect_closed(ann, {.timeout = 1ms});
        }).starts_with("expected the socket to be closed within 1 ms, got"));
}

TEST_CASE("docs/testing.md shows the example that is tested") {
  auto text_of = [](const char* path) {
    std::ifstream file(path);
    REQUIRE(file);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  auto example = text_of("tests/channels/testing_example_test.cpp");
  CHECK(text_of("docs/testing.md").find("```cpp\n" + example + "```\n") != std::string::npos);
}
