// runtime/sys.hpp
//
// What an operator may do to any server (gen_server, gen_statem, gen_event, agent, supervisor),
// without its cooperation: look at its state, replace it, suspend and resume it, watch its events,
// end it.
//
//   roost::sys::get_state(rooms).then([](rooms_server state) { … });
//   roost::sys::get_state_text(pid)                       // "counter{value: 5}"
//   roost::sys::get_status(pid)                           // everything that is known, as text
//   roost::sys::replace_state(c, [](counter state) { state.value = 0; return state; })
//   roost::sys::trace(pid, roost::self());                // trace_event messages from now on
//   roost::sys::log(pid, 50);  …  roost::sys::get_log(pid)     // the last 50 events
//   roost::sys::install(pid, "big", [](const roost::trace_event& e) { …; return true; });
//
// An event is a message that the server takes, or a reply that it gives. State functions and
// installed functions run in the server, between two messages, in their turn. suspend, resume and
// the switches (trace, log, install, statistics…) act at once; a suspended server handles nothing
// but these requests, and its messages wait. A server that nobody watches pays nothing.
//
// Answers come within 5 s, or the time that is given as the last argument, or fail, as calls do:
// with `noproc` when the process has gone. A function that throws changes nothing and fails its
// asker; an installed function that throws is removed.
//
// Thread safety: from any process (`.then`) or thread (`.get()`).
// Source: OTP sys.
#pragma once
#include "runtime/gen_server.hpp"
#include <chrono>
#include <functional>

namespace roost {

/// What a watched process has done.
struct trace_event {
  enum kind_of_event : std::uint8_t { received, replied };

