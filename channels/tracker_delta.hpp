// private: who is present, as nodes tell each other. Pure: no processes, no clocks.
//
// A replica is a node from its start to its end. It alone adds and removes its presences, and
// numbers each change: a presence is known by the number that it was added with (its dot), a
// removal uses up a number as well. What somebody knows of a replica is the presences, and the set
// of numbers that it has heard of (the causal context), as intervals: usually one. A presence whose
// number was heard of and that is not there has been removed; so knowledge can be put together in
// any order, twice, or in part, and comes to the same (an observed-remove set without tombstones,
// per replica). A gap in the intervals says that something was missed, a removal included.
//
// Source: Phoenix.Tracker.State; Bieniusa and others, "An optimized conflict-free replicated set".
#pragma once
#include "channels/payload.hpp"
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace roost::detail {

struct replica_id {
  std::string node;
  std::uint64_t incarnation = 0;  // of the same node the later one has the greater number
  friend auto operator<=>(const replica_id&, const replica_id&) = default;
};

/// Numbers from `first` to `last`, both included.
struct number_range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  friend bool operator==(const number_range&, const number_range&) = default;
};

/// A set of numbers, as ranges in order that do not touch.
class causal_context {
 public:
  causal_context() = default;
  /// Of any ranges: those of another node may overlap.
  explicit causal_context(const std::vector<number_range>& ranges);

  bool contains(std::uint64_t number) const noexcept;
  /// It has all numbers from 1 to this one.
  std::uint64_t reach() const noexcept;
  void add(number_range range);
  void add(const causal_context& other);
  const std::vector<number_range>& ranges() const noexcept { return ranges_; }
  friend bool operator==(const causal_context&, const causal_context&) = default;

 private:
  std::vector<number_range> ranges_;
};

struct tracked {
  std::string topic;
  std::string key;
  payload meta;
  friend bool operator==(const tracked&, const tracked&) = default;
};
/// Shared by all that speak of it.
using tracked_ptr = std::shared_ptr<const tracked>;

struct numbered {
  std::uint64_t number = 0;
  tracked_ptr value;
};

/// A part of what there is to know of one replica, as it travels.
struct tracker_delta {
  std::vector<number_range> heard = {};
  std::vector<numbered> present = {};

  bool empty() const noexcept { return heard.empty(); }
};

/// What both know. Commutative, associative and idempotent.
tracker_delta merge(const tracker_delta& one, const tracker_delta& other);

/// What one replica has present, as known here.
class replica_presences {
 public:
  using map = std::map<std::uint64_t, tracked_ptr>;
  struct changes {
    std::vector<numbered> joins;
    std::vector<numbered> leaves;
    bool empty() const noexcept { return joins.empty() && leaves.empty(); }
  };

  const map& present() const noexcept { return present_; }
  const causal_context& heard() const noexcept { return heard_; }
  /// For limits: presences and ranges.
  std::size_t size() const noexcept { return present_.size() + heard_.ranges().size(); }

  changes merge(const tracker_delta& delta);
  /// What a merge of one addition or removal does, for the replica itself.
  void add(std::uint64_t number, tracked_ptr value);
  void remove(std::uint64_t number, std::uint64_t removal);
  tracker_delta whole() const;

  friend bool operator==(const replica_presences& one, const replica_presences& other);

 private:
  map present_;
  causal_context heard_;
};

/// A part of the whole, read in order from the first number to `until`. A part alone does not tell
/// of removals with a later number: it is only good for those who have all parts before.
struct presence_page {
  std::uint64_t after = 0;
  std::uint64_t last = 0;
  std::uint64_t until = 0;
  tracker_delta delta = {};
};

struct page_limits {
  std::size_t presences = 1'000;
  std::size_t bytes = 256 * 1024;
};

/// The presences of this node, and what others have yet to be told.
class own_presences {
 public:
  /// For each size, the changes of so many presences are kept for those who have missed some.
  explicit own_presences(std::vector<std::size_t> max_delta_sizes = {100, 1'000, 10'000});

  std::uint64_t last() const noexcept { return last_; }
  const replica_presences& known() const noexcept { return known_; }

  /// Answers its number, which is last() + 1.
  std::uint64_t add(tracked_ptr value);
  /// It has to be present.
  tracked_ptr remove(std::uint64_t number);

  /// What has changed since this was called before. Others have to be told at once.
  tracker_delta take_changes();
  bool has_changes() const noexcept { return last_ != told_; }
  /// The last number of what was taken.
  std::uint64_t told() const noexcept { return told_; }

  /// What was taken after this number, for those who have heard everything up to it; nothing when
  /// that is not known any more.
  const replica_presences* changes_since(std::uint64_t number) const noexcept;

  /// What follows after the number, as much as fits and at least one presence.
  presence_page page(std::uint64_t after, std::uint64_t until, page_limits limits) const;

 private:
  struct generation {
    std::size_t max_size;
    std::uint64_t start = 0;
    replica_presences changes = {};
  };

  std::uint64_t last_ = 0;
  std::uint64_t told_ = 0;
  replica_presences known_;
  replica_presences changes_;  // since they were taken
  std::vector<generation> generations_;
};

}  // namespace roost::detail
