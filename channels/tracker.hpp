// channels/tracker.hpp
//
// Who is where, on all nodes: processes are tracked under a key of a topic, with a few facts (the
// meta), and every node can list them. There is no central process and nothing to configure: nodes
// tell each other over a pub_sub what has changed on them. channels/presence.hpp is this for
// channels; use the tracker itself for anything else that has to be known everywhere.
//
//   roost::child<roost::tracker>({.name = "workers", .pub_sub = "chat"})   // after the pub_sub
//
//   roost::tracker workers{"workers"};                       // a handle
//   workers.track(roost::self(), "pool:eu", "w1", {{"load", 0.5}});
//   workers.update(roost::self(), "pool:eu", "w1", {{"load", 0.7}});
//   for (auto& one : workers.list("pool:eu")) use(one.key, one.meta["load"]);
//   workers.count("pool:eu")                                 // makes no list
//
// Guarantees. What this node's processes do is seen here at once, by the other nodes within
// milliseconds, and when a message is lost within two broadcast_periods. A process that ends is
// untracked. Every meta has a `phx_ref` of its own, and after an update a `phx_ref_prev`. Nodes
// that can talk come to agree whatever happened between them; between those that cannot, each sees
// its own side. A node that stops says so; one whose link is lost disappears with its nodedown; one
// that is only silent after down_period, for good after permdown_period. Presences outlive a crash
// of the tracker's own processes.
//
// Errors: metas that are not JSON objects, keys that are not UTF-8 and names that nobody has throw
// std::invalid_argument. Thread safety: every function from any process or thread; none waits for a
// process. handle_diff runs in the tracker's process.
// Source: Phoenix.Tracker.
#pragma once
#include "channels/payload.hpp"
#include "runtime/logger.hpp"
#include "supervision/child_spec.hpp"
#include <concepts>
#include <functional>
#include <memory>

namespace roost {

struct presence_entry {
  std::string key;
  payload meta;
};

/// Who has come to a topic and who has left it. An update is both.
struct topic_diff {
  std::string topic;
  std::vector<presence_entry> joins;
  std::vector<presence_entry> leaves;
};

enum class track_status {
  ok,
  already_tracked,  // the process has this key in this topic: update it
  nopresence,       // it has not, so there is nothing to update
};

struct track_result {
  track_status status = track_status::ok;
  std::string phx_ref = {};  // the new meta's
  explicit operator bool() const noexcept { return status == track_status::ok; }
};

/// How nodes tell each other. The same on all nodes.
struct gossip_options {
  std::uint32_t pool_size = 1;  // processes that share the topics, 1 to 64
  std::chrono::milliseconds broadcast_period{1'500};
  int max_silent_periods = 10;                    // without a change; then a sign of life
  std::chrono::milliseconds down_period{30'000};  // of silence, after which a node is not seen
  std::chrono::milliseconds permdown_period{1'200'000};  // … is forgotten
  /// How many changes are kept for nodes that have missed some; who needs more gets everything.
  std::vector<std::size_t> max_delta_sizes = {100, 1'000, 10'000};
  bool permdown_on_shutdown = true;             // says goodbye when it is stopped
  enum log_level log_level = log_level::debug;  // for replicas that come and go; none: not at all
};

namespace detail {
class tracker_shards;
}

class tracker {
 public:
  struct options {
    std::string name = {};     // required
    std::string pub_sub = {};  // required; it has to be started before
    /// Told of every change in the topics, on all nodes. What it throws crashes its process, which
    /// is started again.
    std::function<void(const std::vector<topic_diff>&)> handle_diff = {};
    gossip_options gossip = {};
  };
  static roost::child_spec child_spec(options options);

  /// Those that run, presences included.
  static std::vector<std::string> names();

  explicit tracker(std::string_view name);

  /// `process` is one of this node.
  track_result track(
      pid process, std::string_view topic, std::string_view key, const payload& meta) const;
  /// The new meta replaces the one before.
  track_result update(
      pid process, std::string_view topic, std::string_view key, const payload& meta) const;
  /// `change` gets the meta that is there and answers the new one. It runs under a lock and must
  /// not call the tracker.
  template <std::invocable<const payload&> F>
  track_result update(pid process, std::string_view topic, std::string_view key, F change) const {
    return change_meta(process, topic, key, std::move(change));
  }
  /// Answers whether it was there.
  bool untrack(pid process, std::string_view topic, std::string_view key) const;
  /// Everything that the process has.
  void untrack(pid process) const;

  /// In the order of the keys.
  std::vector<presence_entry> list(std::string_view topic) const;
  std::vector<payload> get_by_key(std::string_view topic, std::string_view key) const;
  /// Metas, not keys.
  std::size_t count(std::string_view topic) const;
  std::size_t count() const;

  /// Tells the other nodes that this one is leaving: they forget its presences and do not hear it
  /// any more. For a node that is about to stop.
  void graceful_permdown() const;

 private:
  track_result change_meta(
      pid process, std::string_view topic, std::string_view key,
      const std::function<payload(const payload&)>& change) const;

  std::shared_ptr<detail::tracker_shards> shards_;
};

}  // namespace roost
