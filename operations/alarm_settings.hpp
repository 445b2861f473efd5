// private: the section operations.alarms: which states of the node are alarms.
#pragma once
#include "operations/crash_loops.hpp"
#include "operations/threshold.hpp"
#include "runtime/config.hpp"
#include <string>
#include <vector>

namespace roost::detail {

struct alarm_check {
  bool enabled = true;
  threshold_options limits = {};
};

struct alarm_settings {
  bool enabled = true;
  std::chrono::milliseconds interval{5'000};  // between two looks

  // Parts of what there is: 0.8 is 80 %.
  alarm_check memory = {};
  alarm_check schedulers = {.limits = {.sustained = std::chrono::seconds(30)}};
  alarm_check network = {.limits = {.sustained = std::chrono::seconds(15)}};
  alarm_check processes = {};
  alarm_check files = {};
  alarm_check links = {.limits = {.raise = 0.8, .clear = 0.4}};
  // Messages.
  alarm_check mailboxes = {.limits = {.raise = 10'000, .clear = 1'000}};

  std::uint64_t memory_limit = 0;  // bytes of this program; 0: the cgroup's or the host's counts
  std::size_t process_limit = 1'048'576;
  std::vector<std::string> interfaces = {};  // empty: all that tell their speed
  std::uint64_t interface_speed = 0;         // bits per second, of those that tell none

  bool crash_loops_enabled = true;
  crash_loops::options loops = {};
};

/// Throws config_error.
alarm_settings read_alarm_settings(const config& section);

}  // namespace roost::detail
