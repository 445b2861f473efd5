#include "runtime/gen_server.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/logger.hpp"
#include "runtime/mailbox_thread.hpp"
#include "runtime/process_core.hpp"
#include "runtime/remote.hpp"
#include "runtime/scheduler.hpp"

namespace roost {
namespace {

std::string describe(const detail::start_outcome& outcome, std::string_view server) {
  std::string text = "expected " + std::string(server) + " to start, got ";
  if (outcome.status == detail::start_status::already_started)
    return text + "{already_started, " + to_string(outcome.process) + "}";
  return text + outcome.reason.to_string();
}

}  // namespace

start_error::start_error(detail::start_outcome outcome, std::string_view server)
    : std::runtime_error(describe(outcome, server)), outcome_(std::move(outcome)) {}

pid start_error::already_started() const noexcept {
  return outcome_.status == detail::start_status::already_started ? outcome_.process : pid{};
}

namespace detail {

pid start_server(
    std::unique_ptr<behavior> behavior, start_options options, attachment attach,
    std::string_view server) {
  auto outcome = start_process(std::move(behavior), request_of(std::move(options), attach));
  using status = start_status;
  if (outcome.status == status::failed || outcome.status == status::already_started)
    throw start_error(std::move(outcome), server);
  return outcome.status == status::ignored ? pid{} : outcome.process;
}

start_request request_of(start_options options, attachment attach) {
  start_request request;
  request.name = std::move(options.name);
  request.attach = attach;
  request.mailbox = options.mailbox;
  request.debug = std::move(options.debug);
  request.priority = options.priority;
  request.init_timeout = options.timeout;
  request.hibernate_after = options.hibernate_after;
  return request;
}

spawned start_monitored(
    std::unique_ptr<behavior> behavior, start_options options, std::string_view server) {
  auto request = request_of(std::move(options), attachment::monitor);
  auto ref = request.monitor = make_ref();
  auto outcome = start_process(std::move(behavior), std::move(request));
  using status = start_status;
  if (outcome.status == status::failed || outcome.status == status::already_started)
    throw start_error(std::move(outcome), server);
  if (outcome.status == status::ignored) return {};
  return {outcome.process, ref};
}

// --- stopping ------------------------------------------------------------------------------------

namespace {

/// Waits for the end of a server that was told to stop, and answers whoever told it.
class end_watcher final : public behavior {
 public:
  end_watcher(pid watched, reference monitor, const message& question, exit_reason wanted)
      : watched_(watched),
        monitor_(monitor),
        asker_(question.from),
        question_(question.ref),
        wanted_(std::move(wanted)) {}

  std::string_view initial_call() const noexcept override { return "roost::stop"; }

  init_outcome init() override {
    current_process()->more().monitors.insert(monitor_, watched_);
    return {};
  }

  void handle(message& message) override {
    auto* end = value_of<down>(message);
    if (end == nullptr) return;
    message_ptr answer = make_message<unit>(message_kind::reply);
    if (!(end->reason == wanted_))
      answer = make_message<death_notice>(message_kind::no_reply, end->reason);
    answer->from = watched_;
    answer->ref = question_;
    enqueue(asker_, std::move(answer));
    stop_self(exit_reason::normal);
  }

