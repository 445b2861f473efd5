#include "runtime/gen_statem.hpp"
#include "runtime/process_core.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

// Events that wait inside are handled in turns, so that a machine that feeds itself does not keep
// its worker from others, and can be killed.
constexpr int events_per_turn = 64;

bool is_ending() { return current_process()->ending != nullptr; }

/// Shows crash reports the event that is handled, not the message that made it come.
class as_handled {
 public:
  explicit as_handled(message& event)
      : process_(*current_process()), before_(std::exchange(process_.handling, &event)) {}
  as_handled(const as_handled&) = delete;
  as_handled& operator=(const as_handled&) = delete;
  ~as_handled() { process_.handling = before_; }

 private:
  process& process_;
  message* before_;
};

void send_to_self(message_ptr message) { enqueue(self(), std::move(message)); }

}  // namespace

void throw_unknown_state(std::string_view machine, int state) {
  throw std::logic_error(
      "expected a state of " + std::string(machine) + " to be an enumerator from 0 to 63, got " +
      std::to_string(state));
}

// --- what a handler wants ------------------------------------------------------------------------

statem_plan::statem_plan() noexcept = default;
statem_plan::statem_plan(statem_plan&&) noexcept = default;
statem_plan& statem_plan::operator=(statem_plan&&) noexcept = default;
statem_plan::~statem_plan() = default;

void statem_plan::answer(pid caller, reference ref, message_ptr reply) {
  replies.push_back({caller, ref, std::move(reply)});
}

void statem_plan::insert(message_ptr event) { next_events.push_back(std::move(event)); }

void statem_plan::set_timeout(timeout_order order, message_ptr content) {
  order.content = std::move(content);
  timeouts.push_back(std::move(order));
}

// --- events in, one at a time --------------------------------------------------------------------

statem_engine::statem_engine() = default;
statem_engine::~statem_engine() = default;

void statem_engine::begin(int state, statem_plan plan) {
  state_ = state;
  if (!enter(state, plan)) return;
  for (auto& event : plan.next_events) queue_.push_back({std::move(event), {}});
  for (auto& order : plan.timeouts) set_timeout(std::move(order));
  if (!queue_.empty()) {
    goes_on_ = true;
    send_to_self(make_message<go_on>(message_kind::info));
  }
}

void statem_engine::handle(message& message) {
  if (auto* fired = value_of<timeout_fired>(message))
    on_timeout_fired(fired->ref);
  else if (value_of<go_on>(message) != nullptr)
    goes_on_ = false;
  else if (auto* exit = value_of<exited>(message); exit != nullptr && is_parent_exit(*exit))
    return stop_self(exit->reason);
  else
    receive(message);
  run_queue();
}

void statem_engine::receive(message& message) {
  if (queue_.empty()) return run(message, nullptr);
  if (auto own = adopt(message))
    queue_.push_back({std::move(own), {}});
  else
    unexpected(message, initial_call());
}

void statem_engine::run_queue() {
  for (int budget = events_per_turn; !queue_.empty() && !is_ending(); --budget) {
    if (budget == 0) {
      if (!std::exchange(goes_on_, true)) send_to_self(make_message<go_on>(message_kind::info));
      return;
    }
    auto next = std::move(queue_.front());
    queue_.pop_front();
    if (next.timeout) next.event = take_timeout(next.timeout);
    if (!next.event) continue;  // a time-out that was cancelled while it waited
    auto& event = *next.event;
    run(event, std::move(next.event));
  }
}

void statem_engine::run(message& event, message_ptr own) {
  cancel(timeout_kind::event);
  as_handled scope{event};
  statem_plan plan;
  auto result = on_event(event, plan);
  if (result == outcome::handled) return transition(event, std::move(own), std::move(plan));
  if (result == outcome::unhandled)
    throw std::logic_error(
        "expected " + std::string(initial_call()) + " to handle " + std::string(event.type->name) +
        " in state " + std::string(state_name()) + ", got no handle_event for it");
  if (event.kind == message_kind::call || event.kind == message_kind::cast)
    crash_unexpected(event, initial_call());
  unexpected(event, initial_call());
}

