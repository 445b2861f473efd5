#include "channels/tracker_delta.hpp"
#include "channels/json_scanner.hpp"
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

std::uint64_t causal_context::reach() const noexcept {
  return !ranges_.empty() && ranges_.front().first == 1 ? ranges_.front().last : 0;
}

void causal_context::add(number_range range) {
  // The largest number is none: what follows it would not be larger.
  if (range.first == 0 || range.last < range.first || range.last + 1 == 0) return;
  // The usual case: it goes on where the last one ended.
  if (!ranges_.empty() && ranges_.back().last + 1 == range.first) {
    ranges_.back().last = range.last;
    return;
  }
  auto first = std::lower_bound(
      ranges_.begin(), ranges_.end(), range.first,
      [](const number_range& other, std::uint64_t value) { return other.last + 1 < value; });
  auto last = first;
  for (; last != ranges_.end() && last->first <= range.last + 1; ++last) {
    range.first = std::min(range.first, last->first);
    range.last = std::max(range.last, last->last);
  }
  if (first == last) {
    ranges_.insert(first, range);
    return;
  }
  *first = range;
  ranges_.erase(first + 1, last);
}

void causal_context::add(const causal_context& other) {
  for (auto& range : other.ranges_) add(range);
}

// --- one replica ---------------------------------------------------------------------------------

namespace {

/// What other nodes send goes on to clients.
bool is_sound(const numbered& one) {
  return one.value != nullptr && one.value->meta.is_object() && is_utf8(one.value->topic) &&
         is_utf8(one.value->key);
}

}  // namespace

replica_presences::changes replica_presences::merge(const tracker_delta& delta) {
  changes result;
  causal_context told(delta.heard);
  map there;
  for (auto& one : delta.present)
    if (told.contains(one.number) && is_sound(one)) there.emplace(one.number, one.value);
  for (auto& [number, value] : there)
    if (!heard_.contains(number)) result.joins.push_back({number, value});
  for (auto& range : told.ranges()) {
    auto at = present_.lower_bound(range.first);
    while (at != present_.end() && at->first <= range.last) {
      if (there.contains(at->first)) {
        ++at;
        continue;
      }
      result.leaves.push_back({at->first, std::move(at->second)});
      at = present_.erase(at);
    }
  }
  for (auto& one : result.joins) present_.emplace(one.number, one.value);
  heard_.add(told);
  return result;
}

void replica_presences::add(std::uint64_t number, tracked_ptr value) {
  present_.emplace_hint(present_.end(), number, std::move(value));
  heard_.add({number, number});
}

void replica_presences::remove(std::uint64_t number, std::uint64_t removal) {
  present_.erase(number);
  heard_.add({number, number});
  heard_.add({removal, removal});
}

tracker_delta replica_presences::whole() const {
  tracker_delta all{.heard = heard_.ranges()};
  all.present.reserve(present_.size());
  for (auto& [number, value] : present_) all.present.push_back({number, value});
  return all;
}

bool operator==(const replica_presences& one, const replica_presences& other) {
  auto equal = [](const auto& left, const auto& right) {
    return left.first == right.first && *left.second == *right.second;
  };
  return one.heard_ == other.heard_ && std::equal(
                                           one.present_.begin(), one.present_.end(),
                                           other.present_.begin(), other.present_.end(), equal);
}

tracker_delta merge(const tracker_delta& one, const tracker_delta& other) {
  replica_presences both;
  both.merge(one);
  both.merge(other);
  return both.whole();
}

// --- one's own -----------------------------------------------------------------------------------

own_presences::own_presences(std::vector<std::size_t> max_delta_sizes) {
  std::sort(max_delta_sizes.begin(), max_delta_sizes.end());
  for (auto size : max_delta_sizes) generations_.push_back({.max_size = size});
}

std::uint64_t own_presences::add(tracked_ptr value) {
  auto number = ++last_;
  known_.add(number, value);
  changes_.add(number, std::move(value));
  return number;
}

tracked_ptr own_presences::remove(std::uint64_t number) {
  auto value = known_.present().at(number);
  auto removal = ++last_;
  known_.remove(number, removal);
  changes_.remove(number, removal);
  return value;
}

tracker_delta own_presences::take_changes() {
  auto delta = std::exchange(changes_, {}).whole();
  for (auto& one : generations_) {
    one.changes.merge(delta);
    if (one.changes.size() <= one.max_size) continue;
    one.start = last_;
    one.changes = {};
  }
  told_ = last_;
  return delta;
}

const replica_presences* own_presences::changes_since(std::uint64_t number) const noexcept {
  for (auto& one : generations_)
    if (one.start <= number) return &one.changes;
  return nullptr;
}

presence_page own_presences::page(
    std::uint64_t after, std::uint64_t until, page_limits limits) const {
  presence_page page{.after = after, .last = until, .until = until};
  if (after >= until) return page;
  std::size_t bytes = 0;
  auto at = known_.present().upper_bound(after);
  for (; at != known_.present().end() && at->first <= until; ++at) {
    if (page.delta.present.size() >= limits.presences || bytes >= limits.bytes) {
      page.last = page.delta.present.back().number;
      break;
    }
    auto& value = *at->second;
    bytes += value.topic.size() + value.key.size() + value.meta.contents().size();
    page.delta.present.push_back({at->first, at->second});
  }
  page.delta.heard.push_back({after + 1, page.last});
  return page;
}

}  // namespace roost::detail
