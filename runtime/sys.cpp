#include "runtime/sys.hpp"
#include "runtime/process_core.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/sys_debug.hpp"

namespace roost {
namespace detail {

void print_event(const trace_event& event);

namespace {

message_ptr done() { return make_message<unit>(message_kind::reply); }

message_ptr nobody() {
  return make_message<death_notice>(message_kind::no_reply, exit_reason::noproc);
}

/// Changes a process as a signal, whatever waits in its queue; fails with noproc when there is
/// none.
pending<void> change(
    pid to, std::function<void(process&)> how, std::chrono::milliseconds timeout,
    std::string_view what) {
  return pending<void>(request{
      to,
      make_message<inspection>(
          message_kind::inspect,
          [how](process* found) -> message_ptr {
            if (found == nullptr) return nobody();
            how(*found);
            return done();
          }),
      timeout, what});
}

/// … and drops what watches it when nothing is left that does.
pending<void> change_debug(
    pid to, std::function<void(sys_debug&, process&)> how, std::chrono::milliseconds timeout,
    std::string_view what) {
  return change(
      to,
      [how](process& process) {
        auto& debug = process.more().debug;
        if (!debug) debug = std::make_unique<sys_debug>();
        how(*debug, process);
        if (debug->is_idle()) debug.reset();
      },
      timeout, what);
}

template <class R>
pending<R> ask_process(
    pid of, std::function<R(process&)> question, std::chrono::milliseconds timeout,
    std::string_view what) {
  return pending<R>(request{
      of,
      make_message<inspection>(
          message_kind::inspect,
          [question](process* found) -> message_ptr {
            if (found == nullptr) return nobody();
            return make_message<R>(message_kind::reply, question(*found));
          }),
      timeout, what});
}

std::vector<trace_event> log_of(const process& process) {
  if (!process.extra || !process.extra->debug) return {};
  return process.extra->debug->logged();
}

}  // namespace

message_ptr make_sys_request(std::function<message_ptr(behavior&)> run) {
  return make_message<sys_request>(
      message_kind::sys, [run = std::move(run)](process& process) { return run(*process.does); });
}

void throw_other_server(std::string_view wanted, std::string_view found) {
  throw std::logic_error(
      "expected a server of type " + std::string(wanted) + ", got " + std::string(found));
}

pending<void> install_function(
    pid process, std::string id, event_function function, std::chrono::milliseconds timeout) {
  return change_debug(
      process,
      [id = std::move(id), function = std::move(function)](sys_debug& debug, detail::process&) {
        debug.install(id, function);
      },
      timeout, "sys::install");
}

}  // namespace detail

namespace sys {

using detail::change_debug;
using detail::process;
using detail::sys_debug;
using std::chrono::milliseconds;

pending<std::string> get_state_text(pid of, milliseconds timeout) {
  return pending<std::string>(detail::request{
      of, detail::make_sys_request([](detail::behavior& behavior) -> detail::message_ptr {
        return detail::make_message<std::string>(
            detail::message_kind::reply, behavior.state_text());
      }),
      timeout, "sys::get_state_text"});
}

pending<status_report> get_status(pid of, milliseconds timeout) {
  return pending<status_report>(detail::request{
      of,
      detail::make_message<detail::sys_request>(
          detail::message_kind::sys,
          [](process& process) -> detail::message_ptr {
            status_report report;
            report.process = process.self();
            report.module = process.does->initial_call();
            report.suspended = process.suspended;
            report.parent = process.parent;
            report.state = process.does->state_text();
            if (process.extra) {
              report.registered_name = process.extra->name;
              for (auto& [key, value] : process.extra->dictionary) report.dictionary.push_back(key);
              if (process.extra->debug) report.debug = process.extra->debug->switched_on();
            }
            report.log = detail::log_of(process);
            return detail::make_message<status_report>(
                detail::message_kind::reply, std::move(report));
          }),
      timeout, "sys::get_status"});
}

pending<void> suspend(pid of, milliseconds timeout) {
  return detail::change(
      of, [](process& process) { process.suspended = true; }, timeout, "sys::suspend");
}

pending<void> resume(pid of, milliseconds timeout) {
  return detail::change(
      of, [](process& process) { process.suspended = false; }, timeout, "sys::resume");
}

pending<void> trace(pid of, milliseconds timeout) {
  return change_debug(
      of, [](sys_debug& debug, process&) { debug.prints = true; }, timeout, "sys::trace");
}

pending<void> trace(pid of, pid tracer, milliseconds timeout) {
  return change_debug(
      of,
      [tracer](sys_debug& debug, process&) {
        debug.tracer = tracer;
        if (!tracer) debug.prints = false;
      },
      timeout, "sys::trace");
}

pending<void> no_trace(pid of, milliseconds timeout) { return trace(of, pid{}, timeout); }

pending<void> log(pid of, std::size_t events, milliseconds timeout) {
  return change_debug(
      of, [events](sys_debug& debug, process&) { debug.keep_log(events); }, timeout, "sys::log");
}

pending<std::vector<trace_event>> get_log(pid of, milliseconds timeout) {
  return detail::ask_process<std::vector<trace_event>>(
      of, [](process& process) { return detail::log_of(process); }, timeout, "sys::get_log");
}

pending<void> print_log(pid of, milliseconds timeout) {
  return detail::change(
      of,
      [](process& process) {
        for (auto& event : detail::log_of(process)) detail::print_event(event);
      },
      timeout, "sys::print_log");
}

pending<void> log_to_file(pid of, std::string file, milliseconds timeout) {
  // In its turn, as a request that may fail.
  return pending<void>(detail::request{
      of,
      detail::make_message<detail::sys_request>(
          detail::message_kind::sys,
          [file = std::move(file)](process& process) -> detail::message_ptr {
            auto& debug = process.more().debug;
            if (!debug) debug = std::make_unique<sys_debug>();
            debug->open_file(file);
            if (debug->is_idle()) debug.reset();
            return detail::done();
          }),
      timeout, "sys::log_to_file"});
}

pending<void> statistics(pid of, bool on, milliseconds timeout) {
  return change_debug(
      of, [on](sys_debug& debug, process& process) { debug.count(on, process.reductions); },
      timeout, "sys::statistics");
}

pending<std::optional<statistics_report>> get_statistics(pid of, milliseconds timeout) {
  using answer = std::optional<statistics_report>;
  return detail::ask_process<answer>(
      of,
      [](process& process) -> answer {
        if (!process.extra || !process.extra->debug) return std::nullopt;
        auto report = process.extra->debug->counted(process.reductions);
        if (report) report->uptime = milliseconds(detail::exact_now() - process.started);
        return report;
      },
      timeout, "sys::get_statistics");
}

pending<void> install(pid of, std::string id, debug_function function, milliseconds timeout) {
  return detail::install_function(
      of, std::move(id),
      [function = std::move(function)](const trace_event& event, detail::behavior&) {
        return function(event);
      },
      timeout);
}

pending<void> remove(pid of, std::string id, milliseconds timeout) {
  return change_debug(
      of, [id = std::move(id)](sys_debug& debug, process&) { debug.remove(id); }, timeout,
      "sys::remove");
}

pending<void> no_debug(pid of, milliseconds timeout) {
  return detail::change(
      of,
      [](process& process) {
        if (process.extra) process.extra->debug.reset();
      },
      timeout, "sys::no_debug");
}

pending<void> terminate(pid of, exit_reason reason, milliseconds timeout) {
  return pending<void>(detail::request{
      of, detail::make_sys_request([reason](detail::behavior& behavior) -> detail::message_ptr {
        behavior.stop(reason);
        return detail::done();
      }),
      timeout, "sys::terminate"});
}

}  // namespace sys
}  // namespace roost
