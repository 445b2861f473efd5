// private: supervisors that restart again and again, or have given up. Pure: the caller says what
// time it is.
//
// A supervisor's own limit (max_restarts in max_seconds) catches the fast loop, and ends it. The
// slow one, a crash every few seconds, stays below that limit for ever: this one has a longer
// window. At most 1,000 supervisors are kept; the one that was heard of longest ago goes.
#pragma once
#include <chrono>
#include <deque>
#include <map>
#include <string>

namespace roost::detail {

class crash_loops {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  struct options {
    std::size_t raise = 10;  // restarts of one supervisor within the window
    std::size_t clear = 3;   // … it is over with so many or fewer
    std::chrono::milliseconds window{300'000};
  };

  explicit crash_loops(options options) : options_(options) {}

  void restarted(const std::string& supervisor, const std::string& child, time_point now);
  void gave_up(const std::string& supervisor, const std::string& child, time_point now);

  /// Which supervisors are in a loop, in words; empty: none.
  std::string describe(time_point now);

 private:
  struct history {
    std::deque<time_point> restarts;  // the last ones, no more than raise
    time_point gave_up{};
    std::string child;  // the last one
    bool loops = false;
    time_point heard{};
  };

  history& of(const std::string& supervisor, time_point now);

  options options_;
  std::map<std::string, history> supervisors_;
};

}  // namespace roost::detail
