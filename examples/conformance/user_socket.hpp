// What a client brings along when it connects: who it is, or how it wants to be refused.
#pragma once
#include "channels/endpoint.hpp"
#include "examples/conformance/load_channel.hpp"
#include "examples/conformance/room_channel.hpp"

namespace conformance {

struct user_socket : user {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<room_channel>},
      {"exact", roost::channel<room_channel>},
  }};

  static roost::connect_result<user_socket> connect(
      const roost::params& params, const roost::connect_info& /*info*/) {
    auto refusal = params["refuse"];
    if (refusal == "raise") throw std::runtime_error("connect raises, as the client asked");
    if (refusal == "reason") return roost::refuse("as the client asked");
    if (refusal == "error") return roost::refuse();
    user_socket result;
    if (params["uid"]) result.uid = *params["uid"];
    return result;
  }
};

/// Many clients that do little: for measurements.
struct load_socket {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<load_channel>},
  }};

  static roost::connect_result<load_socket> connect(
      const roost::params& /*params*/, const roost::connect_info& /*info*/) {
    return load_socket{};
  }
};

}  // namespace conformance
