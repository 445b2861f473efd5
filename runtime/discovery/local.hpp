// runtime/discovery/local.hpp
//
// Every roost node of this host, as the port mapper lists them. libcluster's
// Cluster.Strategy.LocalEpmd, which looks once; this one looks again, since nodes come later too.
//
//   std::make_shared<roost::discovery::local>({}, roost::discovery::node_bindings());
//
// Start it with disconnect_vanished = false: a node that the port mapper does not list for a
// moment, because another one takes over, is no reason to disconnect it.
#pragma once
#include "runtime/discovery/bindings.hpp"
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class local final : public strategy {
 public:
  struct options {
    std::chrono::milliseconds timeout = std::chrono::milliseconds(5000);  // until the next look
  };

  local(options options, bindings node);
  std::string_view name() const noexcept override { return "local"; }

  /// Nobody while this node has no name, since the others have its host.
  std::vector<std::string> look() override;
  std::chrono::milliseconds interval() const noexcept override { return options_.timeout; }

 private:
  options options_;
  bindings node_;
};

}  // namespace roost::discovery
