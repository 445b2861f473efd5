#include "operations/alarm_settings.hpp"

namespace roost::detail {
namespace {

void read_time(const config& section, std::string_view key, std::chrono::milliseconds& value) {
  value = section.get<std::chrono::milliseconds>(key, value);
  if (value > std::chrono::hours(24)) throw section.error(key, "a time of at most a day");
}

void read_check(const config& section, alarm_check& check, double most) {
  auto& limits = check.limits;
  check.enabled = section.get<bool>("enabled", check.enabled);
  limits.raise = section.get<double>("raise", limits.raise);
  // Whoever sets only one of them has not thought of the other.
  auto lower = std::min(limits.clear, limits.raise);
  limits.clear = section.get<double>("clear", lower);
  read_time(section, "window", limits.sustained);
  if (!(limits.raise > 0 && limits.raise <= most))
    throw section.error("raise", most == 1 ? "a part, more than 0 and at most 1" : "more than 0");
  if (!(limits.clear >= 0 && limits.clear <= limits.raise))
    throw section.error("clear", "a number from 0 to that of raise");
}

}  // namespace

alarm_settings read_alarm_settings(const config& section) {
  alarm_settings settings;
  settings.enabled = section.get<bool>("enabled", settings.enabled);
  read_time(section, "interval", settings.interval);
  if (settings.interval < std::chrono::milliseconds(10))
    throw section.error("interval", "a time of 10 ms or more");
  read_check(section.section("memory"), settings.memory, 1);
  read_check(section.section("schedulers"), settings.schedulers, 1);
  read_check(section.section("network"), settings.network, 1);
  read_check(section.section("processes"), settings.processes, 1);
  read_check(section.section("files"), settings.files, 1);
  read_check(section.section("links"), settings.links, 1);
  read_check(section.section("mailboxes"), settings.mailboxes, 1e12);
  settings.memory_limit =
      section.get<byte_size>("memory.limit", byte_size{settings.memory_limit}).bytes;
  settings.process_limit =
      section.get_in<std::size_t>("processes.limit", settings.process_limit, 1, 268'435'455);
  settings.interfaces =
      section.get<std::vector<std::string>>("network.interfaces", settings.interfaces);
  settings.interface_speed = section.get_in<std::uint64_t>(
      "network.speed", settings.interface_speed, 0, 1'000'000'000'000'000);
  auto loops = section.section("crash_loops");
  settings.crash_loops_enabled = loops.get<bool>("enabled", settings.crash_loops_enabled);
  auto& limits = settings.loops;
  limits.raise = loops.get_in<std::size_t>("raise", limits.raise, 1, 10'000);
  limits.clear = loops.get_in<std::size_t>(
      "clear", std::min(limits.clear, limits.raise - 1), 0, limits.raise - 1);
  read_time(loops, "window", limits.window);
  return settings;
}

}  // namespace roost::detail
