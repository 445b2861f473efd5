#include "runtime/alarms.hpp"
#include "runtime/telemetry.hpp"
#include "tests/support.hpp"

using namespace roost::test;
using roost::alarms;
using roost::clear_alarm;
using roost::set_alarm;

namespace {

/// The events of alarms, as text, in order.
struct alarm_events {
  alarm_events() {
    roost::telemetry::attach_many(
        "alarm_events", {"roost.alarm.set", "roost.alarm.clear"},
        [this](auto event, auto&, auto& metadata) {
          seen.push_back(
              std::string(event) + " " + std::string(metadata["alarm"].text()) + ": " +
              std::string(metadata["description"].text()) + " with " +
              std::to_string(alarms().size()));
        });
  }
  ~alarm_events() { roost::telemetry::detach("alarm_events"); }
  std::vector<std::string> seen;
};

}  // namespace

TEST_CASE("an alarm is listed while it is set, and told once") {
  log_capture log;
  alarm_events events;
  CHECK(set_alarm("disk", "91 % full"));
  CHECK(set_alarm("memory", "80 % used"));
  CHECK_FALSE(set_alarm("disk", "93 % full"));
  auto set = alarms();
  REQUIRE(set.size() == 2);
  CHECK(set[0].id == "disk");
  CHECK(set[0].description == "93 % full");
  CHECK(set[0].since <= std::chrono::system_clock::now());
  CHECK(set[1].id == "memory");
  CHECK(clear_alarm("disk"));
  CHECK_FALSE(clear_alarm("disk"));
  CHECK(alarms().size() == 1);
  CHECK(clear_alarm("memory"));
  CHECK(
      events.seen == std::vector<std::string>{
                         "roost.alarm.set disk: 91 % full with 1",
                         "roost.alarm.set memory: 80 % used with 2",
                         "roost.alarm.clear disk: 93 % full with 1",
                         "roost.alarm.clear memory: 80 % used with 0"});
  CHECK(log.saw("", "alarm set alarm=disk description=91 % full"));
  CHECK(log.saw("", "alarm cleared alarm=disk"));
}

TEST_CASE("an alarm that was cleared may be set again") {
  log_capture log;
  CHECK_FALSE(clear_alarm("never set"));
  CHECK(set_alarm("flapping", ""));
  CHECK(clear_alarm("flapping"));
  CHECK(set_alarm("flapping", ""));
  CHECK(clear_alarm("flapping"));
  CHECK(alarms().empty());
}

TEST_CASE("threads that set and clear alarms at once tell each change once") {
  log_capture log;
  std::atomic<int> sets{0}, clears{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        if (set_alarm("shared", "by several")) ++sets;
        if (clear_alarm("shared")) ++clears;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(sets == clears);
  CHECK(alarms().empty());
}
