// A chat room: everyone on "room:<name>" sees what anyone says.
#pragma once
#include "channels/channel.hpp"
#include <string_view>

struct room_channel {
  using events = roost::events<"new_msg">;

  roost::join_result join(
      std::string_view /*topic*/, const roost::payload& /*params*/, roost::socket& /*socket*/) {
    return roost::ok();
  }

  roost::in_result handle_in(
      roost::event<"new_msg">, const roost::payload& message, roost::socket& socket) {
    roost::broadcast(socket, "new_msg", message);
    return roost::noreply();
  }
};
