#include "runtime/discovery/reconciler.hpp"
#include <algorithm>

namespace roost::discovery {

void reconciler::want(const std::vector<std::string>& nodes) {
  for (auto& [name, entry] : nodes_) entry.wanted = false;
  for (auto& name : nodes) nodes_[name].wanted = true;
}

reconciler::steps reconciler::decide(
    time_point now, const std::set<std::string>& actual, const surroundings& surroundings) {
  steps steps;
  for (auto at = nodes_.begin(); at != nodes_.end();) {
    auto& [name, entry] = *at;
    auto is_there = actual.contains(name);
    observe(entry, is_there, now);
    if (is_done_with(entry, is_there) || name == surroundings.self) {
      at = nodes_.erase(at);
      continue;
    }
    if (!entry.wanted) let_go(name, entry, surroundings, now, steps);
    ++at;
  }
  connect_due(surroundings.self, now, steps);
  return steps;
}

void reconciler::observe(entry& entry, bool is_there, time_point now) {
  // Whoever connects or disconnects may never answer; a node that is lost for that would be for
  // ever.
  auto overdue = now - entry.since >= options_.attempt_limit;
  if (entry.connecting && overdue) fail(entry, now);
  if (entry.disconnecting && overdue) entry.disconnecting = false;
  if (entry.connecting || is_there == entry.there) {
    if (entry.there && now - entry.since >= options_.stable) entry.failures = 0;
    return;
  }
  if (!is_there && now - entry.since < options_.stable) return fail(entry, now);
  if (!is_there) entry.failures = 0;
  entry.there = is_there;
  entry.since = now;
  entry.due = now;
}

/// A node that vanished is remembered until it has been disconnected: another topology may still
/// want it today and let it go tomorrow.
bool reconciler::is_done_with(const entry& entry, bool is_there) const {
  if (entry.wanted || entry.connecting || entry.disconnecting) return false;
  return !options_.disconnect_vanished || !is_there;
}

void reconciler::let_go(
    const std::string& node, entry& entry, const surroundings& surroundings, time_point now,
    steps& steps) {
  if (entry.connecting || entry.disconnecting || !options_.disconnect_vanished) return;
  if (surroundings.wanted_elsewhere && surroundings.wanted_elsewhere(node)) return;
  entry.disconnecting = true;
  entry.since = now;
  steps.disconnect.push_back(node);
}

void reconciler::connect_due(std::string_view self, time_point now, steps& steps) {
  std::vector<std::pair<time_point, const std::string*>> waiting;
  std::size_t busy = 0;
  for (auto& [name, entry] : nodes_) {
    if (entry.connecting || entry.disconnecting) {
      ++busy;
      steps.next = std::min(steps.next, entry.since + options_.attempt_limit);
    } else if (entry.wanted && !entry.there && name != self) {
      waiting.emplace_back(entry.due, &name);
    }
  }
  // Those that have waited longest come first, or nodes late in the alphabet might never be tried.
  std::sort(waiting.begin(), waiting.end(), [](auto& a, auto& b) { return a.first < b.first; });
  for (auto [due, name] : waiting) {
    if (due > now) {
      steps.next = std::min(steps.next, due);
      break;
    }
    if (busy >= options_.parallel) break;  // decided again when an attempt ends
    ++busy;
    auto& entry = nodes_[*name];
    entry.connecting = true;
    entry.since = now;
    steps.next = std::min(steps.next, now + options_.attempt_limit);
    steps.connect.push_back(*name);
  }
}

void reconciler::connected(const std::string& node, time_point now) {
  auto at = nodes_.find(node);
  if (at == nodes_.end() || !at->second.connecting) return;
  auto& entry = at->second;
  entry.connecting = false;
  entry.there = true;
  entry.since = now;
}

void reconciler::failed(const std::string& node, time_point now) {
  auto at = nodes_.find(node);
  if (at != nodes_.end() && at->second.connecting) fail(at->second, now);
}

void reconciler::disconnected(const std::string& node) {
  auto at = nodes_.find(node);
  if (at == nodes_.end()) return;
  auto& entry = at->second;
  if (!entry.wanted) {
    nodes_.erase(at);
    return;
  }
  // Wanted again meanwhile: that it is not there any more is no failure of the node.
  entry.disconnecting = false;
  entry.there = false;
  entry.due = {};
}

void reconciler::fail(entry& entry, time_point now) {
  ++entry.failures;
  entry.connecting = false;
  entry.there = false;
  entry.since = now;
  entry.due = now + delay_after(entry.failures);
}

/// Between one half and all of a delay that doubles. Nodes that have lost each other at one moment
/// do not try again at one moment.
reconciler::milliseconds reconciler::delay_after(unsigned failures) {
  auto doublings = std::min(failures, 16U);
  auto longest = std::min(options_.max_delay, options_.min_delay * (1L << doublings));
  std::uniform_int_distribution<milliseconds::rep> between(longest.count() / 2, longest.count());
  return milliseconds(between(random_));
}

std::map<std::string, reconciler::attempt> reconciler::wanted() const {
  std::map<std::string, attempt> result;
  for (auto& [name, entry] : nodes_)
    if (entry.wanted) result[name] = {entry.there, entry.connecting, entry.failures};
  return result;
}

}  // namespace roost::discovery
