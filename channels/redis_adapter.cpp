#include "channels/redis_adapter.hpp"
#include "channels/redis_envelope.hpp"
#include "channels/redis_lanes.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include <pthread.h>
#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

namespace roost {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string url_of(const redis_options& options) {
  if (!options.url.empty()) return options.url;
  auto url = variable("REDIS_URL");
  return url.empty() ? "redis://localhost:6379" : url;
}

std::string node_name_of(const redis_options& options) {
  if (!options.node_name.empty()) return options.node_name;
  if (auto name = variable("NODE_NAME"); !name.empty()) return name;
  if (node::is_alive()) return node::self();
  throw std::invalid_argument(
      "expected redis_adapter to have a name for this node that no other one has, got none; add "
      "pub_sub.redis.node_name: ${HOSTNAME} to the configuration, or set NODE_NAME");
}

/// Tells the broadcasts of this program from those of another one that has the same node_name.
std::uint64_t this_program() {
  static const std::uint64_t number = [] {
    std::random_device random;
    return static_cast<std::uint64_t>(random()) << 32U | random();
  }();
  return number;
}

/// A pub_sub's name in a channel's, where colons separate.
std::string escaped(std::string_view name) {
  std::string result;
  for (char c : name) {
    if (c == ':' || c == '%')
      result += c == ':' ? "%3A" : "%25";
    else
      result += c;
  }
  return result;
}

class redis_pub_sub final : public pub_sub_adapter, public detail::redis_watch {
 public:
  explicit redis_pub_sub(redis_options options) : options_(std::move(options)) {}
  ~redis_pub_sub() override { stop(); }

  // --- pub_sub_adapter ---------------------------------------------------------------------------

