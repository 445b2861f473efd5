// channels/pub_sub_adapter.hpp
//
// How the broadcasts of a pub_sub reach other nodes. An adapter carries messages between the nodes
// that have a pub_sub of the same name; the subscribers of a node are the pub_sub's own business.
// Ready-made: `pg` (the default), `interest` and `redis`.
//
//   roost::child<roost::pub_sub>({.name = "chat"})                                // pg
//   roost::child<roost::pub_sub>({.name = "chat", .adapter = roost::interest_adapter()})
//   roost::child<roost::pub_sub>({.name = "chat", .adapter = roost::redis_adapter({.url = url})})
//
// or, for a pub_sub whose spec names none, one key of the configuration: `pub_sub.adapter: redis`.
//
// Writing one: derive from pub_sub_adapter and pass a pub_sub_adapter_spec. It has to pass
// tests/channels/pub_sub_contract.py.
//
// Source: Phoenix.PubSub.Adapter.
#pragma once
#include "channels/payload.hpp"
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace roost {

/// What a broadcast says whether the other nodes are on the way to hear it.
enum class broadcast_result {
  ok,
  unreachable,  // this node's subscribers have it; the adapter cannot reach other nodes now
};

/// A broadcast on its way. Views of what the caller has.
struct outgoing_broadcast {
  std::string_view topic;
  std::string_view event;
  const roost::payload& payload;
  std::string_view dispatcher;  // empty: the usual one
};

/// The node's side of a pub_sub, for its adapter. Thread safety: any thread.
class pub_sub_local {
 public:
  virtual ~pub_sub_local() = default;
  virtual const std::string& name() const noexcept = 0;
  /// How many processes take what comes from other nodes.
  virtual std::uint32_t pool_size() const noexcept = 0;

  /// A broadcast of another node: hands it to this node's subscribers. What one thread or process
  /// delivers on a topic arrives in that order.
  virtual void deliver(const outgoing_broadcast& message) = 0;

  /// Broadcasts of other nodes may have been lost, on the topics for which `concerns` answers true:
  /// their subscribers who asked for it get a pub_sub_gap, and it is counted and logged.
  virtual void lost(
      std::chrono::milliseconds duration,
      const std::function<bool(std::string_view topic)>& concerns) = 0;

  /// The topics that somebody here subscribes to.
  virtual std::vector<std::string> topics() const = 0;
};

class pub_sub_adapter {
 public:
  pub_sub_adapter() = default;
  pub_sub_adapter(const pub_sub_adapter&) = delete;
  pub_sub_adapter& operator=(const pub_sub_adapter&) = delete;
  virtual ~pub_sub_adapter() = default;

  /// Called once, in the process of the pub_sub, before anything else; may throw. `local` lives
  /// longer than the adapter.
  virtual void start(pub_sub_local& local) = 0;
  /// Called once, last. Afterwards nothing is delivered.
  virtual void stop() noexcept = 0;

  /// What other nodes call this one in direct_broadcast.
  virtual std::string node_name() const = 0;

  // From any thread or process, at the same time. They must neither wait nor call `local`. The
  // broadcasts of one process (or outside thread) on one topic have to arrive in order.

  /// To all other nodes that have subscribers of the topic, and to others if need be.
  virtual broadcast_result broadcast(const outgoing_broadcast& message) = 0;
  /// To that node, which is another one.
  virtual broadcast_result direct_broadcast(
      std::string_view node, const outgoing_broadcast& message) = 0;

  /// How many messages it has sent to other nodes, or to what stands between.
  virtual std::uint64_t sent() const noexcept = 0;

  /// The topic has got its first subscriber here, or has lost its last one. For one topic they come
  /// in order.
  virtual void subscribed(std::string_view topic) { static_cast<void>(topic); }
  virtual void unsubscribed(std::string_view topic) { static_cast<void>(topic); }

  /// Calls `done`, from any thread, once broadcasts that are made on other nodes from now on reach
  /// the subscriptions that this node has now. At once where there is nothing to wait for.
  virtual void when_synced(std::function<void()> done) { done(); }
};

/// Makes the adapter each time the pub_sub starts.
struct pub_sub_adapter_spec {
  std::string name = {};  // for errors and the log; empty: that of the configuration
  std::function<std::unique_ptr<pub_sub_adapter>()> make = {};
};

/// The default: every broadcast goes to every connected node that has this pub_sub, once. Source:
/// Phoenix.PubSub.PG2.
pub_sub_adapter_spec pg_adapter();

/// Broadcasts go to those connected nodes only that have subscribers of the topic; see
/// docs/pub_sub.md for what that costs and guarantees.
pub_sub_adapter_spec interest_adapter();

}  // namespace roost
