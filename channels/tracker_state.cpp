#include "channels/tracker_state.hpp"
#include <algorithm>
#include <utility>

namespace roost::detail {

// --- causal contexts -----------------------------------------------------------------------------

causal_context::causal_context(const std::vector<number_range>& ranges) {
  for (auto& range : ranges) add(range);
}

bool causal_context::contains(std::uint64_t number) const noexcept {
  auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), number,
      [](std::uint64_t value, const number_range& range) { return value < range.first; });
  return after != ranges_.begin() && number <= std::prev(after)->last;
}

bool causal_context::reaches(std::uint64_t number) const noexcept {
  return number == 0 ||
         (!ranges_.empty() && ranges_.front().first <= 1 && ranges_.front().last >= number);
}

void causal_context::add(number_range range) {
  if (range.first == 0 || range.last < range.first) return;
  // The usual case: it goes on where the last one ended.
  if (!ranges_.empty() && ranges_.back().last + 1 == range.first) {
    ranges_.back().last = range.last;
    return;
  }
  auto touches_or_after = [&](const number_range& other) { return other.last + 1 >= range.first; };
  auto first = std::find_if(ranges_.begin(), ranges_.end(), touches_or_after);
  auto last = first;
  for (; last != ranges_.end() && last->first <= range.last + 1; ++last) {
    range.first = std::min(range.first, last->first);
    range.last = std::max(range.last, last->last);
  }
  first = ranges_.erase(first, last);
  ranges_.insert(first, range);
}

void causal_context::add(const causal_context& other) {
  for (auto& range : other.ranges_) add(range);
}

// --- one replica ---------------------------------------------------------------------------------

replica_presences::changes replica_presences::merge(const tracker_delta& delta) {
  changes result;
  causal_context told(delta.heard);
  std::map<std::uint64_t, const tracked*> there;
  for (auto& [number, value] : delta.present)
    if (told.contains(number)) there.emplace(number, &value);
  for (auto& [number, value] : there)
    if (!heard_.contains(number)) result.joins.emplace_back(number, *value);
  for (auto& range : told.ranges()) {
    auto at = present_.lower_bound(range.first);
    while (at != present_.end() && at->first <= range.last) {
      if (there.contains(at->first)) {
        ++at;
        continue;
      }
      result.leaves.emplace_back(at->first, std::move(at->second));
      at = present_.erase(at);
    }
  }
  for (auto& [number, value] : result.joins) present_.emplace(number, value);
  heard_.add(told);
  return result;
}

tracker_delta replica_presences::whole() const {
  return {heard_.ranges(), {present_.begin(), present_.end()}};
}

tracker_delta merge(const tracker_delta& one, const tracker_delta& other) {
  replica_presences both;
  both.merge(one);
  both.merge(other);
  return both.whole();
}

// --- one's own -----------------------------------------------------------------------------------

void own_presences::learn(const tracker_delta& delta) {
  known_.merge(delta);
  changes_.merge(delta);
}

std::uint64_t own_presences::add(tracked value) {
  auto number = ++last_;
  tracker_delta change;
  change.heard.push_back({number, number});
  change.present.emplace_back(number, std::move(value));
  learn(change);
  return number;
}

tracked own_presences::remove(std::uint64_t number) {
  auto value = known_.present().at(number);
  auto removal = ++last_;
  learn({.heard = {{number, number}, {removal, removal}}});
  return value;
}

tracker_delta own_presences::take_changes() { return std::exchange(changes_, {}).whole(); }

}  // namespace roost::detail
