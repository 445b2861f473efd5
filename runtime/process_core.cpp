#include "runtime/process_core.hpp"
#include "runtime/logger.hpp"
#include "runtime/mailbox_thread.hpp"
#include "runtime/names.hpp"
#include "runtime/process_run.hpp"
#include "runtime/remote.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/system_watch.hpp"
#include "runtime/telemetry.hpp"
#include "runtime/thrown_stack.hpp"

namespace roost::detail {
namespace {

thread_local process* running = nullptr;

std::string demangled(const char* name) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> text{
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free};
  return status == 0 ? std::string(text.get()) : std::string(name);
}

std::string where(const process& process) {
  std::string text{process.does ? process.does->initial_call() : std::string_view{}};
  if (process.handling != nullptr) text.append(", ").append(process.handling->type->name);
  return text;
}

void publish_queued(process& process, int change) noexcept {
  auto& queued = process.home->queued;
  queued.store(
      queued.load(std::memory_order_relaxed) + static_cast<std::uint32_t>(change),
      std::memory_order_relaxed);
}

message* take_oldest(process& process) noexcept {
  auto* message = process.oldest;
  if (message == nullptr) return nullptr;
  process.oldest = message->next;
  if (process.oldest == nullptr) process.newest = nullptr;
  publish_queued(process, -1);
  return message;
}

/// Unlinks `at`, whose predecessor in the queue is `before` (null: it is the oldest).
message* unlink_message(process& process, message* before, message* at) noexcept {
  (before != nullptr ? before->next : process.oldest) = at->next;
  if (process.newest == at) process.newest = before;
  if (process.waits) process.waits->looked_at = nullptr;
  publish_queued(process, -1);
  return at;
}

/// Selective receive: the oldest message that the behavior wants. What was looked at in vain is not
/// looked at again until something is taken, which may change what is wanted.
message* take_wanted(process& process) {
  if (!process.waits) process.waits = std::make_unique<process_wait>();
  auto* before = process.waits->looked_at;
  auto* at = before != nullptr ? before->next : process.oldest;
  for (; at != nullptr; before = at, at = at->next) {
    bool own = at->kind == message_kind::reply || at->kind == message_kind::no_reply ||
               at->kind == message_kind::call_timeout || at->kind == message_kind::task ||
               at->kind == message_kind::sys;
    if (own || process.does->wants(*at)) return unlink_message(process, before, at);
  }
  process.waits->looked_at = before;
  return nullptr;
}

/// A supervisor that starts its children hears of their ends; whoever is suspended hears only of
/// its parent's.
bool is_urgent_exit(const process& process, message& message) noexcept {
  auto* exit = value_of<exited>(message);
  if (exit == nullptr) return false;
  if (!process.suspended) return process.takes_exits_early;
  return process.ends_with_parent && exit->from == process.parent;
}

/// The oldest message that even a process which is still initializing or suspended must see.
message* take_urgent(process& process) noexcept {
  message* before = nullptr;
  for (auto* at = process.oldest; at != nullptr; before = at, at = at->next) {
    auto urgent = at->kind == message_kind::reply || at->kind == message_kind::no_reply ||
                  at->kind == message_kind::call_timeout || at->kind == message_kind::task ||
                  (at->kind == message_kind::sys && process.suspended) ||
                  is_urgent_exit(process, *at);
    if (urgent) return unlink_message(process, before, at);
  }
  return nullptr;
}

// --- signals -------------------------------------------------------------------------------------

void end_by_signal(process& process, const exit_reason& reason) {
  process.by_signal = true;
  process.ending = std::make_unique<exit_reason>(reason);
}

void take_exit_signal(process& process, message_ptr message) {
  auto& signal = *value_of<exit_signal>(*message);
  auto from = message->from;
  // A link that was taken back, or never made, cannot hurt any more.
  if (signal.linked && !process.links.erase(from)) return;
  if (!signal.linked && signal.reason == exit_reason::kill)
    return end_by_signal(process, exit_reason::killed);
  if (process.trap_exit)
    return append(
        process, make_message<exited>(message_kind::exited, from, signal.reason).release());
  bool to_itself = from == process.self();
  if (signal.reason == exit_reason::normal && !to_itself) return;
  end_by_signal(process, signal.reason);
}

void on_down(process& process, message_ptr message) {
  auto watched = process.extra ? process.extra->monitors.take(message->ref) : std::nullopt;
  if (!watched) return;
  // Who watches {Name, Node} is told of {Name, Node}.
  if (watched->is_name()) value_of<down>(*message)->process = *watched;
  append(process, message.release());
}

/// What tools ask is no work of the server: it is neither counted nor traced.
void answer_question(process& process, const message& question, message_ptr reply) {
  reply->from = process.self();
  reply->ref = question.ref;
  enqueue(question.from, std::move(reply));
}

/// Nothing is kept for a process whose node is lost: nobody would take it back.
bool may_keep(process& process, pid other) {
  return other.is_local() || other.node == caf_node || tie(process, other, false);
}

/// A link that crosses our unlink on its way: the other takes it back when it hears of that, so a
/// link has both its ends or none. Source: the link protocol of OTP 23.
void on_link(process& process, pid other) {
  bool crossed = process.extra && process.extra->unlinking.contains(other);
  if (crossed || !may_keep(process, other)) return;
  process.links.insert(other);
}

void on_unlinked(process& process, const message& message) {
  if (!process.extra) return;
  auto* last = process.extra->unlinking.find(message.from);
  if (last != nullptr && *last == message.ref) process.extra->unlinking.erase(message.from);
}

void on_signal(process& process, message_ptr message) {
  // Signals act in the order of sending: whoever comes after the one that ends us finds nobody.
  bool too_late = process.ending &&
                  (message->kind == message_kind::link || message->kind == message_kind::monitor ||
                   message->kind == message_kind::exit);
  if (too_late) return answer_for_the_dead(process.self(), std::move(message), exit_reason::noproc);
  switch (message->kind) {
    case message_kind::link:
      on_link(process, message->from);
      break;
    case message_kind::unlink:
      process.links.erase(message->from);
      signal(message->from, message_kind::unlinked, message->ref);
      break;
    case message_kind::unlinked:
      on_unlinked(process, *message);
      break;
    case message_kind::monitor:
      if (may_keep(process, message->from))
        process.more().monitored_by.insert(message->ref, message->from);
      break;
    case message_kind::demonitor:
      if (process.extra) process.extra->monitored_by.erase(message->ref);
      break;
    case message_kind::call_done:
      if (process.extra) process.extra->open_calls.erase(message->ref);
      break;
    case message_kind::exit:
      on_exit_signal(process, std::move(message));
      break;
    case message_kind::inspect:
      if (auto* job = value_of<task>(*message)) job->run();
      if (auto* question = value_of<inspection>(*message))
        answer_question(process, *message, question->answer(&process));
      break;
    case message_kind::node_lost:
      let_go(process, *value_of<node_loss>(*message));
      break;
    default:
      break;
  }
}

bool from_a_user(const message& message) noexcept {
  return message.kind == message_kind::info || message.kind == message_kind::cast ||
         message.kind == message_kind::call || message.kind == message_kind::foreign;
}

/// Takes the oldest user message out of the queue.
message_ptr take_oldest_of_a_user(process& process) noexcept {
  message* before = nullptr;
  for (auto* at = process.oldest; at != nullptr; before = at, at = at->next) {
    if (from_a_user(*at)) return message_ptr{unlink_message(process, before, at)};
  }
  return nullptr;
}

void drop(process& process, message_ptr message) {
  if (!message) return;
  process.home->dropped.fetch_add(1, std::memory_order_relaxed);
  answer_for_the_dead(process.self(), std::move(message), exit_reason("mailbox_full"));
}

/// The queue has reached its limit: the policy decides, for user messages only.
void append_to_full(process& process, message_ptr message) {
  switch (process.policy) {
    case mailbox_policy::drop_newest:
      return drop(process, std::move(message));
    case mailbox_policy::drop_oldest:
      drop(process, take_oldest_of_a_user(process));
      return append(process, message.release());
    case mailbox_policy::crash:
      drop(process, std::move(message));
      if (!process.ending) process.ending = std::make_unique<exit_reason>("mailbox_full");
  }
}

/// An alias that has ended takes no more messages.
bool passes_alias(process& process, const message& message) {
  if (message.kind != message_kind::info || message.flag != through_alias) return true;
  auto* once = process.extra ? process.extra->aliases.find(message.ref) : nullptr;
  if (once == nullptr) return false;
  if (*once) process.extra->aliases.erase(message.ref);
  return true;
}

void append_checked(process& process, message_ptr message) {
  if (!passes_alias(process, *message)) return;
  auto limit = process.home->limit.load(std::memory_order_relaxed);
  if (limit != 0 && from_a_user(*message) &&
      process.home->queued.load(std::memory_order_relaxed) >= limit)
    return append_to_full(process, std::move(message));
  append(process, message.release());
}

void report_dropped(process& process) {
  auto count = process.home->dropped.exchange(0, std::memory_order_relaxed);
  if (count == 0) return;
  process.more().messages_dropped += count;
  auto who = to_string(process.self());
  logger::warning("mailbox full, messages dropped", {{"process", who}, {"count", count}});
  static const telemetry::event dropped{"roost.mailbox.dropped"};
  telemetry::execute(
      dropped, {{"count", count}}, {{"process", who}, {"name", process.extra->name}});
}

}  // namespace

