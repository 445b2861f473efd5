// private: when a value that goes up and down raises an alarm, and when it clears it. Pure.
//
//   threshold memory{{.raise = 0.8, .clear = 0.7, .sustained = 30s}};
//   if (auto changed = memory.update(used, now)) *changed ? set_alarm(…) : clear_alarm(…);
//
// It is raised when the value has been at `raise` or above at every look for `sustained`, and
// cleared when it falls below `clear`; in between nothing changes, so that a value at the edge does
// not ring all day.
#pragma once
#include <chrono>
#include <optional>

namespace roost::detail {

struct threshold_options {
  double raise = 0.8;
  double clear = 0.7;
  std::chrono::milliseconds sustained{0};
};

class threshold {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit threshold(threshold_options options = {}) : options_(options) {}

  /// What has changed: true, it is raised; false, it is cleared.
  std::optional<bool> update(double value, time_point now) {
    if (value < options_.raise)
      above_since_.reset();
    else if (!above_since_)
      above_since_ = now;
    if (!raised_ && above_since_ && now - *above_since_ >= options_.sustained)
      return raised_ = true;
    if (raised_ && value < options_.clear) return raised_ = false;
    return std::nullopt;
  }
  bool raised() const noexcept { return raised_; }

 private:
  threshold_options options_;
  std::optional<time_point> above_since_;
  bool raised_ = false;
};

}  // namespace roost::detail
