// private: what to connect and disconnect now, so that the nodes that are there become those that
// should be.
//
// Pure: the caller says what time it is, who is there, and how an attempt has ended. It never gives
// up; what fails is tried again after 0.5 to 2 s, with a back-off and jitter of its own per node.
//
//   reconciler plan({.disconnect_vanished = true}, seed);
//   plan.want({"a@h", "b@h"});                               // what the strategy answered
//   auto steps = plan.decide(now, actual, {.self = "a@h"});  // steps.connect is {"b@h"}
//   plan.failed("b@h", now);                                 // and again at steps.next, or later
//
// A node that is lost is connected again at once if it had been there for `stable`; otherwise that
// counts as a failure, so that a link that is made and lost again and again costs little.
//
// Thread safety: one thread at a time. Source: libcluster's Cluster.Strategy, which connects once
// per poll and keeps no account of failures.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace roost::discovery {

class reconciler {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using milliseconds = std::chrono::milliseconds;

  struct options {
    bool disconnect_vanished = true;
    milliseconds min_delay{500};         // after a failure; doubled by each one that follows
    milliseconds max_delay{2'000};       // so that a split heals within three seconds
    milliseconds stable{30'000};         // after so long a link is no failure when it ends
    milliseconds attempt_limit{60'000};  // an attempt that has not been answered by then has failed
    std::size_t parallel = 64;           // attempts at once; the others wait in line
  };

  struct surroundings {
    std::string_view self;  // never connected to
    /// Whether another topology wants this node, so that it stays; empty: none does.
    std::function<bool(const std::string& node)> wanted_elsewhere = {};
  };

  struct steps {
    std::vector<std::string> connect;
    std::vector<std::string> disconnect;
    time_point next = time_point::max();  // when to decide again, though nothing has happened
  };

  struct attempt {
    bool connected = false;
    bool connecting = false;
    unsigned failures = 0;  // in a row
  };

  reconciler(options options, std::uint64_t seed) : options_(options), random_(seed) {}

  /// The nodes that should be there from now on.
  void want(const std::vector<std::string>& nodes);

  /// What to do now. Each node of `connect` and `disconnect` is to be answered with one of the
  /// functions below.
  steps decide(
      time_point now, const std::set<std::string>& actual, const surroundings& surroundings);

  void connected(const std::string& node, time_point now);
  void failed(const std::string& node, time_point now);
  void disconnected(const std::string& node);

  /// The nodes that should be there, and how it goes with each.
  std::map<std::string, attempt> wanted() const;

 private:
  struct entry {
    bool wanted = false;
    bool there = false;
    bool connecting = false;
    bool disconnecting = false;
    unsigned failures = 0;
    time_point since = {};  // of `there`, `connecting` or `disconnecting`
    time_point due = {};    // when to connect, if it is neither there nor connecting
  };

  void observe(entry& entry, bool is_there, time_point now);
  bool is_done_with(const entry& entry, bool is_there) const;
  void let_go(
      const std::string& node, entry& entry, const surroundings& surroundings, time_point now,
      steps& steps);
  void connect_due(std::string_view self, time_point now, steps& steps);
  void fail(entry& entry, time_point now);
  milliseconds delay_after(unsigned failures);

  options options_;
  std::minstd_rand random_;
  std::map<std::string, entry> nodes_;
};

}  // namespace roost::discovery
