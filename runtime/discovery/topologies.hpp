// runtime/discovery/topologies.hpp
//
// How this node finds the others, from the configuration:
//
//   cluster:
//     hosts: [a@10.0.0.1, b@10.0.0.2]     # short for one topology of the strategy epmd
//     alarm_after: 30s                    # without any other node; 0: no alarm
//     topologies:
//       k8s:
//         strategy: kubernetes_dns        # or libcluster's Cluster.Strategy.Kubernetes.DNS
//         service: myapp-headless
//         application_name: myapp
//
//   auto settings = roost::discovery::read_topologies(conf, roost::discovery::node_bindings());
//   for (auto& topology : settings.topologies) roost::discovery::start_link(topology);
//   if (!settings.topologies.empty()) roost::discovery::start_watch(settings.alarm_after);
//
// docs/discovery.md has every strategy with its keys, which are libcluster's. All take
// disconnect_vanished, which says whether nodes that the strategy does not name any more are
// disconnected; as libcluster, epmd, local, hosts_file and gossip leave them alone by default.
//
// Thread safety: any thread. Source: libcluster's Cluster.Supervisor and its topologies.
#pragma once
#include "runtime/config.hpp"
#include "runtime/discovery/bindings.hpp"
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

struct settings {
  std::vector<topology> topologies;
  std::chrono::milliseconds alarm_after{30'000};
};

/// Reads the section `cluster` of the whole configuration. Throws config_error, which names the
/// place.
settings read_topologies(const config& config, const bindings& node);

/// The names of all strategies, in the order of the documentation.
std::vector<std::string> strategy_names();

}  // namespace roost::discovery