 private:
  pid watched_;
  reference monitor_;
  pid asker_;
  reference question_;
  exit_reason wanted_;
};

/// Runs in the server: both ends of the monitor are set before either can act.
message_ptr stop_and_tell(process& server, const exit_reason& reason) {
  auto ref = make_ref();
  auto watcher = start_process(
      std::make_unique<end_watcher>(server.self(), ref, *server.handling, reason), {});
  server.more().monitored_by.insert(ref, watcher.process);
  server.does->stop(reason);
  return nullptr;
}

}  // namespace

// --- calls ---------------------------------------------------------------------------------------

namespace {

/// The thread pool of roost::blocking takes requests like a process does.
void send_request(request& request, pid from, reference ref) {
  request.message->from = from;
  request.message->ref = ref;
  if (request.message->kind == message_kind::task)
    blocking_pool::run(std::move(request.message));
  else
    enqueue(request.to, std::move(request.message));
}

}  // namespace

void ask(request request, std::unique_ptr<call_waiter> waiter) {
  auto* me = current_process();
  if (me == nullptr)
    throw std::logic_error(
        "expected .then(…) to be called in a process, got a thread outside the scheduler: use "
        ".get()");
  auto ref = make_ref();
  if (request.to == me->self() && request.message->kind == message_kind::call)
    return waiter->failed(exit_reason("calling_self"));
  open_request open{std::move(waiter), request.to, {}};
  if (request.timeout.count() >= 0) {
    static constexpr message_type plain{
        "call_timeout", [](detail::message* message) noexcept { delete message; }};
    message_ptr expiry{new message(message_kind::call_timeout, &plain)};
    expiry->ref = ref;
    open.deadline = timer(arm_timer(request.timeout, me->self(), std::move(expiry)));
  }
  if (!request.to.is_local()) tie(*me, request.to, true);
  me->more().requests.insert(ref, std::move(open));
  send_request(request, me->self(), ref);
}

message_ptr wait_for_answer(request request) {
  if (inside_process())
    throw std::logic_error(
        "expected .get() to be called outside processes, got a process, where it would stall "
        "others: use .then(…)");
  if (worker::current() != nullptr)
    throw std::logic_error(
        "expected .get() to be called outside workers, got a CAF actor, which would stall others: "
        "use request(to_caf(…), …)");
  auto& mailbox = mailbox_thread::current();
  auto ref = make_ref();
  auto to = request.to;
  auto what = request.what;
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (request.timeout.count() >= 0) deadline = std::chrono::steady_clock::now() + request.timeout;
  mailbox.asks(request.to, ref);
  send_request(request, mailbox.id, ref);
  auto answer = mailbox.wait(
      [&](message& message) {
        return message.ref == ref &&
               (message.kind == message_kind::reply || message.kind == message_kind::no_reply);
      },
      deadline);
  mailbox.asks({}, {});
  if (!answer) {
    if (to) signal(to, message_kind::call_done, ref);
    throw_unanswered(exit_reason::timeout, what);
  }
  if (answer->kind == message_kind::no_reply)
    throw_unanswered(value_of<death_notice>(*answer)->reason, what);
  return answer;
}

void throw_unanswered(const exit_reason& reason, std::string_view what) {
  auto text = "expected " + std::string(what) + " to be answered, got " + reason.to_string();
  if (reason == exit_reason::timeout) text += "; unknown whether it was handled";
  throw process_exit(reason, std::move(text));
}

void send_reply(pid caller, reference ref, message_ptr reply) {
  if (!ref) return;
  auto* me = current_process();
  if (me != nullptr) {
    if (me->extra && me->extra->debug && reply->kind == message_kind::reply)
      trace(*me, trace_event::replied, *reply, caller);
    bool took_it = me->answering == ref;
    if (took_it)
      me->answering = {};
    else if (me->extra)
      took_it = me->extra->open_calls.erase(ref);
    if (took_it) reply->flag |= by_server;
  }
  reply->from = me != nullptr ? me->self() : pid{};
  reply->ref = ref;
  enqueue(caller, std::move(reply));
}

// --- what handlers return ------------------------------------------------------------------------

void apply_timeout(std::chrono::milliseconds timeout) {
  if (timeout.count() >= 0) set_receive_timeout(timeout);
}

void continue_soon(message_ptr message) {
  auto* me = current_process();
  if (me == nullptr)
    throw std::logic_error("expected continue_with to be called in a callback of a server");
  push_front(*me, std::move(message));
}

void unexpected(const message& message, std::string_view server) {
  logger::warning(
      "unexpected message dropped",
      {{"process", to_string(self())}, {"server", server}, {"message", describe(message)}});
}

void crash_unexpected(const message& message, std::string_view server) {
  throw std::runtime_error(
      "expected a message that " + std::string(server) + " lists, got a " +
      (message.kind == message_kind::call ? "call " : "cast ") + describe(message));
}

bool is_parent_exit(const exited& exit) noexcept {
  auto* me = current_process();
  return me != nullptr && me->ends_with_parent && me->parent == exit.from;
}

}  // namespace detail

pending<void> stop(pid process, exit_reason reason, std::chrono::milliseconds timeout) {
  return pending<void>(detail::request{
      process,
      detail::make_message<detail::sys_request>(
          detail::message_kind::sys,
          [reason](detail::process& server) { return detail::stop_and_tell(server, reason); }),
      timeout, "stop"});
}

}  // namespace roost
