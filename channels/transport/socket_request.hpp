// private: what an HTTP request says of the client behind it: who it is when balancers stand in
// between, from which page it comes, and what `connect` learns of it. Pure, but for the user's
// check_origin.
#pragma once
#include "channels/endpoint_context.hpp"
#include "channels/transport/beast_request.hpp"

namespace roost::detail {

/// The other end of a connection.
struct request_peer {
  std::string_view address;  // empty: a unix socket
  std::uint16_t port = 0;
  bool tls = false;
  bool trusted = false;  // a balancer whose X-Forwarded-… headers are believed
};

std::string client_address(
    const beast_request& message, const request_peer& peer, const networks& trusted);

bool origin_is_allowed(
    const beast_request& message, const request_peer& peer, const socket_mount& mount,
    const endpoint_context& endpoint);

connect_info connect_info_of(
    const beast_request& message, const request_peer& peer, const socket_mount& mount,
    const networks& trusted);

}  // namespace roost::detail
