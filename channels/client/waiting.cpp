// Who waits for what of a client, and what happens when it does not come in time.
#include "channels/client/client_process.hpp"

namespace roost::detail {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t never = ~0ULL;

}  // namespace

void client_process::answer(const wait& wait, client_reply reply) {
  if (wait.call) from<client_reply>{wait.caller, wait.call}.reply(std::move(reply));
}

void client_process::answer_event(const wait& wait, std::optional<roost::client_event> event) {
  from<std::optional<roost::client_event>>{wait.caller, wait.call}.reply(std::move(event));
}

void client_process::add_wait(std::uint64_t ref, wait wait, milliseconds timeout) {
  wait.deadline = timeout.count() < 0 ? never : exact_now() + in_ms(timeout);
  waits_.emplace(ref, wait);
  if (wait.deadline < armed_deadline_) arm_deadline();
}

void client_process::await_join(message& message, const client_await_join& request) {
  auto* of = find(request.channel);
  const wait caller{
      .what = wait::kind::joined, .of = of, .caller = message.from, .call = message.ref};
  if (of == nullptr || of->now == channel::state::closed)
    return answer(caller, own_reply("closed", "the channel is closed"));
  if (of->outcome) return answer(caller, *of->outcome);
  add_wait(next_ref_++, caller, request.timeout);
}

void client_process::await_leave(message& message, const client_await_leave& request) {
  auto* of = find(request.channel);
  const wait caller{
      .what = wait::kind::left, .of = of, .caller = message.from, .call = message.ref};
  if (of == nullptr || of->now == channel::state::closed) return answer(caller, {"ok", {}, false});
  add_wait(next_ref_++, caller, request.timeout);
}

void client_process::receive(message& message, const client_receive& request) {
  auto* of = find(request.channel);
  const wait caller{
      .what = wait::kind::receive, .of = of, .caller = message.from, .call = message.ref};
  if (of == nullptr || !of->waiting_events) return answer_event(caller, std::nullopt);
  auto& events = of->waiting_events->events;
  if (events.empty()) return add_wait(next_ref_++, caller, request.timeout);
  of->waiting_events->bytes -= size_of(events.front());
  answer_event(caller, std::move(events.front()));
  events.pop_front();
  if (events.empty() && of->now == channel::state::closed) erase(*of);
}

void client_process::arm_deadline() {
  auto earliest = never;
  for (auto& [ref, each] : waits_) earliest = std::min(earliest, each.deadline);
  deadline_timer_.cancel();
  armed_deadline_ = earliest;
  if (earliest == never) return;
  const auto now = exact_now();
  const auto left = earliest > now ? earliest - now : 0;
  deadline_timer_ = send_after(milliseconds(left), self(), deadline_due{});
}

void client_process::on_deadline() {
  const auto now = exact_now();
  std::vector<std::uint64_t> due;
  for (auto& [ref, each] : waits_)
    if (each.deadline <= now) due.push_back(ref);
  for (auto ref : due) {
    // One that ends may end others, of the same channel.
    auto found = waits_.find(ref);
    if (found == waits_.end()) continue;
    const auto taken = waits_.extract(found);
    expire(ref, taken.mapped());
  }
  arm_deadline();
}

void client_process::expire(std::uint64_t ref, const wait& wait) {
  using kind = wait::kind;
  switch (wait.what) {
    case kind::push:
      if (!wait.sent) drop_buffered(*wait.of, ref);
      return answer(wait, own_reply("timeout", "no answer in time"));
    case kind::join: {
      // The server may have joined us after all; phoenix.js leaves for the same reason.
      send(wait.of->join_ref, next_ref_++, wait.of->topic, "phx_leave", {});
      if (phase_ != phase::open) return;
      wait.of->outcome = own_reply("timeout", "no answer to the join in time");
      finish_waits(
          [&](const auto& each) { return each.of == wait.of && each.what == kind::joined; },
          [&](const auto& each) { answer(each, *wait.of->outcome); });
      return errored(*wait.of, wait.of->outcome->response);
    }
    case kind::leave:
      return close(*wait.of, "left");
    case kind::joined:
      return answer(wait, own_reply("timeout", "not joined in time"));
    case kind::left:
      return answer(wait, own_reply("timeout", "not left in time"));
    case kind::receive:
      return answer_event(wait, std::nullopt);
  }
}

}  // namespace roost::detail
