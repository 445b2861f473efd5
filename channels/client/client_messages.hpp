// private: what the handles of channels/client.hpp say to the process behind them.
#pragma once
#include "channels/client.hpp"

namespace roost::detail {

/// Which channel: a topic may have been joined again since, which is another one.
struct client_channel_id {
  reference id;
  std::string topic;
};

struct client_join {
  client_channel_id channel;
  roost::payload params;
  pid owner;  // nobody: the events wait for receive(), or `on` takes them
  client_on on;
};
struct client_push {
  client_channel_id channel;
  std::string event;
  roost::payload payload;
  std::optional<std::chrono::milliseconds> timeout;  // of a call
};
struct client_leave { client_channel_id channel; };

/// Calls, as client_push may be one.
struct client_await_join {
  client_channel_id channel;
  std::chrono::milliseconds timeout;
};
struct client_await_leave {
  client_channel_id channel;
  std::chrono::milliseconds timeout;
};
struct client_receive {
  client_channel_id channel;
  std::chrono::milliseconds timeout;
};
struct client_ask_info {};

struct client_connect {};
struct client_disconnect {};

}  // namespace roost::detail
