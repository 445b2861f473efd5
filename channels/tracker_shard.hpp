// private: one shard of a tracker: a state that every thread may change, and the process that tells
// of the changes.
//
// The state outlives its process, so that a crash loses nobody; only an orderly end ends it. What a
// thread changes it changes under the lock, and wakes the process, which tells the other nodes and
// handle_diff. Changes of a few milliseconds are told together: a thousand clients that join at
// once would otherwise be a thousand messages to each of a thousand clients.
#pragma once
#include "channels/tracker.hpp"
#include "channels/tracker_gossip.hpp"
#include <mutex>

namespace roost::detail {

class tracker_shard {
 public:
  struct wake {};

  tracker_shard(replica_id self, const gossip_options& options);

  const presence_index& index() const noexcept { return state_.index(); }

  /// Changes the state; `act` answers whether the process has to look at `process` again.
  template <class F>
  void change(pid process, F act) {
    pid to_wake;
    {
      std::lock_guard guard{mutex_};
      if (act(state_)) touched_.push_back(process);
      if (!std::exchange(woken_, true)) to_wake = owner_;
    }
    if (to_wake) send(to_wake, wake{});
  }

  // --- for its process
  /// Answers the processes that have presences.
  std::vector<pid> start(pid owner);
  template <class F>
  tracker_gossip::output tell(F act) {
    tracker_gossip::output out;
    std::lock_guard guard{mutex_};
    act(gossip_, out);
    return out;
  }
  /// What has changed since. `touched`: those who may have got their first presence, or lost their
  /// last one, with whether they have any.
  tracker_gossip::output flush(std::vector<std::pair<pid, bool>>& touched);
  replica_id id() const;
  void rename(replica_id self);
  void end();
  bool has_ended() const;
  pid owner() const;

 private:
  mutable std::mutex mutex_;
  tracker_state state_;
  tracker_gossip gossip_;
  std::vector<pid> touched_;
  pid owner_;
  bool woken_ = false;
  bool ended_ = false;
};

/// All of one tracker.
class tracker_shards {
 public:
  using companion_ptr = std::shared_ptr<const void>;

  tracker_shards(tracker::options options, companion_ptr companion);

  /// The one that has crashed, or a new one.
  static std::shared_ptr<tracker_shards> create(
      const tracker::options& options, const companion_ptr& companion);
  /// Throws std::invalid_argument if there is none.
  static std::shared_ptr<tracker_shards> find(std::string_view name);

  const tracker::options& options() const noexcept { return options_; }
  /// What somebody wants to find again by the tracker's name.
  const companion_ptr& companion() const noexcept { return companion_; }
  /// The shard for its process, which is about to begin.
  std::shared_ptr<tracker_shard> open(std::uint32_t number);
  /// Throws std::invalid_argument if it has ended.
  std::shared_ptr<tracker_shard> of_topic(std::string_view topic) const;
  std::vector<std::shared_ptr<tracker_shard>> running() const;

 private:
  const tracker::options options_;
  const companion_ptr companion_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<tracker_shard>> shards_;
};

child_spec shard_spec(
    const tracker::options& options, const tracker_shards::companion_ptr& companion,
    std::uint32_t number);
child_spec tracker_spec(tracker::options options, const tracker_shards::companion_ptr& companion);

/// For the shard of a process: tells the others that this node leaves.
void ask_to_leave(pid shard);

}  // namespace roost::detail
