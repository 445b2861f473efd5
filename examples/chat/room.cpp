#include "examples/chat/room.hpp"
#include "channels/pub_sub.hpp"
#include "examples/chat/settings.hpp"
#include <algorithm>

namespace chat {
namespace {

/// Since 1970.
std::chrono::microseconds now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

}  // namespace

roost::json said::to_json() const {
  return {{"id", id}, {"name", name}, {"body", body}, {"at", at}};
}

std::int64_t room::handle_call(say message) {
  // Counting from one would repeat the ids from before a restart, and the page tells by them what
  // it has shown already. The time in microseconds does not, and JavaScript's numbers hold it.
  auto time = now();
  last_id = std::max<std::int64_t>(last_id + 1, time.count());
  latest.push_back(
      {last_id, std::move(message.name), std::move(message.body), time.count() / 1000});
  if (latest.size() > limit) latest.pop_front();
  roost::broadcast("chat", topic, "new_msg", latest.back().to_json());
  return last_id;
}

std::deque<said> room::handle_call(history wanted) const {
  auto is_old = [&](const said& message) { return message.id <= wanted.after; };
  return {std::find_if_not(latest.begin(), latest.end(), is_old), latest.end()};
}

std::string room_topic(std::string_view name) { return "room:" + std::string(name); }

roost::supervisor_spec rooms_supervisor() {
  auto& settings = current_settings();
  roost::supervisor_spec spec{.name = "rooms", .strategy = roost::one_for_one};
  for (auto& name : settings.rooms) {
    auto topic = room_topic(name);
    spec.children.push_back(roost::child<room>({.name = topic}, topic, settings.history));
  }
  return spec;
}

}  // namespace chat
