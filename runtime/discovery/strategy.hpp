// runtime/discovery/strategy.hpp
//
// How to find the other nodes of a cluster. A strategy looks for the nodes that should be connected
// now; runtime/discovery/cluster.hpp asks it again and again and makes it so.
//
//   class fixed : public roost::discovery::strategy {
//    public:
//     std::string_view name() const noexcept override { return "fixed"; }
//     std::vector<std::string> look() override { return {"a@10.0.0.1", "b@10.0.0.2"}; }
//   };
//   roost::discovery::start_link({.name = "app", .how = std::make_shared<fixed>()});
//
// Thread safety: look() runs in one thread at a time, not always in the same one; name() and
// interval() are called from any. Source: libcluster's Cluster.Strategy.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace roost::discovery {

/// What a strategy knows: the nodes that should be connected now.
class strategy {
 public:
  virtual ~strategy() = default;

  /// As in the configuration, e.g. "dns_poll".
  virtual std::string_view name() const noexcept = 0;

  /// Looks once. It may block, since it runs on the pool for blocking code, and throws
  /// std::runtime_error with a sentence when it cannot tell. This node's own name may be in the
  /// answer.
  virtual std::vector<std::string> look() = 0;

  /// Until the next look; negative: there is only one.
  virtual std::chrono::milliseconds interval() const noexcept {
    return std::chrono::milliseconds(5000);
  }
};

/// A strategy at work. Several topologies may run at once.
struct topology {
  std::string name;               // in events and in the log
  std::shared_ptr<strategy> how;  // required
  bool disconnect_vanished =
      true;  // disconnect nodes that the strategy named before and does not any more
};

}  // namespace roost::discovery
