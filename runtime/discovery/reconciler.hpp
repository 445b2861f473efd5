// private: which nodes to connect now. Pure: the caller says what time it is and what is there.
//
//   reconciler nodes{"a@host"};
//   nodes.want({"b@host", "c@host"});
//   for (auto& name : nodes.due(connected, now)) connect(name);
//   nodes.failed("b@host", now);         // tried again after a while that grows, for ever
//
// Thread safety: one thread at a time. Source: libcluster's strategies, which connect once; here
// the wanted nodes are compared with those that are there again and again.
#pragma once
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace roost::discovery {

class reconciler {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds first_pause{500};
  static constexpr std::chrono::milliseconds longest_pause{2000};

  /// This node's own name is never wanted.
  explicit reconciler(std::string self, std::uint32_t seed = std::random_device{}())
      : self_(std::move(self)), random_(seed) {}

  /// Who should be connected from now on. Answers who is no longer wanted.
  std::vector<std::string> want(const std::vector<std::string>& names);

  /// Whom to connect now: wanted, not connected, not being tried, and not tried a moment ago.
  std::vector<std::string> due(const std::set<std::string>& connected, clock::time_point now);

  void connected(const std::string& name);
  void failed(const std::string& name, clock::time_point now);

 private:
  struct attempt {
    bool running = false;
    unsigned failures = 0;
    clock::time_point next = {};
  };

  std::string self_;
  std::map<std::string, attempt> wanted_;
  std::minstd_rand random_;
};

}  // namespace roost::discovery
