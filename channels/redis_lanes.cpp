#include "channels/redis_lanes.hpp"

namespace roost::detail {

using kind = net::resp_value::kind;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t channels_in_a_command = 512;

}  // namespace

// --- subscribing ---------------------------------------------------------------------------------

redis_subscriber::redis_subscriber(
    net::redis_loop& loop, redis_watch& watch, std::size_t lane, std::string own)
    : redis_lane(loop, watch, lane) {
  channels_.insert(std::move(own));
}

void redis_subscriber::enter(entry entry) {
  std::lock_guard guard{mutex_};
  inbox_.push_back(std::move(entry));
  if (inbox_.size() == 1) loop_.post([this] { take_inbox(); });
}

void redis_subscriber::take_inbox() {
  std::vector<entry> entries;
  {
    std::lock_guard guard{mutex_};
    entries.swap(inbox_);
  }
  std::vector<std::string_view> run;  // of the same order
  auto what = order::subscribe;
  auto end_run = [&] {
    if (connected_) command(what == order::subscribe ? "SUBSCRIBE" : "UNSUBSCRIBE", run);
    run.clear();
  };
  for (auto& one : entries) {
    if (one.what != what) end_run();
    what = one.what;
    if (what == order::sync) {
      waiting_.push_back({asked_, std::move(one.sync)});
      continue;
    }
    what == order::subscribe ? static_cast<void>(channels_.insert(one.channel))
                             : static_cast<void>(channels_.erase(one.channel));
    run.push_back(one.channel);
  }
  end_run();
  connection_.wake();
  check_confirmations();
}

void redis_subscriber::command(
    std::string_view name, const std::vector<std::string_view>& channels) {
  for (std::size_t at = 0; at < channels.size(); at += channels_in_a_command) {
    auto end = std::min(channels.size(), at + channels_in_a_command);
    net::append_command(output_, 1 + end - at);
    net::append_word(output_, name);
    for (auto i = at; i < end; ++i) net::append_word(output_, channels[i]);
  }
  if (name == "SUBSCRIBE") asked_ += channels.size();
}

void redis_subscriber::connected() {
  connected_ = true;
  asked_ = confirmed_ = 0;
  command("SUBSCRIBE", {channels_.begin(), channels_.end()});
  to_settle_ = asked_;
  // Whoever waited when the connection was lost waits for all of it now.
  for (auto& one : waiting_) one.confirmations = asked_;
}

void redis_subscriber::take_output(std::string& out) {
  out += output_;
  output_.clear();
}

void redis_subscriber::received(net::resp_value& value) {
  if (value.is == kind::error) throw std::runtime_error(value.text);
  auto& parts = value.elements;
  if (parts.size() != 3) throw std::runtime_error("an odd answer to SUBSCRIBE");
  if (parts[0].text == "message") return watch_.came(lane_, parts[1].text, parts[2].text);
  if (parts[0].text != "subscribe") return;
  ++confirmed_;
  check_confirmations();
}

void redis_subscriber::check_confirmations() {
  if (!connected_) return;
  if (!settled_ && confirmed_ >= to_settle_) {
    settled_ = true;
    if (auto since = std::exchange(lost_since_, {}); since && channels_.size() > 1)  // its own
      watch_.resubscribed(lane_, std::chrono::ceil<milliseconds>(clock::now() - *since));
    if (std::exchange(down_, false)) watch_.lane_up();
  }
  while (settled_ && !waiting_.empty() && waiting_.front().confirmations <= confirmed_) {
    waiting_.front().sync->confirmed();
    waiting_.pop_front();
  }
}

void redis_subscriber::disconnected(
    const std::string& reason, std::optional<clock::time_point> heard) {
  if (!lost_since_) lost_since_ = heard.value_or(clock::now());
  connected_ = settled_ = false;
  output_.clear();
  if (!std::exchange(down_, true)) watch_.lane_down(reason);
}

// --- publishing ----------------------------------------------------------------------------------

void redis_publisher::wake() {
  woken_ = true;
  loop_.post([this] { connection_.wake(); });
}

void redis_publisher::connected() {
  refused_ = false;
  bool was_down = false;
  {
    std::lock_guard guard{mutex_};
    was_down = std::exchange(down_, false);
  }
  if (!lost_.empty()) {
    auto duration = std::chrono::ceil<milliseconds>(clock::now() - lost_since_);
    watch_.unconfirmed(lane_, std::exchange(lost_count_, 0), std::exchange(lost_, {}), duration);
  }
  if (was_down) watch_.lane_up();
}

void redis_publisher::take_output(std::string& out) {
  std::lock_guard guard{mutex_};
  woken_ = false;
  in_flight_ = queued_.size();
  if (out.empty())
    out.swap(queued_);
  else
    out += queued_;
  queued_.clear();
}

void redis_publisher::received(net::resp_value& value) {
  if (value.is != kind::integer && value.is != kind::error)
    throw std::runtime_error("an odd answer to PUBLISH");
  {
    std::lock_guard guard{mutex_};
    if (unanswered_.empty()) throw std::runtime_error("an answer too many");
    unanswered_.pop_front();
  }
  if (value.is == kind::error && !std::exchange(refused_, true)) watch_.refused(value.text);
}

void redis_publisher::disconnected(
    const std::string& reason, std::optional<clock::time_point> heard) {
  if (lost_.empty()) lost_since_ = heard.value_or(clock::now());
  bool was_down = false;
  {
    std::lock_guard guard{mutex_};
    was_down = std::exchange(down_, true);
    lost_count_ += unanswered_.size();
    for (auto& one : unanswered_) lost_.insert(std::move(one));
    unanswered_.clear();
    queued_.clear();
    in_flight_ = 0;
    woken_ = false;
  }
  if (!was_down) watch_.lane_down(reason);
}

}  // namespace roost::detail
