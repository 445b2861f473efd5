#include "channels/tracker_shard.hpp"
#include "channels/pub_sub.hpp"
#include "runtime/codec.hpp"
#include "runtime/distribution/hybrid_clock.hpp"
#include "runtime/distribution/node.hpp"
#include <algorithm>

namespace roost::detail {

namespace {

using namespace std::chrono_literals;

constexpr auto changes_told_together = 5ms;
constexpr auto greeting_pause = 20ms;
constexpr std::string_view gossip_event = "gossip";

tracker_settings settings_of(const gossip_options& options) {
  return {
      .broadcast_period = options.broadcast_period,
      .max_silent_periods = options.max_silent_periods,
      .down_period = options.down_period,
      .permdown_period = options.permdown_period};
}

payload encoded(const tracker_message& message) {
  wire_buffer bytes;
  wire_writer out{bytes};
  encode_root(out, message);
  return payload::binary(bytes.view());
}

tracker_message decoded(const payload& payload) {
  wire_reader in{payload.is_binary() ? payload.contents() : std::string_view()};
  tracker_message message;
  decode_root(in, message);
  return message;
}

std::vector<topic_diff> by_topic(const presence_changes& changes) {
  std::map<std::string_view, topic_diff> topics;
  for (auto& value : changes.joins) topics[value->topic].joins.push_back({value->key, value->meta});
  for (auto& value : changes.leaves)
    topics[value->topic].leaves.push_back({value->key, value->meta});
  std::vector<topic_diff> diffs;
  for (auto& [topic, diff] : topics) {
    diff.topic = topic;
    diffs.push_back(std::move(diff));
  }
  return diffs;
}

}  // namespace

// --- the state -----------------------------------------------------------------------------------

tracker_shard::tracker_shard(replica_id self, const gossip_options& options)
    : state_(std::move(self), options.max_delta_sizes), gossip_(state_, settings_of(options)) {}

std::vector<pid> tracker_shard::start(pid owner) {
  std::lock_guard guard{mutex_};
  owner_ = owner;
  woken_ = false;
  return state_.processes();
}

tracker_gossip::output tracker_shard::flush(std::vector<std::pair<pid, bool>>& touched) {
  tracker_gossip::output out;
  std::lock_guard guard{mutex_};
  woken_ = false;
  gossip_.flush(out);
  out.changes = state_.take_own_changes();
  for (auto process : std::exchange(touched_, {}))
    touched.emplace_back(process, state_.has(process));
  return out;
}

replica_id tracker_shard::id() const {
  std::lock_guard guard{mutex_};
  return state_.self();
}

void tracker_shard::rename(replica_id self) {
  std::lock_guard guard{mutex_};
  state_.rename(std::move(self));
}

void tracker_shard::end() {
  std::lock_guard guard{mutex_};
  ended_ = true;
  owner_ = {};
}

bool tracker_shard::has_ended() const {
  std::lock_guard guard{mutex_};
  return ended_;
}

pid tracker_shard::owner() const {
  std::lock_guard guard{mutex_};
  return owner_;
}

// --- the process ---------------------------------------------------------------------------------

namespace {

class shard_process {
 public:
  struct tick {};
  struct greet {};
  struct leave {};
  using messages = roost::messages<leave>;
  using infos =
      roost::messages<tracker_shard::wake, tick, greet, broadcast_message, nodeup, nodedown>;

  static init_result<shard_process> init(
      const tracker::options& options, const tracker_shards::companion_ptr& companion,
      std::uint32_t number) {
    return shard_process(tracker_shards::create(options, companion), number);
  }

  void handle_cast(leave) {
    flush();
    carry_out(shard_->tell([](auto& gossip, auto& out) { gossip.goodbye(out); }));
  }
  void handle_info(tracker_shard::wake) {
    auto since = std::chrono::steady_clock::now() - flushed_at_;
    if (since >= changes_told_together) return flush();
    send_after(changes_told_together, self(), tracker_shard::wake{});
  }
  void handle_info(tick);
  void handle_info(greet);
  void handle_info(const broadcast_message& message);
  void handle_info(const nodeup& up);
  void handle_info(const nodedown& down);
  void handle_info(const down& down);
  void terminate(const exit_reason& reason);

  std::string format_status() const {
    auto id = shard_->id();
    return id.node + ", " + std::to_string(shard_->index().count()) + " presences";
  }

 private:
  using time = std::chrono::steady_clock::time_point;

  shard_process(std::shared_ptr<tracker_shards> shards, std::uint32_t number);

  const tracker::options& options() const noexcept { return shards_->options(); }
  void look_at_own_name();
  void flush();
  void watch(pid process, bool has_presences);
  void carry_out(tracker_gossip::output out);

