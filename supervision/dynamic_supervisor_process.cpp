#include "supervision/dynamic_supervisor_process.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_core.hpp"
#include "supervision/supervisor_parts.hpp"
#include <algorithm>
#include <set>

namespace roost::detail {

dynamic_supervisor_process::child::child(child_request request)
    : maker(std::move(request.maker)),
      shutdown(request.shutdown),
      restart_type(static_cast<std::uint8_t>(request.restart)),
      type(request.type) {
  if (request.backoff) more().backoff = std::move(request.backoff);
}

dynamic_supervisor_process::particulars& dynamic_supervisor_process::child::more() {
  if (!extra) extra = std::make_unique<particulars>();
  return *extra;
}

dynamic_supervisor_process::dynamic_supervisor_process(dynamic_supervisor::options options)
    : registered_(options.name),
      name_(std::move(options.name)),
      max_children_(options.max_children),
      intensity_(options.max_restarts, options.max_seconds),
      backoff_(options.backoff),
      extra_arguments_(std::move(options.extra_arguments)) {}

init_outcome dynamic_supervisor_process::init() {
  trap_exit(true);
  if (name_.empty()) name_ = to_string(self());
  return {};
}

void dynamic_supervisor_process::handle(message& message) {
  if (auto* started = value_of<start_child>(message))
    start({message.from, message.ref}, std::move(started->request));
  else if (auto* exit = value_of<exited>(message))
    on_exit(*exit);
  else if (auto* terminated = value_of<terminate_child>(message))
    terminate({message.from, message.ref}, terminated->process);
  else if (auto* up = value_of<wake_up>(message))
    wake(*up);
  else if (auto* ready = value_of<became_ready>(message))
    on_ready(ready->child);
  else if (auto* kill = value_of<kill_the_rest>(message))
    kill_rest(kill->after);
  else if (value_of<which_children>(message) != nullptr)
    from<std::vector<child_info>>(message.from, message.ref)
        .reply(list(dynamic_supervisor::no_limit));
  else if (value_of<count_children>(message) != nullptr)
    from<child_counts>(message.from, message.ref).reply(counts());
  else if (message.kind != message_kind::down && !handle_other(message))
    refuse(message, name_);
}

// --- questions -----------------------------------------------------------------------------------

std::vector<child_info> dynamic_supervisor_process::list(std::size_t most) const {
  std::vector<child_info> result;
  result.reserve(std::min(most, children_.size()));
  for (auto& [process, child] : children_) {
    if (result.size() == most) break;
    bool runs = child.state == child_state::running || child.state == child_state::stopping;
    result.push_back({{}, runs ? process : pid{}, !runs, child.type});
  }
  return result;
}

child_counts dynamic_supervisor_process::counts() const {
  child_counts result;
  result.specs = children_.size();
  for (auto& [process, child] : children_) {
    bool runs = child.state == child_state::running || child.state == child_state::stopping;
    result.active += runs ? 1U : 0U;
    (child.type == child_type::supervisor ? result.supervisors : result.workers) += 1;
  }
  return result;
}

tree_view dynamic_supervisor_process::look(std::size_t most) const {
  auto shown = list(most);
  auto omitted = children_.size() - shown.size();
  return {registered_, "dynamic", std::move(shown), omitted};
}

offender dynamic_supervisor_process::as_offender(pid process, const child& child) const {
  return {"undefined", process, child.restart(), child.shutdown, child.type};
}

// --- starting ------------------------------------------------------------------------------------

void dynamic_supervisor_process::start(const client& client, child_request request) {
  if (ending_) return;  // our end is the answer
  if (children_.size() >= max_children_)
    return client.reply(child_result::failed(child_error::max_children));
  auto outcome = call_start(*request.maker);
  switch (outcome.status) {
    case start_status::ready:
      insert(outcome.process, child(std::move(request)), child_state::running);
      return client.reply(child_result::started(outcome.process));
    case start_status::later: {
      child late(std::move(request));
      late.more().starter = client;
      return insert(outcome.process, std::move(late), child_state::starting);
    }
    case start_status::ignored:
      return client.reply(child_result::started({}));
    case start_status::already_started:
      return client.reply(child_result::failed(child_error::already_started, outcome.process));
    case start_status::failed:
      return client.reply(child_result::failed(child_error::start_failed, outcome.reason));
  }
}

/// An exception in a start function is a child that did not start, not a crash of its supervisor.
start_outcome dynamic_supervisor_process::call_start(child_maker& maker) {
  extra_arguments_scope offered{&extra_arguments_};
  return outcome_of_start([&] {
    return maker.start([me = self().id](const start_outcome& outcome) {
      // One that has failed says so by its exit.
      if (outcome.status == start_status::ready) send(pid{me, 0}, became_ready{outcome.process});
    });
  });
}

void dynamic_supervisor_process::insert(pid process, child child, child_state state) {
  child.state = state;
  if (child.restart() == temporary) child.maker.reset();
  if (state == child_state::running) {
    report_progress(name_, as_offender(process, child));
    if (child.extra || backoff_) child.more().delay.started(restart_delay::clock::now());
  }
  children_.insert_or_assign(process, std::move(child));
}

void dynamic_supervisor_process::adopt(pid process, child_request request) {
  insert(process, child(std::move(request)), child_state::running);
  if (ending_) stop(process, children_.at(process));
}

void dynamic_supervisor_process::on_ready(pid process) {
  auto at = children_.find(process);
  if (at == children_.end() || at->second.state != child_state::starting) return;
  auto& child = at->second;
  child.state = child_state::running;
  child.extra->delay.started(restart_delay::clock::now());
  report_progress(name_, as_offender(process, child));
  std::exchange(child.extra->starter, {}).reply(child_result::started(process));
  if (!child.extra->backoff && !backoff_) child.extra.reset();
}

/// An init that has said `later` has come to no good end.
void dynamic_supervisor_process::on_start_ended(table::iterator at, const exit_reason& reason) {
  auto& child = at->second;
  auto starter = std::exchange(child.more().starter, {});
  if (reason == exit_reason::normal) {  // ignore()
    children_.erase(at);
    return starter.reply(child_result::started({}));
  }
  if (starter.ref()) {
    children_.erase(at);
    return starter.reply(child_result::failed(child_error::start_failed, reason));
  }
  report_child(name_, "start_error", as_offender(at->first, child), reason);
  restart_at(at);
}

// --- stopping ------------------------------------------------------------------------------------

void dynamic_supervisor_process::tell_to_stop(pid process, child& child) {
  child.state = child_state::stopping;
  link(process);  // one that has unlinked itself would be waited for in vain
  exit(process, child.shutdown.is_brutal_kill() ? exit_reason::kill : exit_reason::shutdown);
}

void dynamic_supervisor_process::stop(pid process, child& child) {
  if (child.state == child_state::stopping) return;
  tell_to_stop(process, child);
  auto& limit = child.shutdown;
  if (!limit.is_brutal_kill() && !limit.is_infinity())
    child.more().kill_timer = exit_after(limit.limit(), process, exit_reason::kill);
}

void dynamic_supervisor_process::terminate(const client& client, pid process) {
  if (ending_) return;
  auto at = children_.find(process);
  if (at == children_.end()) return client.reply(child_result::failed(child_error::not_found));
  auto& child = at->second;
  if (child.state == child_state::restarting) {
    if (child.extra) child.extra->wake_timer.cancel();
    children_.erase(at);
    return client.reply(child_result::ok());
  }
  child.more().enders.push_back(client);
  stop(process, child);
}

/// In the order of their places in the process table, which is that of their memory, roughly: a
/// hundred thousand that are visited in the order of the hash cost three times as much.
std::vector<pid> dynamic_supervisor_process::processes_in_order() const {
  std::vector<pid> result;
  result.reserve(children_.size());
  for (auto& [process, child] : children_) result.push_back(process);
  std::sort(result.begin(), result.end(), [](pid a, pid b) {
    return (a.id & index_mask) < (b.id & index_mask);
  });
  return result;
}

/// Stops all children at once, then ends. One timer for all that have the same time to stop.
void dynamic_supervisor_process::stop(const exit_reason& reason) {
  if (ending_) return;
  ending_ = reason;
  erase_if(children_, [](auto& entry) { return entry.second.state == child_state::restarting; });
  std::set<std::chrono::milliseconds> limits;
  for (auto process : processes_in_order()) {
    auto& child = children_.at(process);
    if (child.state == child_state::stopping) continue;
    tell_to_stop(process, child);
    if (!child.shutdown.is_brutal_kill() && !child.shutdown.is_infinity())
      limits.insert(child.shutdown.limit());
  }
  for (auto limit : limits) send_after(limit, self(), kill_the_rest{limit});
  end_if_done();
}

void dynamic_supervisor_process::kill_rest(shutdown_time after) {
  for (auto& [process, child] : children_)
    if (child.shutdown.limit() == after.limit()) exit(process, exit_reason::kill);
}

void dynamic_supervisor_process::end_if_done() {
  if (!ending_ || !children_.empty()) return;
  report_bad_stops();
  stop_self(*ending_);
}

void dynamic_supervisor_process::note_bad_stop(
    pid process, const child& child, const exit_reason& reason) {
  bool as_wished =
      reason.is_orderly() || (child.shutdown.is_brutal_kill() && reason == exit_reason::killed);
  if (as_wished) return;
  if (ending_)
    ++bad_stops_[reason.to_string()];
  else
    report_child(name_, "shutdown_error", as_offender(process, child), reason);
}

/// One report for each reason, as in OTP: there may be very many children.
void dynamic_supervisor_process::report_bad_stops() {
  for (auto& [reason, count] : std::exchange(bad_stops_, {}))
    logger::report(
        log_level::error, "supervisor_report", "children did not stop as they should",
        {{"supervisor", name_},
         {"context", "shutdown_error"},
         {"child", "undefined"},
         {"reason", reason},
         {"children", count}});
}

// --- exits and restarts --------------------------------------------------------------------------

void dynamic_supervisor_process::on_exit(const exited& exit) {
  auto at = children_.find(exit.from);
  if (at == children_.end()) {
    if (is_parent_exit(exit)) stop(exit.reason);
    return;
  }
  auto& child = at->second;
  switch (child.state) {
    case child_state::restarting:
      return;
    case child_state::starting:
      return on_start_ended(at, exit.reason);
    case child_state::running:
      return on_end(at, exit.reason);
    case child_state::stopping:
      break;
  }
  note_bad_stop(exit.from, child, exit.reason);
  auto extra = std::move(child.extra);
  children_.erase(at);
  if (extra) {
    extra->kill_timer.cancel();
    for (auto& client : extra->enders) client.reply(child_result::ok());
    extra->starter.reply(child_result::failed(child_error::start_failed, "terminated"));
  }
  end_if_done();
}

/// A child has ended by itself.
void dynamic_supervisor_process::on_end(table::iterator at, const exit_reason& reason) {
  auto& child = at->second;
  if (!reason.is_orderly() || child.restart() == permanent)
    report_child(name_, "child_terminated", as_offender(at->first, child), reason);
  if (!child.maker || !comes_back(child.restart(), reason)) {
    children_.erase(at);
    return;
  }
  restart_at(at);
}

void dynamic_supervisor_process::restart_at(table::iterator at) {
  if (!count_restart(at->first, at->second)) return;
  at->second.state = child_state::restarting;
  if (auto delay = delay_of(at->second); delay.count() > 0)
    wait(at, delay);
  else
    restart_now(at);
}

/// Answers false when there were too many: then everything is about to stop.
bool dynamic_supervisor_process::count_restart(pid process, const child& child) {
  if (intensity_.allow(restart_intensity::clock::now())) {
    supervision_counters().restarts.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  supervision_counters().gave_up.fetch_add(1, std::memory_order_relaxed);
  report_child(name_, "shutdown", as_offender(process, child), "reached_max_restart_intensity");
  children_.erase(process);
  stop(exit_reason::shutdown);
  return false;
}

/// A child that fails to restart stays in the table, under the pid that it had, and is tried again
/// behind the messages that are there, so that they are answered.
void dynamic_supervisor_process::restart_now(table::iterator at) {
  auto outcome = call_start(*at->second.maker);
  bool lives = outcome.status == start_status::ready || outcome.status == start_status::later;
  if (lives || outcome.status == start_status::ignored) {
    auto child = std::move(at->second);
    children_.erase(at);
    if (lives)
      insert(
          outcome.process, std::move(child),
          outcome.status == start_status::ready ? child_state::running : child_state::starting);
    return;
  }
  auto reason = outcome.status == start_status::already_started
                    ? exit_reason("{already_started, " + to_string(outcome.process) + "}")
                    : outcome.reason;
  report_child(name_, "start_error", as_offender(at->first, at->second), reason);
  if (count_restart(at->first, at->second)) wait(at, delay_of(at->second));
}

std::chrono::milliseconds dynamic_supervisor_process::delay_of(child& child) {
  auto* options = child.extra && child.extra->backoff ? child.extra->backoff.get()
                  : backoff_                          ? &*backoff_
                                                      : nullptr;
  if (options == nullptr) return std::chrono::milliseconds(0);
  return child.more().delay.next(*options, restart_delay::clock::now(), random_part());
}

void dynamic_supervisor_process::wait(table::iterator at, std::chrono::milliseconds delay) {
  auto& more = at->second.more();
  wake_up up{at->first, ++more.attempt};
  if (delay.count() > 0)
    more.wake_timer = send_after(delay, self(), up);
  else
    send(self(), up);
}

void dynamic_supervisor_process::wake(const wake_up& up) {
  auto at = children_.find(up.child);
  bool waits = at != children_.end() && at->second.state == child_state::restarting &&
               at->second.extra && at->second.extra->attempt == up.attempt;
  if (waits) restart_now(at);
}

}  // namespace roost::detail
