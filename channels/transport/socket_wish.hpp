// private: a client that wants a socket, by whichever transport.
#pragma once
#include "channels/socket_process.hpp"
#include "channels/transport/routes.hpp"
#include "channels/transport/socket_request.hpp"

namespace roost::detail {

struct socket_wish {
  enum protocol protocol;
  socket_process::request request;
};

/// What both transports check. Nothing: refused, with the status 403.
std::optional<socket_wish> socket_wish_of(
    const beast_request& message, const request_peer& peer, const socket_match& match,
    const std::shared_ptr<const endpoint_context>& endpoint);

/// The process, on this worker, is valid when it is ready; `connect` has run.
std::pair<socket_process*, start_status> start_socket(socket_process::request request);

/// Not JSON: phoenix.js would look for a status in it, and throws for those it does not know.
http_response unavailable(refusal why, const admission& admission);

}  // namespace roost::detail
