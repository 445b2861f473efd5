// channels/testing.hpp
//
// Tests of channels without a network, in any test framework. A test_socket is a client: what it
// sends goes through the real process of a socket and the real channels, and what they answer is
// kept for the test to look at. Nothing sleeps: before a function looks, every channel and socket
// of the tests has handled what it was sent.
//
//   auto ann  = roost::testing::socket<user_socket>({.user_id = "ann"}, {.pub_sub = "chat"});
//   auto room = subscribe_and_join(ann, "room:lobby", {{"token", "secret"}});
//   auto sent = push(room, "new_msg", {{"body", "hi"}});
//   expect_reply(sent, "ok");
//   expect_broadcast(room, "new_msg", {{"body", "hi"}});
//   expect_push(room, "welcome", [](auto& message) { return message["to"] == "ann"; });
//   refute_push(room, "secret_msg");
//
// It needs a roost::runtime and the pub_sub that it names, started by the test. The functions are
// found by their arguments, so only `socket` and `connect` need the namespace.
//
// Expecting. An expect_ waits for its message up to `timeout`, 100 ms unless told otherwise, takes
// the first that fits out of what has come, and answers its payload; the next one sees only the
// others. Payloads are compared as JSON values. A refute_ looks once, since all that the channels
// have to say is said by then; where another process may still answer, `timeout` makes it watch.
//
// Errors. What is expected and does not come throws expectation_failed, which says what came
// instead; so does whatever needs an open socket or an accepted join and has none. An unknown
// pub_sub throws std::invalid_argument, a call from within a process std::logic_error.
//
// Thread safety: any thread outside of processes; all of these are handles that may be copied. When
// the last one of a client goes, the client disconnects and its channels have ended.
// Source: Phoenix.ChannelTest.
#pragma once
#include "channels/endpoint.hpp"

namespace roost {
namespace detail {
class test_client;
struct test_join;
}  // namespace detail

namespace testing {

class expectation_failed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// --- clients -------------------------------------------------------------------------------------

struct client_options {
  std::string pub_sub = {};                // required: the name of one that runs
  connect_info info = {};                  // what connect is told besides its parameters
  socket_options socket = {.log = false};  // as in socket_at; the frame options mean nothing here
};

/// A client that is connected, or was.
class test_socket {
 public:
  roost::pid process() const;
  const std::optional<std::string>& id() const;

  /// What connect made. Throws std::logic_error if it is of another type.
  template <class S>
  const S& assigns() const {
    return *static_cast<const S*>(checked_assigns(roost::detail::type_name<S>()));
  }

  explicit test_socket(std::shared_ptr<roost::detail::test_client> client)
      : client_(std::move(client)) {}

 private:
  friend class audience;
  friend class test_channel;
  const void* checked_assigns(std::string_view type) const;

  std::shared_ptr<roost::detail::test_client> client_;
};

/// What connect answered. `*answer` is the socket, and throws when there is none.
class connect_answer {
 public:
  connect_answer(test_socket socket) : socket_(std::move(socket)) {}
  connect_answer(refused refusal) : refusal_(std::move(refusal)) {}

  explicit operator bool() const noexcept { return socket_.has_value(); }
  const test_socket& operator*() const;
  const test_socket* operator->() const { return &**this; }
  const std::string& refusal() const noexcept { return refusal_.reason; }  // empty when connected

 private:
  std::optional<test_socket> socket_;
  refused refusal_;
};

/// One join of a client, with the channel that it led to.
class test_channel {
 public:
  /// Nobody, when the join was refused.
  roost::pid process() const;
  const std::string& topic() const;
  test_socket socket() const;

  bool joined() const;
  /// What join answered: "ok" or "error", and its payload. Throws while it has not.
  reply_with answer() const;

  test_channel(
      std::shared_ptr<roost::detail::test_client> client,
      std::shared_ptr<roost::detail::test_join> join)
      : client_(std::move(client)), join_(std::move(join)) {}

 private:
  friend class audience;
  std::shared_ptr<roost::detail::test_client> client_;
  std::shared_ptr<roost::detail::test_join> join_;
};

// --- connecting and joining ----------------------------------------------------------------------

/// Calls S::connect. Throws expectation_failed when that throws.
template <class S>
[[nodiscard]] connect_answer connect(
    std::vector<params::entry> parameters, const client_options& options);

/// A client whose connect is taken to have answered `state`.
template <class S>
[[nodiscard]] test_socket socket(S state, const client_options& options);

struct join_options {
  std::chrono::milliseconds timeout{5000};
};

/// Joins, and waits for the answer, which may be a refusal: see test_channel::joined.
[[nodiscard]] test_channel join(
    const test_socket& socket, std::string_view topic, const payload& params = {},
    join_options options = {});
/// … and the test hears the broadcasts of the topic.
[[nodiscard]] test_channel subscribe_and_join(
    const test_socket& socket, std::string_view topic, const payload& params = {},
    join_options options = {});
/// … without waiting, for a join that is answered later. `await_join` waits for it.
[[nodiscard]] test_channel begin_join(
    const test_socket& socket, std::string_view topic, const payload& params = {});
void await_join(const test_channel& channel, join_options options = {});

/// From now on expect_broadcast on this client hears the topic.
void subscribe(const test_socket& socket, std::string_view topic);

// --- what a client does --------------------------------------------------------------------------

/// Names a message of the client for expect_reply.
struct push_ref {
  std::shared_ptr<roost::detail::test_client> client;
  std::string ref;
};

/// Sends an event to the channel.
push_ref push(const test_channel& channel, std::string_view event, const payload& payload = {});
/// … to a topic that was not joined, or "heartbeat" to "phoenix".
push_ref push(
    const test_socket& socket, std::string_view topic, std::string_view event,
    const payload& payload = {});

push_ref leave(const test_channel& channel);

/// The client disconnects. Returns when the socket and its channels have ended; those that need
/// longer than `timeout` are killed.
void close(const test_socket& socket, std::chrono::milliseconds timeout = std::chrono::seconds(5));

/// Broadcasts on the channel's topic as that channel would, so to everyone but this client.
void broadcast_from(const test_channel& channel, std::string_view event, const payload& payload);

// --- expecting -----------------------------------------------------------------------------------

/// Any payload will do.
struct anything_t {};
inline constexpr anything_t anything;

/// Which payloads fit: an equal one, or those that a predicate accepts. The predicate may read
/// members that others lack: json_error means that the payload does not fit.
class matching {
 public:
  matching(anything_t) {}
  matching(payload wanted) : equal_(std::move(wanted)) {}
  matching(const json& wanted) : equal_(wanted) {}
  matching(std::initializer_list<json::field> fields) : equal_(payload(fields)) {}
  template <std::predicate<const payload&> F>
  matching(F accepts) : accepts_(std::move(accepts)) {}

