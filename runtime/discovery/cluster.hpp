// runtime/discovery/cluster.hpp
//
// Keeps this node connected to the nodes that a strategy names, for as long as it runs.
//
//   auto app = roost::discovery::start_link({.name = "app", .how = std::make_shared<fixed>()});
//   roost::call(app, roost::discovery::cluster::get_status{}).then([](auto status) { … });
//
// Each topology is a server of its own. It looks at every interval of its strategy, connects what
// is missing, all at once, and tries again what fails: after 0.5 s at first, 2 s at most, with
// jitter, for ever. A node that the strategy named before and does not any more is disconnected,
// unless another topology wants it or the topology leaves such nodes alone. When a look fails the
// last answer holds; that is logged when the error changes, and counted.
//
// Events, as libcluster's: libcluster.connect_node.ok (duration; node, topology) and .error
// (duration; node, topology, reason: unreachable, not_part_of_network),
// libcluster.disconnect_node.ok and .error (reason: already_disconnected, not_part_of_network).
// Also roost.discovery.look.ok (duration, count; topology, strategy) and .error (duration,
// failures; topology, strategy, reason).
//
// A node that should be in company and is alone for longer than a limit sets the alarm
// cluster_empty (runtime/alarms.hpp): see start_watch.
//
// Thread safety: any process or thread. Source: libcluster's Cluster.Strategy; its strategies
// connect to what they find, once per poll or once at all, which bitwalker/libcluster#148 is about.
#pragma once
#include "runtime/discovery/strategy.hpp"
#include "runtime/gen_server.hpp"
#include <functional>
#include <memory>

namespace roost::discovery {

enum class connect_result { connected, unreachable, not_part_of_network };
enum class disconnect_result { disconnected, already_disconnected, not_part_of_network };

/// What a topology does to the node that it runs on. The first two are called in its process, must
/// not block, and answer through `done`, once, from anywhere.
struct hooks {
  std::function<void(const std::string& node, std::function<void(connect_result)> done)> connect;
  std::function<void(const std::string& node, std::function<void(disconnect_result)> done)>
      disconnect;
  std::function<std::vector<std::string>()> list;  // the nodes that are connected, hidden ones too
  std::function<std::string()> self;               // the name of this node
};

/// Those of runtime/distribution/node.hpp.
hooks node_hooks();

/// One node that a topology wants.
struct node_status {
  std::string node;
  bool connected = false;
  unsigned failures = 0;  // in a row, of connecting
};

struct topology_status {
  std::string topology;
  std::string strategy;
  std::vector<node_status> nodes;  // by name; without this one
  std::uint64_t looks = 0;
  std::uint64_t failed_looks = 0;
  std::string error;  // why the last look failed; empty: it did not
};

/// The server of a topology.
class cluster {
 public:
  struct get_status { using reply = topology_status; };
  struct look_now {};  // rather than at the end of the interval
  using messages = roost::messages<get_status, look_now>;

  // For itself.
  struct look_due {};
  struct decide_due {};
  struct connect_done {
    std::string node;
    connect_result result;
    std::chrono::steady_clock::time_point begin;
  };
  struct disconnect_done {
    std::string node;
    disconnect_result result;
    std::chrono::steady_clock::time_point begin;
  };
  using infos = roost::messages<look_due, decide_due, connect_done, disconnect_done>;

  static init_result<cluster> init(topology topology, hooks hooks);
  cluster(cluster&&) noexcept;
  cluster& operator=(cluster&&) noexcept;
  ~cluster();

  topology_status handle_call(get_status) const;
  void handle_cast(look_now);
  void handle_info(look_due);
  void handle_info(decide_due);
  void handle_info(const connect_done& done);
  void handle_info(const disconnect_done& done);
  std::string format_status() const;

 private:
  class state;
  explicit cluster(std::unique_ptr<state> state) noexcept;

  std::unique_ptr<state> state_;
};

/// Starts the server of a topology, linked to the caller. Throws std::invalid_argument for a
/// topology without a strategy.
server<cluster> start_link(topology topology, hooks hooks = node_hooks());

/// Watches over the list of nodes as a whole: sets the alarm cluster_empty when it has been empty
/// for `alarm_after` and clears it when somebody is there.
class watch {
 public:
  using messages = roost::messages<>;
  struct check_due {};
  using infos = roost::messages<check_due>;

  static init_result<watch> init(
      std::chrono::milliseconds alarm_after, std::function<std::vector<std::string>()> list);
  void handle_info(check_due);
  void terminate(const exit_reason& reason);

 private:
  watch(std::chrono::milliseconds alarm_after, std::function<std::vector<std::string>()> list);

  std::chrono::milliseconds alarm_after_;
  std::function<std::vector<std::string>()> list_;
  std::chrono::steady_clock::time_point company_;  // when somebody was seen last
};

/// Starts the watch, linked to the caller; with an `alarm_after` of 0 there is none, and the handle
/// is empty.
server<watch> start_watch(std::chrono::milliseconds alarm_after, hooks hooks = node_hooks());

}  // namespace roost::discovery
