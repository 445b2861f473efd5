// runtime/discovery/cluster.hpp
//
// Keeps this node connected to those that a strategy names: it looks, compares with who is there,
// connects who is missing, and never gives up. run_application starts one for each topology of the
// configuration.
//
//   roost::discovery::start({.name = "static", .how = roost::discovery::epmd({"b@10.0.0.2"})});
//
// Telemetry, with libcluster's names: libcluster.connect_node.ok and .error, libcluster.
// disconnect_node.ok and .error, with `duration`, `node`, `topology` and `reason`. When no other
// node is there for `alarm_after`, a warning is logged and roost.alarm.set {alarm: cluster_empty}
// is executed, once; roost.alarm.clear when one has come.
//
// Thread safety: any thread. Source: libcluster, Cluster.Supervisor.
#pragma once
#include "runtime/discovery/strategy.hpp"
#include "runtime/distribution/node.hpp"

namespace roost::discovery {

struct cluster_options {
  std::chrono::milliseconds alarm_after{30'000};  // 0: no alarm
};

/// Starts the process that looks after a topology.
pid start(topology topology, cluster_options options = {});

}  // namespace roost::discovery