  bool fits(const payload& payload) const;
  std::string to_string() const;

 private:
  std::optional<payload> equal_;
  std::function<bool(const payload&)> accepts_;
};

/// Where to look: at what came about one join, or at all that came to a client.
class audience {
 public:
  audience(const test_socket& socket) : client(socket.client_) {}
  audience(const test_channel& channel) : client(channel.client_), join(channel.join_) {}

  std::shared_ptr<roost::detail::test_client> client;
  std::shared_ptr<roost::detail::test_join> join;
};

struct expect_options {
  std::chrono::milliseconds timeout{100};
};
struct refute_options {
  std::chrono::milliseconds timeout{0};
};

/// What the client was sent and is no reply: pushes, broadcasts that reached it, and phx_close and
/// phx_error, with which a channel ends.
payload expect_push(const audience& at, std::string_view event);
payload expect_push(
    const audience& at, std::string_view event, const matching& wanted,
    expect_options options = {});
void refute_push(const audience& at);  // of any event
void refute_push(const audience& at, std::string_view event);
void refute_push(
    const audience& at, std::string_view event, const matching& unwanted,
    refute_options options = {});

payload expect_reply(const push_ref& ref, std::string_view status);
payload expect_reply(
    const push_ref& ref, std::string_view status, const matching& wanted,
    expect_options options = {});
void refute_reply(const push_ref& ref);  // of any status
void refute_reply(const push_ref& ref, std::string_view status);
void refute_reply(
    const push_ref& ref, std::string_view status, const matching& unwanted,
    refute_options options = {});

/// What was broadcast on the topics that the test is subscribed to, whoever it reached.
payload expect_broadcast(const audience& at, std::string_view event);
payload expect_broadcast(
    const audience& at, std::string_view event, const matching& wanted,
    expect_options options = {});
void refute_broadcast(const audience& at);  // of any event
void refute_broadcast(const audience& at, std::string_view event);
void refute_broadcast(
    const audience& at, std::string_view event, const matching& unwanted,
    refute_options options = {});

/// The channel has ended: answers why.
exit_reason expect_down(const test_channel& channel, expect_options options = {});
exit_reason expect_down(
    const test_channel& channel, const exit_reason& reason, expect_options options = {});
void refute_down(const test_channel& channel, refute_options options = {});

/// The server has closed the socket: answers the code, such as 1000 after "disconnect"; 0 when it
/// ended without a close frame.
int expect_closed(const test_socket& socket, expect_options options = {});
int expect_closed(const test_socket& socket, int code, expect_options options = {});
void refute_closed(const test_socket& socket, refute_options options = {});

}  // namespace testing

// --- behind the templates ------------------------------------------------------------------------

namespace detail {

using connect_function = socket_type::connected (*)(const params&, const connect_info&);

/// Calls `real`, and lets the test see what it answered. Null: the test has given the answer.
socket_type::connected connect_in_test(
    connect_function real, const params& params, const connect_info& info);

template <class S, bool Given>
socket_type::connected connect_in_test_as(const params& params, const connect_info& info) {
  if constexpr (Given)
    return connect_in_test(nullptr, params, info);
  else
    return connect_in_test(&connect_as<S>, params, info);
}

template <class S, bool Given>
inline constexpr socket_type tested_socket_type{
    type_name<S>(), &connect_in_test_as<S, Given>, &find_channel<S>};

testing::connect_answer connect_test_client(
    const socket_type& type, std::vector<params::entry> parameters,
    std::optional<socket_type::connected> given, const testing::client_options& options);

}  // namespace detail

namespace testing {

template <class S>
connect_answer connect(std::vector<params::entry> parameters, const client_options& options) {
  return roost::detail::connect_test_client(
      roost::detail::tested_socket_type<S, false>, std::move(parameters), std::nullopt, options);
}

template <class S>
test_socket socket(S state, const client_options& options) {
  roost::detail::socket_type::connected given;
  if constexpr (requires { state.id(); }) given.id = state.id();
  given.assigns = std::make_shared<const S>(std::move(state));
  return *roost::detail::connect_test_client(
      roost::detail::tested_socket_type<S, true>, {}, std::move(given), options);
}

}  // namespace testing
}  // namespace roost
