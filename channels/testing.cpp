#include "channels/testing.hpp"
#include "channels/testing/client.hpp"
#include "channels/testing/settle.hpp"

namespace roost {
namespace detail {

using std::chrono::milliseconds;
using testing::expectation_failed;

namespace {

std::string within(milliseconds timeout) {
  return " within " + std::to_string(timeout.count()) + " ms, got";
}

received* find(test_inbox& inbox, const wanted_message& wanted) {
  auto found = std::find_if(inbox.messages.begin(), inbox.messages.end(), [&](auto& message) {
    return wanted.fits(message);
  });
  return found == inbox.messages.end() ? nullptr : &*found;
}

payload expect(test_inbox& inbox, const wanted_message& wanted, milliseconds timeout) {
  settle();
  std::unique_lock lock{inbox.mutex};
  received* found = nullptr;
  inbox.changed.wait_for(lock, timeout, [&] { return (found = find(inbox, wanted)) != nullptr; });
  if (found == nullptr)
    throw expectation_failed(
        "expected a " + describe(wanted, inbox) + within(timeout) + all_that_came(inbox));
  found->expected = true;
  return found->payload;
}

void refute(test_inbox& inbox, const wanted_message& wanted, milliseconds timeout) {
  settle();
  std::unique_lock lock{inbox.mutex};
  received* found = nullptr;
  inbox.changed.wait_for(lock, timeout, [&] { return (found = find(inbox, wanted)) != nullptr; });
  if (found != nullptr)
    throw expectation_failed(
        "expected no " + describe(wanted, inbox) + ", got " + describe(*found, inbox));
}

/// Waits for something about the client that is no message.
template <class F>
bool becomes_true(test_inbox& inbox, milliseconds timeout, F condition) {
  settle();
  std::unique_lock lock{inbox.mutex};
  return inbox.changed.wait_for(lock, timeout, condition);
}

}  // namespace
}  // namespace detail

namespace testing {

using roost::detail::came_as;
using roost::detail::test_client;
using roost::detail::test_join;

// --- handles -------------------------------------------------------------------------------------

pid test_socket::process() const { return client_->inbox().socket; }

const std::optional<std::string>& test_socket::id() const { return client_->connected().id; }

const void* test_socket::checked_assigns(std::string_view type) const {
  if (type != client_->type().name)
    throw std::logic_error(
        "expected the socket's assigns to be " + std::string(client_->type().name) + ", got " +
        std::string(type));
  return client_->connected().assigns.get();
}

const test_socket& connect_answer::operator*() const {
  if (!socket_)
    throw expectation_failed(
        "expected connect to accept the client, got the refusal \"" + refusal_.reason + "\"");
  return *socket_;
}

pid test_channel::process() const {
  std::lock_guard guard{client_->inbox().mutex};
  return join_->channel;
}

const std::string& test_channel::topic() const { return join_->topic; }

test_socket test_channel::socket() const { return test_socket(client_); }

bool test_channel::joined() const {
  std::lock_guard guard{client_->inbox().mutex};
  return join_->answer && join_->answer->status == "ok";
}

reply_with test_channel::answer() const {
  std::lock_guard guard{client_->inbox().mutex};
  if (!join_->answer)
    throw expectation_failed(
        "expected the join of \"" + join_->topic + "\" to be answered, got no answer yet");
  return *join_->answer;
}

// --- joining -------------------------------------------------------------------------------------

test_channel begin_join(const test_socket& socket, std::string_view topic, const payload& params) {
  auto client = audience(socket).client;
  auto join = client->begin_join(topic, params);
  return {std::move(client), std::move(join)};
}

void await_join(const test_channel& channel, join_options options) {
  auto [client, join] = audience(channel);
  auto& inbox = client->inbox();
  if (roost::detail::becomes_true(inbox, options.timeout, [&] { return join->answer.has_value(); }))
    return;
  std::lock_guard guard{inbox.mutex};
  throw expectation_failed(
      "expected an answer to the join of \"" + join->topic + "\"" +
      roost::detail::within(options.timeout) + roost::detail::all_that_came(inbox));
}

test_channel join(
    const test_socket& socket, std::string_view topic, const payload& params,
    join_options options) {
  auto channel = begin_join(socket, topic, params);
  await_join(channel, options);
  return channel;
}

test_channel subscribe_and_join(
    const test_socket& socket, std::string_view topic, const payload& params,
    join_options options) {
  subscribe(socket, topic);
  return join(socket, topic, params, options);
}

void subscribe(const test_socket& socket, std::string_view topic) {
  audience(socket).client->subscribe(topic);
}

// --- what a client does --------------------------------------------------------------------------

namespace {

/// A refused join is found out by the first who takes it for a channel.
void check_not_refused(const test_client& client, const test_join& join) {
  std::lock_guard guard{client.inbox().mutex};
  if (join.answer && join.answer->status != "ok")
    throw expectation_failed(
        "expected the join of \"" + join.topic + "\" to be accepted, got \"" + join.answer->status +
        "\" " + roost::detail::shown(join.answer->payload));
}

push_ref send(const test_channel& channel, std::string_view event, const payload& payload) {
  auto [client, join] = audience(channel);
  check_not_refused(*client, *join);
  auto ref = client->send({join->join_ref, {}, join->topic, std::string(event), payload});
  return {std::move(client), std::move(ref)};
}

}  // namespace

push_ref push(const test_channel& channel, std::string_view event, const payload& payload) {
  return send(channel, event, payload);
}

push_ref push(
    const test_socket& socket, std::string_view topic, std::string_view event,
    const payload& payload) {
  auto client = audience(socket).client;
  auto ref = client->send({{}, {}, std::string(topic), std::string(event), payload});
  return {std::move(client), std::move(ref)};
}

push_ref leave(const test_channel& channel) { return send(channel, "phx_leave", {}); }

void close(const test_socket& socket, std::chrono::milliseconds timeout) {
  audience(socket).client->close(timeout);
}

void broadcast_from(const test_channel& channel, std::string_view event, const payload& payload) {
  auto [client, join] = audience(channel);
  check_not_refused(*client, *join);
  client->pub_sub().broadcast(channel.process(), join->topic, event, payload);
}

// --- expecting -----------------------------------------------------------------------------------

bool matching::fits(const payload& payload) const {
  if (accepts_) {
    try {
      return accepts_(payload);
    } catch (const json_error&) {
      return false;
    }
  }
  if (!equal_) return true;
  if (equal_->is_binary() || payload.is_binary()) return *equal_ == payload;
  return equal_->value() == payload.value();
}

std::string matching::to_string() const {
  if (accepts_) return "a payload that the predicate accepts";
  return equal_ ? roost::detail::shown(*equal_) : std::string();
}

namespace {

using maybe_name = std::optional<std::string_view>;

payload expect(
    came_as kind, const audience& at, maybe_name name, const matching& wanted,
    expect_options options) {
  if (at.join && kind == came_as::push) check_not_refused(*at.client, *at.join);
  return roost::detail::expect(
      at.client->inbox(), {kind, at.join.get(), {}, name, &wanted}, options.timeout);
}

void refute(
    came_as kind, const audience& at, maybe_name name, const matching& unwanted,
    refute_options options) {
  if (at.join) check_not_refused(*at.client, *at.join);
  roost::detail::refute(
      at.client->inbox(), {kind, at.join.get(), {}, name, &unwanted}, options.timeout);
}

void refute(
    const push_ref& ref, maybe_name status, const matching& unwanted, refute_options options) {
  roost::detail::refute(
      ref.client->inbox(), {came_as::reply, nullptr, ref.ref, status, &unwanted}, options.timeout);
}

}  // namespace

payload expect_push(const audience& at, std::string_view event) {
  return expect(came_as::push, at, event, anything, {});
}
payload expect_push(
    const audience& at, std::string_view event, const matching& wanted, expect_options options) {
  return expect(came_as::push, at, event, wanted, options);
}
void refute_push(const audience& at) { refute(came_as::push, at, std::nullopt, anything, {}); }
void refute_push(const audience& at, std::string_view event) {
  refute(came_as::push, at, event, anything, {});
}
void refute_push(
    const audience& at, std::string_view event, const matching& unwanted, refute_options options) {
  refute(came_as::push, at, event, unwanted, options);
}

payload expect_reply(const push_ref& ref, std::string_view status) {
  return expect_reply(ref, status, anything);
}
payload expect_reply(
    const push_ref& ref, std::string_view status, const matching& wanted, expect_options options) {
  return roost::detail::expect(
      ref.client->inbox(), {came_as::reply, nullptr, ref.ref, status, &wanted}, options.timeout);
}
void refute_reply(const push_ref& ref) { refute(ref, std::nullopt, anything, {}); }
void refute_reply(const push_ref& ref, std::string_view status) {
  refute(ref, status, anything, {});
}
void refute_reply(
    const push_ref& ref, std::string_view status, const matching& unwanted,
    refute_options options) {
  refute(ref, status, unwanted, options);
}

payload expect_broadcast(const audience& at, std::string_view event) {
  return expect(came_as::broadcast, at, event, anything, {});
}
payload expect_broadcast(
    const audience& at, std::string_view event, const matching& wanted, expect_options options) {
  return expect(came_as::broadcast, at, event, wanted, options);
}
void refute_broadcast(const audience& at) {
  refute(came_as::broadcast, at, std::nullopt, anything, {});
}
void refute_broadcast(const audience& at, std::string_view event) {
  refute(came_as::broadcast, at, event, anything, {});
}
void refute_broadcast(
    const audience& at, std::string_view event, const matching& unwanted, refute_options options) {
  refute(came_as::broadcast, at, event, unwanted, options);
}

// --- the end -------------------------------------------------------------------------------------

exit_reason expect_down(const test_channel& channel, expect_options options) {
  auto [client, join] = audience(channel);
  auto& inbox = client->inbox();
  check_not_refused(*client, *join);
  if (roost::detail::becomes_true(inbox, options.timeout, [&] { return join->ended.has_value(); }))
    return *join->ended;
  std::lock_guard guard{inbox.mutex};
  throw expectation_failed(
      "expected the channel of \"" + join->topic + "\" to end" +
      roost::detail::within(options.timeout) + roost::detail::all_that_came(inbox));
}

exit_reason expect_down(
    const test_channel& channel, const exit_reason& reason, expect_options options) {
  auto got = expect_down(channel, options);
  if (got == reason) return got;
  throw expectation_failed(
      "expected the channel of \"" + channel.topic() + "\" to end with " + reason.to_string() +
      ", got " + got.to_string());
}

void refute_down(const test_channel& channel, refute_options options) {
  auto [client, join] = audience(channel);
  check_not_refused(*client, *join);
  if (roost::detail::becomes_true(
          client->inbox(), options.timeout, [&] { return join->ended.has_value(); }))
    throw expectation_failed(
        "expected the channel of \"" + join->topic + "\" to live, got the end " +
        join->ended->to_string());
}

int expect_closed(const test_socket& socket, expect_options options) {
  auto& inbox = audience(socket).client->inbox();
  if (roost::detail::becomes_true(inbox, options.timeout, [&] { return inbox.closed.has_value(); }))
    return *inbox.closed;
  std::lock_guard guard{inbox.mutex};
  throw expectation_failed(
      "expected the socket to be closed" + roost::detail::within(options.timeout) +
      roost::detail::all_that_came(inbox));
}

int expect_closed(const test_socket& socket, int code, expect_options options) {
  auto got = expect_closed(socket, options);
  if (got == code) return got;
  throw expectation_failed(
      "expected the socket to be closed with " + std::to_string(code) + ", got " +
      std::to_string(got));
}

void refute_closed(const test_socket& socket, refute_options options) {
  auto& inbox = audience(socket).client->inbox();
  if (roost::detail::becomes_true(inbox, options.timeout, [&] { return inbox.closed.has_value(); }))
    throw expectation_failed(
        "expected the socket to stay open, got one that was closed with " +
        std::to_string(*inbox.closed));
}

}  // namespace testing
}  // namespace roost
