// runtime/alarms.hpp
//
// Alarms: states that somebody should know about while they last, such as a cluster without nodes
// or a disk that is nearly full. Who finds one sets it, and clears it when it is over.
//
//   roost::set_alarm("disk_almost_full", "/var is 91 % full");
//   roost::clear_alarm("disk_almost_full");
//   for (auto& alarm : roost::alarms()) …
//
// Setting an alarm logs a warning and executes the event roost.alarm.set (system_time; alarm,
// description); clearing it logs a notice and executes roost.alarm.clear (system_time, duration;
// alarm, description). Both happen once: an alarm that is set already only gets the new
// description.
//
// Thread safety: any process or thread. Whoever sets an alarm should also clear it: with two that
// do both at once, the events may come in the other order. Source: SASL's alarm_handler, which
// keeps alarms that are set twice twice.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace roost {

struct alarm {
  std::string id;
  std::string description;
  std::chrono::system_clock::time_point since;
};

/// Answers whether it was not set before.
bool set_alarm(std::string_view id, std::string_view description);

/// Answers whether it was set.
bool clear_alarm(std::string_view id);

/// Those that are set, the oldest first.
std::vector<alarm> alarms();

}  // namespace roost
