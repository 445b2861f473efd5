#include "runtime/alarms.hpp"
#include "runtime/logger.hpp"
#include "runtime/telemetry.hpp"
#include <algorithm>
#include <mutex>
#include <optional>

namespace roost {
namespace {

using std::chrono::system_clock;

const telemetry::event set_event{"roost.alarm.set"};
const telemetry::event clear_event{"roost.alarm.clear"};

class alarm_table {
 public:
  bool set(std::string_view id, std::string_view description, system_clock::time_point now) {
    std::lock_guard guard{mutex_};
    auto at = find(id);
    bool is_new = at == alarms_.end();
    if (is_new)
      alarms_.push_back({std::string(id), std::string(description), now});
    else
      at->description = description;
    return is_new;
  }

  std::optional<alarm> clear(std::string_view id) {
    std::lock_guard guard{mutex_};
    auto at = find(id);
    if (at == alarms_.end()) return std::nullopt;
    auto cleared = std::move(*at);
    alarms_.erase(at);
    return cleared;
  }

  std::vector<alarm> list() const {
    std::lock_guard guard{mutex_};
    return alarms_;
  }

 private:
  std::vector<alarm>::iterator find(std::string_view id) {
    return std::find_if(alarms_.begin(), alarms_.end(), [&](auto& each) { return each.id == id; });
  }

  mutable std::mutex mutex_;
  std::vector<alarm> alarms_;
};

alarm_table& table() {
  static auto& alarms = *new alarm_table;  // processes may still end while main returns
  return alarms;
}

}  // namespace

// Events and log lines come after the table is unlocked: a handler may ask for the alarms.
bool set_alarm(std::string_view id, std::string_view description) {
  auto now = system_clock::now();
  if (!table().set(id, description, now)) return false;
  logger::warning("alarm set", {{"alarm", id}, {"description", description}});
  telemetry::execute(
      set_event, {{"system_time", now.time_since_epoch()}},
      {{"alarm", id}, {"description", description}});
  return true;
}

bool clear_alarm(std::string_view id) {
  auto cleared = table().clear(id);
  if (!cleared) return false;
  auto now = system_clock::now();
  logger::notice("alarm cleared", {{"alarm", id}});
  telemetry::execute(
      clear_event, {{"system_time", now.time_since_epoch()}, {"duration", now - cleared->since}},
      {{"alarm", id}, {"description", cleared->description}});
  return true;
}

std::vector<alarm> alarms() { return table().list(); }

}  // namespace roost
