// runtime/discovery/gossip.hpp
//
// Nodes that find each other by multicast on the local network: each tells its name now and then,
// and connects to those that it hears. libcluster's Cluster.Strategy.Gossip.
//
//   std::make_shared<roost::discovery::gossip>(
//       roost::discovery::gossip::options{}, roost::discovery::node_bindings());
//
// A node is in the answer for 15 s after its last heartbeat. Start it with disconnect_vanished =
// false, as in libcluster: a network that loses multicasts does not end connections.
//
// Heartbeats are always encrypted and authenticated (AES-256-GCM, with a key derived from the
// secret by HKDF-SHA256) and hold the time, so that one that was recorded is of no use after a
// minute. Clusters with different secrets may share the port and the address. What cannot be
// opened, is too long or too old is counted and ignored. A secret that can be guessed can be
// guessed by whoever records heartbeats: give none, and the cookie is used, which is long enough.
//
// Thread safety: look() in one thread at a time, counts() in any.
#pragma once
#include "runtime/discovery/bindings.hpp"
#include "runtime/discovery/strategy.hpp"
#include <atomic>
#include <cstdint>

namespace roost::discovery {

class gossip final : public strategy {
 public:
  struct options {
    std::uint16_t port = 45892;
    // Where to listen. An address of this host means its interface; libcluster binds to it, which
    // on Linux keeps all multicasts away.
    std::string if_addr = "0.0.0.0";
    std::string multicast_addr = "233.252.1.32";  // the broadcast address with broadcast_only
    std::string multicast_if = {};  // the address of the interface; empty: the system chooses
    int multicast_ttl = 1;          // 1: stays in the local network
    bool broadcast_only = false;
    std::string secret = {};  // empty: the cookie
  };

  struct counts {
    std::uint64_t heartbeats = 0;  // of other nodes
    std::uint64_t garbage = 0;     // too long, too short, or of another secret
    std::uint64_t stale = 0;       // good, but made more than a minute ago or ahead
  };

  /// Throws std::invalid_argument for addresses that are none.
  gossip(options options, bindings node);
  ~gossip() override;
  std::string_view name() const noexcept override { return "gossip"; }

  /// Sends a heartbeat if it is time, and takes what has come. Does not block. Throws
  /// std::runtime_error when there is no such interface, and opens it again the next time.
  std::vector<std::string> look() override;

  /// Short, because what is heard waits for the next look.
  std::chrono::milliseconds interval() const noexcept override {
    return std::chrono::milliseconds(250);
  }

  struct counts counts() const noexcept;

 private:
  class state;
  std::unique_ptr<state> state_;
  std::atomic<std::uint64_t> heartbeats_{0};
  std::atomic<std::uint64_t> garbage_{0};
  std::atomic<std::uint64_t> stale_{0};
};

}  // namespace roost::discovery
