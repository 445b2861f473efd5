// supervision/release/topologies.hpp — private.
//
// Which nodes to connect to, from the configuration:
//
//   cluster:
//     hosts: [b@127.0.0.1]          # the static strategy, in short
//     alarm_after: 30s
//     topologies:
//       here: {strategy: local}
//       far: {strategy: epmd, hosts: [c@10.0.0.3]}
#pragma once
#include "runtime/discovery/cluster.hpp"
#include "supervision/release/environment.hpp"

namespace roost::detail {

struct cluster_settings {
  std::vector<discovery::topology> topologies;
  discovery::cluster_options options;
};

/// Throws config_error.
cluster_settings read_topologies(
    const config& config, const std::string& self, std::uint16_t epmd_port);

}  // namespace roost::detail
