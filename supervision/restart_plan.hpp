// supervision/restart_plan.hpp
//
// What a supervisor does when a child has ended, as a pure decision: who is stopped, who is
// started, or whether the limit is reached. No processes, no clock: the caller says what time it
// is.
//
//   roost::restart_intensity intensity{3, 5s};
//   auto plan = roost::plan_restart(roost::rest_for_one, 4, 1);   // child 1 of 4 has ended
//   // plan.stop = {3, 2}, plan.start = {1, 2, 3}
//
// Thread safety: plain values.
// Source: OTP supervisor, sections Supervision Principles and Restart Strategy; Elixir's defaults.
#pragma once
#include "runtime/exit_reason.hpp"
#include <chrono>
#include <cstddef>
#include <deque>
#include <vector>

namespace roost {

enum class strategy {
  one_for_one,   // only the child that ended is restarted
  one_for_all,   // all are stopped and restarted
  rest_for_one,  // those started after it are stopped and restarted with it
};
using enum strategy;

enum class restart {
  permanent,  // always
  transient,  // only after a crash: not after normal, shutdown or {shutdown, term}
  temporary,  // never; its spec is forgotten
};
using enum restart;

/// Whether a child of this type comes back after this reason.
bool comes_back(enum restart type, const exit_reason& reason) noexcept;

/// Positions in the supervisor's list of children.
struct restart_plan {
  std::vector<std::size_t> stop;   // in this order, without the one that has ended
  std::vector<std::size_t> start;  // in this order
};

/// What has to happen when child `ended` of `count` is to come back.
restart_plan plan_restart(enum strategy strategy, std::size_t count, std::size_t ended);

/// Counts restarts in a sliding window: more than `max_restarts` within `max_seconds` is too many.
class restart_intensity {
 public:
  using clock = std::chrono::steady_clock;

  restart_intensity(int max_restarts, std::chrono::milliseconds max_seconds)
      : max_restarts_(max_restarts), window_(max_seconds) {}

  /// Counts one restart. Answers whether it is still within the limit.
  bool allow(clock::time_point now);

 private:
  int max_restarts_;
  std::chrono::milliseconds window_;
  std::deque<clock::time_point> recent_;
};

}  // namespace roost
