// private: the process that connects nodes for others and answers pings. Source: OTP net_kernel.
#pragma once
#include "runtime/distribution/node.hpp"

namespace roost::detail {

struct net_kernel {
  /// From another node: are you there?
  struct is_auth { using reply = bool; };
  struct ping {
    using reply = node::ping_result;
    std::string node;
  };
  struct connect {
    using reply = node::connect_result;
    std::string node;
  };
  /// What has become of a ping or a connect.
  struct pinged {
    std::string node;
    bool connected = false;
    from<node::ping_result> client;
  };
  using messages = roost::messages<is_auth, ping, connect, pinged>;

  bool handle_call(is_auth) { return true; }
  call_result<node::ping_result> handle_call(const ping& question, from<node::ping_result> client);
  call_result<node::connect_result> handle_call(
      const connect& question, from<node::connect_result> client);
  void handle_cast(const pinged& outcome);

  static init_result<net_kernel> init();
};

pid start_net_kernel();

}  // namespace roost::detail
