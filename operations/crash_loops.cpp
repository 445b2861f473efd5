#include "operations/crash_loops.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr std::size_t most_supervisors = 1'000;

}  // namespace

crash_loops::history& crash_loops::of(const std::string& supervisor, time_point now) {
  if (supervisors_.size() >= most_supervisors && !supervisors_.contains(supervisor))
    supervisors_.erase(std::min_element(
        supervisors_.begin(), supervisors_.end(),
        [](auto& a, auto& b) { return a.second.heard < b.second.heard; }));
  auto& history = supervisors_[supervisor];
  history.heard = now;
  return history;
}

void crash_loops::restarted(
    const std::string& supervisor, const std::string& child, time_point now) {
  auto& history = of(supervisor, now);
  history.child = child;
  history.restarts.push_back(now);
  if (history.restarts.size() > options_.raise) history.restarts.pop_front();
}

void crash_loops::gave_up(const std::string& supervisor, const std::string& child, time_point now) {
  auto& history = of(supervisor, now);
  history.child = child;
  history.gave_up = now;
}

std::string crash_loops::describe(time_point now) {
  std::string text;
  auto add = [&](const std::string& words) { text += (text.empty() ? "" : "; ") + words; };
  for (auto at = supervisors_.begin(); at != supervisors_.end();) {
    auto& [name, history] = *at;
    auto& restarts = history.restarts;
    while (!restarts.empty() && now - restarts.front() > options_.window) restarts.pop_front();
    bool ended = history.gave_up != time_point() && now - history.gave_up <= options_.window;
    if (restarts.size() >= options_.raise) history.loops = true;
    if (restarts.size() <= options_.clear) history.loops = false;
    if (ended)
      add(name + " has given up on " + history.child);
    else if (history.loops)
      add(name + " restarts " + history.child + " again and again");
    if (restarts.empty() && !ended)
      at = supervisors_.erase(at);
    else
      ++at;
  }
  return text;
}

}  // namespace roost::detail
