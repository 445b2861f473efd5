#include "runtime/discovery/reconciler.hpp"
#include <algorithm>

namespace roost::discovery {

std::vector<std::string> reconciler::want(const std::vector<std::string>& names) {
  std::set<std::string> fresh(names.begin(), names.end());
  fresh.erase(self_);
  std::vector<std::string> vanished;
  for (auto& [name, attempt] : wanted_)
    if (!fresh.contains(name)) vanished.push_back(name);
  for (auto& name : vanished) wanted_.erase(name);
  for (auto& name : fresh) wanted_.try_emplace(name);
  return vanished;
}

std::vector<std::string> reconciler::due(
    const std::set<std::string>& connected, clock::time_point now) {
  std::vector<std::string> names;
  for (auto& [name, attempt] : wanted_) {
    if (connected.contains(name)) {
      attempt = {};
      continue;
    }
    if (attempt.running || now < attempt.next) continue;
    attempt.running = true;
    names.push_back(name);
  }
  return names;
}

void reconciler::connected(const std::string& name) {
  auto found = wanted_.find(name);
  if (found != wanted_.end()) found->second = {};
}

/// Doubles, up to the longest pause; each node takes between half and all of it, so that nodes that
/// lose one another at the same moment do not come back at the same moment.
void reconciler::failed(const std::string& name, clock::time_point now) {
  auto found = wanted_.find(name);
  if (found == wanted_.end()) return;
  auto& attempt = found->second;
  attempt.running = false;
  auto pause = std::min(longest_pause, first_pause * (1 << std::min(attempt.failures, 6U)));
  ++attempt.failures;
  auto part = std::uniform_int_distribution<std::int64_t>(pause.count() / 2, pause.count());
  attempt.next = now + std::chrono::milliseconds(part(random_));
}

}  // namespace roost::discovery
