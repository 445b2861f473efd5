// private: HTTP/1.1 on one accepted connection, until it ends or becomes a WebSocket. Beast parses;
// reading, writing and deciding are done here.
#pragma once
#include "channels/endpoint_context.hpp"
#include "channels/transport/connection.hpp"
#include <memory>

namespace roost::detail {

/// Takes over the descriptor of an accepted connection, on this worker.
void serve_http(int fd, std::shared_ptr<const endpoint_context> endpoint, connection_list& list);

/// The listening socket; throws std::runtime_error with one sentence when it cannot be had.
int listen_on(const http_options& options);

/// The port a listening socket really has.
int port_of(int fd);

}  // namespace roost::detail
