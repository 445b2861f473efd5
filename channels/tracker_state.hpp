// private: everything that one shard of a tracker knows: its own presences and those of the others,
// who of them is there, and the index of what can be seen. Pure but for the index: no processes, no
// clocks, nothing is sent.
//
// Of each other node one replica is known, the latest. It is *down* while its node is thought lost:
// then its presences are kept, but not seen, and come back with it. What the functions answer is
// what somebody who watches the topics has to be told.
//
// Thread safety: one at a time, but for index().
#pragma once
#include "channels/presence_index.hpp"
#include <map>
#include <optional>

namespace roost::detail {

struct presence_changes {
  std::vector<tracked_ptr> joins = {};
  std::vector<tracked_ptr> leaves = {};

  bool empty() const noexcept { return joins.empty() && leaves.empty(); }
  void append(presence_changes other);
};

class tracker_state {
 public:
  struct replica {
    std::uint64_t incarnation = 0;
    std::uint32_t number = 0;  // in the index
    bool is_down = false;
    replica_presences presences = {};
  };

  tracker_state(replica_id self, std::vector<std::size_t> max_delta_sizes);

  const replica_id& self() const noexcept { return self_; }
  own_presences& own() noexcept { return own_; }
  const own_presences& own() const noexcept { return own_; }
  const presence_index& index() const noexcept { return index_; }

  // --- this node's
  /// The presence of a process; `is_first`: it has no other. Null: it has this key there already.
  struct joined {
    tracked_ptr value;
    bool is_first = false;
  };
  joined join(pid process, std::string topic, std::string key, const payload& meta);
  /// Nothing: it is not there.
  tracked_ptr find(pid process, std::string_view topic, std::string_view key) const;
  /// Null: it is not there.
  tracked_ptr update(
      pid process, std::string_view topic, std::string_view key, const payload& meta);
  /// Answers whether it was there.
  bool leave(pid process, std::string_view topic, std::string_view key);
  /// Everything that the process has.
  bool leave(pid process);
  std::vector<pid> processes() const;
  bool has(pid process) const { return by_process_.contains(process); }
  /// What join, update and leave did since this was called before.
  presence_changes take_own_changes() { return std::exchange(own_changes_, {}); }
  /// The node has been given another name, or it begins again: all as before, but to be told anew.
  void rename(replica_id self);

  // --- the others'
  const std::map<std::string, replica, std::less<>>& replicas() const noexcept { return replicas_; }
  replica* find_replica(std::string_view node);
  /// Makes it known; an earlier replica of that node is removed.
  replica& replica_appeared(const replica_id& id, presence_changes& changes);
  void merge(replica& replica, const tracker_delta& delta, presence_changes& changes);
  void replica_down(replica& replica, presence_changes& changes);
  void replica_up(replica& replica, presence_changes& changes);
  void remove_replica(std::string_view node, presence_changes& changes);
  /// All that are down. Answers their names.
  std::vector<std::string> remove_down_replicas();

 private:
  // The views are of the value.
  struct place {
    std::string_view topic;
    std::string_view key;
    friend auto operator<=>(const place&, const place&) = default;
  };
  using places = std::map<place, numbered>;

  tracked_ptr add(
      places& there, std::string topic, std::string key, const payload& meta,
      std::string_view ref_before);
  void remove(const numbered& one);
  void show(replica& replica, presence_changes& changes);
  void hide(replica& replica, presence_changes& changes);

  replica_id self_;
  std::vector<std::size_t> max_delta_sizes_;
  std::uint64_t seed_;  // of references
  own_presences own_;
  presence_changes own_changes_;
  boost::unordered_flat_map<pid, places, std::hash<pid>> by_process_;
  std::map<std::string, replica, std::less<>> replicas_;
  std::uint32_t last_replica_ = 0;
  std::uint32_t own_number_ = 0;
  presence_index index_;
};

/// The meta with a reference, and with the one before unless that is empty. What it says of these
/// itself is dropped. Throws std::invalid_argument unless it is a JSON object.
payload with_reference(const payload& meta, std::string_view ref, std::string_view ref_before);
std::string reference_of(const payload& meta);

}  // namespace roost::detail
