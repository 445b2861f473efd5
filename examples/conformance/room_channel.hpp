// The room channel of the conformance application: each event tries one thing that a channel can
// do.
#pragma once
#include "channels/channel.hpp"

namespace conformance {

struct room_channel {
  using events = roost::events<
      "ping", "ping_error", "ping_bare", "ping_custom", "noreply", "async_reply", "task_reply",
      "push_me", "shout", "shout_reply", "shout_from", "shout_intercepted", "ext_broadcast",
      "binary", "binary_error", "binary_shout", "binary_push", "disconnect_me", "crash",
      "exit_shutdown", "stop", "stop_reply", "stop_shutdown", "stop_shutdown_t", "stop_bad",
      "badreturn">;
  using intercepts = roost::events<"intercepted">;

  /// The channel to itself: it is time to answer.
  struct answer_is_due {
    roost::socket_ref ref;
    roost::payload answer;
  };
  using infos = roost::messages<answer_is_due>;

  using payload = roost::payload;
  using result = roost::in_result;
  using socket = roost::socket;

  roost::join_result join(std::string_view topic, const payload& params, socket& socket);

  // Replies, now and later.
  result handle_in(roost::event<"ping">, const payload& message, socket&);
  result handle_in(roost::event<"ping_error">, const payload& message, socket&);
  result handle_in(roost::event<"ping_bare">, const payload&, socket&);
  result handle_in(roost::event<"ping_custom">, const payload& message, socket&);
  result handle_in(roost::event<"noreply">, const payload&, socket&);
  result handle_in(roost::event<"async_reply">, const payload& message, socket& socket);
  result handle_in(roost::event<"task_reply">, const payload& message, socket& socket);
  roost::out_result handle_info(answer_is_due due, socket&);

  // Pushes and broadcasts.
  result handle_in(roost::event<"push_me">, const payload& message, socket& socket);
  result handle_in(roost::event<"shout">, const payload& message, socket& socket);
  result handle_in(roost::event<"shout_reply">, const payload& message, socket& socket);
  result handle_in(roost::event<"shout_from">, const payload& message, socket& socket);
  result handle_in(roost::event<"shout_intercepted">, const payload& message, socket& socket);
  roost::out_result handle_out(roost::event<"intercepted">, const payload& message, socket& socket);
  result handle_in(roost::event<"ext_broadcast">, const payload& message, socket&);
  result handle_in(roost::event<"disconnect_me">, const payload&, socket& socket);

  // Bytes instead of JSON.
  result handle_in(roost::event<"binary">, const payload& message, socket&);
  result handle_in(roost::event<"binary_error">, const payload& message, socket&);
  result handle_in(roost::event<"binary_shout">, const payload& message, socket& socket);
  result handle_in(roost::event<"binary_push">, const payload& message, socket& socket);

  // Ends, orderly and not.
  result handle_in(roost::event<"crash">, const payload&, socket&);
  result handle_in(roost::event<"exit_shutdown">, const payload&, socket&);
  result handle_in(roost::event<"stop">, const payload&, socket&);
  result handle_in(roost::event<"stop_reply">, const payload& message, socket&);
  result handle_in(roost::event<"stop_shutdown">, const payload&, socket&);
  result handle_in(roost::event<"stop_shutdown_t">, const payload&, socket&);
  result handle_in(roost::event<"stop_bad">, const payload&, socket&);
  result handle_in(roost::event<"badreturn">, const payload&, socket&);
};

}  // namespace conformance