void on_exit_signal(process& process, message_ptr message) {
  take_exit_signal(process, std::move(message));
}

void sort_intake(process& process) {
  auto* list = fetch(*process.home);
  while (list != nullptr) {
    message_ptr message{std::exchange(list, list->next)};
    pid to{message->to, 0};
    if (to != process.self())
      answer_for_the_dead(to, std::move(message), exit_reason::noproc);
    else if (message->is_signal())
      on_signal(process, std::move(message));
    else if (message->kind == message_kind::down)
      on_down(process, std::move(message));
    else
      append_checked(process, std::move(message));
  }
  if (process.home->dropped.load(std::memory_order_relaxed) != 0) report_dropped(process);
  if (monitor_watches_mailboxes()) watch_mailbox(process);
}

namespace {

// --- messages ------------------------------------------------------------------------------------

void on_answer(process& process, message& message) {
  if (!process.extra) return;
  auto request = process.extra->requests.take(message.ref);
  if (!request) return;  // too late: the caller has stopped waiting
  request->deadline.cancel();
  if (message.kind == message_kind::reply) {
    if (request->server && (message.flag & by_server) == 0)
      signal(request->server, message_kind::call_done, message.ref);
    request->waiter->answered(message);
  } else if (message.kind == message_kind::no_reply) {
    request->waiter->failed(value_of<death_notice>(message)->reason);
  } else {
    if (request->server) signal(request->server, message_kind::call_done, message.ref);
    request->waiter->failed(exit_reason::timeout);
  }
}

/// A call that was handled but not answered keeps its caller informed of our death.
void keep_open(process& process, const message& call) {
  if (!process.answering) return;
  process.answering = {};
  if (!may_keep(process, call.from)) return;
  process.more().open_calls.insert(call.ref, call.from);
}

/// A failing question about a process is the asker's problem.
void on_sys(process& process, message& message) {
  auto& request = *value_of<sys_request>(message);
  message_ptr reply;
  try {
    reply = request.answer(process);
  } catch (const std::exception& error) {
    reply = make_message<death_notice>(
        message_kind::no_reply,
        exit_reason::error(demangled(typeid(error).name()), error.what(), where(process)));
  }
  if (reply) answer_question(process, message, std::move(reply));
}

/// Any message ends the wait that a returned timeout started. Answers whether the message is a
/// timeout of a wait that has ended already.
bool is_stale_timeout(process& process, const message& message) {
  bool ours = message.kind == message_kind::info && message.flag == from_timeout;
  if (!process.waits || !process.waits->timeout_ref) return ours;
  auto& wait = *process.waits;
  if (ours && message.ref == wait.timeout_ref) {
    wait.timeout_ref = {};
    return false;
  }
  if (message.kind == message_kind::reply || message.kind == message_kind::no_reply ||
      message.kind == message_kind::call_timeout)
    return false;
  wait.timeout_ref = {};
  wait.receive_timeout.cancel();
  return ours;
}

/// What tools and the library itself want of the process is no event of the server.
bool is_question(const message& message) noexcept {
  return message.kind == message_kind::sys || message.kind == message_kind::task;
}

void handle(process& process, message& message) {
  process.handling = &message;
  ++process.reductions;
  if (is_stale_timeout(process, message)) return;
  if (process.extra && process.extra->debug && !is_question(message))
    trace(process, trace_event::received, message, message.from);
  guarded(process, [&] {
    switch (message.kind) {
      case message_kind::reply:
      case message_kind::no_reply:
      case message_kind::call_timeout:
        on_answer(process, message);
        break;
      case message_kind::task:
        value_of<task>(message)->run();
        break;
      case message_kind::sys:
        on_sys(process, message);
        break;
      case message_kind::call:
        process.answering = message.ref;
        process.does->handle(message);
        keep_open(process, message);
        break;
      default:
        process.does->handle(message);
    }
  });
  if (process.ending && process.answering) keep_open(process, message);
  process.handling = nullptr;
  if (process.run_once && !process.ending && process.oldest == nullptr &&
      (!process.extra || process.extra->requests.empty()))
    process.finished = true;
}

void report_crash(const process& process, const exit_reason& reason, std::string_view last) {
  crash_report report;
  report.process = to_string(process.self());
  if (process.extra) report.name = process.extra->name;
  if (process.does) report.initial_call = process.does->initial_call();
  report.reason = reason.to_string();
  report.where = reason.where();
  report.stack = take_thrown_stack(process.id);
  report.last_message = last;
  if (process.parent) report.ancestors.push_back(to_string(process.parent));
  if (process.sensitive)
    report.state = "(sensitive)";
  else if (process.does)
    report.state = process.does->state_text();
  report.message_queue_len = process.home->queued.load(std::memory_order_relaxed);
  process.links.for_each([&](pid other) { report.links.push_back(to_string(other)); });
  logger::report(report);
}

/// Tells everyone who asked to know. The name is free before anybody hears of the death.
void tell_the_bereaved(process& process, const exit_reason& reason) {
  auto extra = std::move(process.extra);
  if (extra && !extra->name.empty()) names::remove(extra->name, process.self());
  if (extra)
    extra->open_calls.for_each([&](reference ref, pid caller) {
      auto notice = make_message<death_notice>(message_kind::no_reply, reason);
      notice->ref = ref;
      notice->from = process.self();
      enqueue(caller, std::move(notice));
    });
  process.links.for_each([&](pid other) {
    auto signal = make_message<exit_signal>(message_kind::exit, reason, true);
    signal->from = process.self();
    enqueue(other, std::move(signal));
  });
  if (!extra) return;
  extra->monitored_by.for_each([&](reference ref, pid watcher) {
    auto notice = make_message<down>(message_kind::down, ref, process.self(), reason);
    notice->ref = ref;
    notice->from = process.self();
    enqueue(watcher, std::move(notice));
  });
  extra->monitors.for_each(
      [&](reference ref, pid watched) { signal(watched, message_kind::demonitor, ref); });
  extra->requests.for_each([&](reference ref, const open_request& request) {
    const_cast<open_request&>(request).deadline.cancel();
    if (request.server) signal(request.server, message_kind::call_done, ref);
  });
  if (!extra->ties.empty()) untie_all(*extra, process.self());
}

void drop_mail(process& process, message* list, const exit_reason& reason) {
  while (list != nullptr) {
    message_ptr message{std::exchange(list, list->next)};
    pid to{message->to, 0};
    auto mine = to == process.self();
    // A name that was given to us while we ended: it goes with us.
    if (auto* job =
            mine && message->kind == message_kind::inspect ? value_of<task>(*message) : nullptr)
      job->run();
    // Callers were promised to hear how their server ended; a late link or monitor finds nobody.
    auto why = mine && message->kind == message_kind::call ? reason : exit_reason::noproc;
    answer_for_the_dead(to, std::move(message), why);
  }
}

}  // namespace

