#include "channels/client/client_process.hpp"
#include "channels/base64.hpp"
#include "channels/client/backoff.hpp"
#include "runtime/blocking.hpp"
#include "runtime/logger.hpp"
#include "runtime/net/dns.hpp"
#include <arpa/inet.h>
#include <openssl/rand.h>
#include <algorithm>
#include <array>
#include <mutex>

namespace roost::detail {
namespace {

using std::chrono::milliseconds;

/// One per worker: it keeps its memory from message to message.
server_message& decoded() {
  static thread_local server_message message;
  return message;
}

std::string& scratch() {
  static thread_local std::string text;
  if (text.capacity() > 65'536) text = std::string();
  text.clear();
  return text;
}

void check(bool good, std::string_view what, std::string_view to_be, std::string_view got) {
  if (good) return;
  throw std::invalid_argument(
      "expected " + std::string(what) + " of a client to be " + std::string(to_be) + ", got " +
      std::string(got));
}

void check_time(milliseconds time, std::string_view what) {
  check(time.count() >= 1, what, "at least 1 ms", std::to_string(time.count()) + " ms");
}

}  // namespace

void validate(const client_options& options) {
  parse_client_url(options.url);
  check_headers(options.headers);
  check_time(options.connect_timeout, "connect_timeout");
  check_time(options.heartbeat, "heartbeat");
  check_time(options.timeout, "timeout");
  check(
      options.jitter >= 0 && options.jitter <= 1, "jitter", "0 to 1",
      std::to_string(options.jitter));
  check(options.max_frame_size > 0, "max_frame_size", "at least 1 byte", "0");
}

client_process::client_process(std::shared_ptr<const client_options> options)
    : options_(std::move(options)), random_(std::random_device{}()) {}

client_process::~client_process() {
  client_connection::drop(std::move(connection_), close_code::going_away);
}

std::string client_process::state_text() const {
  return "client of " + target_.authority + target_.path + ", " +
         (phase_ == phase::open ? "connected" : "not connected") + ", " +
         std::to_string(channels_.size()) + " channels";
}

init_outcome client_process::init() {
  core_ = current_process();
  target_ = parse_client_url(options_->url);
  if (target_.tls) tls_ = tls_settings(options_->ca_file, options_->verify);
  // Whoever starts thousands of clients runs on one worker. A socket stays on its process's worker,
  // so each takes the next; it moves there with its first message.
  static std::atomic<std::uint32_t> next{0};
  const auto worker = next.fetch_add(1, std::memory_order_relaxed) % scheduler::instance()->size();
  core_->home->home.store(static_cast<std::uint16_t>(worker), std::memory_order_relaxed);
  if (options_->connect_at_once) roost::send(self(), connect_due{generation_});
  return {};
}

void client_process::handle(message& message) {
  if (auto* push_request = value_of<client_push>(message)) {
    push(message, *push_request);
  } else if (auto* receive_request = value_of<client_receive>(message)) {
    receive(message, *receive_request);
  } else if (value_of<deadline_due>(message) != nullptr) {
    on_deadline();
  } else if (auto* beat = value_of<heartbeat_due>(message)) {
    if (beat->generation == generation_) on_heartbeat_due();
  } else if (auto* join_request = value_of<client_join>(message)) {
    join(*join_request);
  } else if (auto* await_join_request = value_of<client_await_join>(message)) {
    await_join(message, *await_join_request);
  } else if (auto* leave_request = value_of<client_leave>(message)) {
    if (auto* left = find(leave_request->channel)) leave(*left);
  } else if (auto* await_leave_request = value_of<client_await_leave>(message)) {
    await_leave(message, *await_leave_request);
  } else if (auto* rejoin = value_of<rejoin_due>(message)) {
    auto* again = find(client_channel_id{rejoin->channel, rejoin->topic});
    if (again != nullptr && again->now == channel::state::waiting && phase_ == phase::open &&
        rejoin->generation == generation_)
      send_join(*again);
  } else if (auto* connect = value_of<connect_due>(message)) {
    if (connect->generation == generation_ && connection_ == nullptr) connect_now();
  } else if (auto* expired = value_of<attempt_expired>(message)) {
    if (expired->generation == generation_) on_attempt_expired();
  } else if (value_of<client_connect>(message) != nullptr) {
    if (phase_ == phase::idle || phase_ == phase::waiting) connect_now();
  } else if (value_of<client_disconnect>(message) != nullptr) {
    disconnect();
  } else if (value_of<client_ask_info>(message) != nullptr) {
    from<client_info>{message.from, message.ref}.reply(info());
  } else if (auto* gone = value_of<down>(message)) {
    on_owner_down(*gone);
  } else if (message.kind == message_kind::call || message.kind == message_kind::cast) {
    crash_unexpected(message, initial_call());
  } else {
    unexpected(message, initial_call());
  }
}

// --- joining -------------------------------------------------------------------------------------

client_process::channel* client_process::find(std::string_view topic) {
  auto found = channels_.find(topic);
  return found == channels_.end() ? nullptr : &found->second;
}

client_process::channel* client_process::find(const client_channel_id& which) {
  auto* found = find(which.topic);
  return found != nullptr && found->id == which.id ? found : nullptr;
}

void client_process::join(client_join& request) {
  if (auto* earlier = find(request.channel.topic)) {
    close(*earlier, "the topic was joined again");
    // What its inbox holds is the earlier join's.
    if (auto* rest = find(request.channel.topic)) erase(*rest);
  }
  auto& fresh = channels_[request.channel.topic];
  fresh.id = request.channel.id;
  fresh.topic = std::move(request.channel.topic);
  fresh.params = std::move(request.params);
  fresh.owner = request.owner;
  fresh.on = std::move(request.on);
  if (fresh.owner)
    fresh.owner_monitor = monitor(fresh.owner);
  else if (!fresh.on.event && !fresh.on.status)
    fresh.waiting_events = std::make_unique<inbox>();
  if (phase_ == phase::open) send_join(fresh);
}

void client_process::send_join(channel& channel) {
  const auto ref = next_ref_++;
  channel.join_ref = ref;
  channel.now = channel::state::joining;
  channel.outcome.reset();
  const auto* why = send(ref, ref, channel.topic, "phx_join", channel.params);
  if (phase_ != phase::open) return;  // lost in the attempt, of which the channel has been told
  if (why != nullptr) return errored(channel, because(why));
  add_wait(ref, {.what = wait::kind::join, .of = &channel}, options_->timeout);
}

void client_process::on_joined(channel& channel, const server_message& reply) {
  client_reply outcome{std::string(reply.name), reply.to_payload(), true};
  const bool ok = outcome.ok();
  channel.outcome = outcome;
  if (ok) {
    channel.now = channel::state::joined;
    channel.tries = 0;
    tell(channel, client_status::kind::joined, outcome.response);
  }
  finish_waits(
      [&](const wait& each) { return each.of == &channel && each.what == wait::kind::joined; },
      [&](const wait& each) { answer(each, outcome); });
  ok ? send_buffered(channel) : errored(channel, outcome.response);
}

void client_process::errored(channel& channel, const roost::payload& response) {
  lose_pushes(&channel, "the channel has crashed");
  if (channel.now == channel::state::joined) channel.outcome.reset();
  channel.now = channel::state::waiting;
  tell(channel, client_status::kind::errored, response);
  rejoin_later(channel);
}

void client_process::rejoin_later(channel& channel) {
  ++channel.tries;
  const auto delay = delay_of(options_->rejoin_after, rejoin_delay(channel.tries), channel.tries);
  send_after(delay, self(), rejoin_due{channel.id, channel.topic, generation_});
}

// --- leaving -------------------------------------------------------------------------------------

void client_process::leave(channel& channel) {
  if (channel.now == channel::state::leaving || channel.now == channel::state::closed) return;
  const bool there =
      channel.now == channel::state::joined || channel.now == channel::state::joining;
  const auto ref = next_ref_++;
  if (!there || send(channel.join_ref, ref, channel.topic, "phx_leave", {}) != nullptr)
    return close(channel, "left");
  channel.now = channel::state::leaving;
  finish_waits(
      [&](const wait& each) { return each.of == &channel && each.what == wait::kind::join; },
      [](const wait&) {});
  for (auto& waiting : take_buffer(channel)) {
    auto found = waits_.find(waiting.ref);
    if (found == waits_.end()) continue;
    auto unsent = waits_.extract(found);
    answer(unsent.mapped(), own_reply("not_sent", "the channel was left"));
  }
  add_wait(ref, {.what = wait::kind::leave, .of = &channel}, options_->timeout);
}

void client_process::close(channel& channel, std::string_view reason) {
  using kind = wait::kind;
  if (channel.now == channel::state::closed) return;
  take_buffer(channel);
  channel.now = channel::state::closed;
  finish_waits(
      [&](const wait& each) { return each.of == &channel; },
      [&](const wait& each) {
        if (each.what == kind::push)
          answer(each, own_reply(each.sent ? "lost" : "not_sent", "the channel is closed"));
        else if (each.what == kind::joined)
          answer(each, own_reply("closed", reason));
        else if (each.what == kind::left)
          answer(each, {"ok", {}, false});
        else if (each.what == kind::receive)
          answer_event(each, std::nullopt);
      });
  // A DOWN that is on its way already finds no channel.
  if (channel.owner) demonitor(channel.owner_monitor);
  tell(channel, client_status::kind::closed, because(reason));
  if (!channel.waiting_events || channel.waiting_events->events.empty()) erase(channel);
}

void client_process::close_all(channel::state state, std::string_view reason) {
  std::vector<channel*> those;
  for (auto& [topic, each] : channels_)
    if (each.now == state) those.push_back(&each);
  for (auto* each : those) close(*each, reason);
}

void client_process::erase(channel& channel) { channels_.erase(channels_.find(channel.topic)); }

void client_process::on_owner_down(const down& gone) {
  std::vector<channel*> orphans;
  for (auto& [topic, each] : channels_)
    if (each.owner && each.owner_monitor == gone.ref) orphans.push_back(&each);
  for (auto* each : orphans) leave(*each);
}

// --- what the server says ------------------------------------------------------------------------

void client_process::on_message(const frame_event& frame) {
  auto& message = decoded();
  const std::string_view bytes{frame.payload.data(), frame.payload.size()};
  const auto bad = frame.kind == frame_event::text ? decode_server_text(bytes, message)
                                                   : decode_server_binary(bytes, message);
  if (!bad) return dispatch(message);
  connection_->close(
      close_code::invalid_payload,
      {.reason = "a malformed message, at byte " + std::to_string(bad->offset) + ": " + bad->reason,
       .bad_input = true});
}

void client_process::dispatch(const server_message& message) {
  if (message.kind == server_message::reply) return on_reply(message);
  auto* to = find(message.topic);
  if (to == nullptr) return;
  // Of a channel that has been joined anew since.
  if (message.join_ref != no_ref && message.join_ref != to->join_ref) return;
  using state = channel::state;
  const bool there = to->now == state::joined || to->now == state::joining;
  if (message.name == "phx_close") {
    if (there || to->now == state::leaving) close(*to, "closed by the server");
  } else if (message.name == "phx_error") {
    if (to->now == state::leaving) return close(*to, "left");
    if (there) errored(*to, because("the channel has crashed"));
  } else if (there) {
    deliver(*to, message);
  }
}

void client_process::on_reply(const server_message& message) {
  if (message.ref == no_ref || message.ref == unknown_ref) return;
  if (message.ref == heartbeat_ref_) {
    heartbeat_ref_ = no_ref;
    return;
  }
  auto found = waits_.find(message.ref);
  if (found == waits_.end()) return;  // nobody waits any more
  using kind = wait::kind;
  const auto what = found->second.what;
  if (what != kind::push && what != kind::join && what != kind::leave) return;
  const auto node = waits_.extract(found);
  const auto& answered = node.mapped();
  if (what == kind::push)
    answer(answered, {std::string(message.name), message.to_payload(), true});
  else if (what == kind::join)
    on_joined(*answered.of, message);
  else
    close(*answered.of, "left");
}

void client_process::deliver(channel& channel, const server_message& message) {
  ++counters_.events;
  roost::client_event event{channel.topic, std::string(message.name), message.to_payload()};
  if (channel.on.event) return channel.on.event(event);
  if (channel.owner) return roost::send(channel.owner, std::move(event));
  if (!channel.waiting_events) return;
  auto first = std::find_if(waits_.begin(), waits_.end(), [&](auto& each) {
    return each.second.of == &channel && each.second.what == wait::kind::receive;
  });
  if (first != waits_.end()) return answer_event(waits_.extract(first).mapped(), std::move(event));
  auto& inbox = *channel.waiting_events;
  inbox.bytes += size_of(event);
  inbox.events.push_back(std::move(event));
  const auto dropped = counters_.dropped;
  while (inbox.events.size() > options_->max_events ||
         (inbox.bytes > options_->max_frame_size && inbox.events.size() > 1)) {
    inbox.bytes -= size_of(inbox.events.front());
    inbox.events.pop_front();
    ++counters_.dropped;
  }
  if (counters_.dropped == dropped) return;
  if (options_->log && !std::exchange(inbox.told_full, true))
    logger::warning(
        "client drops events that nobody receives",
        {{"process", to_string(self())}, {"topic", channel.topic}});
}

void client_process::tell(
    channel& channel, client_status::kind now, const roost::payload& response) {
  const client_status status{channel.topic, now, response};
  if (channel.on.status)
    channel.on.status(status);
  else if (channel.owner && !channel.on.event)
    roost::send(channel.owner, status);
}

// --- what the server is told ---------------------------------------------------------------------

const char* client_process::send(
    std::uint64_t join_ref, std::uint64_t ref, std::string_view topic, std::string_view event,
    const roost::payload& payload) {
  auto& text = scratch();
  const auto kind = encode_client_push(text, join_ref, ref, topic, event, payload);
  if (kind == encoded::impossible)
    return "expected names to be UTF-8, and at most 255 bytes for a binary payload";
  const auto code = kind == encoded::binary ? opcode::binary : opcode::text;
  if (connection_ && connection_->write(code, text)) return nullptr;
  return "expected no more than max_outbound bytes to wait for the server";
}

void client_process::push(message& message, client_push& request) {
  const bool is_call = message.kind == message_kind::call;
  const auto caller = is_call ? message.from : pid{};
  const auto call = is_call ? message.ref : reference{};
  auto* to = find(request.channel);
  if (to == nullptr || to->now == channel::state::leaving || to->now == channel::state::closed)
    return refuse(caller, call, "the channel is closed");
  const auto ref = next_ref_++;
  const bool joined = to->now == channel::state::joined;
  const auto* why = joined ? send(to->join_ref, ref, to->topic, request.event, request.payload)
                           : buffer(*to, ref, request);
  if (why != nullptr) return refuse(caller, call, why);
  if (is_call)
    add_wait(
        ref, {.what = wait::kind::push, .of = to, .sent = joined, .caller = caller, .call = call},
        request.timeout.value_or(options_->timeout));
}

const char* client_process::buffer(channel& channel, std::uint64_t ref, client_push& request) {
  if (channel.buffer.size() >= options_->max_buffered)
    return "expected no more than max_buffered pushes to wait for their channel";
  if (buffered_bytes_ > options_->max_outbound)
    return "expected no more than max_outbound bytes to wait for channels";
  ++buffered_;
  buffered_bytes_ += request.payload.contents().size() + request.event.size();
  channel.buffer.push_back({ref, std::move(request.event), std::move(request.payload)});
  return nullptr;
}

std::vector<client_process::buffered_push> client_process::take_buffer(channel& channel) {
  auto all = std::exchange(channel.buffer, {});
  buffered_ -= all.size();
  for (auto& each : all) buffered_bytes_ -= each.payload.contents().size() + each.event.size();
  return all;
}

void client_process::drop_buffered(channel& channel, std::uint64_t ref) {
  auto found = std::find_if(
      channel.buffer.begin(), channel.buffer.end(), [&](auto& each) { return each.ref == ref; });
  if (found == channel.buffer.end()) return;
  --buffered_;
  buffered_bytes_ -= found->payload.contents().size() + found->event.size();
  channel.buffer.erase(found);
}

void client_process::send_buffered(channel& channel) {
  for (auto& each : take_buffer(channel)) {
    auto waiting = waits_.find(each.ref);
    if (waiting != waits_.end()) waiting->second.sent = true;
    const auto* why = send(channel.join_ref, each.ref, channel.topic, each.event, each.payload);
    if (why == nullptr) continue;
    if (waiting = waits_.find(each.ref); waiting == waits_.end()) {
      refuse({}, {}, why);
    } else {
      const auto unsent = waits_.extract(waiting);
      refuse(unsent.mapped().caller, unsent.mapped().call, why);
    }
  }
}

void client_process::lose_pushes(const channel* of, std::string_view reason) {
  using kind = wait::kind;
  finish_waits(
      [&](const wait& each) {
        return (of == nullptr || each.of == of) &&
               (each.what == kind::join || each.what == kind::leave ||
                (each.what == kind::push && each.sent));
      },
      [&](const wait& each) {
        if (each.what == kind::push) answer(each, own_reply("lost", reason));
      });
}

void client_process::refuse(pid caller, reference call, std::string_view reason) {
  ++counters_.not_sent;
  if (call) return answer({.caller = caller, .call = call}, own_reply("not_sent", reason));
  if (options_->log && !std::exchange(told_not_sent_, true))
    logger::warning("client did not send", {{"process", to_string(self())}, {"reason", reason}});
}

client_info client_process::info() const {
  auto result = counters_;
  result.connected = phase_ == phase::open;
  for (auto& [topic, each] : channels_) {
    result.channels += each.now != channel::state::closed ? 1U : 0U;
    result.joined += each.now == channel::state::joined ? 1U : 0U;
  }
  result.buffered = buffered_;
  result.waiting_bytes = connection_ ? connection_->waiting_bytes() : 0;
  return result;
}

}  // namespace roost::detail
