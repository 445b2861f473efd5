// private: which topics a node has subscribers of, in few bytes, for other nodes. Pure: no
// processes.
//
// A Bloom filter: each topic sets four bits, chosen by its hash; a node whose four bits of a topic
// are not all set has no subscriber of it. At eight bits for a topic or more, a topic that nobody
// there subscribes to seems wanted in 2.4 % of all cases or fewer. The filter grows and shrinks
// with the number of topics, from 1 KiB to 1 MiB; above 1,048,576 topics it becomes less exact,
// never wrong.
//
// The node itself counts how many topics set each bit, so that bits can be cleared again; others
// have the bits alone.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace roost::detail {

inline constexpr unsigned least_interest_bits = 13;  // logarithms
inline constexpr unsigned most_interest_bits = 23;
inline constexpr unsigned interest_probes = 4;

/// The same on every node and in every version.
std::uint64_t interest_hash(std::string_view topic) noexcept;

/// The whole filter of a node.
struct interest_snapshot {
  std::uint8_t bits = 0;  // log₂ of how many it has
  std::string bytes;
};

/// What has changed since.
struct interest_delta {
  std::vector<std::uint32_t> set;
  std::vector<std::uint32_t> cleared;
};

/// A node's own topics. Thread safety: one thread at a time.
class own_interest {
 public:
  own_interest();

  void add(std::string_view topic);
  void remove(std::string_view topic);

  std::size_t topics() const noexcept { return topics_.size(); }
  bool has_changes() const noexcept { return resized_ || !touched_.empty(); }

  interest_snapshot snapshot() const;

  /// What others have to be told since the last time; nothing when they need the whole.
  std::optional<interest_delta> take_changes();

 private:
  void count(std::uint64_t hash, bool more);
  void fit();
  bool is_set(std::uint32_t position) const noexcept { return counts_[position] != 0; }

  boost::unordered_flat_map<std::uint64_t, std::uint32_t> topics_;  // hash, how many have it
  unsigned bits_ = least_interest_bits;
  // Of topics for each bit. One that has reached the greatest number stays there until the filter
  // is made anew: it would not know when to become 0.
  std::vector<std::uint8_t> counts_;
  std::vector<std::uint32_t> touched_;
  bool resized_ = false;
};

/// Another node's topics. Thread safety: any number of readers.
class others_interest {
 public:
  /// Answers false, and is as unknown as before, when there is something wrong with it.
  bool assign(const interest_snapshot& snapshot);
  bool apply(const interest_delta& delta);
  void forget() { *this = {}; }

  /// Whether somebody there may subscribe to it; always while nothing is known.
  bool may_want(std::uint64_t topic_hash) const noexcept;

  std::size_t memory() const noexcept { return bytes_.capacity(); }

 private:
  unsigned bits_ = 0;
  std::string bytes_;
};

}  // namespace roost::detail