  pid process;
  kind_of_event kind;
  std::string message;  // as text
  pid peer = {};        // who sent it, or who gets the reply; nobody when that is not known
};

namespace sys {

struct statistics_report {
  std::chrono::milliseconds uptime{0};  // of the process
  std::uint64_t reductions = 0;  // messages and events handled, as the rest since switched on
  std::uint64_t messages_in = 0;
  std::uint64_t messages_out = 0;                         // replies
  std::chrono::system_clock::time_point start_time = {};  // when statistics were switched on
  std::chrono::system_clock::time_point current_time = {};
};

struct status_report {
  pid process;
  std::string registered_name;
  std::string module;  // the type of the server
  bool suspended = false;
  pid parent;
  std::string state;                    // as format_status says, else as it prints
  std::vector<std::string> dictionary;  // its keys
  std::vector<std::string> debug;       // what is switched on: "trace", "log 10", "install big"…
  std::vector<trace_event> log;         // when it is switched on
};

pending<std::string> get_state_text(pid process, std::chrono::milliseconds timeout = call_timeout);
pending<status_report> get_status(pid process, std::chrono::milliseconds timeout = call_timeout);

pending<void> suspend(pid process, std::chrono::milliseconds timeout = call_timeout);
pending<void> resume(pid process, std::chrono::milliseconds timeout = call_timeout);

/// Writes each event to the log of the node.
pending<void> trace(pid process, std::chrono::milliseconds timeout = call_timeout);

/// Tells `tracer` of each event, as a trace_event; nobody: stops telling.
pending<void> trace(pid process, pid tracer, std::chrono::milliseconds timeout = call_timeout);
pending<void> no_trace(pid process, std::chrono::milliseconds timeout = call_timeout);

/// Keeps the last events; 0: stops and forgets them.
pending<void> log(
    pid process, std::size_t events = 10, std::chrono::milliseconds timeout = call_timeout);

/// The events that are kept, oldest first; none when the log is not on.
pending<std::vector<trace_event>> get_log(
    pid process, std::chrono::milliseconds timeout = call_timeout);

/// Writes the events that are kept to the log of the node.
pending<void> print_log(pid process, std::chrono::milliseconds timeout = call_timeout);

/// Appends each event as a line to this file; an empty name: stops. Fails when it cannot be opened.
pending<void> log_to_file(
    pid process, std::string file, std::chrono::milliseconds timeout = call_timeout);

/// Counts events, from zero.
pending<void> statistics(pid process, bool on, std::chrono::milliseconds timeout = call_timeout);

/// Nothing when statistics are not on.
pending<std::optional<statistics_report>> get_statistics(
    pid process, std::chrono::milliseconds timeout = call_timeout);

/// Called in the process for each event; answers whether it goes on.
using debug_function = std::function<bool(const trace_event& event)>;

/// Adds a function under an id. One that is installed already stays as it is.
pending<void> install(
    pid process, std::string id, debug_function function,
    std::chrono::milliseconds timeout = call_timeout);
pending<void> remove(pid process, std::string id, std::chrono::milliseconds timeout = call_timeout);

/// Switches off trace, log, files, statistics and installed functions.
pending<void> no_debug(pid process, std::chrono::milliseconds timeout = call_timeout);

/// Ends the server with terminate(), in its turn. Does not wait for the end: roost::stop does.
pending<void> terminate(
    pid process, exit_reason reason = exit_reason::normal,
    std::chrono::milliseconds timeout = call_timeout);

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

using event_function = std::function<bool(const trace_event&, behavior&)>;
pending<void> install_function(
    pid process, std::string id, event_function function, std::chrono::milliseconds timeout);

}  // namespace detail

namespace sys {

/// A copy of the server's state.
template <class S>
pending<S> get_state(const server<S>& of, std::chrono::milliseconds timeout = call_timeout) {
  return pending<S>(detail::request{
      of.process(), detail::make_sys_request([](detail::behavior& behavior) -> detail::message_ptr {
        return detail::make_message<S>(detail::message_kind::reply, *detail::state_of<S>(behavior));
      }),
      timeout, "sys::get_state"});
}

/// Replaces the state by what `change` makes of it; answers the new one.
template <class S, class F>
pending<S> replace_state(
    const server<S>& of, F change, std::chrono::milliseconds timeout = call_timeout) {
  return pending<S>(detail::request{
      of.process(),
      detail::make_sys_request([change](detail::behavior& behavior) -> detail::message_ptr {
        auto& state = detail::state_of<S>(behavior);
        state.emplace(change(*state));
        return detail::make_message<S>(detail::message_kind::reply, *state);
      }),
      timeout, "sys::replace_state"});
}

/// As install, with the state as it is before the event: `bool function(const trace_event&, const
/// S&)`.
template <class S, class F>
pending<void> install(
    const server<S>& in, std::string id, F function,
    std::chrono::milliseconds timeout = call_timeout) {
  if constexpr (std::is_invocable_r_v<bool, F&, const trace_event&>) {
    return install(in.process(), std::move(id), debug_function(std::move(function)), timeout);
  } else {
    static_assert(
        std::is_invocable_r_v<bool, F&, const trace_event&, const S&>,
        "install() needs a function that answers whether it goes on: "
        "[](const roost::trace_event& event, const S& state) { return true; }");
    return detail::install_function(
        in.process(), std::move(id),
        [function = std::move(function)](
            const trace_event& event, detail::behavior& behavior) mutable {
          return function(event, std::as_const(*detail::state_of<S>(behavior)));
        },
        timeout);
  }
}

/// Calls the server's optional `void code_change(std::string_view old_version)` while it is
/// suspended for an upgrade.
template <class S>
pending<void> change_code(
    const server<S>& of, std::string old_version,
    std::chrono::milliseconds timeout = call_timeout) {
  static_assert(
      requires(S & state) { state.code_change(std::string_view()); },
      "change_code needs  void code_change(std::string_view old_version)  in the server");
  return pending<void>(detail::request{
      of.process(),
      detail::make_sys_request(
          [old = std::move(old_version)](detail::behavior& behavior) -> detail::message_ptr {
            detail::state_of<S>(behavior)->code_change(old);
            return detail::make_message<detail::unit>(detail::message_kind::reply);
          }),
      timeout, "sys::change_code"});
}

}  // namespace sys
}  // namespace roost
