#include "channels/presence_index.hpp"
#include <mutex>
#include <tuple>

namespace roost::detail {

namespace {

constexpr std::size_t steps_at_once = 256;

std::vector<tracked_ptr> values(auto range) {
  std::vector<tracked_ptr> found;
  for (auto at = range.first; at != range.second; ++at) found.push_back(at->value);
  return found;
}

}  // namespace

// --- order ---------------------------------------------------------------------------------------

bool presence_index::order::operator()(
    const indexed_presence& a, const indexed_presence& b) const noexcept {
  return std::tie(a.value->topic, a.value->key, a.replica, a.number) <
         std::tie(b.value->topic, b.value->key, b.replica, b.number);
}
bool presence_index::order::operator()(
    const indexed_presence& a, std::string_view topic) const noexcept {
  return a.value->topic < topic;
}
bool presence_index::order::operator()(
    std::string_view topic, const indexed_presence& b) const noexcept {
  return topic < b.value->topic;
}
bool presence_index::order::operator()(const indexed_presence& a, place b) const noexcept {
  if (auto by_topic = a.value->topic.compare(b.topic); by_topic != 0) return by_topic < 0;
  return a.value->key < b.key;
}
bool presence_index::order::operator()(place a, const indexed_presence& b) const noexcept {
  if (auto by_topic = b.value->topic.compare(a.topic); by_topic != 0) return by_topic > 0;
  return a.key < b.value->key;
}

// --- reading -------------------------------------------------------------------------------------

std::vector<tracked_ptr> presence_index::list(std::string_view topic) const {
  std::shared_lock guard{mutex_};
  return values(all_.equal_range(topic));
}

std::vector<tracked_ptr> presence_index::get_by_key(
    std::string_view topic, std::string_view key) const {
  std::shared_lock guard{mutex_};
  return values(all_.equal_range(place{topic, key}));
}

std::size_t presence_index::count(std::string_view topic) const {
  std::shared_lock guard{mutex_};
  auto found = counts_.find(topic);
  return found == counts_.end() ? 0 : found->second;
}

std::size_t presence_index::count() const {
  std::shared_lock guard{mutex_};
  return all_.size();
}

std::size_t presence_index::topics() const {
  std::shared_lock guard{mutex_};
  return counts_.size();
}

// --- writing -------------------------------------------------------------------------------------

void presence_index::join(std::uint32_t replica, const numbered& one) {
  if (all_.insert({one.value, replica, one.number}).second) ++counts_[one.value->topic];
}

void presence_index::leave(std::uint32_t replica, const numbered& one) {
  if (all_.erase({one.value, replica, one.number}) == 0) return;
  auto count = counts_.find(one.value->topic);
  if (--count->second == 0) counts_.erase(count);
}

void presence_index::apply(
    std::uint32_t replica, const std::vector<numbered>& joins,
    const std::vector<numbered>& leaves) {
  auto total = joins.size() + leaves.size();
  for (std::size_t done = 0; done < total;) {
    std::lock_guard guard{mutex_};
    for (std::size_t step = 0; step < steps_at_once && done < total; ++step, ++done)
      done < joins.size() ? join(replica, joins[done])
                          : leave(replica, leaves[done - joins.size()]);
  }
}

}  // namespace roost::detail