process* swap_running(process* process) noexcept { return std::exchange(running, process); }

exit_reason reason_of_exception(const process& process) noexcept {
  keep_thrown_stack(process.id);
  try {
    throw;
  } catch (const process_exit& exit) {
    return exit.reason();
  } catch (const std::exception& error) {
    return exit_reason::error(demangled(typeid(error).name()), error.what(), where(process));
  } catch (...) {
    auto* type = abi::__cxa_current_exception_type();
    return exit_reason::error(
        type != nullptr ? demangled(type->name()) : "unknown", "", where(process));
  }
}

void append(process& process, message* message) noexcept {
  message->next = nullptr;
  if (process.newest != nullptr)
    process.newest->next = message;
  else
    process.oldest = message;
  process.newest = message;
  publish_queued(process, 1);
}

process* current_process() noexcept { return running; }

void never_wait_for_links() {
  current_process()->async_dist = true;
  current_process()->of_the_runtime = true;
}

std::string describe(const message& message) {
  std::string text;
  if (message.type->print != nullptr) message.type->print(message, text);
  return text.empty() ? std::string(message.type->name) : text;
}

void push_front(process& process, message_ptr message) noexcept {
  auto* front = message.release();
  front->next = process.oldest;
  process.oldest = front;
  if (process.newest == nullptr) process.newest = front;
  if (process.waits) process.waits->looked_at = nullptr;
  publish_queued(process, 1);
}