  std::shared_ptr<tracker_shards> shards_;
  std::shared_ptr<tracker_shard> shard_;
  std::string topic_;
  boost::unordered_flat_map<pid, reference, std::hash<pid>> watched_;
  std::map<std::string, time> to_greet_;  // until when that is tried
  time flushed_at_;
};

shard_process::shard_process(std::shared_ptr<tracker_shards> shards, std::uint32_t number)
    : shards_(std::move(shards)),
      shard_(shards_->open(number)),
      topic_("roost.tracker:" + options().name + ":" + std::to_string(number)) {
  trap_exit(true);  // to say goodbye
  subscribe(options().pub_sub, topic_);
  node::monitor_nodes(true, {.node_type = node::monitor_nodes_options::types::all});
  for (auto process : shard_->start(self())) watch(process, true);
  send(self(), tick{});
}

void shard_process::look_at_own_name() {
  auto name = node_name(options().pub_sub);
  if (name != shard_->id().node) shard_->rename({name, hybrid_clock::instance().next()});
}

void shard_process::flush() {
  flushed_at_ = std::chrono::steady_clock::now();
  std::vector<std::pair<pid, bool>> touched;
  auto out = shard_->flush(touched);
  for (auto& [process, has_presences] : touched) watch(process, has_presences);
  carry_out(std::move(out));
}

void shard_process::watch(pid process, bool has_presences) {
  auto found = watched_.find(process);
  if (has_presences && found == watched_.end()) {
    watched_.emplace(process, monitor(process));
  } else if (!has_presences && found != watched_.end()) {
    demonitor(found->second, {.flush = true});
    watched_.erase(found);
  }
}

void shard_process::carry_out(tracker_gossip::output out) {
  if (options().gossip.log_level != log_level::none)
    for (auto& [node, what] : out.events)
      logger::log(options().gossip.log_level, what, {{"tracker", options().name}, {"node", node}});
  for (auto& letter : out.letters) {
    auto bytes = encoded(letter.message);
    // Who is not reached now notices by a later beat.
    if (letter.to.empty())
      broadcast_from(options().pub_sub, self(), topic_, gossip_event, bytes);
    else
      direct_broadcast(letter.to, options().pub_sub, topic_, gossip_event, bytes);
  }
  if (options().handle_diff && !out.changes.empty()) options().handle_diff(by_topic(out.changes));
}

void shard_process::handle_info(tick) {
  send_after(options().gossip.broadcast_period, self(), tick{});
  look_at_own_name();
  flush();
  carry_out(shard_->tell(
      [](auto& gossip, auto& out) { gossip.tick(std::chrono::steady_clock::now(), out); }));
}

void shard_process::handle_info(const broadcast_message& message) {
  try {
    auto letter = decoded(message.payload);
    carry_out(shard_->tell([&](auto& gossip, auto& out) {
      gossip.receive(letter, std::chrono::steady_clock::now(), out);
    }));
  } catch (const decode_error& error) {
    logger::warning(
        "unreadable gossip of a tracker", {{"tracker", options().name}, {"error", error.what()}});
  }
}

// The other node cannot be reached before its pub_sub is known here, which takes a moment.
void shard_process::handle_info(const nodeup& up) {
  look_at_own_name();
  shard_->tell([&](auto& gossip, auto&) { gossip.node_found(up.node); });
  to_greet_[up.node] = std::chrono::steady_clock::now() + options().gossip.broadcast_period;
  handle_info(greet{});
}

void shard_process::handle_info(greet) {
  tracker_message greeting;
  shard_->tell([&](auto& gossip, auto&) { greeting = gossip.greeting(); });
  auto bytes = encoded(greeting);
  auto now = std::chrono::steady_clock::now();
  std::erase_if(to_greet_, [&](auto& entry) {
    return entry.second < now ||
           direct_broadcast(entry.first, options().pub_sub, topic_, gossip_event, bytes) ==
               broadcast_result::ok;
  });
  if (!to_greet_.empty()) send_after(greeting_pause, self(), greet{});
}

void shard_process::handle_info(const nodedown& down) {
  to_greet_.erase(down.node);
  carry_out(shard_->tell([&](auto& gossip, auto& out) {
    gossip.node_lost(down.node, std::chrono::steady_clock::now(), out);
  }));
}

void shard_process::handle_info(const down& down) {
  watched_.erase(down.process);
  shard_->change(down.process, [&](tracker_state& state) {
    state.leave(down.process);
    return false;
  });
}

void shard_process::terminate(const exit_reason& reason) {
  if (!reason.is_orderly()) return;
  shard_->end();
  if (options().gossip.permdown_on_shutdown) handle_cast(leave{});
}

}  // namespace

child_spec shard_spec(
    const tracker::options& options, const tracker_shards::companion_ptr& companion,
    std::uint32_t number) {
  auto spec = server_spec<shard_process>(start_options{}, options, companion, number);
  spec.id = "shard " + std::to_string(number);
  return spec;
}

void ask_to_leave(pid shard) { cast(server<shard_process>(shard), shard_process::leave{}); }

}  // namespace roost::detail
