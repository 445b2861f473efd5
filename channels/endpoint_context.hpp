// private: what all connections of one endpoint share. Never changed once the endpoint has started,
// but for the numbers in `admission` and the certificate in `tls`.
#pragma once
#include "channels/endpoint.hpp"
#include "channels/hub.hpp"
#include "channels/limits.hpp"
#include "channels/token.hpp"
#include "channels/transport/certificates.hpp"
#include "channels/transport/client_address.hpp"
#include "channels/transport/handshake.hpp"

namespace roost::detail {

struct endpoint_context {
  endpoint_spec spec;
  std::shared_ptr<hub> pub_sub;
  origin_rules origins;
  std::vector<std::optional<origin_rules>> socket_origins;  // of those sockets that have their own
  networks trusted;
  std::unique_ptr<detail::admission> admission;
  std::unique_ptr<certificates> tls;
  std::optional<token_keys> tokens;  // when there is long polling
};

}  // namespace roost::detail