void trace(process& process, trace_event::kind_of_event what, const message& message, pid peer) {
  if (process.sensitive) return;
  auto& debug = process.extra->debug;
  debug->happened(process, what, message, peer);
  if (debug->is_idle()) debug.reset();  // its last function wants no more events
}

void flush_down(process& process, reference ref) noexcept {
  sort_intake(process);
  message* before = nullptr;
  for (auto* at = process.oldest; at != nullptr; before = at, at = at->next) {
    if (at->kind != message_kind::down || at->ref != ref) continue;
    message_ptr{unlink_message(process, before, at)};
    return;
  }
}

void end_process(process& process, const exit_reason& reason) noexcept {
  as_process scope{&process};
  process.ending = nullptr;
  auto why = reason;
  std::string last;
  if (process.handling != nullptr && !process.by_signal && !why.is_orderly())
    last = process.sensitive ? "(sensitive)" : describe(*process.handling);
  if (!process.by_signal && process.does && !process.initializing) {
    guarded(process, [&] { process.does->terminate(why); });
    if (process.ending) why = *process.ending;
  }
  if (!process.by_signal && !why.is_orderly()) report_crash(process, why, last);
  // What the state's destructor sends comes before the DOWN of whoever finds nobody here.
  guarded(process, [&] { process.does.reset(); });
  process.home->id.store(0, std::memory_order_release);
  if (process.waits) process.waits->receive_timeout.cancel();
  auto on_started =
      process.initializing && process.extra ? std::move(process.extra->on_started) : nullptr;
  if (on_started) on_started({start_status::failed, process.self(), why});
  drop_mail(process, std::exchange(process.oldest, nullptr), why);
  drop_mail(process, close(*process.home), why);
  tell_the_bereaved(process, why);
  auto& home = *process.home;
  destroy_process(&process, why);
  free_slot(home);
}

