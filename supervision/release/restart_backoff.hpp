// supervision/release/restart_backoff.hpp — private.
//
// When heart starts a node again that has died, and when it gives up. Pure.
//
//   restart_backoff backoff{{.max_boot_crashes = 5}};
//   if (auto delay = backoff.after_death(was_ready, lived)) start_after(*delay); else give_up();
//
// The first restart is at once; each one after that waits twice as long, until a node has lived for
// a while. Only nodes that never became ready count towards giving up: one that serves between two
// crashes is better than none.
#pragma once
#include <chrono>
#include <optional>

namespace roost::detail {

class restart_backoff {
 public:
  using milliseconds = std::chrono::milliseconds;

  struct options {
    int max_boot_crashes = 5;       // in a row, at least 1
    milliseconds first_delay{100};  // of the second restart in a row
    milliseconds longest_delay{30'000};
    milliseconds stable_after{10'000};  // who lived that long starts a new row
  };

  explicit restart_backoff(options options) : options_(options) {}

  /// The pause before the next start; nothing: give up.
  std::optional<milliseconds> after_death(bool was_ready, milliseconds lived);

  int crashes() const { return crashes_; }
  int boot_crashes() const { return boot_crashes_; }  // in a row

 private:
  options options_;
  int crashes_ = 0;
  int boot_crashes_ = 0;
  milliseconds next_delay_{0};
};

}  // namespace roost::detail
