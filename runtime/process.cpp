#include "runtime/process.hpp"
#include "runtime/mailbox_thread.hpp"
#include "runtime/names.hpp"
#include "runtime/process_core.hpp"
#include "runtime/remote.hpp"
#include "runtime/scheduler.hpp"

namespace roost {

using detail::current_process;
using detail::make_message;
using detail::message_kind;
using detail::message_ptr;

// --- identity ------------------------------------------------------------------------------------

process_exit::process_exit(exit_reason reason, std::string text)
    : reason_(std::move(reason)), text_(text.empty() ? reason_.to_string() : std::move(text)) {}

reference make_ref() {
  // Each thread takes numbers from a block of its own, so that no cache line is shared.
  constexpr std::uint64_t block = 1 << 16;
  static std::atomic<std::uint64_t> next_block{1};
  static thread_local std::uint64_t next = 0;
  if (next % block == 0) next = next_block.fetch_add(1, std::memory_order_relaxed) * block;
  return reference{++next - 1};
}

pid self() {
  if (auto* process = current_process()) return process->self();
  return detail::mailbox_thread::current().id;
}

bool inside_process() noexcept { return current_process() != nullptr; }

bool is_alive(pid process) noexcept {
  auto* slot = detail::find_slot(process.id);
  return process && process.is_local() && slot != nullptr &&
         slot->id.load(std::memory_order_acquire) == process.id;
}

// --- names ---------------------------------------------------------------------------------------

namespace {

/// Runs `inspect` against the process at once, as a signal, and waits if this is no process itself.
void set_name(pid process, std::string name) {
  auto apply = [name] { current_process()->more().name = name; };
  if (auto* me = current_process(); me != nullptr && me->self() == process) return apply();
  detail::enqueue(process, make_message<detail::task>(message_kind::inspect, apply));
}

}  // namespace

void register_name(std::string_view name, pid process) {
  if (name.empty()) throw std::invalid_argument("expected a name to register, got an empty one");
  if (!is_alive(process))
    throw std::invalid_argument(
        "expected " + to_string(process) + " to be alive, got " + std::string(name) +
        " for a process that has ended");
  if (auto owner = detail::names::add(name, process))
    throw std::invalid_argument(
        "expected the name " + std::string(name) + " to be free, got " + to_string(owner) +
        " as its owner");
  set_name(process, std::string(name));
  // The process may have ended before it heard of its name; then nobody else removes it.
  if (!is_alive(process)) detail::names::remove(name, process);
}

void unregister_name(std::string_view name) {
  auto owner = whereis(name);
  if (!owner || !detail::names::remove(name, owner))
    throw std::invalid_argument("expected " + std::string(name) + " to be registered, got nobody");
  set_name(owner, {});
}

pid whereis(std::string_view name) noexcept { return detail::names::find(name); }

// --- links, monitors, exits ----------------------------------------------------------------------

namespace {

detail::process& this_process(const char* what) {
  auto* process = current_process();
  if (process == nullptr)
    throw std::logic_error(
        std::string("expected ") + what +
        " to be called in a process, got a thread outside the scheduler");
  return *process;
}

void send_exit(pid to, const exit_reason& reason, bool linked) {
  auto message = make_message<detail::exit_signal>(message_kind::exit, reason, linked);
  message->from = self();
  detail::enqueue(to, std::move(message));
}

}  // namespace

void link(pid other) {
  auto& me = this_process("link");
  if (other == me.self()) return;
  if (!other.is_local()) detail::tie(me, other, true);
  if (!me.links.insert(other)) return;
  if (me.extra) me.extra->unlinking.erase(other);
  detail::signal(other, message_kind::link, {});
}

void unlink(pid other) {
  auto& me = this_process("unlink");
  if (!me.links.erase(other)) return;
  auto ref = make_ref();
  me.more().unlinking.insert(other, ref);
  detail::signal(other, message_kind::unlink, ref);
}

reference monitor(pid other) {
  auto ref = make_ref();
  if (auto* me = current_process()) {
    if (!other.is_local()) detail::tie(*me, other, true);
    me->more().monitors.insert(ref, other);
  }
  detail::signal(other, message_kind::monitor, ref);
  return ref;
}

reference monitor(std::string_view name) { return monitor(whereis(name)); }

bool demonitor(reference ref, demonitor_options options) {
  auto& me = this_process("demonitor");
  auto watched = me.extra ? me.extra->monitors.take(ref) : std::nullopt;
  if (watched) detail::signal(*watched, message_kind::demonitor, ref);
  if (options.flush) detail::flush_down(me, ref);
  return watched.has_value();
}

void exit(pid other, exit_reason reason) {
  auto* me = current_process();
  if (me == nullptr || me->self() != other) return send_exit(other, reason, false);
  // To itself the signal is delivered before this returns, as in Erlang.
  if (me->trap_exit && !(reason == exit_reason::kill)) return send_exit(other, reason, false);
  if (reason == exit_reason::kill) reason = exit_reason::killed;
  me->by_signal = true;
  me->ending = std::make_unique<exit_reason>(reason);
  throw process_exit(std::move(reason));
}

void exit(exit_reason reason) { throw process_exit(std::move(reason)); }

bool trap_exit(bool on) {
  auto& me = this_process("trap_exit");
  bool before = me.trap_exit;
  me.trap_exit = on;
  return before;
}

// --- aliases
// ---------------------------------------------------------------------------------------

process_alias alias(alias_options options) {
  auto& me = this_process("alias");
  auto ref = make_ref();
  me.more().aliases.insert(ref, options.once);
  return {me.self(), ref};
}

bool unalias(const process_alias& alias) {
  auto& me = this_process("unalias");
  return me.extra && me.extra->aliases.erase(alias.ref);
}

void hibernate() {
  auto& me = this_process("hibernate");
  if (me.does) me.does->hibernate();
  me.links.shrink();
  if (!me.extra) return;
  auto& extra = *me.extra;
  extra.unlinking.shrink();
  extra.monitors.shrink();
  extra.monitored_by.shrink();
  extra.requests.shrink();
  extra.open_calls.shrink();
  extra.aliases.shrink();
}

// --- timers --------------------------------------------------------------------------------------

timer::timer(const timer& other) noexcept : node_(other.node_) {
  if (node_ != nullptr) node_->add_ref();
}

timer::~timer() {
  if (node_ != nullptr) node_->release();
}

std::optional<std::chrono::milliseconds> timer::cancel() noexcept {
  if (node_ == nullptr || !node_->finish(detail::timer_node::state::cancelled)) return std::nullopt;
  auto now = detail::exact_now();
  auto left = node_->deadline > now ? node_->deadline - now : 0;
  node_->message.reset();
  auto* owner = detail::scheduler::instance();
  if (owner != nullptr) {
    auto& worker = owner->at(node_->worker);
    if (&worker == detail::worker::current())
      worker.timers().remove(node_);
    else
      worker.cancelled(node_);
  }
  return std::chrono::milliseconds(left);
}

std::optional<std::chrono::milliseconds> timer::remaining() const noexcept {
  if (node_ == nullptr || node_->current.load() != detail::timer_node::state::armed)
    return std::nullopt;
  auto now = detail::exact_now();
  return std::chrono::milliseconds(node_->deadline > now ? node_->deadline - now : 0);
}

// --- behind the templates ------------------------------------------------------------------------

namespace detail {

void enqueue(pid to, message_ptr message) {
  if (to.is_local()) return deliver(to.id, std::move(message));
  if (to.node == caf_node) return tell_caf(to, std::move(message));
  if (auto* nodes = remote.load(std::memory_order_acquire))
    return void(nodes->deliver(to, std::move(message), {}));
  answer_for_the_dead(to, std::move(message), exit_reason::noconnection);
}

send_status enqueue_if(pid to, message_ptr message, send_options options) {
  auto* nodes = remote.load(std::memory_order_acquire);
  if (!to.is_local() && to.node != caf_node) {
    if (nodes == nullptr) return send_status::noconnect;
    return nodes->deliver(to, std::move(message), options);
  }
  enqueue(to, std::move(message));
  return send_status::ok;
}

namespace {

message_ptr make_signal(message_kind kind, reference ref) {
  static constexpr message_type plain{
      "signal", [](detail::message* message) noexcept { delete message; }};
  message_ptr message{new detail::message(kind, &plain)};
  message->ref = ref;
  return message;
}

}  // namespace

void signal(pid to, message_kind kind, reference ref) {
  auto message = make_signal(kind, ref);
  message->from = self();
  enqueue(to, std::move(message));
}

void answer_for_the_dead(pid gone, message_ptr message, const exit_reason& reason) {
  switch (message->kind) {
    case message_kind::call: {
      auto notice = make_message<death_notice>(message_kind::no_reply, reason);
      notice->from = gone;
      notice->ref = message->ref;
      return enqueue(message->from, std::move(notice));
    }
    case message_kind::inspect: {
      auto* question = value_of<inspection>(*message);
      if (question == nullptr || !message->ref) return;
      auto reply = question->answer(nullptr);
      reply->from = gone;
      reply->ref = message->ref;
      return enqueue(message->from, std::move(reply));
    }
    case message_kind::sys: {
      auto notice = make_message<death_notice>(message_kind::no_reply, reason);
      notice->from = gone;
      notice->ref = message->ref;
      return enqueue(message->from, std::move(notice));
    }
    case message_kind::link: {
      auto signal = make_message<exit_signal>(message_kind::exit, reason, true);
      signal->from = gone;
      return enqueue(message->from, std::move(signal));
    }
    case message_kind::unlink: {
      auto notice = make_signal(message_kind::unlinked, message->ref);
      notice->from = gone;
      return enqueue(message->from, std::move(notice));
    }
    case message_kind::monitor: {
      auto notice = make_message<down>(message_kind::down, message->ref, gone, reason);
      notice->from = gone;
      notice->ref = message->ref;
      return enqueue(message->from, std::move(notice));
    }
    default:
      return;
  }
}

pid name_or_throw(std::string_view name) {
  if (auto process = whereis(name)) return process;
  throw_nobody(name);
}

void throw_nobody(std::string_view name) {
  throw std::invalid_argument(
      "expected " + std::string(name) + " to be a registered name, got nobody (badarg)");
}

void stop_self(exit_reason reason) {
  current_process()->ending = std::make_unique<exit_reason>(std::move(reason));
}

timer_node* arm_timer(std::chrono::milliseconds delay, pid to, message_ptr message) {
  // One more tick, because the present millisecond has partly gone by: never early.
  auto wait = static_cast<std::uint64_t>(std::max<std::int64_t>(delay.count(), 0)) + 1;
  auto* here = worker::current();
  auto* all = scheduler::instance();
  if (all == nullptr)
    throw std::logic_error(
        "expected a running roost::runtime, got none: write `roost::runtime runtime;` first");
  auto& owner = here != nullptr ? *here : all->pick();
  auto* node = new timer_node(exact_now() + wait, to, std::move(message), owner.index());
  node->add_ref();  // one for the wheel, one for the caller
  if (here != nullptr)
    here->timers().insert(node);
  else
    owner.post_function([node, &owner] { owner.timers().insert(node); });
  return node;
}

void run_in(pid to, std::function<void()> run) {
  auto message = make_message<task>(message_kind::task, std::move(run));
  message->from = self();
  enqueue(to, std::move(message));
}

}  // namespace detail
}  // namespace roost
