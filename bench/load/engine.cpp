#include "bench/load/engine.hpp"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <ctime>
#include <stdexcept>

namespace roost::load {
namespace {

using outcome = transfer::outcome;

constexpr std::uint64_t milli = 1'000'000, second = 1'000 * milli;
constexpr std::uint64_t heartbeat_interval = 30 * second;  // phoenix.js's
constexpr std::string_view own_join_ref = "1";

/// phoenix.js's reconnectAfterMs.
std::uint64_t delay_of(unsigned tries) noexcept {
  constexpr std::array<std::uint64_t, 9> delays{10, 50, 100, 150, 200, 250, 500, 1'000, 2'000};
  return (tries < delays.size() ? delays[tries] : 5'000) * milli;
}

/// Which process has the client. Those who stay in the mode herd have the first for themselves.
std::size_t place_of(std::uint32_t index, mode mode, std::size_t processes) noexcept {
  if (mode != mode::herd) return index % processes;
  return index < steady_clients ? 0 : 1 + index % (processes - 1);
}

}  // namespace

std::uint64_t now_in_nanoseconds() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second +
         static_cast<std::uint64_t>(time.tv_nsec);
}

engine::engine(const load::options& options, shared_state& shared, std::size_t worker)
    : options_(options),
      shared_(shared),
      counters_(shared.workers[worker]),
      scenario_(make_scenario(options)),
      dialer_(options),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  auto processes = shared.workers.size();
  at_once_ = std::max<std::size_t>(1, options.connecting / processes);
  for (std::uint32_t index = 0; index < options.connections; ++index) {
    if (place_of(index, options.mode, processes) != worker) continue;
    client one;
    one.index = index;
    clients_.push_back(std::move(one));
  }
}

engine::~engine() {
  for (auto& client : clients_) forget(client);
  ::close(epoll_);
}

// --- the loop ------------------------------------------------------------------------------------

void engine::run() {
  // Phases change from outside, so it looks at them at least this often.
  constexpr std::uint64_t longest_wait = 5 * milli;
  std::vector<epoll_event> events(4096);
  int count = 0;
  while (phase_ != phase::finished) {
    auto now = now_in_nanoseconds();
    auto current = shared_.phase.load(std::memory_order_acquire);
    if (current != phase_) enter(current, now);
    auto due = do_what_is_due(now);
    for (std::size_t i = 0; i < pending_.size(); ++i) flush(*pending_[i]);
    pending_.clear();

    timespec timeout{0, static_cast<long>(due > now ? std::min(due - now, longest_wait) : 0)};
    if (phase_ == phase::running && scenario_->sleeps_by_the_clock()) {
      timeout.tv_nsec = std::min<long>(timeout.tv_nsec, milli / 10);
      if (count == 0) ::nanosleep(&timeout, nullptr);
      timeout = {};
    }
    count =
        ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    for (int i = 0; i < count; ++i) {
      auto& event = events[static_cast<std::size_t>(i)];
      on_event(clients_[event.data.u32], event.events);
    }
  }
}

void engine::enter(phase next, std::uint64_t now) {
  phase_ = next;
  switch (next) {
    case phase::connecting:
      next_to_connect_ = 0;
      heartbeats_began_ = now;
      heartbeats_ = 0;
      return;
    case phase::running:
      return scenario_->begin(*this, now);
    case phase::herding:
      for (auto& client : clients_)
        if (client.index >= steady_clients && client.is_joined()) cut(client);
      return;
    case phase::leaving:
      retries_ = {};
      for (auto& client : clients_) leave(client);
      return;
    case phase::waiting:
    case phase::settling:
    case phase::finished:
      return;
  }
}

std::uint64_t engine::do_what_is_due(std::uint64_t now) {
  if (phase_ == phase::leaving || phase_ == phase::waiting || phase_ == phase::finished)
    return never;
  start_connecting(now);
  send_heartbeats(now);
  auto due = retries_.empty() ? never : retries_.top().due;
  if (phase_ == phase::running || phase_ == phase::herding)
    due = std::min(due, scenario_->tick(*this, now));
  return due;
}

/// One after the other, so that all come round once in an interval.
void engine::send_heartbeats(std::uint64_t now) {
  auto due = static_cast<std::uint64_t>(
      static_cast<double>(now - heartbeats_began_) / static_cast<double>(heartbeat_interval) *
      static_cast<double>(clients_.size()));
  for (; heartbeats_ < due; ++heartbeats_) {
    auto& client = clients_[heartbeats_ % clients_.size()];
    if (!client.is_joined()) continue;
    append_message(
        output_of(client), {.ref = ++client.last_ref, .topic = "phoenix", .event = "heartbeat"});
  }
}

// --- coming and going ----------------------------------------------------------------------------

