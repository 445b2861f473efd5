// Starting processes: in place, as the new process, on the starter's thread.
#include "runtime/mailbox_thread.hpp"
#include "runtime/names.hpp"
#include "runtime/process_info.hpp"
#include "runtime/process_run.hpp"
#include "runtime/receive.hpp"
#include "runtime/scheduler.hpp"

namespace roost::detail {

namespace {

start_outcome outcome_of(process& process, const init_outcome& init) {
  using status = start_status;
  if (init.status == init_status::ready) return {status::ready, process.self(), {}};
  if (init.status == init_status::later) return {status::later, process.self(), {}};
  if (init.status == init_status::ignore) return {status::ignored, pid{}, exit_reason::normal};
  return {status::failed, pid{}, init.reason};
}

void attach_to_parent(process& process, pid parent, bool link) {
  process.parent = parent;
  process.ends_with_parent = link || !parent;
  if (auto leader = group_leader()) process.more().group_leader = leader;  // of the starter
  if (!link) return;
  process.links.insert(parent);
  if (current_process() != nullptr) current_process()->links.insert(process.self());
}

/// The starter's monitor, set before the process can run: no signal has to travel for it.
void watch_child(process& child, const start_request& request) {
  child.more().monitored_by.insert(request.monitor, request.watcher);
  if (current_process() != nullptr)
    current_process()->more().monitors.insert(request.monitor, child.self());
}

/// A process that never came to life: nobody is linked to it and nobody hears of it.
void abandon(process& process, const start_request& request, const exit_reason& reason) {
  if (auto* me = current_process()) {
    me->links.erase(process.self());
    if (me->extra) me->extra->monitors.erase(request.monitor);
  }
  process.links.erase(process.parent);
  if (process.extra) process.extra->monitored_by.erase(request.monitor);
  process.initializing = true;  // it never ran, so terminate() has nothing to end
  process.by_signal = reason.is_orderly();
  end_process(process, reason);
}

/// Gives up the claim of a process that has just started, or runs it for the mail that has come.
void release(slot& slot) {
  if (!try_idle(slot)) schedule(slot);
}

/// Answers the present owner of the name when it is taken. A table of names that throws makes the
/// start fail: `ending` says why.
pid take_name(process& process, const process_name& name) {
  pid owner;
  if (name.is_via()) {
    as_process scope{&process};
    auto via = name.via();
    guarded(process, [&] { owner = via.service->register_name(via.key, process.self()); });
  } else if (!name.empty()) {
    owner = names::add(name.text(), process.self());
    if (!owner) process.more().name = name.text();
  }
  return owner;
}

/// A name of this node goes away with the process; other tables want to be told.
void give_back_name(process& process, const process_name& name) {
  if (!name.is_via()) return;
  as_process scope{&process};
  auto via = name.via();
  guarded(process, [&] { via.service->unregister_name(via.key, process.self()); });
  process.ending = nullptr;
}

/// An init that goes on for longer ends its process with `timeout`.
void limit_init(process& process, std::chrono::milliseconds limit) {
  auto give_up = [] {
    auto& me = *current_process();
    if (!me.initializing) return;
    me.by_signal = true;
    me.ending = std::make_unique<exit_reason>(exit_reason::timeout);
  };
  timer(arm_timer(limit, process.self(), make_message<task>(message_kind::inspect, give_up)));
}

/// What only some are started with.
void apply_options(process& process, const start_request& request) {
  auto& debug = request.debug;
  if (debug.trace || debug.log != 0 || debug.statistics || !debug.log_to_file.empty())
    guarded(process, [&] { apply_debug_options(process, debug); });
  if (request.hibernate_after.count() >= 0) {
    process.more().hibernate_after = request.hibernate_after;
    process.hibernates = true;
  }
}

/// Ends the process, which is still initializing. Whoever has started it is told when it has ended,
/// so that its name is free by then.
void fail_to_start(start_outcome outcome, bool quietly) {
  auto& process = *current_process();
  process.by_signal = quietly;
  process.ending = std::make_unique<exit_reason>(outcome.reason);
  auto& on_started = process.more().on_started;
  if (!on_started) return;
  on_started = [told = std::move(on_started), outcome = std::move(outcome)](const start_outcome&) {
    told(outcome);
  };
}

/// The name is settled, so that init may run.
void go_on_starting(pid owner, const exit_reason& failure) {
  auto& process = *current_process();
  if (!process.initializing) return;
  if (owner)
    return fail_to_start(
        {start_status::already_started, owner,
         exit_reason("{already_started, " + to_string(owner) + "}")},
        true);
  if (failure != exit_reason::normal)
    return fail_to_start({start_status::failed, {}, failure}, true);
  init_outcome init;
  guarded(process, [&] { init = process.does->init(); });
  if (process.ending && init.status != init_status::ignore)
    init = {init_status::stop, *process.ending};
  auto outcome = outcome_of(process, init);
  if (outcome.status == start_status::ready)
    finish_init(std::move(init));
  else if (outcome.status != start_status::later)
    fail_to_start(outcome, outcome.reason.is_orderly());
}

/// The process takes no message before it has its name and its init has run.
init_outcome ask_for_name(const start_request& request) {
  auto via = request.name.via();
  auto& process = *current_process();
  process.initializing = true;
  via.service->register_later(via.key, process.self(), go_on_starting);
  return {init_status::later, {}};
}

start_outcome start_here(std::unique_ptr<behavior> behavior, start_request& request, pid parent) {
  auto& slot = take_slot();
  if (request.worker >= 0 || request.pinned)
    slot.home.store(
        static_cast<std::uint16_t>(worker::current()->index()), std::memory_order_relaxed);
  bool named_later = request.name.is_via() && request.name.via().service->asks_others();
  auto& process = *make_process(slot);
  slot.tenant = &process;
  process.does = std::move(behavior);
  process.run_once = request.run_once;
  process.policy = request.mailbox.policy;
  process.started = worker::current()->now();
  slot.limit.store(request.mailbox.limit, std::memory_order_relaxed);
  slot.priority.store(request.priority, std::memory_order_relaxed);
  slot.root.store(!parent && !request.owned, std::memory_order_relaxed);
  if (auto owner = named_later ? pid() : take_name(process, request.name)) {
    process.initializing = true;
    process.by_signal = true;
    end_process(process, exit_reason::normal);
    return {start_status::already_started, owner, {}};
  }
  attach_to_parent(
      process, parent, request.attach == attachment::link && current_process() != nullptr);
  if (request.monitor) watch_child(process, request);
  apply_options(process, request);
  init_outcome init;
  {
    as_process scope{&process};
    if (!process.ending)
      guarded(process, [&] { init = named_later ? ask_for_name(request) : process.does->init(); });
  }
  if (process.ending && init.status != init_status::ignore)
    init = {init_status::stop, *process.ending};
  auto outcome = outcome_of(process, init);
  using status = start_status;
  if (outcome.status == status::ignored || outcome.status == status::failed) {
    process.ending = nullptr;
    give_back_name(process, request.name);
    abandon(
        process, request, outcome.status == status::ignored ? exit_reason::normal : outcome.reason);
    return outcome;
  }
  if (outcome.status == status::later) {
    process.initializing = true;
    process.more().on_started = std::move(request.on_started);
    if (request.init_timeout.count() >= 0) limit_init(process, request.init_timeout);
  }
  process.starts = request.has_work;
  if (process.starts || process.oldest != nullptr) {
    schedule(slot);  // also for what init continues with
  } else {
    if (process.hibernates) hibernate_later(process);
    release(slot);
  }
  return outcome;
}

}  // namespace

start_outcome start_process(std::unique_ptr<behavior> behavior, start_request request) {
  if (request.monitor) request.watcher = self();
  auto* here = worker::current();
  auto target = request.worker;
  if (here != nullptr && (target < 0 || static_cast<std::uint32_t>(target) == here->index()))
    return start_here(
        std::move(behavior), request,
        current_process() != nullptr ? current_process()->self() : pid{});
  if (here != nullptr)
    throw std::logic_error("expected a pinned process to be started from its own worker");
  // Outside the scheduler: a worker starts it, this thread waits. An init that answers later is
  // waited for as well.
  auto* all = scheduler::instance();
  if (all == nullptr)
    throw std::logic_error(
        "expected a running roost::runtime, got none: write `roost::runtime runtime;` first");
  struct waiting {
    std::mutex mutex;
    std::condition_variable done;
    std::optional<start_outcome> outcome;
    void finish(start_outcome result) {
      std::lock_guard guard{mutex};
      outcome = std::move(result);
      done.notify_all();
    }
  };
  auto state = std::make_shared<waiting>();
  auto told = std::move(request.on_started);
  request.on_started = [state, told](start_outcome outcome) {
    if (told) told(outcome);
    state->finish(std::move(outcome));
  };
  auto start =
      make_posted([state, behavior = std::move(behavior), request = std::move(request)]() mutable {
        auto outcome = start_here(std::move(behavior), request, pid{});
        if (outcome.status != start_status::later) state->finish(std::move(outcome));
      });
  if (target >= 0)
    all->at(static_cast<std::size_t>(target)).post(std::move(start));
  else
    all->post(std::move(start));
  std::unique_lock guard{state->mutex};
  state->done.wait(guard, [&] { return state->outcome.has_value(); });
  return *state->outcome;
}

void finish_init(init_outcome init) {
  auto& process = *current_process();
  if (!process.initializing) return;
  auto on_started = process.extra ? std::move(process.extra->on_started) : nullptr;
  auto outcome = outcome_of(process, init);
  if (outcome.status == start_status::ready) {
    process.initializing = false;
  } else {
    // The one who started it is told by on_started, not by the link. It has not run, so
    // `initializing` stays on and terminate() is not called.
    process.by_signal = init.reason.is_orderly();
    process.ending = std::make_unique<exit_reason>(
        init.status == init_status::ignore ? exit_reason::normal : init.reason);
  }
  if (on_started) on_started(std::move(outcome));
}

void receive_selectively() { current_process()->selective = true; }

pid spawn_plain(std::unique_ptr<behavior> behavior, attachment attach) {
  start_request request;
  request.attach = attach;
  request.has_work = true;
  return start_process(std::move(behavior), std::move(request)).process;
}

void take_exits_while_initializing() { current_process()->takes_exits_early = true; }

timer exit_after(std::chrono::milliseconds delay, pid process, exit_reason reason) {
  auto message = make_message<exit_signal>(message_kind::exit, std::move(reason), false);
  message->from = self();
  return timer(arm_timer(delay, process, std::move(message)));
}

void stop_root(pid process, exit_reason reason) {
  auto message = make_message<exit_signal>(message_kind::exit, std::move(reason), false);
  enqueue(process, std::move(message));  // from nobody, who is its parent
}

spawned spawn_behavior(std::unique_ptr<behavior> behavior, attachment attach) {
  start_request request;
  request.attach = attach;
  request.run_once = true;
  request.has_work = true;
  if (attach == attachment::monitor) request.monitor = make_ref();
  auto ref = request.monitor;
  auto outcome = start_process(std::move(behavior), std::move(request));
  if (outcome.status != start_status::ready) throw process_exit(outcome.reason);
  return {outcome.process, ref};
}

void set_receive_timeout(std::chrono::milliseconds delay) {
  auto& process = *current_process();
  if (process.waits) {
    process.waits->receive_timeout.cancel();
    process.waits->timeout_ref = {};
  }
  if (delay.count() < 0) return;
  if (!process.waits) process.waits = std::make_unique<process_wait>();
  auto message = make_message<timeout>(message_kind::info);
  message->ref = process.waits->timeout_ref = make_ref();
  message->flag = from_timeout;
  process.waits->receive_timeout = timer(arm_timer(delay, process.self(), std::move(message)));
}

}  // namespace roost::detail

namespace roost {

void name_service::register_later(const std::string&, pid, done_function) const {
  throw std::logic_error(
      "expected a table of names that asks others to have a register_later, got none");
}

}  // namespace roost
