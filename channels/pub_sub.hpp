// channels/pub_sub.hpp
//
// Publish and subscribe by topic. Processes subscribe and get a `broadcast_message` for each
// broadcast; channels subscribe by themselves when they are joined, and what they need not look at
// goes straight to their sockets, encoded once.
//
//   roost::child<roost::pub_sub>({.name = "chat"})             // in the supervisor's list
//
//   roost::subscribe("chat", "room:42");                       // in a process
//   roost::broadcast("chat", "room:42", "new_msg", {{"body", "hi"}});   // from anywhere
//
// Guarantees. At most once. Broadcasts of one process on one topic arrive in order. Subscribing
// twice means getting everything twice; unsubscribing drops all subscriptions of the process to the
// topic. A process that ends is unsubscribed.
//
// Errors: an unknown name throws std::invalid_argument with the line to add. Thread safety: any
// process or thread; subscribe only in a process.
// Source: Phoenix.PubSub.
#pragma once
#include "channels/payload.hpp"
#include "supervision/child_spec.hpp"

namespace roost {

/// What a subscribed process gets, in handle_info.
struct broadcast_message {
  std::string topic;
  std::string event;
  roost::payload payload;
};

class pub_sub {
 public:
  struct options {
    std::string name;  // required; what subscribers and endpoints call it
  };
  static roost::child_spec child_spec(options options);
};

/// Subscribes the calling process.
void subscribe(std::string_view pub_sub, std::string_view topic);
void unsubscribe(std::string_view pub_sub, std::string_view topic);

/// Sends the event to every subscriber of the topic.
void broadcast(
    std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload);

/// … except `from`.
void broadcast_from(
    std::string_view pub_sub, pid from, std::string_view topic, std::string_view event,
    const payload& payload);

}  // namespace roost
