// private: who is present, by topic and key, for whoever asks.
//
// One ordered set: a topic is a stretch of it, and so is a key of a topic, with its presences one
// after the other as a presence list wants them. How many there are in a topic is counted along.
//
// Thread safety: any thread reads while the owner of the state writes, in steps short enough for
// readers to come in between.
#pragma once
#include "channels/tracker_delta.hpp"
#include "runtime/pid.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <set>
#include <shared_mutex>
#include <string_view>

namespace roost::detail {

struct indexed_presence {
  tracked_ptr value;
  std::uint32_t replica = 0;  // a number that only this index knows
  std::uint64_t number = 0;
};

class presence_index {
 public:
  /// In the order of their keys.
  std::vector<tracked_ptr> list(std::string_view topic) const;
  std::vector<tracked_ptr> get_by_key(std::string_view topic, std::string_view key) const;
  std::size_t count(std::string_view topic) const;
  std::size_t count() const;
  std::size_t topics() const;

  void apply(
      std::uint32_t replica, const std::vector<numbered>& joins,
      const std::vector<numbered>& leaves);

 private:
  struct place {
    std::string_view topic;
    std::string_view key;
  };
  struct order {
    using is_transparent = void;
    bool operator()(const indexed_presence& a, const indexed_presence& b) const noexcept;
    bool operator()(const indexed_presence& a, std::string_view topic) const noexcept;
    bool operator()(std::string_view topic, const indexed_presence& b) const noexcept;
    bool operator()(const indexed_presence& a, place b) const noexcept;
    bool operator()(place a, const indexed_presence& b) const noexcept;
  };
  struct topic_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  void join(std::uint32_t replica, const numbered& one);
  void leave(std::uint32_t replica, const numbered& one);

  mutable std::shared_mutex mutex_;
  std::set<indexed_presence, order> all_;
  boost::unordered_flat_map<std::string, std::size_t, topic_hash, std::equal_to<>> counts_;
};

}  // namespace roost::detail
