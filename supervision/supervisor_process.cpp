#include "supervision/supervisor_process.hpp"
#include "supervision/supervisor_parts.hpp"
#include <algorithm>

namespace roost::detail {

// --- lanes ---------------------------------------------------------------------------------------

void supervisor_process::lane::pop() {
  steps_[first_++] = {};
  if (!empty()) return;
  steps_.clear();
  first_ = 0;
}

template <class F>
void supervisor_process::lane::remove_if(F is_out) {
  steps_.erase(steps_.begin(), steps_.begin() + static_cast<std::ptrdiff_t>(first_));
  first_ = 0;
  std::erase_if(steps_, is_out);
}

/// A child on its own with one_for_one; while everything starts or stops there is one lane for all.
supervisor_process::lane& supervisor_process::lane_of(child& child) {
  return strategy_ == one_for_one && !initializing_ && !is_ending() ? child.steps : main_;
}

void supervisor_process::plan_step(lane& lane, step step) {
  if (step.kind == step::kind::start) ++step.child->starts_planned;
  if (step.kind == step::kind::stop) ++step.child->stops_planned;
  lane.push(std::move(step));
}

void supervisor_process::drop_first(lane& lane) {
  auto& step = lane.front();
  if (step.kind == step::kind::start) --step.child->starts_planned;
  if (step.kind == step::kind::stop) --step.child->stops_planned;
  lane.pop();
}

template <class F>
void supervisor_process::drop_if(lane& lane, F is_out) {
  lane.remove_if([&](step& step) {
    if (!is_out(step)) return false;
    if (step.kind == step::kind::start) --step.child->starts_planned;
    if (step.kind == step::kind::stop) --step.child->stops_planned;
    return true;
  });
}

/// Carries out steps until one has to wait, or none is left.
void supervisor_process::run(lane& lane) {
  while (!lane.empty()) {
    auto step = lane.front();
    auto result = carry_out(step, lane);
    if (result == progress::waits) return;
    if (result == progress::done) drop_first(lane);
  }
}

void supervisor_process::proceed(child* child) {
  auto keep = child != nullptr ? child->shared_from_this() : nullptr;
  if (keep) run(keep->steps);
  run(main_);
}

supervisor_process::progress supervisor_process::carry_out(step& step, lane& lane) {
  switch (step.kind) {
    case step::kind::finish:
      return reach_goal();
    case step::kind::run:
      drop_first(lane);  // before: it may plan steps, and carry them out
      step.act();
      return progress::replanned;
    case step::kind::stop:
      return stop(*step.child, step.client);
    case step::kind::start:
      break;
  }
  if (!step.child->forgotten) return start(*step.child, step, lane);
  step.client.reply(child_result::failed(child_error::not_found));
  return progress::done;
}

// --- start and end of the supervisor -------------------------------------------------------------

supervisor_process::supervisor_process(supervisor_spec spec)
    : registered_(spec.name),
      name_(spec.name),
      strategy_(spec.strategy),
      auto_shutdown_(spec.auto_shutdown),
      intensity_(spec.max_restarts, spec.max_seconds),
      backoff_(spec.backoff) {
  for (auto& child_spec : spec.children) add(std::move(child_spec));
}

supervisor_process::~supervisor_process() {
  for (auto& child : children_) child->steps = {};  // they hold the child that holds them
}

init_outcome supervisor_process::init() {
  trap_exit(true);
  take_exits_while_initializing();
  if (name_.empty()) name_ = to_string(self());
  for (auto& child : children_) plan_step(main_, {step::kind::start, child});
  // Restarts that become necessary meanwhile come after this step, and do not hold it up.
  plan_step(main_, {step::kind::finish});
  goal_ = outcome::started;
  inside_init_ = true;
  proceed();
  inside_init_ = false;
  return init_result_ ? *init_result_ : init_outcome{init_status::later, {}};
}

supervisor_process::progress supervisor_process::reach_goal() {
  switch (std::exchange(goal_, outcome::none)) {
    case outcome::none:
      break;
    case outcome::started:
      finish_init({});
      break;
    case outcome::start_failed:
      finish_init({init_status::stop, goal_reason_});
      break;
    case outcome::shut_down:
      goal_ = outcome::shut_down;  // until the end of this handler
      stop_self(goal_reason_);
      break;
  }
  return progress::done;
}

void supervisor_process::finish_init(init_outcome result) {
  initializing_ = false;
  if (inside_init_)
    init_result_ = std::move(result);
  else
    detail::finish_init(std::move(result));
}

bool supervisor_process::is_ending() const noexcept {
  return goal_ == outcome::start_failed || goal_ == outcome::shut_down;
}

/// From now on: stop all children in reverse order, then end. Who waits for an operation is told of
/// our end.
supervisor_process::progress supervisor_process::give_up(outcome goal, exit_reason reason) {
  goal_ = goal;
  goal_reason_ = std::move(reason);
  drop_if(main_, [](step&) { return true; });
  for (auto& child : children_) {
    drop_if(child->steps, [](step&) { return true; });
    child->due = false;
  }
  for (auto child = children_.rbegin(); child != children_.rend(); ++child)
    plan_step(main_, {step::kind::stop, *child});
  plan_step(main_, {step::kind::finish});
  return progress::replanned;
}

// --- messages ------------------------------------------------------------------------------------

void supervisor_process::handle(message& message) {
  if (auto* exit = value_of<exited>(message))
    on_exit(*exit);
  else if (auto* up = value_of<wake_up>(message))
    wake(*up->child, up->attempt);
  else if (value_of<which_children>(message) != nullptr)
    from<std::vector<child_info>>(message.from, message.ref)
        .reply(list(static_cast<std::size_t>(-1)));
  else if (value_of<count_children>(message) != nullptr)
    from<child_counts>(message.from, message.ref).reply(counts());
  else if (auto* which = value_of<which_child>(message)) {
    auto* child = find(which->id);
    from<std::optional<child_info>>(message.from, message.ref)
        .reply(child == nullptr ? std::nullopt : std::optional(info(*child)));
  } else if (auto* get = value_of<get_childspec>(message)) {
    auto* child = get->process ? find(get->process) : find(get->id);
    from<std::optional<child_spec>>(message.from, message.ref)
        .reply(child == nullptr ? std::nullopt : std::optional(child->spec));
  } else if (auto* start = value_of<start_child>(message))
    add_and_start({message.from, message.ref}, std::move(start->spec));
  else if (auto* terminated = value_of<terminate_child>(message))
    terminate({message.from, message.ref}, terminated->id);
  else if (auto* restarted = value_of<restart_child>(message))
    restart({message.from, message.ref}, restarted->id);
  else if (auto* deleted = value_of<delete_child>(message))
    remove({message.from, message.ref}, deleted->id);
  else if (message.kind != message_kind::down && !handle_other(message))
    refuse(message, name_);
}

// --- questions -----------------------------------------------------------------------------------

bool supervisor_process::will_start(const child& child) const {
  return child.state == child_state::waiting || child.starts_planned > 0 || child.due;
}

child_info supervisor_process::info(const child& child) const {
  bool running = child.state == child_state::running;
  return {
      child.spec.id, running ? child.process : pid{}, !running && will_start(child),
      child.spec.type};
}

std::vector<child_info> supervisor_process::list(std::size_t most) const {
  std::vector<child_info> result;
  result.reserve(std::min(most, children_.size()));
  for (auto& child : children_) {
    if (result.size() == most) break;
    result.push_back(info(*child));
  }
  return result;
}

child_counts supervisor_process::counts() const {
  child_counts result;
  result.specs = children_.size();
  for (auto& child : children_) {
    result.active += child->state == child_state::running ? 1U : 0U;
    (child->spec.type == child_type::supervisor ? result.supervisors : result.workers) += 1;
  }
  return result;
}

tree_view supervisor_process::look(std::size_t most) const {
  auto shown = list(most);
  auto omitted = children_.size() - shown.size();
  return {registered_, std::string(to_string(strategy_)), std::move(shown), omitted};
}

// --- the list of children ------------------------------------------------------------------------

supervisor_process::child* supervisor_process::find(std::string_view id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

supervisor_process::child* supervisor_process::find(pid process) const {
  auto found = by_process_.find(process);
  return found == by_process_.end() ? nullptr : found->second;
}

supervisor_process::child& supervisor_process::add(child_spec spec) {
  auto child = std::make_shared<struct child>(std::move(spec));
  child->position = children_.size();
  by_id_.emplace(child->spec.id, child.get());
  children_.push_back(std::move(child));
  return *children_.back();
}

/// The caller keeps the child alive if it still needs it.
void supervisor_process::forget(child& child) {
  child.forgotten = true;
  by_id_.erase(child.spec.id);
  set_process(child, {});
  auto at = children_.begin() + static_cast<std::ptrdiff_t>(child.position);
  for (auto later = at + 1; later != children_.end(); ++later) --(*later)->position;
  children_.erase(at);
}

void supervisor_process::set_process(child& child, pid process) {
  if (child.process) by_process_.erase(child.process);
  child.process = process;
  if (process) by_process_.insert_or_assign(process, &child);
}

offender supervisor_process::as_offender(const child& child) const {
  auto& spec = child.spec;
  return {spec.id, child.process, spec.restart, spec.shutdown, spec.type};
}

// --- operations ----------------------------------------------------------------------------------

/// What comes while the child is being stopped has its turn after that.
bool supervisor_process::postpone(child& child, std::function<void()> act) {
  if (child.state != child_state::stopping && child.stops_planned == 0) return false;
  plan_step(lane_of(child), {step::kind::run, child.shared_from_this(), 0, {}, std::move(act)});
  return true;
}

void supervisor_process::add_and_start(const client& client, child_spec spec) {
  if (is_ending()) return;
  if (auto* present = find(spec.id)) {
    auto again = [=, this] { add_and_start(client, spec); };
    if (postpone(*present, again)) return;
    return client.reply(
        present->state == child_state::running || present->state == child_state::starting
            ? child_result::failed(child_error::already_started, present->process)
            : child_result::failed(child_error::already_present));
  }
  if (spec.significant && auto_shutdown_ == auto_shutdown::never)
    return client.reply(child_result::failed(
        child_error::invalid_spec,
        exit_reason(
            "bad_combination: expected auto_shutdown to be set for a significant child, "
            "got never with child " +
            spec.id)));
  auto& child = add(std::move(spec));
  child.fresh = true;
  plan_step(lane_of(child), {step::kind::start, child.shared_from_this(), 0, client});
  proceed(&child);
}

void supervisor_process::terminate(const client& client, const std::string& id) {
  if (is_ending()) return;
  auto* child = find(id);
  if (child == nullptr) return client.reply(child_result::failed(child_error::not_found));
  if (postpone(*child, [=, this] { terminate(client, id); })) return;
  auto keep = child->shared_from_this();
  give_up_start(*child);
  plan_step(lane_of(*child), {step::kind::stop, keep, 0, client});
  proceed(child);
}

void supervisor_process::restart(const client& client, const std::string& id) {
  if (is_ending()) return;
  auto* child = find(id);
  if (child == nullptr) return client.reply(child_result::failed(child_error::not_found));
  if (postpone(*child, [=, this] { restart(client, id); })) return;
  if (child->state == child_state::running || child->state == child_state::starting)
    return client.reply(child_result::failed(child_error::running));
  if (will_start(*child)) return client.reply(child_result::failed(child_error::restarting));
  plan_step(lane_of(*child), {step::kind::start, child->shared_from_this(), 0, client});
  proceed(child);
}

void supervisor_process::remove(const client& client, const std::string& id) {
  if (is_ending()) return;
  auto* child = find(id);
  if (child == nullptr) return client.reply(child_result::failed(child_error::not_found));
  if (postpone(*child, [=, this] { remove(client, id); })) return;
  if (child->state == child_state::running || child->state == child_state::starting)
    return client.reply(child_result::failed(child_error::running));
  if (will_start(*child)) return client.reply(child_result::failed(child_error::restarting));
  forget(*child);
  client.reply(child_result::ok());
}

/// Forgets that the child was about to start. Who has asked for that hears of it; who was to come
/// back with it stays down, as in OTP.
void supervisor_process::give_up_start(child& child) {
  child.wake_timer.cancel();
  ++child.attempt;
  child.due = false;
  if (child.state == child_state::waiting) {
    child.state = child_state::stopped;
    bool last = std::none_of(children_.begin(), children_.end(), [](auto& other) {
      return other->state == child_state::waiting;
    });
    if (last && strategy_ != one_for_one)
      for (auto& other : children_) other->due = false;
  }
  child.fresh = false;
  auto is_start = [&](step& step) {
    if (step.kind != step::kind::start || step.child.get() != &child) return false;
    step.client.reply(child_result::failed(child_error::start_failed, "terminated"));
    return true;
  };
  drop_if(child.steps, is_start);
  drop_if(main_, is_start);
}

// --- steps ---------------------------------------------------------------------------------------

supervisor_process::progress supervisor_process::stop(child& child, const client& client) {
  if (child.state == child_state::stopping) return progress::waits;
  if (child.state == child_state::waiting) child.wake_timer.cancel();
  if (child.state == child_state::stopped || child.state == child_state::waiting) {
    child.state = child_state::stopped;
    if (client.ref() && !child.forgotten && child.spec.restart == temporary) forget(child);
    client.reply(child_result::ok());
    return progress::done;
  }
  child.state = child_state::stopping;
  link(child.process);  // or a child that has unlinked itself would be waited for in vain
  auto& limit = child.spec.shutdown;
  exit(child.process, limit.is_brutal_kill() ? exit_reason::kill : exit_reason::shutdown);
  if (!limit.is_brutal_kill() && !limit.is_infinity())
    child.kill_timer = exit_after(limit.limit(), child.process, exit_reason::kill);
  return progress::waits;
}

supervisor_process::progress supervisor_process::start(
    child& child, const step& step, const lane& lane) {
  if (child.state == child_state::running) {  // what came before has started it
    step.client.reply(child_result::failed(child_error::running));
    return progress::done;
  }
  if (child.state == child_state::starting || child.state == child_state::stopping)
    return progress::waits;
  child.wake_timer.cancel();
  ++child.attempt;
  child.due = false;
  child.state = child_state::starting;
  child.starts_in_main = &lane == &main_;
  auto outcome = call_start(child);
  if (outcome.status != start_status::later) return on_started(child, step, outcome);
  set_process(child, outcome.process);
  return progress::waits;
}

start_outcome supervisor_process::call_start(child& child) {
  return outcome_of_start([&] {
    return child.spec.start([me = self(), child = child.shared_from_this(), attempt = child.attempt,
                             this](start_outcome later) {
      run_in(me, [this, child, attempt, later] { on_started_later(*child, attempt, later); });
    });
  });
}

/// The step that has begun the start is still the first of its lane, unless everything is to end.
void supervisor_process::on_started_later(
    child& child, unsigned attempt, const start_outcome& outcome) {
  if (child.forgotten || child.state != child_state::starting || child.attempt != attempt) return;
  auto& lane = child.starts_in_main ? main_ : child.steps;
  bool planned =
      !lane.empty() && lane.front().kind == step::kind::start && lane.front().child.get() == &child;
  auto step = planned ? lane.front() : supervisor_process::step{step::kind::start};
  auto result = on_started(child, step, outcome);
  if (planned && result == progress::done) drop_first(lane);
  proceed(&child);
}

supervisor_process::progress supervisor_process::on_started(
    child& child, const step& step, const start_outcome& outcome) {
  if (outcome.status == start_status::ready) {
    set_process(child, outcome.process);
    child.state = child_state::running;
    child.fresh = false;
    child.delay.started(restart_delay::clock::now());
    report_progress(name_, as_offender(child));
    step.client.reply(child_result::started(child.process));
    return progress::done;
  }
  auto keep = child.shared_from_this();
  set_process(child, {});
  child.state = child_state::stopped;
  if (outcome.status == start_status::ignored) {
    child.fresh = false;
    if (child.spec.restart == temporary) forget(child);
    step.client.reply(child_result::started({}));
    return progress::done;
  }
  if (step.client.ref()) {
    if (child.fresh) forget(child);
    step.client.reply(
        outcome.status == start_status::already_started
            ? child_result::failed(child_error::already_started, outcome.process)
            : child_result::failed(child_error::start_failed, outcome.reason));
    return progress::done;
  }
  return on_start_failed(
      child, step,
      outcome.status == start_status::already_started
          ? exit_reason("{already_started, " + to_string(outcome.process) + "}")
          : outcome.reason);
}

supervisor_process::progress supervisor_process::on_start_failed(
    child& child, const step& step, const exit_reason& reason) {
  report_child(name_, "start_error", as_offender(child), reason);
  // It is about to be stopped anyway, so there is nothing to try again.
  if (child.stops_planned > 0) return progress::done;
  if (!initializing_) return try_again(child, step);
  return give_up(
      outcome::start_failed,
      exit_reason::shutdown_with(
          "{failed_to_start_child, " + child.spec.id + ", " + reason.to_string() + "}"));
}

/// A child that fails to restart is tried again, until there were too many restarts. The next try
/// waits for its turn behind the messages that are there, so that they are answered. Who was to
/// come back with the child waits with it.
supervisor_process::progress supervisor_process::try_again(child& child, const step& failed) {
  if (!count_restart(child)) return progress::replanned;
  auto belongs = [&](step& step) {
    return step.kind == step::kind::start &&
           (step.child.get() == &child || (failed.plan != 0 && step.plan == failed.plan));
  };
  drop_if(child.starts_in_main ? main_ : child.steps, belongs);
  plan_later(child, delay_of(child));
  return progress::replanned;
}

// --- exits ---------------------------------------------------------------------------------------

void supervisor_process::stop(const exit_reason& reason) {
  give_up(outcome::shut_down, reason);
  proceed();
}

void supervisor_process::on_exit(const exited& exit) {
  auto* found = find(exit.from);
  if (found == nullptr) {
    if (is_parent_exit(exit)) stop(exit.reason);
    return;
  }
  auto keep = found->shared_from_this();
  auto& child = *keep;
  if (child.state == child_state::starting)  // its init has not come to an end
    return on_started_later(child, child.attempt, {start_status::failed, {}, exit.reason});
  child.kill_timer.cancel();
  // A child may end by itself before the stop that it waits for comes to it: that is a stop too.
  bool expected = child.state == child_state::stopping || child.stops_planned > 0;
  child.state = child_state::stopped;
  if (expected)
    report_bad_stop(child, exit.reason);
  else if (!exit.reason.is_orderly() || child.spec.restart == permanent)
    report_child(name_, "child_terminated", as_offender(child), exit.reason);
  set_process(child, {});
  if (!expected)
    on_end(child, exit.reason);
  else if (child.spec.restart == temporary)
    forget(child);
  proceed(&child);
}

void supervisor_process::report_bad_stop(const child& child, const exit_reason& reason) const {
  bool as_wished = reason.is_orderly() ||
                   (child.spec.shutdown.is_brutal_kill() && reason == exit_reason::killed);
  if (!as_wished) report_child(name_, "shutdown_error", as_offender(child), reason);
}

/// A child has ended by itself.
void supervisor_process::on_end(child& child, const exit_reason& reason) {
  if (comes_back(child.spec.restart, reason)) {
    if (!count_restart(child)) return;
    if (auto delay = delay_of(child); delay.count() > 0)
      plan_later(child, delay);
    else
      plan(child);
    return;
  }
  bool ends_us = child.spec.significant && auto_shutdown_applies();
  if (child.spec.restart == temporary) forget(child);
  if (ends_us) give_up(outcome::shut_down, exit_reason::shutdown);
}

/// A significant child that is being restarted has not ended.
bool supervisor_process::auto_shutdown_applies() const {
  if (auto_shutdown_ == auto_shutdown::never) return false;
  if (auto_shutdown_ == auto_shutdown::any_significant) return true;
  return std::none_of(children_.begin(), children_.end(), [&](auto& child) {
    return child->spec.significant && (child->state == child_state::running || will_start(*child));
  });
}

// --- restarts ------------------------------------------------------------------------------------

/// Answers false when there were too many: then everything is about to stop.
bool supervisor_process::count_restart(const child& child) {
  if (intensity_.allow(restart_intensity::clock::now())) {
    supervision_counters().restarts.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  supervision_counters().gave_up.fetch_add(1, std::memory_order_relaxed);
  report_child(name_, "shutdown", as_offender(child), "reached_max_restart_intensity");
  give_up(outcome::shut_down, exit_reason::shutdown);
  return false;
}

void supervisor_process::plan(child& ended) {
  auto& lane = lane_of(ended);
  auto number = ++plans_;
  if (strategy_ == one_for_one)
    return plan_step(lane, {step::kind::start, ended.shared_from_this(), number});
  auto plan = plan_restart(strategy_, children_.size(), ended.position);
  for (auto i : plan.stop) plan_step(lane, {step::kind::stop, children_[i], number});
  for (auto i : plan.start) plan_step(lane, {step::kind::start, children_[i], number});
}

/// Stops whom the restart concerns; it is planned again when the pause is over.
void supervisor_process::plan_later(child& ended, std::chrono::milliseconds delay) {
  if (strategy_ != one_for_one) {
    auto plan = plan_restart(strategy_, children_.size(), ended.position);
    for (auto i : plan.stop) plan_step(main_, {step::kind::stop, children_[i], ++plans_});
    for (auto i : plan.start) children_[i]->due = true;
  }
  wait(ended, delay);
}

std::chrono::milliseconds supervisor_process::delay_of(child& child) {
  auto& options = child.spec.backoff ? child.spec.backoff : backoff_;
  if (!options) return std::chrono::milliseconds(0);
  return child.delay.next(*options, restart_delay::clock::now(), random_part());
}

void supervisor_process::wait(child& child, std::chrono::milliseconds delay) {
  child.state = child_state::waiting;
  auto attempt = ++child.attempt;
  auto keep = child.shared_from_this();
  if (delay.count() > 0)
    child.wake_timer = send_after(delay, self(), wake_up{std::move(keep), attempt});
  else
    run_in(self(), [this, keep = std::move(keep), attempt] { wake(*keep, attempt); });
}

void supervisor_process::wake(child& child, unsigned attempt) {
  bool stale = child.forgotten || child.state != child_state::waiting || child.attempt != attempt;
  if (stale || is_ending()) return;
  plan(child);
  proceed(&child);
}

}  // namespace roost::detail
