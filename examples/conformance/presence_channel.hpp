// The presence channel of the conformance application: its members are listed, and say so.
#pragma once
#include "channels/channel.hpp"
#include "channels/presence.hpp"

namespace conformance {

struct presence_channel {
  using events = roost::events<"list", "update", "untrack", "track_again">;

  /// The channel to itself: the client knows that it has joined.
  struct after_join {};
  using infos = roost::messages<after_join>;

  std::string uid = {};
  roost::presence who{"presence"};

  using payload = roost::payload;
  using result = roost::in_result;
  using socket = roost::socket;

  roost::join_result join(std::string_view topic, const payload& params, socket& socket);
  void handle_info(after_join, socket& socket);
  result handle_in(roost::event<"list">, const payload& message, socket& socket);
  result handle_in(roost::event<"update">, const payload& message, socket& socket);
  result handle_in(roost::event<"untrack">, const payload& message, socket& socket);
  result handle_in(roost::event<"track_again">, const payload& message, socket& socket);
};

}  // namespace conformance