// --- from one state to the next ------------------------------------------------------------------

void statem_engine::transition(message& event, message_ptr own, statem_plan plan) {
  using move = statem_plan::move;
  bool changes = plan.what == move::next && plan.next != state_;
  auto before = state_;
  if (changes) state_ = plan.next;
  if (changes || plan.what == move::repeat) {
    if (!enter(before, plan)) return;
  } else {
    for (auto& order : plan.replies) send_reply(order.caller, order.ref, std::move(order.reply));
    if (plan.what == move::stop) return stop_self(std::move(plan.reason));
  }
  if (plan.postpone) {
    if (plan.consumed)
      throw std::logic_error(
          "expected a postponed event to be copyable, or to be taken by const "
          "reference, got " +
          std::string(event.type->name));
    postponed_.push_back(own ? std::move(own) : adopt(event));
  }
  if (changes) {
    cancel(timeout_kind::state);
    for (auto again = postponed_.rbegin(); again != postponed_.rend(); ++again)
      queue_.push_front({std::move(*again), {}});
    postponed_.clear();
  }
  for (auto next = plan.next_events.rbegin(); next != plan.next_events.rend(); ++next)
    queue_.push_front({std::move(*next), {}});
  for (auto& order : plan.timeouts) set_timeout(std::move(order));
}

/// Sends the replies and enters the present state, whose wishes are added to the plan. Answers
/// false when that was the end.
bool statem_engine::enter(int before, statem_plan& plan) {
  for (auto& order : plan.replies) send_reply(order.caller, order.ref, std::move(order.reply));
  statem_plan entering;
  on_enter(before, entering);
  for (auto& order : entering.replies) send_reply(order.caller, order.ref, std::move(order.reply));
  if (entering.what == statem_plan::move::stop) {
    stop_self(std::move(entering.reason));
    return false;
  }
  std::move(entering.timeouts.begin(), entering.timeouts.end(), std::back_inserter(plan.timeouts));
  return true;
}

// --- time-outs -----------------------------------------------------------------------------------

statem_engine::active_timeout* statem_engine::find(timeout_kind kind, std::string_view name) {
  auto found = std::find_if(timeouts_.begin(), timeouts_.end(), [&](const active_timeout& each) {
    return each.kind == kind && each.name == name;
  });
  return found == timeouts_.end() ? nullptr : &*found;
}

void statem_engine::cancel(timeout_kind kind, std::string_view name) {
  auto* active = find(kind, name);
  if (active == nullptr) return;
  active->clock.cancel();  // it may have fired already: its message will find nobody
  timeouts_.erase(timeouts_.begin() + (active - timeouts_.data()));
}

void statem_engine::set_timeout(timeout_order order) {
  if (auto* active = find(order.kind, order.name); active != nullptr && order.only_content) {
    active->content = std::move(order.content);
    return;
  }
  cancel(order.kind, order.name);
  if (!order.is_absolute && order.delay.count() < 0) return;
  active_timeout active{
      order.kind, std::move(order.name), make_ref(), std::move(order.content), {}};
  if (!order.is_absolute && order.delay.count() == 0) {
    // Comes after what waits here, and before anything that is not here yet.
    queue_.push_back({nullptr, active.ref});
  } else {
    auto delay = order.delay;
    if (order.is_absolute)
      delay -= std::chrono::floor<std::chrono::milliseconds>(
          std::chrono::steady_clock::now().time_since_epoch());
    active.clock = timer(
        arm_timer(delay, self(), make_message<timeout_fired>(message_kind::info, active.ref)));
  }
  timeouts_.push_back(std::move(active));
}

/// The event of a time-out that has come; null when it was cancelled in between.
message_ptr statem_engine::take_timeout(reference ref) {
  auto found = std::find_if(timeouts_.begin(), timeouts_.end(), [&](const active_timeout& each) {
    return each.ref == ref;
  });
  if (found == timeouts_.end()) return nullptr;
  auto event = std::move(found->content);
  timeouts_.erase(found);
  return event;
}

void statem_engine::on_timeout_fired(reference ref) { queue_.push_back({nullptr, ref}); }

}  // namespace roost::detail
