// runtime/sys.hpp
//
// What an operator may do to any server, without its cooperation: look at its state, replace it,
// suspend and resume it, watch its messages.
//
//   roost::sys::get_state(rooms).then([](rooms_server state) { … });
//   roost::sys::get_state_text(pid)                       // "counter{value: 5}"
//   roost::sys::replace_state(c, [](counter state) { state.value = 0; return state; })
//   roost::sys::trace(pid, roost::self());                // trace_event messages from now on
//
// State functions run in the server, between two messages, in their turn. suspend and resume act at
// once; a suspended server handles nothing but these requests, and its messages wait. Answers come
// within 5 s or fail, as calls do. A function that throws changes nothing and fails its asker.
//
// Thread safety: from any process (`.then`) or thread (`.get()`).
// Source: OTP sys.
#pragma once
#include "runtime/gen_server.hpp"

namespace roost {

/// What a traced process has done.
struct trace_event {
  enum kind_of_event : std::uint8_t { received, replied };

  pid process;
  kind_of_event kind;
  std::string message;  // as text
};

namespace sys {

struct statistics_report {
  std::chrono::milliseconds uptime{0};
  std::uint64_t reductions = 0;    // messages and events handled
  std::uint64_t messages_out = 0;  // replies, since statistics were switched on
};

pending<std::string> get_state_text(pid process);

pending<void> suspend(pid process);
pending<void> resume(pid process);

/// Tells `tracer` of each message that the process takes and each reply that it gives.
pending<void> trace(pid process, pid tracer);
pending<void> no_trace(pid process);

pending<void> statistics(pid process, bool on);
pending<statistics_report> get_statistics(pid process);

/// Ends the server with terminate(), in its turn.
pending<void> terminate(pid process, exit_reason reason = exit_reason::normal);

}  // namespace sys

namespace detail {

struct process;

/// A request that runs in the process between two messages.
message_ptr make_sys_request(std::function<message_ptr(behavior&)> run);

/// Throws with one sentence when the process is no server of this type.
[[noreturn]] void throw_other_server(std::string_view wanted, std::string_view found);

template <class S>
std::optional<S>& state_of(behavior& behavior) {
  auto* place = static_cast<std::optional<S>*>(behavior.state_place(type_name<S>()));
  if (place == nullptr) throw_other_server(type_name<S>(), behavior.initial_call());
  return *place;
}

}  // namespace detail

namespace sys {

/// A copy of the server's state.
template <class S>
pending<S> get_state(const server<S>& of) {
  return pending<S>(detail::request{
      of.process(), detail::make_sys_request([](detail::behavior& behavior) -> detail::message_ptr {
        return detail::make_message<S>(detail::message_kind::reply,
                                       *detail::state_of<S>(behavior));
      }),
      call_timeout, "sys::get_state"});
}

/// Replaces the state by what `change` makes of it; answers the new one.
template <class S, class F>
pending<S> replace_state(const server<S>& of, F change) {
  return pending<S>(detail::request{
      of.process(),
      detail::make_sys_request([change](detail::behavior& behavior) -> detail::message_ptr {
        auto& state = detail::state_of<S>(behavior);
        state.emplace(change(*state));
        return detail::make_message<S>(detail::message_kind::reply, *state);
      }),
      call_timeout, "sys::replace_state"});
}

/// Calls the server's optional `void code_change(std::string_view old_version)` while it is suspended
/// for an upgrade.
template <class S>
pending<void> change_code(const server<S>& of, std::string old_version) {
  static_assert(requires(S& state) { state.code_change(std::string_view()); },
                "change_code needs  void code_change(std::string_view old_version)  in the server");
  return pending<void>(detail::request{
      of.process(),
      detail::make_sys_request(
          [old = std::move(old_version)](detail::behavior& behavior) -> detail::message_ptr {
            detail::state_of<S>(behavior)->code_change(old);
            return detail::make_message<detail::unit>(detail::message_kind::reply);
          }),
      call_timeout, "sys::change_code"});
}

}  // namespace sys
}  // namespace roost
