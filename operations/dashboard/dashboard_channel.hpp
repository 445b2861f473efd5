// private: the topic "console" of the dashboard's socket: asks the console of any node.
//
//   join "console"                                        ok {node, who, allow_destructive_actions}
//   push "ask" {function, arguments = [], node = self}    ok {value}, error {reason}
//
// The console is asked as somebody who may only read, but for the few functions that a page has
// buttons for, and for these only when `allow_destructive_actions` is set. At most 16 questions are
// on their way at the same time, and 100 a second are taken.
#pragma once
#include "channels/channel.hpp"
#include "channels/limits.hpp"
#include "operations/dashboard/access.hpp"

namespace roost::detail {

/// The dashboard's rules, once they are known.
const dashboard_access& current_dashboard();

struct dashboard_channel {
  using events = roost::events<"ask">;

  std::string who;
  int on_their_way = 0;
  token_bucket rate{100, 200};

  join_result join(std::string_view topic, const payload& params, socket& socket);
  in_result handle_in(event<"ask">, const payload& question, socket& socket);
};

struct dashboard_socket {
  static constexpr topic_router channels{{{"console", channel<dashboard_channel>}}};

  std::string who;  // "ann from 10.0.0.7"

  static connect_result<dashboard_socket> connect(const params& params, const connect_info& info);
};

}  // namespace roost::detail
