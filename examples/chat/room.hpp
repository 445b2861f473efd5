// The memory of one room: who said what lately. Each room is a server of its own under the
// supervisor `rooms`, registered by its topic. A room that is restarted begins without a history;
// its members stay, and hear what is said from then on.
//
//   roost::server<chat::room> lobby("room:lobby");
//   roost::call(lobby, chat::room::say{"ann", "hello"}).then([](std::int64_t id) { … });
//   roost::call(lobby, chat::room::history{}).then([](std::deque<chat::said> messages) { … });
//
// Everything said goes through the room's server, which also broadcasts it: so all members, and
// those who come later, see the messages in the same order.
//
// In a cluster each node has a server for each room, and they keep each other's memory: what is
// said on one node is told to the same room of the others, and a node that comes is asked for what
// was said while it was away. Between nodes the order is that of the ids, which are times.
#pragma once
#include "channels/payload.hpp"
#include "runtime/distribution/node.hpp"
#include "supervision/supervisor.hpp"
#include <deque>

namespace chat {

/// One message as everybody sees it.
struct said {
  std::int64_t id;  // rises within a room, also over restarts
  std::string name;
  std::string body;
  std::int64_t at;        // ms since 1970
  std::string node = {};  // where it was said

  roost::json to_json() const;
};

struct room {
  struct say {
    using reply = std::int64_t;  // the message's id
    std::string name;
    std::string body;
  };
  struct history {
    using reply = std::deque<said>;  // oldest first
    std::int64_t after = 0;          // only messages with greater ids
  };
  /// From the same room on another node.
  struct heard { std::vector<said> messages; };
  using messages = roost::messages<say, history, heard>;
  using infos = roost::messages<roost::nodeup, roost::nodedown>;

  std::string topic;
  std::size_t limit;
  std::deque<said> latest = {};
  std::int64_t last_id = 0;

  static roost::init_result<room> init(std::string topic, std::size_t limit);

  std::int64_t handle_call(say message);
  std::deque<said> handle_call(history wanted) const;
  void handle_cast(const heard& news);
  void handle_info(const roost::nodeup& up);
  void handle_info(const roost::nodedown&) {}  // what it said stays

 private:
  void catch_up_with(const std::string& node);
  bool remember(said message);
};

/// The name under which a room is registered, which is its topic too.
std::string room_topic(std::string_view name);

/// One server for each room of the configuration.
roost::supervisor_spec rooms_supervisor();

}  // namespace chat
