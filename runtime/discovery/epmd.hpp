// runtime/discovery/epmd.hpp
//
// Static hosts: the nodes are written down. libcluster's Cluster.Strategy.Epmd, and what
// `cluster.hosts` in the configuration is short for.
//
//   std::make_shared<roost::discovery::epmd>({.hosts = {"a@10.0.0.1", "b@10.0.0.2"}});
//
// It never disconnects anybody: start it with disconnect_vanished = false, or leave it, since the
// list does not change.
#pragma once
#include "runtime/discovery/strategy.hpp"

namespace roost::discovery {

class epmd final : public strategy {
 public:
  struct options {
    std::vector<std::string> hosts;  // name@host each; this node may be among them
    // libcluster connects again after so long. Here a node that is missing is tried all the time,
    // so there is no need to look at the list again.
    std::chrono::milliseconds timeout = std::chrono::milliseconds(-1);
  };

  explicit epmd(options options) : options_(std::move(options)) {}
  std::string_view name() const noexcept override { return "epmd"; }
  std::vector<std::string> look() override { return options_.hosts; }
  std::chrono::milliseconds interval() const noexcept override { return options_.timeout; }

 private:
  options options_;
};

}  // namespace roost::discovery
