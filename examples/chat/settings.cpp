#include "examples/chat/settings.hpp"
#include "runtime/config.hpp"
#include <algorithm>

namespace chat {
namespace {

/// Rooms are named in topics, so their names stay simple.
bool is_room_name(const std::string& name) {
  return !name.empty() && name.size() <= 30 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == name.npos;
}

settings read(const roost::config& section) {
  settings result;
  result.rooms = section.get("rooms", result.rooms);
  result.history = section.get_in<std::size_t>("history", result.history, 1, 1000);
  result.allow_crash = section.get("allow_crash", result.allow_crash);
  if (result.rooms.empty() || !std::all_of(result.rooms.begin(), result.rooms.end(), is_room_name))
    throw section.error("rooms", "one or more names of lower-case letters, digits, _ and -");
  return result;
}

}  // namespace

const settings& current_settings() {
  static const settings result = read(roost::application_config().section("chat"));
  return result;
}

}  // namespace chat