  void start(pub_sub_local& local) override {
    local_ = &local;
    node_name_ = node_name_of(options_);
    topics_prefix_ = "roost:" + escaped(local.name()) + ":t:";
    nodes_prefix_ = "roost:" + escaped(local.name()) + ":n:";
    // Signals are for the program's own threads, also those that Asio starts.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      open_lanes();
    } catch (...) {
      ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  void stop() noexcept override {
    if (!thread_.joinable()) return;
    wait_for_publishers();
    loop_->stop();
    thread_.join();
    if (malformed_ > 1) logger::warning("malformed broadcasts came", {{"count", malformed_}});
  }

  std::string node_name() const override { return node_name_; }

  broadcast_result broadcast(const outgoing_broadcast& message) override {
    return publish({topics_prefix_ + std::string(message.topic)}, message);
  }
  broadcast_result direct_broadcast(
      std::string_view node, const outgoing_broadcast& message) override {
    return publish({nodes_prefix_ + std::string(node), std::string(message.topic)}, message);
  }
  std::uint64_t sent() const noexcept override { return sent_.load(std::memory_order_relaxed); }

  void subscribed(std::string_view topic) override {
    subscribers_[lane_of(topic)].subscribe(topics_prefix_ + std::string(topic));
  }
  void unsubscribed(std::string_view topic) override {
    subscribers_[lane_of(topic)].unsubscribe(topics_prefix_ + std::string(topic));
  }
  void when_synced(std::function<void()> done) override {
    auto sync = std::make_shared<detail::redis_sync>(subscribers_.size(), std::move(done));
    for (auto& one : subscribers_) one.when_synced(sync);
  }

 private:
  /// What was broadcast last, such as a goodbye, is to arrive, unless Redis has stopped to answer.
  void wait_for_publishers() {
    auto deadline = clock::now() + milliseconds(500);
    for (auto& one : publishers_)
      while (!one.is_done() && clock::now() < deadline)
        std::this_thread::sleep_for(milliseconds(1));
  }

  void open_lanes() {
    loop_ = std::make_unique<net::redis_loop>(net::redis_settings{
        .url = net::parse_redis_url(url_of(options_)),
        .ca_file = options_.ca_file,
        .connect_timeout = options_.connect_timeout,
        .ping_interval = options_.ping_interval,
        .ping_timeout = options_.ping_timeout,
        .retry_first = options_.retry_first,
        .retry_last = options_.retry_last});
    // After a crash of the pub_sub there may be subscribers already, who have missed something.
    bool again = !local_->topics().empty();
    for (std::size_t lane = 0; lane < options_.pool_size; ++lane) {
      subscribers_.emplace_back(*loop_, *this, lane, nodes_prefix_ + node_name_);
      publishers_.emplace_back(*loop_, *this, lane, options_.buffer_limit);
      if (again) subscribers_.back().begin_with_a_gap();
      subscribers_.back().open();
      publishers_.back().open();
    }
    thread_ = std::thread([this] { loop_->run(); });
    ::pthread_setname_np(thread_.native_handle(), "roost redis");
  }

  /// Always the same one, so that the broadcasts of a topic keep their order.
  std::size_t lane_of(std::string_view topic) const noexcept {
    return std::hash<std::string_view>{}(topic) % options_.pool_size;
  }

  broadcast_result publish(detail::redis_address to, const outgoing_broadcast& message) {
    using kinds = detail::redis_envelope::kinds;
    bool in_channel_of_node = !to.topic.empty();
    bool taken = send(
        lane_of(message.topic), std::move(to),
        {.program = this_program(),
         .node = node_name_,
         .topic = in_channel_of_node ? message.topic : std::string_view(),
         .event = message.event,
         .dispatcher = message.dispatcher,
         .kind = message.payload.is_binary() ? kinds::binary : kinds::json,
         .contents = message.payload.contents()});
    return taken ? broadcast_result::ok : broadcast_result::unreachable;
  }

  bool send(std::size_t lane, detail::redis_address to, const detail::redis_envelope& envelope) {
    bool taken = publishers_[lane].publish(
        std::move(to), size_of(envelope), [&](std::string& out) { append(out, envelope); });
    if (taken) sent_.fetch_add(1, std::memory_order_relaxed);
    return taken;
  }

  // --- redis_watch, all on the thread ------------------------------------------------------------

  void came(std::size_t lane, std::string_view channel, std::string_view bytes) override {
    auto envelope = detail::read_envelope(bytes);
    if (!envelope) return drop_malformed();
    if (envelope->program == this_program()) return;
    if (envelope->node == node_name_) tell_of_a_namesake();
    auto topic = envelope->topic;
    if (channel.starts_with(topics_prefix_)) {
      topic = channel.substr(topics_prefix_.size());
    } else if (lane_of(topic) != lane) {
      // What is for this node alone comes on all lanes, as the sender may have another number of
      // them, and is taken from the topic's own, where it has its place in the order.
      return;
    }
    if (envelope->kind == detail::redis_envelope::kinds::gap) return take_gap(topic, *envelope);
    auto payload = payload_of(*envelope);
    if (!payload) return drop_malformed();
    local_->deliver({topic, envelope->event, *payload, envelope->dispatcher});
  }

  void resubscribed(std::size_t lane, milliseconds duration) override {
    local_->lost(duration, [&](std::string_view topic) { return lane_of(topic) == lane; });
  }

  void lane_down(const std::string& reason) override {
    if (lanes_down_++ > 0) return;
    down_since_ = clock::now();
    logger::error(
        "redis cannot be reached",
        {{"pub_sub", local_->name()}, {"url", loop_->url().without_secrets()}, {"reason", reason}});
  }

  void lane_up() override {
    if (--lanes_down_ > 0) return;
    auto duration = std::chrono::ceil<milliseconds>(clock::now() - down_since_);
    logger::notice(
        "redis can be reached again",
        {{"pub_sub", local_->name()}, {"duration_ms", duration.count()}});
  }

  void refused(const std::string& reason) override {
    logger::error("redis refuses broadcasts", {{"pub_sub", local_->name()}, {"reason", reason}});
  }

  /// The others do not know what they have missed, as their connections may all have held.
  void unconfirmed(
      std::size_t lane, std::uint64_t broadcasts, const std::set<detail::redis_address>& to,
      milliseconds duration) override {
    logger::warning(
        "own broadcasts may have been lost",
        {{"pub_sub", local_->name()}, {"count", broadcasts}, {"topics", to.size()}});
    auto text = std::to_string(duration.count());
    for (auto& one : to)
      send(
          lane, one,
          {.program = this_program(),
           .node = node_name_,
           .topic = one.topic,
           .kind = detail::redis_envelope::kinds::gap,
           .contents = text});
  }

  /// Gathers what comes at once, since every loss is one line of the log.
  void take_gap(std::string_view topic, const detail::redis_envelope& envelope) {
    auto duration = duration_of(envelope);
    if (!duration) return drop_malformed();
    if (gaps_.empty())
      loop_->post([this] {
        auto gaps = std::exchange(gaps_, {});
        local_->lost(std::exchange(longest_gap_, {}), [&](std::string_view one) {
          return gaps.contains(one);
        });
      });
    gaps_.emplace(topic);
    longest_gap_ = std::max(longest_gap_, *duration);
  }

  void drop_malformed() {
    if (malformed_++ == 0)
      logger::warning("dropped a malformed broadcast", {{"pub_sub", local_->name()}});
  }

  void tell_of_a_namesake() {
    if (std::exchange(told_of_a_namesake_, true)) return;
    logger::error(
        "another program has this node's name in redis; give each its own node_name",
        {{"pub_sub", local_->name()}, {"node_name", node_name_}});
  }

  const redis_options options_;
  pub_sub_local* local_ = nullptr;
  std::string node_name_;
  std::string topics_prefix_;
  std::string nodes_prefix_;
  std::unique_ptr<net::redis_loop> loop_;  // outlives the lanes
  std::deque<detail::redis_subscriber> subscribers_;
  std::deque<detail::redis_publisher> publishers_;
  std::atomic<std::uint64_t> sent_{0};
  std::thread thread_;

  // The thread's own.
  std::size_t lanes_down_ = 0;
  clock::time_point down_since_;
  std::uint64_t malformed_ = 0;
  std::set<std::string, std::less<>> gaps_;  // topics that others told of, in this turn
  milliseconds longest_gap_{0};
  bool told_of_a_namesake_ = false;
};

template <class Value>
void require_in(const char* name, Value value, Value min, Value max, const char* expectation) {
  if (value < min || value > max)
    throw std::invalid_argument(
        std::string("expected redis_adapter's .") + name + " to be " + expectation);
}

}  // namespace

pub_sub_adapter_spec redis_adapter(redis_options options) {
  using namespace std::chrono_literals;
  if (!options.url.empty()) net::parse_redis_url(options.url);
  require_in<std::uint32_t>("pool_size", options.pool_size, 1, 64, "1 to 64");
  require_in<std::size_t>(
      "buffer_limit", options.buffer_limit, 1024, 32U << 20U, "1 KiB to 32 MiB");
  for (auto [name, time] :
       {std::pair{"connect_timeout", options.connect_timeout},
        {"retry_first", options.retry_first},
        {"retry_last", options.retry_last},
        {"ping_interval", options.ping_interval},
        {"ping_timeout", options.ping_timeout}})
    require_in<milliseconds>(name, time, 1ms, 1h, "1 ms to an hour");
  return {"redis", [options] { return std::make_unique<redis_pub_sub>(options); }};
}

}  // namespace roost
