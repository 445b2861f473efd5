// private: what the runtime keeps for a channel, and the messages between it and its socket.
#pragma once
#include "channels/endpoint.hpp"
#include "channels/hub.hpp"

namespace roost::detail {

struct channel_state {
  std::string topic;
  std::string join_ref;   // JSON text
  std::string ref;        // JSON text, of the event that is being handled
  roost::payload params;  // of the join
  local_ptr<outlet> out;
  std::shared_ptr<hub> pub_sub;
  std::shared_ptr<const void> assigns;
  const socket_type* type = nullptr;  // of the socket
  pid socket;
  std::uint32_t place = 0;  // among the subscribers of the topic on this worker
  bool joining = false;
  bool joins_without_ref = false;  // its own reply repeats the null, what follows has the ref
  bool joined = false;
  bool announced = false;  // the socket knows that this end is no crash
};

/// An event of the client.
struct client_event {
  std::string event;
  std::string ref;       // JSON text
  std::string join_ref;  // JSON text
  roost::payload payload;
  bool event_is_string = true;
  inbound_charge charge = {};
};

/// The socket asks the channel to end, with terminate().
struct stop_channel { exit_reason reason; };

/// The channel has ended. Sent by its destructor, so it comes whatever happened.
struct channel_ended {
  pid channel;
  bool crashed;
};

/// A join was accepted later than join() returned.
struct channel_joined { pid channel; };

}  // namespace roost::detail
