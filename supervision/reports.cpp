#include "supervision/reports.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_core.hpp"
#include <random>

namespace roost {

std::string_view to_string(enum restart type) noexcept {
  switch (type) {
    case restart::permanent:
      return "permanent";
    case restart::transient:
      return "transient";
    case restart::temporary:
      break;
  }
  return "temporary";
}

std::string_view to_string(child_type type) noexcept {
  return type == child_type::supervisor ? "supervisor" : "worker";
}

std::string_view to_string(enum strategy strategy) noexcept {
  switch (strategy) {
    case strategy::one_for_one:
      return "one_for_one";
    case strategy::one_for_all:
      return "one_for_all";
    case strategy::rest_for_one:
      break;
  }
  return "rest_for_one";
}

namespace detail {
namespace {

std::string_view in_words(std::string_view context) {
  if (context == "start_error") return "child did not start";
  if (context == "shutdown_error") return "child did not stop as it should";
  if (context == "shutdown") return "too many restarts, shutting down";
  return "child terminated";
}

std::string in_words(shutdown_time time) {
  if (time.is_brutal_kill()) return "brutal_kill";
  return time.is_infinity() ? "infinity" : std::to_string(time.limit().count());
}

}  // namespace

void report_child(
    std::string_view supervisor, std::string_view context, const offender& child,
    const exit_reason& reason) {
  // Also when no line is logged: the event roost.report does not depend on the level.
  logger::report(
      log_level::error, "supervisor_report", in_words(context),
      {{"supervisor", supervisor},
       {"context", context},
       {"child", child.id},
       {"process", child.process ? to_string(child.process) : "none"},
       {"reason", reason.to_string()},
       {"restart", to_string(child.restart)},
       {"shutdown", in_words(child.shutdown)},
       {"type", to_string(child.type)}});
}

void report_progress(std::string_view supervisor, const offender& child) {
  if (!logger::enabled(log_level::debug)) return;
  logger::report(
      log_level::debug, "progress_report", "child started",
      {{"supervisor", supervisor},
       {"child", child.id},
       {"process", to_string(child.process)},
       {"restart", to_string(child.restart)},
       {"shutdown", in_words(child.shutdown)},
       {"type", to_string(child.type)}});
}

void refuse(const message& message, std::string_view supervisor) {
  logger::report(
      log_level::error, "supervisor_report", "a supervisor received an unexpected message",
      {{"supervisor", supervisor},
       {"context", "unexpected_message"},
       {"message", describe(message)},
       {"message_type", message.type->name},
       {"sender", message.from ? to_string(message.from) : "unknown"}});
  if (message.kind != message_kind::call) return;
  auto reason = exit_reason("{unexpected_call, " + std::string(message.type->name) + "}");
  send_reply(
      message.from, message.ref,
      make_message<death_notice>(message_kind::no_reply, std::move(reason)));
}

supervision_counts& supervision_counters() noexcept {
  static constinit supervision_counts counts;
  return counts;
}

double random_part() {
  static thread_local std::minstd_rand engine{std::random_device{}()};
  return std::generate_canonical<double, 32>(engine);
}

}  // namespace detail
}  // namespace roost
