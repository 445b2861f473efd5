// private: what all connections of one endpoint share. Never changed once the endpoint has started.
#pragma once
#include "channels/endpoint.hpp"
#include "channels/hub.hpp"
#include "channels/transport/handshake.hpp"

namespace roost::detail {

struct endpoint_context {
  endpoint_spec spec;
  std::shared_ptr<hub> pub_sub;
  origin_rules origins;
};

}  // namespace roost::detail