namespace {

bool run_messages(process& process, slot& slot, worker& here, unsigned budget);

/// Runs when the silence is over, or lasts: nothing was handled since the timer was started.
void fall_asleep(process& process, std::uint64_t reductions) {
  if (!process.extra || !process.does) return;  // ends
  process.extra->falls_asleep = false;
  if (process.reductions != reductions) return;  // going idle starts the next timer
  process.extra->asleep_at = reductions;
  hibernate();
}

}  // namespace

/// At most one timer runs, however often the process wakes meanwhile.
void hibernate_later(process& process) {
  auto& extra = *process.extra;
  if (extra.falls_asleep || process.reductions == extra.asleep_at) return;
  extra.falls_asleep = true;
  auto job = [seen = process.reductions] { fall_asleep(*current_process(), seen); };
  timer(arm_timer(
      extra.hibernate_after, process.self(),
      make_message<task>(message_kind::inspect, std::move(job))));
}

bool run_process(slot& slot, unsigned budget) {
  auto& process = *slot.tenant;
  as_process scope{&process};
  auto* here = worker::current();
  here->running(&slot);
  bool more = run_messages(process, slot, *here, budget);
  here->running(nullptr);
  return more;
}

namespace {

/// Handles one message. Answers whether the process has ended in it.
bool run_message(process& process, message& message, worker& here) {
  here.handling(message.type);
  handle(process, message);
  if (process.ending) {
    process.handling = &message;
    auto reason = *process.ending;
    end_process(process, reason);
    return true;
  }
  if (!process.finished) return false;
  end_process(process, exit_reason::normal);
  return true;
}

/// The first turn of a process that has something to do without being told: it is no message, which
/// would have to be allocated and queued.
bool run_start(process& process, worker& here) {
  static constexpr message_type type{"start", [](message*) noexcept {}};
  message start{message_kind::start, &type};
  process.starts = false;
  return run_message(process, start, here);
}

bool run_messages(process& process, slot& slot, worker& here, unsigned budget) {
  for (;;) {
    if (slot::first(slot.intake.load(std::memory_order_relaxed)) != nullptr) sort_intake(process);
    if (process.ending) {
      auto reason = *process.ending;
      end_process(process, reason);
      return false;
    }
    if (process.starts && !process.suspended && !process.waits_for_link) {
      if (run_start(process, here)) return false;
      continue;
    }
    auto* next = process.waits_for_link                      ? nullptr
                 : process.initializing || process.suspended ? take_urgent(process)
                 : process.selective                         ? take_wanted(process)
                                                             : take_oldest(process);
    if (next == nullptr) {
      if (process.hibernates) hibernate_later(process);
      if (try_idle(slot)) return false;
      continue;
    }
    message_ptr message{next};
    if (run_message(process, *message, here)) return false;
    message.reset();
    if (--budget == 0) return true;
  }
}

}  // namespace

void run_as(process& process, const std::function<void()>& code) {
  if (process.ending) return;
  as_process scope{&process};
  ++process.reductions;
  guarded(process, code);
  // The process ends on its own turn; a signal gives it one.
  if (process.ending) signal(process.self(), message_kind::inspect, {});
}

}  // namespace roost::detail