void engine::start_connecting(std::uint64_t now) {
  for (; next_to_connect_ < clients_.size() && under_way_ < at_once_; ++next_to_connect_)
    if (clients_[next_to_connect_].state == client::state::absent)
      connect(clients_[next_to_connect_], now);
  while (!retries_.empty() && retries_.top().due <= now && under_way_ < at_once_) {
    auto place = retries_.top().place;
    retries_.pop();
    if (clients_[place].state == client::state::absent) connect(clients_[place], now);
  }
}

void engine::connect(client& client, std::uint64_t now) {
  client.state = client::state::connecting;
  client.began = now;
  ++under_way_;
  ++counters_.open;
  if (!dialer_.dial(client)) return on_end(client, counters_.failures);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.u32 = static_cast<std::uint32_t>(&client - clients_.data());
  client.waits_for_writing = true;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
}

void engine::on_connected(client& client) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(client.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return on_end(client, counters_.failures);
  if (!client.ssl) return upgrade(client);
  client.state = client::state::securing;
  secure(client);
}

void engine::secure(client& client) {
  auto result = ::SSL_do_handshake(client.ssl.get());
  if (result == 1) return upgrade(client);
  auto error = SSL_get_error(client.ssl.get(), result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
    return on_end(client, counters_.failures);
  client.waits_for_writing = error == SSL_ERROR_WANT_WRITE;
  watch(client);
}

void engine::upgrade(client& client) {
  auto& target = dialer_.target_of(client);
  client.state = client::state::upgrading;
  output_of(client) +=
      "GET " + target.path + " HTTP/1.1\r\nHost: " + target.host + ":" +
      std::to_string(target.port) +
      "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
}

void engine::join(client& client) {
  client.state = client::state::joining;
  append_message(
      output_of(client),
      {.join_ref = own_join_ref, .ref = 1, .topic = topic_of(client), .event = "phx_join"});
}

void engine::on_joined(client& client, std::uint64_t now) {
  counters_.joining.add(now - client.began);
  client.state = client::state::joined;
  client.tries = 0;
  --under_way_;
  ++counters_.joined;
}

void engine::leave(client& client) {
  if (client.state == client::state::absent) return;
  if (!client.is_joined()) return on_end(client, counters_.failures);
  counters_.joined.subtract(1);
  append_goodbye(output_of(client));
  client.state = client::state::leaving;
}

/// As when a network is lost: the server gets a reset instead of a goodbye.
void engine::cut(client& client) {
  linger hard{1, 0};
  ::setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  counters_.joined.subtract(1);
  forget(client);
  retries_.push(
      {now_in_nanoseconds() + delay_of(0), static_cast<std::uint32_t>(&client - clients_.data())});
}

void engine::on_end(client& client, counter& why) {
  if (client.is_joined()) {
    counters_.joined.subtract(1);
  } else if (client.state != client::state::leaving) {
    --under_way_;
  }
  if (client.state != client::state::leaving) ++why;
  auto tries = client.tries;
  forget(client);
  if (phase_ == phase::leaving || phase_ == phase::finished) return;
  client.tries = static_cast<std::uint16_t>(tries + 1);
  retries_.push(
      {now_in_nanoseconds() + delay_of(tries),
       static_cast<std::uint32_t>(&client - clients_.data())});
}

void engine::forget(client& client) {
  if (client.state == client::state::absent) return;
  counters_.lost_replies.add(client.unanswered);
  counters_.unanswered.subtract(client.unanswered);
  counters_.open.subtract(1);
  client.ssl.reset();
  if (client.fd >= 0) ::close(client.fd);
  if (client.is_pending) std::erase(pending_, &client);
  auto index = client.index;
  client = load::client();
  client.index = index;
}

// --- reading -------------------------------------------------------------------------------------

void engine::on_event(client& client, std::uint32_t events) {
  if (client.state == client::state::absent) return;
  if ((events & (EPOLLOUT | EPOLLERR)) != 0 && client.state == client::state::connecting)
    return on_connected(client);
  if (client.state == client::state::securing) return secure(client);
  if ((events & EPOLLOUT) != 0 && !client.output.empty()) {
    flush(client);
    if (client.state == client::state::absent) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(client);
}

void engine::read(client& client) {
  do {
    auto got = receive(client, buffer_.data(), buffer_.size());
    if (got.what == outcome::again) return;
    if (got.what == outcome::ended)
      return on_end(client, client.is_joined() ? counters_.lost : counters_.failures);
    std::span<char> input(buffer_.data(), got.size);
    if (client.state == client::state::upgrading && !read_head(client, input)) return;
    auto now = now_in_nanoseconds();
    while (auto frame = client.decoder.next(input, {.role = frame_role::client})) {
      on_frame(client, frame, now);
      if (client.state == client::state::absent) return;
    }
  } while (client.ssl && ::SSL_has_pending(client.ssl.get()) == 1);
}

/// Whether the upgrade has succeeded; `input` is what came after it then.
bool engine::read_head(client& client, std::span<char>& input) {
  auto before = client.head.size();
  client.head.append(input.data(), input.size());
  auto end = client.head.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  bool accepted = client.head.find(" 101 ") < client.head.find("\r\n");
  input = input.subspan(end + 4 - before);
  client.head = {};
  if (!accepted) {
    on_end(client, counters_.refusals);
    return false;
  }
  join(client);
  return true;
}

void engine::on_frame(client& client, const frame_event& frame, std::uint64_t now) {
  std::string_view payload(frame.payload.data(), frame.payload.size());
  switch (frame.kind) {
    case frame_event::text:
      return on_message(client, payload, now);
    case frame_event::ping:
      return append_pong(output_of(client), payload);
    case frame_event::close:
      return on_end(client, client.is_joined() ? counters_.lost : counters_.failures);
    case frame_event::error:
      ++counters_.broken;
      return on_end(client, counters_.failures);
    case frame_event::binary:
    case frame_event::pong:
    case frame_event::none:
      return;
  }
}

void engine::on_message(client& client, std::string_view text, std::uint64_t now) {
  auto message = read_message(text);
  if (!message) {
    ++counters_.broken;
    return;
  }
  if (message->is_reply()) return on_reply(client, *message, now);
  if (message->event == options_.broadcast_event) {
    ++counters_.deliveries;
    auto stamp = stamp_in(message->payload);
    if (stamp != 0 && stamp < now) counters_.delivering.add(now - stamp);
  } else if (message->event == "phx_error" && message->join_ref == own_join_ref) {
    ++counters_.crashes;
    counters_.unanswered.subtract(client.unanswered);
    client.unanswered = 0;
    if (client.is_joined()) {
      counters_.joined.subtract(1);
      ++under_way_;
      client.began = now;
      join(client);
    }
  }
}

void engine::on_reply(client& client, const incoming_message& message, std::uint64_t now) {
  if (message.topic == "phoenix") return;
  if (client.state == client::state::joining) {
    if (message.is_ok()) return on_joined(client, now);
    ++counters_.error_replies;
    return on_end(client, counters_.failures);
  }
  ++counters_.replies;
  if (client.unanswered > 0) {
    --client.unanswered;
    counters_.unanswered.subtract(1);
  }
  if (!message.is_ok()) ++counters_.error_replies;
  auto stamp = stamp_in(message.payload);
  if (stamp != 0 && stamp < now)
    (is_herding() ? counters_.beside : counters_.replying).add(now - stamp);
  if (phase_ == phase::running || phase_ == phase::herding)
    scenario_->on_reply(*this, client, stamp, now);
}

// --- writing -------------------------------------------------------------------------------------

std::string engine::topic_of(const client& client) const {
  if (options_.topics == 1) return options_.topic;
  return options_.topic + std::to_string(client.index % options_.topics);
}

void engine::ask(client& client, std::string_view event, std::string_view payload) {
  ask(client, {.join_ref = own_join_ref,
               .ref = ++client.last_ref,
               .topic = topic_of(client),
               .event = event,
               .payload = payload});
}

void engine::ask(client& client, const outgoing_message& message) {
  append_message(output_of(client), message);
  ++counters_.sent;
  ++client.unanswered;
  ++counters_.unanswered;
}

void engine::tell(client& client, std::string_view event, std::string_view payload) {
  append_message(
      output_of(client), {.join_ref = own_join_ref,
                          .ref = ++client.last_ref,
                          .topic = topic_of(client),
                          .event = event,
                          .payload = payload});
  ++counters_.sent;
}

std::string& engine::output_of(client& client) {
  if (!client.is_pending) {
    client.is_pending = true;
    pending_.push_back(&client);
  }
  return client.output;
}

void engine::flush(client& client) {
  client.is_pending = false;
  if (client.output.empty()) return;
  auto sent = transmit(client, client.output.data(), client.output.size());
  if (sent.what == outcome::ended)
    return on_end(client, client.is_joined() ? counters_.lost : counters_.failures);
  client.output.erase(0, sent.size);
  // What a client keeps between its messages is what a hundred thousand of them keep.
  if (client.output.empty() && client.output.capacity() > 4096) client.output = {};
  bool waits = !client.output.empty();
  if (waits == client.waits_for_writing) return;
  client.waits_for_writing = waits;
  watch(client);
}

void engine::watch(client& client) {
  epoll_event event{};
  event.events = client.waits_for_writing ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u32 = static_cast<std::uint32_t>(&client - clients_.data());
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
}

}  // namespace roost::load
