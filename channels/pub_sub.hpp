// channels/pub_sub.hpp
//
// Publish and subscribe by topic, on this node and the others of its cluster. Processes subscribe
// and get a `broadcast_message` for each broadcast; channels subscribe by themselves when they are
// joined, and what they need not look at goes straight to their sockets, encoded once per node.
//
//   roost::child<roost::pub_sub>({.name = "chat"})             // in the supervisor's list
//
//   roost::subscribe("chat", "room:42");                       // in a process
//   roost::broadcast("chat", "room:42", "new_msg", {{"body", "hi"}});   // from anywhere
//   void handle_info(const roost::broadcast_message& news);    // lists it in `infos`
//
// Guarantees. At most once. Broadcasts of one process on one topic arrive in order, on every node.
// Subscribing twice means getting everything twice; unsubscribing drops all subscriptions of the
// process to the topic. A process that ends is unsubscribed. A broadcast reaches the subscribers of
// this node at once; when a subscription is known to other nodes depends on the adapter, and
// pub_sub::sync waits for it. Which nodes there are depends on the adapter too: see
// channels/pub_sub_adapter.hpp and docs/pub_sub.md.
//
// Errors: an unknown name throws std::invalid_argument with the line to add. Thread safety: any
// process or thread; subscribe only in a process.
// Source: Phoenix.PubSub.
#pragma once
#include "channels/pub_sub_adapter.hpp"
#include "supervision/child_spec.hpp"
#include <any>
#include <span>

namespace roost {

/// What a subscribed process gets, in handle_info.
struct broadcast_message {
  std::string topic;
  std::string event;
  roost::payload payload;
};

/// Broadcasts of other nodes may have been lost: the adapter had lost its connection. For processes
/// that subscribed with `gaps`.
struct pub_sub_gap {
  std::string pub_sub;
  std::string topic;
  std::chrono::milliseconds duration;  // of the time in which some may have been lost
};

class pub_sub {
 public:
  struct options {
    std::string name;                   // required; what subscribers and endpoints call it
    pub_sub_adapter_spec adapter = {};  // empty: the configuration's `pub_sub.adapter`, else pg
    /// How many processes take what comes from other nodes, 1 to 64; the same on all nodes.
    std::uint32_t pool_size = 1;
  };
  static roost::child_spec child_spec(options options);

  /// Answers once broadcasts that other nodes make from then on reach what this node subscribes to
  /// now.
  static pending<bool> sync(std::string_view name);

  struct counters {
    std::uint64_t sent = 0;         // to other nodes: a broadcast to two of them counts twice
    std::uint64_t received = 0;     // from other nodes
    std::uint64_t unwanted = 0;     // of these, without a subscriber here
    std::uint64_t gaps = 0;         // see pub_sub_gap
    std::uint64_t unreachable = 0;  // broadcasts that could not be sent on
  };
  static counters statistics(std::string_view name);

  /// Those that have been started.
  static std::vector<std::string> names();
};

// --- subscribing ---------------------------------------------------------------------------------

struct subscribe_options {
  std::any metadata = {};  // for dispatchers
  bool gaps = false;       // whether to get pub_sub_gap
};

/// Subscribes the calling process.
void subscribe(std::string_view pub_sub, std::string_view topic, subscribe_options options = {});
void unsubscribe(std::string_view pub_sub, std::string_view topic);

// --- broadcasting --------------------------------------------------------------------------------

/// Sends the event to every subscriber of the topic, on all nodes.
broadcast_result broadcast(
    std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher = {});

/// … except `from`.
broadcast_result broadcast_from(
    std::string_view pub_sub, pid from, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher = {});

/// … on this node only.
void local_broadcast(
    std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher = {});
void local_broadcast_from(
    std::string_view pub_sub, pid from, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher = {});

/// … on that node only, by the name that node_name answers there.
broadcast_result direct_broadcast(
    std::string_view node, std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher = {});

/// This node's name among those that have the pub_sub.
std::string node_name(std::string_view pub_sub);

// --- dispatchers ---------------------------------------------------------------------------------

/// A process that subscribes, and what it said with it.
struct pub_sub_subscriber {
  pid process;
  std::shared_ptr<const std::any> metadata;  // null: none
};

/// Decides which of the subscribed processes get a broadcast, and what. Joined channels are not
/// among them and get it as usual.
using pub_sub_dispatcher = std::function<void(
    std::span<const pub_sub_subscriber> subscribers, pid from, const broadcast_message& message)>;

/// Makes a dispatcher known to this node's pub_subs by name; a broadcast names it, and each node
/// uses its own. A node that does not know it sends to everybody.
void offer_dispatcher(std::string name, pub_sub_dispatcher dispatcher);

}  // namespace roost
