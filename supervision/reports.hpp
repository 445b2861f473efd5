// private: what supervisors of all kinds tell the logger, as data.
//
// A supervisor_report (level error) has the fields supervisor, context (start_error,
// child_terminated, shutdown, shutdown_error), child, process, reason, restart, shutdown and type:
// the last six, without the reason, are OTP's offender. A progress_report (level debug, so that it
// is not seen by default, as in OTP and Elixir) has the same fields without context and reason.
#pragma once
#include "supervision/child_spec.hpp"
#include <atomic>

namespace roost {

std::string_view to_string(enum restart type) noexcept;
std::string_view to_string(child_type type) noexcept;
std::string_view to_string(enum strategy strategy) noexcept;

namespace detail {

/// The child that a report is about.
struct offender {
  std::string_view id;
  pid process;
  enum restart restart = permanent;
  shutdown_time shutdown = std::chrono::milliseconds(0);
  child_type type = child_type::worker;
};

void report_child(
    std::string_view supervisor, std::string_view context, const offender& child,
    const exit_reason& reason);
void report_progress(std::string_view supervisor, const offender& child);

/// A message that a supervisor has no use for: it is reported, and whoever waits for an answer
/// learns that none will come.
void refuse(const message& message, std::string_view supervisor);

/// What supervisors of all kinds have done since the program's start.
struct supervision_counts {
  std::atomic<std::uint64_t> restarts{0};
  std::atomic<std::uint64_t> gave_up{0};  // after too many restarts
};
supervision_counts& supervision_counters() noexcept;

/// Evenly spread over 0 … 1, for delays.
double random_part();

}  // namespace detail
}  // namespace roost
