// What a client brings along when it connects: who it is, or how it wants to be refused.
#pragma once
#include "channels/endpoint.hpp"
#include "examples/conformance/load_channel.hpp"
#include "examples/conformance/presence_channel.hpp"
#include "examples/conformance/room_channel.hpp"

namespace conformance {

/// Connects as the client's parameters ask: {"refuse": "error" | "reason" | "raise"}, {"uid"}.
template <class Socket>
roost::connect_result<Socket> connect_as_asked(const roost::params& params) {
  auto refusal = params["refuse"];
  if (refusal == "raise") throw std::runtime_error("connect raises, as the client asked");
  if (refusal == "reason") return roost::refuse("as the client asked");
  if (refusal == "error") return roost::refuse();
  Socket socket;
  if (params["uid"]) socket.uid = *params["uid"];
  return socket;
}

/// Whom a broadcast of "disconnect" can reach: "user_socket:" and the uid.
inline std::optional<std::string> id_of(const std::optional<std::string>& uid) {
  if (!uid) return std::nullopt;
  return "user_socket:" + *uid;
}

struct user_socket {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<room_channel>},
      {"exact", roost::channel<room_channel>},
      {"presence:*", roost::channel<presence_channel>},
  }};

  std::optional<std::string> uid;

  static roost::connect_result<user_socket> connect(
      const roost::params& params, const roost::connect_info& /*info*/) {
    return connect_as_asked<user_socket>(params);
  }
  std::optional<std::string> id() const { return id_of(uid); }
};

/// Many clients that do little.
struct load_socket {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<load_channel>},
  }};

  std::optional<std::string> uid;

  static roost::connect_result<load_socket> connect(
      const roost::params& params, const roost::connect_info& /*info*/) {
    return connect_as_asked<load_socket>(params);
  }
  std::optional<std::string> id() const { return id_of(uid); }
};

}  // namespace conformance
