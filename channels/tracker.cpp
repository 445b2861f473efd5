#include "channels/tracker.hpp"
#include "channels/pub_sub.hpp"
#include "channels/tracker_shard.hpp"
#include "runtime/codec.hpp"
#include "runtime/distribution/hybrid_clock.hpp"
#include "supervision/supervisor.hpp"
#include <algorithm>

namespace roost {
namespace detail {

// --- the table -----------------------------------------------------------------------------------

namespace {

std::mutex trackers_mutex;
std::map<std::string, std::shared_ptr<tracker_shards>, std::less<>>& trackers() {
  static auto& all = *new std::map<std::string, std::shared_ptr<tracker_shards>, std::less<>>;
  return all;
}

[[noreturn]] void throw_no_tracker(std::string_view name) {
  throw std::invalid_argument(
      "expected a tracker or presence named \"" + std::string(name) +
      "\", got none: add roost::child<roost::presence>({.name = \"" + std::string(name) +
      "\", .pub_sub = …}) to the supervisor, after its pub_sub");
}

}  // namespace

tracker_shards::tracker_shards(tracker::options options, companion_ptr companion)
    : options_(std::move(options)),
      companion_(std::move(companion)),
      shards_(options_.gossip.pool_size) {}

std::shared_ptr<tracker_shards> tracker_shards::create(
    const tracker::options& options, const companion_ptr& companion) {
  std::lock_guard guard{trackers_mutex};
  auto& present = trackers()[options.name];
  if (!present || present->running().empty())
    present = std::make_shared<tracker_shards>(options, companion);
  return present;
}

std::shared_ptr<tracker_shards> tracker_shards::find(std::string_view name) {
  std::lock_guard guard{trackers_mutex};
  auto found = trackers().find(name);
  if (found == trackers().end()) throw_no_tracker(name);
  return found->second;
}

std::shared_ptr<tracker_shard> tracker_shards::open(std::uint32_t number) {
  replica_id id{node_name(options_.pub_sub), hybrid_clock::instance().next()};
  std::lock_guard guard{mutex_};
  auto& shard = shards_[number];
  if (!shard || shard->has_ended())
    shard = std::make_shared<tracker_shard>(std::move(id), options_.gossip);
  return shard;
}

std::shared_ptr<tracker_shard> tracker_shards::of_topic(std::string_view topic) const {
  std::lock_guard guard{mutex_};
  auto& shard = shards_[wire_hash_of(topic) % shards_.size()];
  if (!shard || shard->has_ended()) throw_no_tracker(options_.name);
  return shard;
}

std::vector<std::shared_ptr<tracker_shard>> tracker_shards::running() const {
  std::lock_guard guard{mutex_};
  std::vector<std::shared_ptr<tracker_shard>> all;
  for (auto& shard : shards_)
    if (shard && !shard->has_ended()) all.push_back(shard);
  return all;
}

}  // namespace detail

// --- starting ------------------------------------------------------------------------------------

namespace {

constexpr std::uint32_t largest_pool = 64;

void check(bool holds, const char* what, const std::string& got) {
  if (!holds)
    throw std::invalid_argument("expected a tracker's " + std::string(what) + ", got " + got);
}

void check(const tracker::options& options) {
  auto& gossip = options.gossip;
  check(!options.name.empty(), ".name to be set", "an empty one");
  check(!options.pub_sub.empty(), ".pub_sub to be set", "an empty one");
  check(
      gossip.pool_size >= 1 && gossip.pool_size <= largest_pool, ".pool_size to be 1 to 64",
      std::to_string(gossip.pool_size));
  check(
      gossip.broadcast_period.count() > 0, ".broadcast_period to be 1 ms or more",
      std::to_string(gossip.broadcast_period.count()) + " ms");
  check(
      gossip.max_silent_periods >= 1, ".max_silent_periods to be 1 or more",
      std::to_string(gossip.max_silent_periods));
  auto silence = gossip.broadcast_period * gossip.max_silent_periods;
  check(
      gossip.down_period > silence,
      ".down_period to be longer than max_silent_periods of broadcast_period",
      std::to_string(gossip.down_period.count()) + " ms");
  check(
      gossip.permdown_period > gossip.down_period,
      ".permdown_period to be longer than .down_period",
      std::to_string(gossip.permdown_period.count()) + " ms");
}

track_result result_of(const detail::tracked_ptr& value, track_status otherwise) {
  if (value == nullptr) return {otherwise};
  return {track_status::ok, detail::reference_of(value->meta)};
}

}  // namespace

child_spec detail::tracker_spec(
    tracker::options options, const tracker_shards::companion_ptr& companion) {
  check(options);
  supervisor_spec shards{.strategy = one_for_one};
  for (std::uint32_t i = 0; i < options.gossip.pool_size; ++i)
    shards.children.push_back(shard_spec(options, companion, i));
  auto spec = child<supervisor>(std::move(shards));
  spec.id = options.name;
  return spec;
}

child_spec tracker::child_spec(options options) {
  return detail::tracker_spec(std::move(options), nullptr);
}

tracker::tracker(std::string_view name) : shards_(detail::tracker_shards::find(name)) {}

// --- this node's processes -----------------------------------------------------------------------

track_result tracker::track(
    pid process, std::string_view topic, std::string_view key, const payload& meta) const {
  if (!process || !process.is_local() || process.is_name())
    throw std::invalid_argument(
        "expected track to be given a process of this node, got " + to_string(process));
  detail::tracked_ptr value;
  shards_->of_topic(topic)->change(process, [&](detail::tracker_state& state) {
    auto joined = state.join(process, std::string(topic), std::string(key), meta);
    value = std::move(joined.value);
    return joined.is_first;
  });
  return result_of(value, track_status::already_tracked);
}

track_result tracker::update(
    pid process, std::string_view topic, std::string_view key, const payload& meta) const {
  return change_meta(process, topic, key, [&](const payload&) { return meta; });
}

track_result tracker::change_meta(
    pid process, std::string_view topic, std::string_view key,
    const std::function<payload(const payload&)>& change) const {
  detail::tracked_ptr value;
  shards_->of_topic(topic)->change(process, [&](detail::tracker_state& state) {
    if (auto before = state.find(process, topic, key))
      value = state.update(process, topic, key, change(before->meta));
    return false;
  });
  return result_of(value, track_status::nopresence);
}

bool tracker::untrack(pid process, std::string_view topic, std::string_view key) const {
  bool was_there = false;
  shards_->of_topic(topic)->change(process, [&](detail::tracker_state& state) {
    was_there = state.leave(process, topic, key);
    return was_there && !state.has(process);
  });
  return was_there;
}

void tracker::untrack(pid process) const {
  for (auto& shard : shards_->running())
    shard->change(process, [&](detail::tracker_state& state) { return state.leave(process); });
}

// --- who is there --------------------------------------------------------------------------------

std::vector<presence_entry> tracker::list(std::string_view topic) const {
  std::vector<presence_entry> all;
  for (auto& value : shards_->of_topic(topic)->index().list(topic))
    all.push_back({value->key, value->meta});
  return all;
}

std::vector<payload> tracker::get_by_key(std::string_view topic, std::string_view key) const {
  std::vector<payload> metas;
  for (auto& value : shards_->of_topic(topic)->index().get_by_key(topic, key))
    metas.push_back(value->meta);
  return metas;
}

std::vector<std::string> tracker::names() {
  std::vector<std::shared_ptr<detail::tracker_shards>> all;
  std::vector<std::string> names;
  {
    std::lock_guard guard{detail::trackers_mutex};
    for (auto& [name, shards] : detail::trackers()) {
      all.push_back(shards);
      names.push_back(name);
    }
  }
  for (std::size_t i = all.size(); i-- > 0;)
    if (all[i]->running().empty()) names.erase(names.begin() + static_cast<std::ptrdiff_t>(i));
  return names;
}

std::size_t tracker::count(std::string_view topic) const {
  return shards_->of_topic(topic)->index().count(topic);
}

std::size_t tracker::count() const {
  std::size_t sum = 0;
  for (auto& shard : shards_->running()) sum += shard->index().count();
  return sum;
}

void tracker::graceful_permdown() const {
  for (auto& shard : shards_->running()) detail::ask_to_leave(shard->owner());
}

}  // namespace roost
