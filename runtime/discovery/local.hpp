// runtime/discovery/local.hpp
//
// Every node of this host, as its port mapper lists them. Source: Cluster.Strategy.LocalEpmd of
// libcluster, which looks once; this looks again every 5 s.
//
//   cluster:
//     topologies:
//       here: {strategy: local}
//
// Thread safety: a plain value.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

/// `self` is this node, whose host the others have too.
std::shared_ptr<strategy> local(std::string self, std::uint16_t epmd_port);

}  // namespace roost::discovery
