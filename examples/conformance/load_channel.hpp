// A channel that does as little as possible, for measurements with many clients.
#pragma once
#include "channels/channel.hpp"

namespace conformance {

struct load_channel {
  using events = roost::events<"ping", "shout">;

  roost::join_result join(
      std::string_view /*topic*/, const roost::payload& params, roost::socket& /*socket*/) {
    return roost::ok(params);
  }

  roost::in_result handle_in(
      roost::event<"ping">, const roost::payload& message, roost::socket& /*socket*/) {
    return roost::ok(message);
  }

  roost::in_result handle_in(
      roost::event<"shout">, const roost::payload& message, roost::socket& socket) {
    roost::broadcast(socket, "shout", message);
    return roost::noreply();
  }
};

}  // namespace conformance
