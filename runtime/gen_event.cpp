#include "runtime/gen_event.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_run.hpp"
#include <algorithm>

namespace roost {

std::string to_string(const handler_info& handler) {
  return handler.id.empty() ? handler.type : "{" + handler.type + ", " + handler.id + "}";
}

namespace detail {
namespace {

message_ptr done() { return make_message<unit>(message_kind::reply); }

message_ptr failed(const exit_reason& reason) {
  return make_message<death_notice>(message_kind::no_reply, reason);
}

/// Runs a handler's code; an exception is what it answers.
template <class F>
std::optional<exit_reason> attempt(F code) {
  try {
    code();
    return std::nullopt;
  } catch (...) {
    return reason_of_exception(*current_process());
  }
}

void report_handler(
    const handler_info& who, const exit_reason& reason, std::string_view last,
    std::string_view state) {
  logger::report(
      log_level::error, "handler_report", "event handler removed, it crashed",
      {{"manager", to_string(self())},
       {"handler", to_string(who)},
       {"reason", reason.to_string()},
       {"where", reason.where()},
       {"last_message", last},
       {"state", state}});
}

}  // namespace

struct event_core::entry {
  handler_info who;
  std::unique_ptr<event_handler> handler;
  pid supervisor;  // who has added it with add_sup_handler
};

event_core::event_core() = default;
event_core::~event_core() = default;

init_outcome event_core::init() {
  trap_exit(true);
  return {};
}

message_ptr make_event_request(std::function<message_ptr(event_core&, const message&)> run) {
  return make_message<event_request>(message_kind::call, std::move(run));
}

message_ptr handlers_reply(const event_core& core) {
  return make_message<std::vector<handler_info>>(message_kind::reply, core.list());
}

void require_process(std::string_view what) {
  if (inside_process()) return;
  throw std::logic_error(
      "expected " + std::string(what) +
      " to be called in a process, which is linked to the manager, got a thread "
      "outside the scheduler: use the function without `sup`");
}

// --- messages ------------------------------------------------------------------------------------

void event_core::handle(message& message) {
  if (is_event(message) &&
      (message.kind == message_kind::cast || message.kind == message_kind::call))
    return on_event(message);
  if (auto* request = value_of<event_request>(message))
    return send_reply(message.from, message.ref, request->run(*this, message));
  if (auto* call = value_of<event_call>(message)) return on_call(message, *call);
  if (auto* exit = value_of<exited>(message)) {
    if (is_parent_exit(*exit)) return stop_self(exit->reason);
    on_exit(*exit);
  }
  on_info(message);
}

void event_core::on_event(message& message) {
  each(
      [&](event_handler& handler, handler_change& change) { handler.on_event(message, change); },
      message);
  if (message.kind == message_kind::call) send_reply(message.from, message.ref, done());
}

void event_core::on_info(message& message) {
  bool taken = message.kind == message_kind::exited;
  each(
      [&](event_handler& handler, handler_change& change) {
        taken = handler.on_info(message, change) || taken;
      },
      message);
  if (!taken) unexpected(message, initial_call());
  if (message.kind == message_kind::call)
    send_reply(message.from, message.ref, failed("undefined_call"));
}

void event_core::on_call(message& message, event_call& call) {
  auto* found = find(call.handler);
  if (found == nullptr) return send_reply(message.from, message.ref, failed("bad_module"));
  handler_change change;
  message_ptr reply;
  if (auto crash = attempt([&] { reply = found->handler->on_call(*call.message, change); })) {
    crashed(call.handler, describe(*call.message), *crash);
    reply = failed(*crash);
  } else {
    apply(call.handler, change);
  }
  send_reply(message.from, message.ref, std::move(reply));
}

/// The end of a process that has added handlers takes them away.
void event_core::on_exit(const exited& exit) {
  std::vector<handler_info> orphans;
  for (auto& each : handlers_)
    if (each->supervisor == exit.from) orphans.push_back(each->who);
  for (auto& who : orphans) {
    find(who)->supervisor = {};  // who would be told is gone
    take_out(who, exit.reason, exit.reason);
  }
}

void event_core::terminate(const exit_reason& reason) {
  while (!handlers_.empty()) take_out(handlers_.front()->who, reason, exit_reason::shutdown);
}

std::string event_core::state_text() const {
  std::string text = "[";
  for (auto& each : handlers_) {
    if (text.size() > 1) text += ", ";
    text += each->handler->state_text();
  }
  return text + "]";
}

// --- handlers ------------------------------------------------------------------------------------

event_core::entry* event_core::find(const handler_info& who) noexcept {
  for (auto& each : handlers_)
    if (each->who == who) return each.get();
  return nullptr;
}

std::vector<handler_info> event_core::list() const {
  std::vector<handler_info> all;
  for (auto& each : handlers_) all.push_back(each->who);
  return all;
}

/// Calls every handler in turn. One that takes the place of another does not see this message.
template <class F>
void event_core::each(F call, const message& last) {
  for (std::size_t i = 0; i < handlers_.size();) {
    auto* now = handlers_[i].get();
    auto count = handlers_.size();
    handler_change change;
    if (auto crash = attempt([&] { call(*now->handler, change); })) {
      auto who = now->who;
      crashed(who, describe(last), *crash);
    } else if (change.remove || change.make) {
      auto who = now->who;
      apply(who, change);
    }
    if (handlers_.size() == count) ++i;
  }
}

void event_core::apply(const handler_info& who, handler_change& change) {
  if (change.remove)
    take_out(who, exit_reason::normal, exit_reason::normal);
  else if (change.make)
    swap(who, change.successor, change.make, "swapped", find(who)->supervisor);
}

void event_core::crashed(
    const handler_info& who, std::string_view last, const exit_reason& reason) {
  report_handler(who, reason, last, find(who)->handler->state_text());
  take_out(who, reason, reason);
}

void event_core::put_in(
    std::size_t place, handler_info who, const make_handler& make, message* handed_over,
    pid supervisor) {
  auto handler = make(handed_over);
  handlers_.insert(
      handlers_.begin() + static_cast<std::ptrdiff_t>(place),
      std::make_unique<entry>(entry{std::move(who), std::move(handler), supervisor}));
  if (supervisor) link(supervisor);
}

/// Ends a handler; its last word, if it could say one. `told` is what its supervisor hears.
message_ptr event_core::take_out(
    const handler_info& who, const exit_reason& reason, const exit_reason& told) {
  auto found = std::find_if(
      handlers_.begin(), handlers_.end(), [&](auto& each) { return each->who == who; });
  if (found == handlers_.end()) return nullptr;
  auto gone = std::move(*found);
  handlers_.erase(found);
  message_ptr last;
  if (auto crash = attempt([&] { last = gone->handler->end(reason); })) {
    report_handler(gone->who, *crash, "terminate", gone->handler->state_text());
    last = failed(*crash);
  }
  if (gone->supervisor) {
    send(gone->supervisor, gen_event_exit{self(), gone->who, told});
    forget_supervisor(gone->supervisor);
  }
  return last;
}

/// The link goes with the last handler that needs it.
void event_core::forget_supervisor(pid supervisor) {
  for (auto& each : handlers_)
    if (each->supervisor == supervisor) return;
  if (auto* me = current_process(); me->parent != supervisor) unlink(supervisor);
}

message_ptr event_core::add(handler_info who, const make_handler& make, pid supervisor) {
  if (find(who) != nullptr) return failed("already_present");
  if (auto crash = attempt([&] { put_in(0, std::move(who), make, nullptr, supervisor); }))
    return failed(*crash);
  return done();
}

message_ptr event_core::remove(const handler_info& who, const exit_reason& reason) {
  return take_out(who, reason, exit_reason::normal);
}

message_ptr event_core::swap(
    const handler_info& old, handler_info next, const make_handler& make, const exit_reason& reason,
    pid supervisor) {
  if (!(old == next) && find(next) != nullptr) return failed("already_present");
  auto found = std::find_if(
      handlers_.begin(), handlers_.end(), [&](auto& each) { return each->who == old; });
  auto place = found == handlers_.end() ? 0 : static_cast<std::size_t>(found - handlers_.begin());
  auto last = take_out(old, reason, exit_reason("{swapped, " + to_string(next) + "}"));
  if (auto crash = attempt([&] { put_in(place, next, make, last.get(), supervisor); })) {
    report_handler(next, *crash, "init", "");
    if (supervisor) send(supervisor, gen_event_exit{self(), next, *crash});
    return failed(*crash);
  }
  return done();
}

}  // namespace detail
}  // namespace roost
