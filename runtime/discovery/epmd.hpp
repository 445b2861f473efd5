// runtime/discovery/epmd.hpp
//
// A fixed list of nodes. Source: Cluster.Strategy.Epmd of libcluster.
//
//   cluster:
//     hosts: [a@10.0.0.1, b@10.0.0.2]
//
// Thread safety: a plain value.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

/// Throws std::invalid_argument for what is no name of a node.
std::shared_ptr<strategy> epmd(std::vector<std::string> hosts);

}  // namespace roost::discovery
