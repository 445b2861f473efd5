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
//   roost::restart_delay delay;                                   // of one child
//   auto wait = delay.next({.min = 100ms, .max = 10s}, now, random_between_0_and_1);
//
// Thread safety: plain values.
// Source: OTP supervisor, sections Supervision Principles and Restart Strategy; Elixir's defaults.
// The delay is not in OTP: see Akka's BackoffSupervisor.
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
/// A great many restarts are remembered in groups of up to a thousandth of the window, which count
/// until the youngest of them is out of it: memory stays bounded under any limit.
class restart_intensity {
 public:
  using clock = std::chrono::steady_clock;

  restart_intensity(int max_restarts, std::chrono::milliseconds max_seconds)
      : max_restarts_(static_cast<std::size_t>(max_restarts)), window_(max_seconds) {}

  /// Counts one restart. Answers whether it is still within the limit.
  bool allow(clock::time_point now);

 private:
  struct moment {
    clock::time_point last;
    std::size_t restarts;
  };

  std::size_t max_restarts_;
  std::chrono::milliseconds window_;
  std::deque<moment> recent_;
  std::size_t count_ = 0;  // in all of `recent_`
};

/// A pause before each restart that grows while a child goes on failing. None in OTP; off by
/// default.
struct backoff {
  std::chrono::milliseconds min{100};         // before the first restart; 0 or more
  std::chrono::milliseconds max{30'000};      // never longer; `min` or more
  double factor = 2;                          // from one pause to the next; 1 or more
  double jitter = 0.2;                        // up to this part shorter or longer; 0 to 1
  std::chrono::milliseconds reset_after{-1};  // a child that ran so long begins with `min` again;
                                              // negative: `max`
};

/// The pauses of one child.
class restart_delay {
 public:
  using clock = restart_intensity::clock;

  /// The child runs from now on.
  void started(clock::time_point now) noexcept { started_ = now; }

  /// How long to wait before the next restart. `random` is evenly spread over 0 … 1.
  std::chrono::milliseconds next(const backoff& options, clock::time_point now, double random);

 private:
  clock::time_point started_ = clock::time_point::max();  // max: it does not run
  int failures_ = 0;
};

}  // namespace roost
