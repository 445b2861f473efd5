#include "channels/testing.hpp"
#include "runtime/runtime.hpp"
#include "supervision/supervisor.hpp"
#include <doctest/doctest.h>

namespace {

struct room_channel {
  using events = roost::events<"new_msg", "typing">;

  roost::join_result join(std::string_view, const roost::payload& params, roost::socket&) {
    if (params["token"] != "secret") return roost::error({{"reason", "unauthorized"}});
    return roost::ok({{"members", 1}});
  }
  roost::in_result handle_in(
      roost::event<"new_msg">, const roost::payload& message, roost::socket& socket) {
    if (!message.contains("body")) return roost::error({{"reason", "empty"}});
    roost::broadcast(socket, "new_msg", message);
    return roost::ok();
  }
  roost::in_result handle_in(roost::event<"typing">, const roost::payload&, roost::socket& socket) {
    roost::broadcast_from(socket, "typing", {});
    return roost::noreply();
  }
};

struct user_socket {
  static constexpr roost::topic_router channels{{{"room:*", roost::channel<room_channel>}}};

  std::string user;

  static roost::connect_result<user_socket> connect(
      const roost::params& params, const roost::connect_info&) {
    if (!params["user"]) return roost::refuse("who are you?");
    return user_socket{std::string(*params["user"])};
  }
  std::optional<std::string> id() const { return "user:" + user; }
};

/// What every test begins with: a runtime, and the pub_sub under its supervisor.
struct chat {
  roost::runtime runtime;
  roost::pid top = roost::start_link(
      roost::supervisor_spec{.children = {roost::child<roost::pub_sub>({.name = "chat"})}});

  roost::testing::test_socket user(std::string name) {
    return roost::testing::socket<user_socket>({.user = std::move(name)}, {.pub_sub = "chat"});
  }
};

const roost::payload token{{"token", "secret"}};

TEST_CASE_FIXTURE(chat, "a user says who it is") {
  auto ann = roost::testing::connect<user_socket>({{"user", "ann"}}, {.pub_sub = "chat"});
  CHECK(ann->assigns<user_socket>().user == "ann");
  auto nobody = roost::testing::connect<user_socket>({}, {.pub_sub = "chat"});
  CHECK_FALSE(nobody);
  CHECK(nobody.refusal() == "who are you?");
}

TEST_CASE_FIXTURE(chat, "a room wants the token") {
  CHECK(join(user("ann"), "room:lobby", token).joined());
  auto refused = join(user("bob"), "room:lobby");
  CHECK_FALSE(refused.joined());
  CHECK(refused.answer().payload["reason"] == "unauthorized");
}

TEST_CASE_FIXTURE(chat, "what one member says, all members hear") {
  auto ann = join(user("ann"), "room:lobby", token);
  auto bob = join(user("bob"), "room:lobby", token);
  auto sent = push(ann, "new_msg", {{"body", "hi"}});
  expect_reply(sent, "ok");
  expect_push(ann, "new_msg", {{"body", "hi"}});
  expect_push(bob, "new_msg", {{"body", "hi"}});

  expect_reply(push(ann, "new_msg"), "error", {{"reason", "empty"}});
  refute_push(bob);
}

TEST_CASE_FIXTURE(chat, "a member that types does not see itself typing") {
  auto ann = subscribe_and_join(user("ann"), "room:lobby", token);
  auto bob = join(user("bob"), "room:lobby", token);
  push(ann, "typing");
  expect_push(bob, "typing");
  refute_push(ann, "typing");
  expect_broadcast(ann, "typing");  // the topic did hear of it
}

TEST_CASE_FIXTURE(chat, "an event that nobody handles ends the channel, and only that") {
  auto ann = user("ann");
  auto lobby = join(ann, "room:lobby", token);
  auto kitchen = join(ann, "room:kitchen", token);
  push(lobby, "dance");
  CHECK(expect_down(lobby).kind() == roost::exit_reason::code::error);
  expect_push(lobby, "phx_error");
  refute_down(kitchen);
}

TEST_CASE_FIXTURE(chat, "a banned user is disconnected") {
  auto ann = user("ann");
  auto lobby = join(ann, "room:lobby", token);
  roost::broadcast("chat", *ann.id(), "disconnect", {});
  expect_closed(ann, 1000);
  expect_down(lobby, roost::exit_reason::shutdown_with("closed"));
}

}  // namespace
