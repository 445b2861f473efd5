// A chat: rooms with a memory, a page for phones and desktops, and supervisors above everything.
//
//   chat
//   ├─ pub_sub "chat"        who listens to which room
//   ├─ presence              who is in which room, on which node
//   ├─ rooms                 a supervisor
//   │  ├─ room:lobby         … its latest messages
//   │  └─ …
//   ├─ endpoint              the page and /socket: a process for each client, and one for each room
//   │                        that a client is in
//   └─ neighbours            the other nodes of the chat, and where their pages are; it tells them
//   the
//                            port of the endpoint, so it comes after it
#include "channels/endpoint.hpp"
#include "channels/presence.hpp"
#include "channels/pub_sub.hpp"
#include "examples/chat/neighbours.hpp"
#include "examples/chat/room.hpp"
#include "examples/chat/room_channel.hpp"
#include "examples/chat/settings.hpp"
#include "operations/health.hpp"
#include "operations/operations.hpp"

namespace chat {
namespace {

/// One browser window. Everybody may come in; the name is asked for by the rooms.
struct user_socket {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<room_channel>},
  }};

  static roost::connect_result<user_socket> connect(
      const roost::params& /*params*/, const roost::connect_info& /*info*/) {
    return user_socket{};
  }
};

/// What the page needs to know before it connects.
roost::http_response list_rooms(const roost::http_request& /*request*/) {
  auto rooms = roost::json::array();
  for (auto& name : current_settings().rooms) rooms.push_back(name);
  return roost::json_response(
      200, {{"rooms", std::move(rooms)}, {"allow_crash", current_settings().allow_crash}});
}

/// Which node this is, and which others there are.
roost::http_response list_nodes(const roost::http_request& /*request*/) {
  auto others = roost::json::array();
  for (auto& other : current_neighbours())
    others.push_back({{"node", other.node}, {"url", other.url}});
  return roost::json_response(
      200, {{"node", roost::node::self()}, {"url", own_url()}, {"others", std::move(others)}});
}

/// POST /admin/crash_room?room=lobby
roost::http_response crash_room(const roost::http_request& request) {
  auto room = roost::whereis(room_topic(request.query["room"].value_or("")));
  if (!room) return {.status = 404, .body = "there is no such room\n"};
  roost::exit(room, roost::exit_reason::kill);
  return {.body = "killed " + to_string(room) + "\n"};
}

std::vector<roost::http_route> routes() {
  auto result = roost::health_routes();
  result.push_back(roost::get("/rooms", list_rooms));
  result.push_back(roost::get("/nodes", list_nodes));
  if (current_settings().allow_crash) result.push_back({"POST", "/admin/crash_room", crash_room});
  return result;
}

roost::supervisor_spec chat_supervisor() {
  return {
      .strategy = roost::one_for_one,
      .children = {
          roost::child<roost::pub_sub>({.name = "chat"}),
          roost::child<roost::presence>({.pub_sub = "chat"}),
          roost::child<roost::supervisor>(rooms_supervisor()),
          roost::child<roost::endpoint>({
              .pub_sub = "chat",
              .sockets = {roost::socket_at<user_socket>(
                  "/socket", {.longpoll = roost::longpoll_options{}})},
              .routes = routes(),
              .static_files = "share/chat",
          }),
          neighbours_child(),
      }};
}

}  // namespace
}  // namespace chat

int main(int argc, char** argv) {
  return roost::run_application(
      {.name = "chat", .config = "conf/chat.yaml", .extensions = {roost::operations()}},
      chat::chat_supervisor, argc, argv);
}
