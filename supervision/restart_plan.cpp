#include "supervision/restart_plan.hpp"

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
  recent_.push_back(now);
  while (now - recent_.front() > window_) recent_.pop_front();
  return recent_.size() <= static_cast<std::size_t>(max_restarts_);
}

}  // namespace roost
