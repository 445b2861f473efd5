// private: the subscriptions of one pub_sub.
//
// Processes are kept in a table that every thread may read, so that a broadcast is sent straight
// from the sender's thread and keeps its place among the sender's other messages. Sockets are kept
// per worker: a broadcast is encoded once, handed to each worker that has a subscriber, and written
// there without another process in between (Phoenix calls this the fastlane).
//
// Broadcasts to a topic with many subscribers wait for the end of the worker's turn: those of one
// turn leave as one piece, which each subscriber is handed once. Whatever else is written to a
// client meanwhile goes behind them (see outlet.hpp), and nobody comes or goes before them, so
// nobody can tell.
//
// A sender that moves from worker A to worker B must not overtake itself: what it broadcast from A
// was put into B's inbox before it moved, so B empties its inbox before it delivers directly.
//
// The adapter is told of topics under the lock of their shard, which keeps what it hears of one
// topic in order, and called under it as well, so that it is not in use any more once no shard has
// it.
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
  std::uint64_t channel;  // the id of the process
  outlet* out;
  channel_process* intercepts;  // null: intercepts nothing
  std::uint32_t* place;         // where it is in the list of its topic; the hub writes it
};

struct topic_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>{}(text);
  }
};
template <class Value>
using topic_map = boost::unordered_flat_map<std::string, Value, topic_hash, std::equal_to<>>;

class hub final : public pub_sub_local, public std::enable_shared_from_this<hub> {
 public:
  hub(std::string name, std::uint32_t pool_size);

  /// Creates it on first use; it outlives its process, so that a restart finds the subscribers.
  static std::shared_ptr<hub> create(const std::string& name, std::uint32_t pool_size);
  /// Throws std::invalid_argument if there is none.
  static std::shared_ptr<hub> find(std::string_view name);
  static std::vector<std::string> names();

  void subscribe(std::string_view topic, pid process, subscribe_options options = {});
  void unsubscribe(std::string_view topic, pid process);
  void forget(pid process);
  void set_owner(pid owner);
  pid owner() const;
  std::vector<pid> subscribers() const;  // every process once

  // On the worker of the subscriber.
  void join(std::string_view topic, fast_subscriber subscriber);
  void leave(std::string_view topic, std::uint32_t place);

  /// Those of this worker's turn that wait.
  static void deliver_waiting();

  /// From here on broadcasts go to it as well, and it has heard of all topics; null: to nobody.
  void set_adapter(pub_sub_adapter* adapter);

  // Broadcasts by somebody here. `except`: not to this one.
  broadcast_result broadcast(pid except, const outgoing_broadcast& message);
  broadcast_result broadcast(
      pid except, std::string_view topic, std::string_view event, const payload& payload) {
    return broadcast(except, {topic, event, payload, {}});
  }
  void local_broadcast(pid except, const outgoing_broadcast& message);
  broadcast_result direct_broadcast(std::string_view node, const outgoing_broadcast& message);
  std::string node_name();
  pub_sub::counters statistics();

  // pub_sub_local
  const std::string& name() const noexcept override { return name_; }
  std::uint32_t pool_size() const noexcept override { return pool_size_; }
  void deliver(const outgoing_broadcast& message) override;
  void lost(
      std::chrono::milliseconds duration,
      const std::function<bool(std::string_view topic)>& concerns) override;
  std::vector<std::string> topics() const override;

  std::vector<pub_sub::topic_info> census() const;

 private:
  struct cast;
  struct local;
  class waiting_casts;
  struct subscription {
    pid process;
    std::shared_ptr<const std::any> metadata;
    bool gaps = false;
  };
  struct topic_entry {
    std::vector<subscription> processes;
    std::vector<std::uint32_t> workers;  // how many channels each worker has
    bool announced = false;              // to the adapter
  };
  struct shard {
    mutable std::shared_mutex mutex;
    topic_map<topic_entry> topics;
    pub_sub_adapter* adapter = nullptr;
  };

  shard& shard_of(std::string_view topic) {
    return shards_[topic_hash{}(topic) >> 7 & (shards_.size() - 1)];
  }
  static topic_entry& entry_of(shard& shard, std::string_view topic);
  static void drop_if_empty(shard& shard, std::string_view topic);
  void count(std::string_view topic, std::uint32_t worker, int change);
  /// Answers whether anybody here was there to hear it.
  bool dispatch(shard& shard, pid except, const outgoing_broadcast& message);
  void dispatch_to_sockets(
      pid except, const outgoing_broadcast& message, const std::vector<std::uint32_t>& counts);
  void deliver_on(local& here, std::shared_ptr<const cast> cast);
  void take_inbox(std::uint32_t worker);
  void post(std::uint32_t worker, const std::shared_ptr<const cast>& cast);

  std::string name_;
  std::uint32_t pool_size_;
  std::array<shard, 32> shards_;
  std::vector<std::unique_ptr<local>> locals_;  // one per worker

  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> unwanted_{0};
  std::atomic<std::uint64_t> gaps_{0};
  std::atomic<std::uint64_t> unreachable_{0};
  std::uint64_t sent_before_ = 0;  // by earlier adapters

  mutable std::mutex owner_mutex_;
  pid owner_;
  boost::unordered_flat_map<pid, std::vector<std::string>, std::hash<pid>> topics_of_;
};

}  // namespace roost::detail
