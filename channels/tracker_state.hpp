// private: who is present, as nodes tell each other. Pure: no processes, no clocks.
//
// A replica is a node from its start to its end. It alone adds and removes its presences, and numbers
// each change: a presence is known by the number that it was added with (its dot), a removal uses up a
// number as well. What somebody knows of a replica is the presences, and the set of numbers that it
// has heard of (the causal context), as intervals: usually one. A presence whose number was heard of
// and that is not there has been removed; so knowledge can be put together in any order, twice, or in
// part, and comes to the same (an observed-remove set without tombstones, per replica). A gap in the
// intervals says that something was missed, a removal included.
//
// Source: Phoenix.Tracker.State; Bieniusa and others, "An optimized conflict-free replicated set".
#pragma once
#include "channels/payload.hpp"
#include "runtime/pid.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <map>
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
  /// Whether it has all from 1 to `number`.
  bool reaches(std::uint64_t number) const noexcept;
  void add(number_range range);
  void add(const causal_context& other);
  const std::vector<number_range>& ranges() const noexcept { return ranges_; }
  friend bool operator==(const causal_context&, const causal_context&) = default;

 private:
  std::vector<number_range> ranges_;
};

struct tracked {
  pid process;
  std::string topic;
  std::string key;
  payload meta;
  friend bool operator==(const tracked&, const tracked&) = default;
};

/// A part of what there is to know of one replica, as it travels.
struct tracker_delta {
  std::vector<number_range> heard = {};
  std::vector<std::pair<std::uint64_t, tracked>> present = {};  // by number

  bool empty() const noexcept { return heard.empty(); }
};

/// What both know. Commutative, associative and idempotent.
tracker_delta merge(const tracker_delta& one, const tracker_delta& other);

/// What one replica has present, as known here.
class replica_presences {
 public:
  using map = std::map<std::uint64_t, tracked>;
  struct changes {
    std::vector<std::pair<std::uint64_t, tracked>> joins;
    std::vector<std::pair<std::uint64_t, tracked>> leaves;
    bool empty() const noexcept { return joins.empty() && leaves.empty(); }
  };

  const map& present() const noexcept { return present_; }
  const causal_context& heard() const noexcept { return heard_; }

  changes merge(const tracker_delta& delta);
  tracker_delta whole() const;

  friend bool operator==(const replica_presences&, const replica_presences&) = default;

 private:
  map present_;
  causal_context heard_;
};

/// The presences of this node, and what others have yet to be told.
class own_presences {
 public:
  std::uint64_t last() const noexcept { return last_; }
  const replica_presences& known() const noexcept { return known_; }

  /// Answers its number.
  std::uint64_t add(tracked value);
  /// It has to be present.
  tracked remove(std::uint64_t number);

  tracker_delta take_changes();

 private:
  void learn(const tracker_delta& delta);

  std::uint64_t last_ = 0;
  replica_presences known_;
  replica_presences changes_;  // since they were taken
};

}  // namespace roost::detail
