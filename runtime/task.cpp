#include "runtime/task.hpp"
#include "runtime/mailbox_thread.hpp"
#include "runtime/process_core.hpp"
#include "runtime/scheduler.hpp"

namespace roost::detail {
namespace {

/// Writes down how the task has ended.
void note_end(task_state& task, const exit_reason* reason, message* reply) {
  if (task.ended) return;
  task.ended = true;
  if (reason != nullptr)
    task.reason = *reason;
  else
    task.take_value(*reply);
}

/// Ends the wait that is on and answers who has waited.
std::unique_ptr<task_listener> end_wait(task_state& task) {
  if (task.deadline) {
    auto open = current_process()->more().requests.take(std::exchange(task.deadline, {}));
    if (open) open->deadline.cancel();
  }
  return std::exchange(task.listener, nullptr);
}

/// Waits for the end of the task from its start, so that an end before the await is not missed.
class task_waiter final : public call_waiter {
 public:
  explicit task_waiter(std::shared_ptr<task_state> task) : task_(std::move(task)) {}
  /// An owner that ends while it waits leaves a task and a listener that hold each other.
  ~task_waiter() override { task_->listener.reset(); }
  void answered(message& reply) override {
    note_end(*task_, nullptr, &reply);
    tell();
  }
  void failed(const exit_reason& reason) override {
    note_end(*task_, &reason, nullptr);
    tell();
  }

 private:
  void tell() {
    if (auto listener = end_wait(*task_)) listener->ended();
  }

  std::shared_ptr<task_state> task_;
};

/// The time of a wait has run out.
class deadline_waiter final : public call_waiter {
 public:
  explicit deadline_waiter(std::shared_ptr<task_state> task) : task_(std::move(task)) {}
  void answered(message&) override {}
  void failed(const exit_reason&) override {
    task_->deadline = {};
    if (auto listener = std::exchange(task_->listener, nullptr)) listener->timed_out();
  }

 private:
  std::shared_ptr<task_state> task_;
};

/// The task had ended before somebody waited: told by a message, so that code after `.then(…)` runs
/// before the continuation, as always.
class ended_waiter final : public call_waiter {
 public:
  explicit ended_waiter(std::unique_ptr<task_listener> listener) : listener_(std::move(listener)) {}
  void answered(message&) override { listener_->ended(); }
  void failed(const exit_reason&) override {}

 private:
  std::unique_ptr<task_listener> listener_;
};

pid start_linked(std::unique_ptr<task_process> task) {
  start_request request;
  request.attach = attachment::link;
  request.run_once = true;
  return start_process(std::move(task), std::move(request)).process;
}

message_ptr plain_message(message_kind kind, reference ref) {
  static constexpr message_type plain{"task", [](message* message) noexcept { delete message; }};
  message_ptr made{new message(kind, &plain)};
  made->ref = ref;
  return made;
}

}  // namespace

void start_task(
    task_state& state, std::unique_ptr<task_process> task, const task_starter& starter) {
  state.owner = self();
  state.ref = make_ref();
  state.process = starter ? starter(std::move(task)) : start_linked(std::move(task));
  if (auto* me = current_process()) {
    auto waiter = std::make_unique<task_waiter>(state.shared_from_this());
    me->more().requests.insert(state.ref, {std::move(waiter), state.process, {}});
  }
  auto run = plain_message(message_kind::call, state.ref);
  run->from = state.owner;
  enqueue(state.process, std::move(run));
}

void require_owner(const task_state& task, std::string_view what) {
  if (task.owner == self()) return;
  throw std::invalid_argument(
      "expected " + std::string(what) + " to be called by the owner of the task, " +
      to_string(task.owner) + ", got " + to_string(self()));
}

void listen(
    const std::shared_ptr<task_state>& task, std::chrono::milliseconds timeout,
    std::unique_ptr<task_listener> listener) {
  auto* me = current_process();
  if (me == nullptr)
    throw std::logic_error(
        "expected .then(…) to be called in a process, got a thread outside the scheduler: use "
        ".get()");
  require_owner(*task, "then");
  if (task->taken) {
    task->ended = true;
    task->reason = exit_reason::noproc;
  }
  if (task->ended) {
    auto ref = make_ref();
    auto waiter = std::make_unique<ended_waiter>(std::move(listener));
    me->more().requests.insert(ref, {std::move(waiter), pid{}, {}});
    return enqueue(me->self(), plain_message(message_kind::reply, ref));
  }
  end_wait(*task);
  task->listener = std::move(listener);
  if (timeout.count() < 0) return;
  task->deadline = make_ref();
  open_request open{std::make_unique<deadline_waiter>(task), pid{}, {}};
  open.deadline = timer(
      arm_timer(timeout, me->self(), plain_message(message_kind::call_timeout, task->deadline)));
  me->more().requests.insert(task->deadline, std::move(open));
}

bool wait_for(task_state& task, std::chrono::milliseconds timeout) {
  if (inside_process())
    throw std::logic_error(
        "expected .get() to be called outside processes, got a process, where it would stall "
        "others: use .then(…)");
  require_owner(task, "get");
  if (task.taken) {
    task.ended = true;
    task.reason = exit_reason::noproc;
  }
  if (task.ended) return true;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (timeout.count() >= 0) deadline = std::chrono::steady_clock::now() + timeout;
  auto answer = mailbox_thread::current().wait(
      [&](message& message) {
        return message.ref == task.ref &&
               (message.kind == message_kind::reply || message.kind == message_kind::no_reply);
      },
      deadline);
  if (!answer) return false;
  if (auto* notice = value_of<death_notice>(*answer))
    note_end(task, &notice->reason, nullptr);
  else
    note_end(task, nullptr, answer.get());
  return true;
}

void stop_task(const task_state& task, const exit_reason& reason) {
  if (inside_process()) unlink(task.process);
  exit(task.process, reason);
}

void forget_task(task_state& task) {
  task.taken = true;
  if (auto* me = current_process()) {
    end_wait(task);
    if (me->extra) me->extra->requests.erase(task.ref);
  }
  signal(task.process, message_kind::call_done, task.ref);
}

void throw_no_result(const exit_reason& reason, std::string_view what) {
  // Who waits for something that does not come has not ended normally.
  throw_unanswered(reason == exit_reason::normal ? exit_reason("{normal, await}") : reason, what);
}

void handle_stray(const message& message, std::string_view task) {
  auto* exit = value_of<exited>(const_cast<detail::message&>(message));
  if (exit != nullptr && is_parent_exit(*exit)) return stop_self(exit->reason);
  unexpected(message, task);
}

std::size_t default_concurrency() { return scheduler::instance()->size(); }

}  // namespace roost::detail
