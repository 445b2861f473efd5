#include "supervision/restart_plan.hpp"
#include <algorithm>
#include <cmath>

namespace roost {

bool comes_back(enum restart type, const exit_reason& reason) noexcept {
  switch (type) {
    case restart::permanent:
      return true;
    case restart::transient:
      return !reason.is_orderly();
    case restart::temporary:
      return false;
  }
  return false;
}

restart_plan plan_restart(enum strategy strategy, std::size_t count, std::size_t ended) {
  restart_plan plan;
  auto first = strategy == one_for_all ? 0 : ended;
  auto last = strategy == one_for_one ? ended + 1 : count;
  for (auto i = last; i-- > first;)
    if (i != ended) plan.stop.push_back(i);
  for (auto i = first; i < last; ++i) plan.start.push_back(i);
  return plan;
}

bool restart_intensity::allow(clock::time_point now) {
  constexpr std::size_t many = 1024;
  if (recent_.size() >= many && now - recent_[recent_.size() - 2].last < window_ / many)
    recent_.back() = {now, recent_.back().restarts + 1};
  else
    recent_.push_back({now, 1});
  ++count_;
  while (now - recent_.front().last > window_) {
    count_ -= recent_.front().restarts;
    recent_.pop_front();
  }
  return count_ <= max_restarts_;
}

std::chrono::milliseconds restart_delay::next(
    const backoff& options, clock::time_point now, double random) {
  auto long_enough = options.reset_after.count() < 0 ? options.max : options.reset_after;
  if (started_ != clock::time_point::max() && now - started_ >= long_enough) failures_ = 0;
  started_ = clock::time_point::max();
  auto longest = static_cast<double>(options.max.count());
  auto pause = static_cast<double>(options.min.count()) * std::pow(options.factor, failures_);
  if (pause < longest) ++failures_;  // no further: the power would leave the range of double
  pause = std::min(pause, longest) * (1 + options.jitter * (2 * random - 1));
  return std::chrono::milliseconds(std::llround(std::min(pause, longest)));
}

}  // namespace roost
