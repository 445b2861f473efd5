// channels/debug.hpp
//
// Which clients are connected to this node, and what they have joined: for tests, for the curious
// and for whoever is on call.
//
//   for (auto& socket : roost::debug::list_sockets())
//     for (auto& channel : roost::debug::list_channels(socket.process))
//       std::cout << socket.id.value_or("?") << " " << channel.topic << "\n";
//
// The processes are asked one after the other, so the lists are a moment old, and take time where
// there are many. They wait, so they are for ordinary threads: inside a process they throw
// std::logic_error. A process that does not answer in 5 s throws process_exit, and one that is no
// socket (or no channel) std::invalid_argument.
//
// Thread safety: any thread outside the scheduler.
// Source: Phoenix.Debug.
#pragma once
#include "runtime/pid.hpp"
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace roost::debug {

struct socket_details {
  pid process;
  std::string socket;             // its type
  std::optional<std::string> id;  // that a "disconnect" reaches
};

struct channel_details {
  pid process;
  std::string topic;
  std::string channel;  // its type; empty while it is not known
  bool joined = false;  // false: its join is not answered, or it is leaving
};

std::vector<socket_details> list_sockets();
std::vector<channel_details> list_channels(pid socket);

bool is_socket(pid process);
bool is_channel(pid process);

/// The socket that a channel belongs to.
pid socket_of(pid channel);

}  // namespace roost::debug
