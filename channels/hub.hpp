// private: the subscriptions of one pub_sub.
//
// Processes are kept in a table that every thread may read, so that a broadcast is sent straight
// from the sender's thread and keeps its place among the sender's other messages. Sockets are kept
// per worker: a broadcast is encoded once, handed to each worker that has a subscriber, and written
// there without another process in between (Phoenix calls this the fastlane).
//
// A sender that moves from worker A to worker B must not overtake itself: what it broadcast from A
// was put into B's inbox before it moved, so B empties its inbox before it delivers directly.
#pragma once
#include "channels/channel.hpp"
#include "channels/transport/outlet.hpp"
#include "runtime/scheduler.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <mutex>
#include <shared_mutex>

namespace roost::detail {

/// For a channel that intercepts the event: handed to its handle_out.
struct intercepted {
  std::string event;
  roost::payload payload;
};

/// One joined channel, as the fastlane sees it.
struct fast_subscriber {
  pid channel;
  outlet* out;
  channel_process* intercepts;  // null: intercepts nothing
};

struct topic_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};
template <class Value>
using topic_map = boost::unordered_flat_map<std::string, Value, topic_hash, std::equal_to<>>;

class hub {
 public:
  explicit hub(std::string name);

  const std::string& name() const noexcept { return name_; }

  /// Creates it on first use; it outlives its process, so that a restart finds the subscribers.
  static std::shared_ptr<hub> create(const std::string& name);
  /// Throws std::invalid_argument if there is none.
  static std::shared_ptr<hub> find(std::string_view name);

  void subscribe(std::string_view topic, pid process);
  void unsubscribe(std::string_view topic, pid process);
  void forget(pid process);
  void set_owner(pid owner);
  std::vector<pid> subscribers() const;  // every process once

  // On the worker of the subscriber.
  void join(std::string_view topic, fast_subscriber subscriber);
  void leave(std::string_view topic, pid channel);

  void broadcast(
      pid except, std::string_view topic, std::string_view event, const payload& payload);

 private:
  struct cast;
  struct local;
  struct topic_entry {
    std::vector<pid> processes;
    std::vector<std::uint32_t> workers;  // how many channels each worker has
  };
  struct shard {
    mutable std::shared_mutex mutex;
    topic_map<topic_entry> topics;
  };

  shard& shard_of(std::string_view topic) {
    return shards_[topic_hash{}(topic) >> 7 & (shards_.size() - 1)];
  }
  void count(std::string_view topic, std::uint32_t worker, int change);
  static void drop_if_empty(shard& shard, std::string_view topic);
  void deliver(local& here, const cast& cast);
  void take_inbox(std::uint32_t worker);
  void post(std::uint32_t worker, const std::shared_ptr<const cast>& cast);

  std::string name_;
  std::array<shard, 32> shards_;
  std::vector<std::unique_ptr<local>> locals_;  // one per worker

  mutable std::mutex owner_mutex_;
  pid owner_;
  boost::unordered_flat_map<pid, std::vector<std::string>, std::hash<pid>> topics_of_;
};

}  // namespace roost::detail
