// Nodes, links and processes without threads, sockets or clocks: a test decides what happens next,
// in any order that real nodes could see. Per pair of nodes events keep their order; when a link is
// lost, some of what is on its way is lost, then come DOWNs, then nodedown, and nodeup before
// anything else.
#pragma once
#include "runtime/pid.hpp"
#include <doctest/doctest.h>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace roost::test {

class simulated_cluster {
 public:
  using number = std::size_t;  // of a node

  /// What the servers under test do about what happens on their node.
  class node_events {
   public:
    virtual ~node_events() = default;
    virtual void node_up(const std::string& node) = 0;
    virtual void node_down(const std::string& node) = 0;
    virtual void down(reference ref, bool lost) = 0;
  };

  simulated_cluster(number count, unsigned seed) : random_(seed), nodes_(count) {
    for (number i = 0; i < count; ++i) nodes_[i].name = "n" + std::to_string(i) + "@host";
  }

  std::size_t random(std::size_t bound) { return random_() % bound; }
  number size() const { return nodes_.size(); }
  const std::string& name(number node) const { return nodes_[node].name; }
  number number_of(const std::string& name) const {
    for (number i = 0; i < size(); ++i)
      if (nodes_[i].name == name) return i;
    FAIL("no node " << name);
    return 0;
  }

  // --- processes
  /// As the node itself sees it.
  pid start_process(number node) {
    auto id = ++last_id_;
    nodes_[node].alive.insert(id);
    return {id, 0};
  }
  bool is_alive(number node, pid process) const {
    return process.is_local() && nodes_[node].alive.count(process.id) != 0;
  }
  /// A process as another node sees it.
  pid translated(pid process, number from, number to) const {
    if (!process) return process;
    auto home = process.is_local() ? from : process.node - 1;
    return {process.id, home == to ? 0 : static_cast<std::uint32_t>(home + 1)};
  }
  number home_of(number seen_from, pid process) const {
    return process.is_local() ? seen_from : process.node - 1;
  }
  void kill(number node, pid process) {
    if (nodes_[node].alive.erase(process.id) == 0) return;
    for (number watcher = 0; watcher < size(); ++watcher) {
      auto& monitors = nodes_[watcher].monitors;
      for (auto one = monitors.begin(); one != monitors.end();) {
        auto [ref, watched] = *one++;
        if (watched != target{node, process.id}) continue;
        tell_down(watcher, node, ref, false, true);
      }
    }
  }

  // --- monitors of a node's server
  reference monitor(number node, pid process) {
    reference ref{++last_ref_};
    target watched{home_of(node, process), process.id};
    nodes_[node].monitors.emplace(ref, watched);
    auto [home, id] = watched;
    bool lost = home != node && !is_connected(node, home);
    if (lost || nodes_[home].alive.count(id) == 0) tell_down(node, home, ref, lost, false);
    return ref;
  }
  void demonitor(number node, reference ref) { nodes_[node].monitors.erase(ref); }

  // --- links
  bool is_connected(number a, number b) const {
    return links_.count({std::min(a, b), std::max(a, b)}) != 0;
  }
  void connect(number a, number b) {
    if (a == b || !links_.insert({std::min(a, b), std::max(a, b)}).second) return;
    for (auto [at, other] : {std::pair(a, b), std::pair(b, a)})
      push(other, at, false, [this, at = at, other = other] {
        if (nodes_[at].server != nullptr) nodes_[at].server->node_up(name(other));
      });
  }
  void disconnect(number a, number b) {
    if (links_.erase({std::min(a, b), std::max(a, b)}) == 0) return;
    for (auto [at, other] : {std::pair(a, b), std::pair(b, a)}) {
      auto& channel = channels_[{other, at}];
      auto lost = random(channel.size() + 1);
      while (lost-- != 0 && !channel.empty() && channel.back().can_be_lost) channel.pop_back();
      // Which monitors fire is decided when it is handled: those that it had by then.
      push(other, at, false, [this, at = at, other = other] {
        auto monitors = nodes_[at].monitors;
        for (auto& [ref, watched] : monitors)
          if (watched.first == other) fire(at, ref, true);
        if (nodes_[at].server != nullptr) nodes_[at].server->node_down(name(other));
      });
    }
  }
  std::vector<std::string> connected(number node) const {
    std::vector<std::string> names;
    for (number other = 0; other < size(); ++other)
      if (other != node && is_connected(node, other)) names.push_back(name(other));
    return names;
  }

  // --- messages
  /// `handle` runs at the other node, unless the message is lost.
  void send(number from, number to, std::function<void()> handle) {
    if (from == to || is_connected(from, to)) push(from, to, from != to, std::move(handle));
  }
  void set_server(number node, node_events* server) {
    nodes_[node].server = server;
    if (server == nullptr) nodes_[node].monitors.clear();
  }

  // --- time
  std::uint64_t now() const { return now_; }
  void after(std::uint64_t delay, std::function<void()> run) {
    timers_.emplace(now_ + delay, std::move(run));
  }
  /// Runs the next timer. Answers whether there was one.
  bool wait() {
    if (timers_.empty()) return false;
    auto first = timers_.begin();
    now_ = std::max(now_, first->first);
    auto run = std::move(first->second);
    timers_.erase(first);
    run();
    return true;
  }

  /// Something that is on its way arrives. Answers whether there was anything.
  bool step() {
    std::vector<std::deque<event>*> waiting;
    for (auto& [pair, channel] : channels_)
      if (!channel.empty()) waiting.push_back(&channel);
    if (waiting.empty()) return false;
    auto& channel = *waiting[random(waiting.size())];
    auto next = std::move(channel.front());
    channel.pop_front();
    next.run();
    return true;
  }
  void run() {
    for (int i = 0; step() || wait(); ++i) REQUIRE(i < 10'000'000);
  }

 private:
  using target = std::pair<number, std::uint64_t>;
  struct event {
    bool can_be_lost;
    std::function<void()> run;
  };
  struct simulated_node {
    std::string name;
    node_events* server = nullptr;
    std::set<std::uint64_t> alive;
    std::map<reference, target> monitors;
  };

  void push(number from, number to, bool can_be_lost, std::function<void()> run) {
    channels_[{from, to}].push_back({can_be_lost, std::move(run)});
  }
  void fire(number at, reference ref, bool lost) {
    if (nodes_[at].monitors.erase(ref) == 0 || nodes_[at].server == nullptr) return;
    nodes_[at].server->down(ref, lost);
  }
  /// The news of one process and the messages of another may come in any order: such a DOWN takes a
  /// while to get going, but a lost link brings it with the others.
  void tell_down(number at, number home, reference ref, bool lost, bool slow) {
    auto tell = [this, at, ref, lost] { fire(at, ref, lost); };
    if (slow && at != home && random(2) == 0)
      push(at, at, false, [this, at, home, tell] { push(home, at, false, tell); });
    else
      push(at == home || lost ? at : home, at, false, tell);
  }

  std::mt19937 random_;
  std::vector<simulated_node> nodes_;
  std::set<std::pair<number, number>> links_;
  std::map<std::pair<number, number>, std::deque<event>> channels_;
  std::multimap<std::uint64_t, std::function<void()>> timers_;
  std::uint64_t last_id_ = 0;
  std::uint64_t last_ref_ = 0;
  std::uint64_t now_ = 0;
};

}  // namespace roost::test
