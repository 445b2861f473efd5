#include "channels/channel.hpp"
#include "channels/channel_state.hpp"
#include "channels/meters.hpp"
#include "runtime/process_core.hpp"
#include "runtime/telemetry.hpp"

namespace roost {
namespace detail {

channel_process::channel_process() : state_(std::make_unique<channel_state>()) {}

channel_process::~channel_process() {
  auto& state = *state_;
  if (state.joined) {
    state.pub_sub->leave(state.topic, state.place);
    meters::here().channels_left.add();
  }
  if (state.socket) send(state.socket, channel_ended{self(), !state.announced});
}

namespace {

/// Encodes into memory of the thread, which the outlet copies or sends at once.
std::string& scratch() {
  static thread_local std::string text;
  text.clear();
  return text;
}

void write_reply(
    channel_state& state, std::string_view join_ref, std::string_view ref,
    const reply_with& reply) {
  auto& text = scratch();
  auto kind = encode_reply(
      state.out->protocol(), text, join_ref, ref, state.topic, reply.status, reply.payload);
  if (kind == encoded::impossible)
    throw std::invalid_argument(
        "expected a reply that the client's protocol can carry, got " +
        std::string(reply.payload.is_binary() ? "binary data" : "text") + " that it cannot");
  state.out->write(kind, text);
}

std::string_view join_ref_of_join(const channel_state& state) {
  return state.joins_without_ref ? "null" : std::string_view(state.join_ref);
}

void complete_join(channel_process& channel) {
  auto& state = channel.state();
  state.joining = false;
  state.joined = true;
  state.pub_sub->join(
      state.topic,
      {self().id, state.out.get(), channel.intercepts_some() ? &channel : nullptr, &state.place});
  meters::here().joins_ok.add();
}

/// An orderly end that a handler chose: the client sees phx_close, not phx_error.
void stop_by_choice(channel_state& state, exit_reason reason) {
  state.announced = reason.is_orderly();
  stop_self(std::move(reason));
}

void apply(channel_state& state, const out_result& result) {
  if (result.timeout.count() >= 0) set_receive_timeout(result.timeout);
  if (result.stop) stop_by_choice(state, *result.stop);
}

}  // namespace

namespace {

using clock = std::chrono::steady_clock;

const telemetry::event channel_joined_event{"phoenix.channel_joined"};
const telemetry::event channel_handled_in_event{"phoenix.channel_handled_in"};

void tell_joined(
    const channel_state& state, std::string_view channel, std::string_view result,
    clock::time_point begun) {
  auto took = clock::now() - begun;
  meters::here().join.observe(took);
  telemetry::execute(
      channel_joined_event, {{"duration", took}},
      {{"topic", state.topic}, {"channel", channel}, {"result", result}, {"params", state.params}});
}

}  // namespace

init_outcome channel_process::init() {
  auto& state = *state_;
  state.joining = true;
  auto begun = clock::now();
  auto result = join(state.topic, state.params);
  tell_joined(
      state, initial_call(),
      result.later      ? "later"
      : result.accepted ? "ok"
                        : "error",
      begun);
  state.params = {};
  if (result.later) return {init_status::later, {}};
  if (result.accepted)
    complete_join(*this);
  else
    meters::here().joins_refused.add();
  write_reply(state, join_ref_of_join(state), state.ref, result.reply);
  state.joining = false;
  state.announced = !result.accepted;
  if (!result.accepted) return {init_status::stop, exit_reason::shutdown_with("join refused")};
  return {};
}

void channel_process::handle(message& message) {
  auto& state = *state_;
  if (auto* event = value_of<client_event>(message)) {
    if (event->event == "phx_leave" && event->event_is_string) {
      if (event->join_ref != state.join_ref) return;  // of an earlier join: the client has moved on
      write_reply(state, state.join_ref, event->ref, ok());
      return stop_by_choice(state, exit_reason::shutdown_with("left"));
    }
    state.ref = std::move(event->ref);
    auto watched = channel_handled_in_event.enabled();
    // The clock of the worker stands still during a turn, which costs nothing.
    auto sampled = meters::measured() && meters::here().samples(worker::current()->now());
    auto timed = watched || sampled;
    auto begun = timed ? clock::now() : clock::time_point();
    auto result = event->event_is_string ? handle_in(event->event, event->payload) : std::nullopt;
    auto took = timed ? clock::now() - begun : clock::duration();
    if (sampled) meters::here().handle_in.observe(took);
    if (watched)
      telemetry::execute(
          channel_handled_in_event, {{"duration", took}},
          {{"topic", state.topic},
           {"channel", initial_call()},
           {"event", event->event},
           {"params", event->payload}});
    if (!result)
      throw std::runtime_error(
          "expected a handle_in for the event \"" + event->event + "\", got none in " +
          std::string(initial_call()));
    if (result->reply) write_reply(state, state.join_ref, state.ref, *result->reply);
    if (result->timeout.count() >= 0) set_receive_timeout(result->timeout);
    if (result->stop) stop_by_choice(state, *result->stop);
  } else if (auto* out = value_of<intercepted>(message)) {
    if (auto result = handle_out(out->event, out->payload)) apply(state, *result);
  } else if (auto* stop = value_of<stop_channel>(message)) {
    stop_by_choice(state, stop->reason);
  } else if (auto result = handle_info(message)) {
    apply(state, *result);
  } else {
    unexpected(message, initial_call());
  }
}

void channel_process::terminate(const exit_reason& reason) {
  if (!state_->joining) handle_terminate(reason);
}

}  // namespace detail

// --- the socket, as a channel sees it
// --------------------------------------------------------------

std::string_view socket::topic() const noexcept { return channel_->state().topic; }

const void* socket::checked_assigns(std::string_view type) const {
  auto& state = channel_->state();
  if (type != state.type->name)
    throw std::logic_error(
        "expected the socket's assigns to be " + std::string(state.type->name) + ", got " +
        std::string(type));
  return state.assigns.get();
}

void push(socket& socket, std::string_view event, const payload& payload) {
  auto& state = socket.channel_->state();
  if (state.joining)
    throw std::logic_error(
        "expected push after join, got it within: send yourself a message in join and push when "
        "it arrives");
  auto& text = detail::scratch();
  auto kind = encode_push(state.out->protocol(), text, state.join_ref, state.topic, event, payload);
  if (kind == encoded::impossible)
    throw std::invalid_argument(
        "expected a push that the client's protocol can carry, got " + std::string(event));
  state.out->write(kind, text);
}

void broadcast(socket& socket, std::string_view event, const payload& payload) {
  auto& state = socket.channel_->state();
  state.pub_sub->broadcast({}, state.topic, event, payload);
}

void broadcast_from(socket& socket, std::string_view event, const payload& payload) {
  auto& state = socket.channel_->state();
  state.pub_sub->broadcast(self(), state.topic, event, payload);
}

socket_ref ref(const socket& socket) { return {self(), socket.channel_->state().ref}; }

namespace detail {

/// The answer of a join that was left open. Runs in the channel's process.
void answer_join(channel_process& channel, const reply_with& reply) {
  auto& state = channel.state();
  bool accepted = reply.status == "ok";
  if (accepted)
    complete_join(channel);
  else
    meters::here().joins_refused.add();
  write_reply(state, join_ref_of_join(state), state.ref, reply);
  state.joining = false;
  state.announced = !accepted;
  if (accepted) send(state.socket, channel_joined{self()});
  finish_init(
      accepted ? init_outcome{}
               : init_outcome{init_status::stop, exit_reason::shutdown_with("join refused")});
}

void answer(channel_process& channel, const std::string& ref, const reply_with& reply) {
  auto& state = channel.state();
  if (state.joining) {
    if (ref == state.ref) answer_join(channel, reply);
    return;
  }
  write_reply(state, state.join_ref, ref, reply);
}

channel_process& running_channel() {
  return static_cast<channel_process&>(*current_process()->does);
}

}  // namespace detail

void reply(const socket_ref& ref, reply_with reply) {
  detail::run_in(ref.channel, [ref = ref.ref, reply = std::move(reply)] {
    detail::answer(detail::running_channel(), ref, reply);
  });
}

}  // namespace roost
