#include "runtime/sys.hpp"
#include "runtime/process_core.hpp"
#include "runtime/scheduler.hpp"

namespace roost {
namespace detail {
namespace {

message_ptr done() { return make_message<unit>(message_kind::reply); }

/// Changes a process as a signal; fails with noproc when there is none.
pending<void> change(pid to, std::function<void(process&)> how, std::string_view what) {
  return pending<void>(request{
      to,
      make_message<inspection>(
          message_kind::inspect,
          [how](process* found) -> message_ptr {
            if (found == nullptr)
              return make_message<death_notice>(message_kind::no_reply, exit_reason::noproc);
            how(*found);
            return done();
          }),
      call_timeout, what});
}

}  // namespace

message_ptr make_sys_request(std::function<message_ptr(behavior&)> run) {
  return make_message<sys_request>(
      message_kind::sys, [run = std::move(run)](process& process) { return run(*process.does); });
}

void throw_other_server(std::string_view wanted, std::string_view found) {
  throw std::logic_error("expected a server of type " + std::string(wanted) + ", got " +
                         std::string(found));
}

}  // namespace detail

namespace sys {

using detail::process;

pending<std::string> get_state_text(pid of) {
  return pending<std::string>(detail::request{
      of, detail::make_sys_request([](detail::behavior& behavior) -> detail::message_ptr {
        return detail::make_message<std::string>(detail::message_kind::reply,
                                                 behavior.state_text());
      }),
      call_timeout, "sys::get_state_text"});
}

pending<void> suspend(pid of) {
  return detail::change(of, [](process& process) { process.suspended = true; }, "sys::suspend");
}

pending<void> resume(pid of) {
  return detail::change(of, [](process& process) { process.suspended = false; }, "sys::resume");
}

pending<void> trace(pid of, pid tracer) {
  return detail::change(of, [tracer](process& process) { process.more().tracer = tracer; },
                        "sys::trace");
}

pending<void> no_trace(pid of) { return trace(of, {}); }

pending<void> statistics(pid of, bool on) {
  return detail::change(
      of,
      [on](process& process) {
        process.counts_out = on;
        process.more().messages_out = 0;
      },
      "sys::statistics");
}

pending<statistics_report> get_statistics(pid of) {
  return detail::inspect<statistics_report>(of, [](process* found) -> detail::message_ptr {
    if (found == nullptr)
      return detail::make_message<detail::death_notice>(detail::message_kind::no_reply,
                                                        exit_reason::noproc);
    statistics_report report;
    report.uptime = std::chrono::milliseconds(detail::exact_now() - found->started);
    report.reductions = found->reductions;
    if (found->extra) report.messages_out = found->extra->messages_out;
    return detail::make_message<statistics_report>(detail::message_kind::reply, report);
  });
}

pending<void> terminate(pid of, exit_reason reason) {
  return pending<void>(detail::request{
      of, detail::make_sys_request([reason](detail::behavior&) -> detail::message_ptr {
        detail::stop_self(reason);
        return detail::make_message<detail::unit>(detail::message_kind::reply);
      }),
      call_timeout, "sys::terminate"});
}

}  // namespace sys
}  // namespace roost
