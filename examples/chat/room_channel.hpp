// One client in one room. It checks what the client sends, asks the room's server, and answers when
// the server has. What is said reaches the client as a broadcast of the room's server.
//
//   join "room:lobby" {"name": "ann"}   ok {"messages": [{"id", "name", "body", "at"}, …]}
//                                       error {"reason": "invalid_name" | "no_such_room" |
//                                                        "unavailable"}
//   push "new_msg" {"body": "hello"}    ok {"id"}, error {"reason": "invalid_body" | "unavailable"}
//   push "typing" {}                    no reply; the others in the room are told
//   push "crash_me" {}                  crashes this channel, if the configuration allows it
//   on   "new_msg"                      {"id", "name", "body", "at", "node"}
//   on   "typing"                       {"name"}
//   on   "presence_state", "presence_diff"   by name, with {"node", "online_at"} for each window
#pragma once
#include "channels/channel.hpp"
#include "channels/presence.hpp"
#include "examples/chat/room.hpp"
#include "examples/chat/settings.hpp"
#include <algorithm>

namespace chat {

/// The text without white space around it.
inline std::string trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  auto begin = text.find_first_not_of(space);
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(space) - begin + 1));
}

/// Characters of UTF-8 text: the bytes that do not continue one.
inline std::size_t length(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// The trimmed text of a field, if it has between one and `limit` characters.
inline std::optional<std::string> text_in(const roost::json& field, std::size_t limit) {
  if (!field.is_string()) return std::nullopt;
  auto text = trimmed(field.as_string());
  if (text.empty() || length(text) > limit) return std::nullopt;
  return text;
}

inline roost::error_reply because(std::string_view reason) {
  return roost::error({{"reason", reason}});
}

inline roost::json to_json(const std::deque<said>& messages) {
  auto list = roost::json::array();
  for (auto& message : messages) list.push_back(message.to_json());
  return list;
}

inline bool is_room(std::string_view topic) {
  auto& rooms = current_settings().rooms;
  return std::any_of(
      rooms.begin(), rooms.end(), [&](auto& name) { return room_topic(name) == topic; });
}

struct room_channel {
  using events = roost::events<"new_msg", "typing", "crash_me">;

  /// The channel to itself: the join is complete.
  struct joined {};
  using infos = roost::messages<joined>;

  static constexpr std::size_t longest_name = 30;
  static constexpr std::size_t longest_body = 2000;

  std::string name;
  roost::server<chat::room> room;
  std::int64_t last_seen = 0;
  roost::presence who{"presence"};

  roost::join_result join(
      std::string_view topic, const roost::payload& params, roost::socket& socket) {
    auto wanted = text_in(params["name"], longest_name);
    if (!wanted) return because("invalid_name");
    if (!is_room(topic)) return because("no_such_room");
    name = *wanted;
    // By name: when the room's server was restarted, the same handle leads to the new one.
    room = roost::server<chat::room>(topic);
    auto ref = roost::ref(socket);
    auto welcome = [this, ref](const std::deque<said>& messages) {
      if (!messages.empty()) last_seen = messages.back().id;
      roost::reply(ref, roost::ok({{"messages", to_json(messages)}}));
      roost::send(roost::self(), joined{});
    };
    auto failed = [ref](const roost::exit_reason&) { roost::reply(ref, because("unavailable")); };
    roost::call(room, chat::room::history{}).then(welcome, failed);
    return roost::later(ref);
  }

  /// Broadcasts reach the channel from now on, and the history is a moment old: somebody may have
  /// said something in between. What arrives twice has the same id.
  roost::out_result handle_info(joined, roost::socket& socket) {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    who.track(
        socket, name,
        {{"node", roost::node::self()},
         {"online_at", std::chrono::duration_cast<std::chrono::milliseconds>(now).count()}});
    roost::push(socket, "presence_state", who.list(socket));
    auto catch_up = [&socket](const std::deque<said>& messages) {
      for (auto& message : messages) roost::push(socket, "new_msg", message.to_json());
    };
    auto failed = [](const roost::exit_reason&) {};  // restarted: it has nothing to tell
    roost::call(room, chat::room::history{.after = last_seen}).then(catch_up, failed);
    return roost::noreply();
  }

  roost::in_result handle_in(
      roost::event<"new_msg">, const roost::payload& message, roost::socket& socket) {
    auto body = text_in(message["body"], longest_body);
    if (!body) return because("invalid_body");
    auto ref = roost::ref(socket);
    auto said = [ref](std::int64_t id) { roost::reply(ref, roost::ok({{"id", id}})); };
    // The room is being restarted. That is no reason to crash as well: the client may try again.
    auto failed = [ref](const roost::exit_reason&) { roost::reply(ref, because("unavailable")); };
    roost::call(room, chat::room::say{name, *body}).then(said, failed);
    return roost::noreply();
  }

  roost::in_result handle_in(
      roost::event<"typing">, const roost::payload& /*message*/, roost::socket& socket) {
    roost::broadcast_from(socket, "typing", {{"name", name}});
    return roost::noreply();
  }

  roost::in_result handle_in(
      roost::event<"crash_me">, const roost::payload& /*message*/, roost::socket& /*socket*/) {
    if (!current_settings().allow_crash) return because("not_allowed");
    throw std::runtime_error("crashed on demand");
  }
};

}  // namespace chat
