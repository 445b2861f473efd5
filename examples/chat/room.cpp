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
  return {{"id", id}, {"name", name}, {"body", body}, {"at", at}, {"node", node}};
}

roost::init_result<room> room::init(std::string topic, std::size_t limit) {
  roost::node::monitor_nodes(true);
  room fresh{std::move(topic), limit};
  for (auto& node : roost::node::list()) fresh.catch_up_with(node);
  return fresh;
}

/// What the room over there remembers comes as if it were said now; what is known already is not
/// shown again.
void room::catch_up_with(const std::string& node) {
  auto me = roost::server<room>(roost::self());
  roost::call(roost::server<room>(topic, node), history{})
      .then(
          [me](const std::deque<said>& messages) {
            roost::cast(me, heard{{messages.begin(), messages.end()}});
          },
          [](const roost::exit_reason&) {});  // a node without this room
}

void room::handle_info(const roost::nodeup& up) { catch_up_with(up.node); }

/// Keeps the order of the ids. Answers whether it was new.
bool room::remember(said message) {
  auto place = std::lower_bound(
      latest.begin(), latest.end(), message.id,
      [](const said& one, std::int64_t id) { return one.id < id; });
  if (place != latest.end() && place->id == message.id) return false;
  if (place == latest.begin() && latest.size() == limit) return false;  // older than all of them
  last_id = std::max(last_id, message.id);
  latest.insert(place, std::move(message));
  if (latest.size() > limit) latest.pop_front();
  return true;
}

void room::handle_cast(const heard& news) {
  for (auto& message : news.messages)
    if (remember(message)) roost::broadcast("chat", topic, "new_msg", message.to_json());
}

std::int64_t room::handle_call(say message) {
  // Counting from one would repeat the ids from before a restart, and the page tells by them what
  // it has shown already. The time in microseconds does not, and JavaScript's numbers hold it.
  auto time = now();
  last_id = std::max<std::int64_t>(last_id + 1, time.count());
  said fresh{
      last_id, std::move(message.name), std::move(message.body), time.count() / 1000,
      roost::node::self()};
  remember(fresh);
  roost::broadcast("chat", topic, "new_msg", fresh.to_json());
  for (auto& node : roost::node::list())
    roost::cast(roost::server<room>(topic, node), heard{{fresh}});
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
