// private: the two connections that a share of the topics has: a Redis connection that subscribes
// takes no other commands.
//
// What is said to a lane from any thread is put into its inbox under a lock that nobody holds for
// long; the adapter's thread does the rest.
#pragma once
#include "channels/pub_sub_adapter.hpp"
#include "runtime/net/redis_connection.hpp"
#include <atomic>
#include <deque>
#include <mutex>
#include <set>

namespace roost::detail {

/// Somebody who waits for all lanes.
class redis_sync {
 public:
  redis_sync(std::size_t lanes, std::function<void()> done)
      : left_(lanes), done_(std::move(done)) {}
  void confirmed() {
    if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) done_();
  }

 private:
  std::atomic<std::size_t> left_;
  std::function<void()> done_;
};

/// Where a broadcast goes: a channel, and in a node's channel a topic.
struct redis_address {
  std::string channel;
  std::string topic = {};
  friend auto operator<=>(const redis_address&, const redis_address&) = default;
};

/// What lanes tell their adapter, on its thread.
class redis_watch {
 public:
  virtual ~redis_watch() = default;
  virtual void came(std::size_t lane, std::string_view channel, std::string_view bytes) = 0;
  /// All is subscribed again, after it was not.
  virtual void resubscribed(std::size_t lane, std::chrono::milliseconds duration) = 0;
  virtual void lane_down(const std::string& reason) = 0;  // once per outage of the connection
  virtual void lane_up() = 0;                             // … and this after it
  virtual void refused(const std::string& reason) = 0;    // Redis does not take a broadcast
  /// As many broadcasts may have been lost, to these addresses.
  virtual void unconfirmed(
      std::size_t lane, std::uint64_t broadcasts, const std::set<redis_address>& to,
      std::chrono::milliseconds duration) = 0;
};

/// What both have.
class redis_lane : protected net::redis_connection::user {
 public:
  redis_lane(net::redis_loop& loop, redis_watch& watch, std::size_t lane)
      : loop_(loop), watch_(watch), lane_(lane), connection_(loop, *this) {}

  void open() { connection_.open(); }

 protected:
  using clock = net::redis_connection::clock;

  net::redis_loop& loop_;
  redis_watch& watch_;
  std::size_t lane_;
  net::redis_connection connection_;
  std::mutex mutex_;  // of what other threads hand over
};

class redis_subscriber final : public redis_lane {
 public:
  /// `own`: a channel that is always subscribed.
  redis_subscriber(net::redis_loop& loop, redis_watch& watch, std::size_t lane, std::string own);

  /// Whoever had the topics before may have lost broadcasts until they are subscribed.
  void begin_with_a_gap() { lost_since_ = clock::now(); }

  // From any thread.
  void subscribe(std::string channel) { enter({order::subscribe, std::move(channel), {}}); }
  void unsubscribe(std::string channel) { enter({order::unsubscribe, std::move(channel), {}}); }
  void when_synced(std::shared_ptr<redis_sync> sync) { enter({order::sync, {}, std::move(sync)}); }

 private:
  enum class order { subscribe, unsubscribe, sync };
  struct entry {
    order what;
    std::string channel;
    std::shared_ptr<redis_sync> sync;
  };
  struct waiting {
    std::uint64_t confirmations;
    std::shared_ptr<redis_sync> sync;
  };

  void enter(entry entry);
  void take_inbox();
  void command(std::string_view name, const std::vector<std::string_view>& channels);
  void check_confirmations();

  void connected() override;
  void take_output(std::string& out) override;
  void received(net::resp_value& value) override;
  void disconnected(const std::string& reason, std::optional<clock::time_point> heard) override;

  std::vector<entry> inbox_;

  std::set<std::string, std::less<>> channels_;  // wanted
  std::string output_;
  bool connected_ = false;
  bool settled_ = false;         // all that was wanted at first is subscribed
  std::uint64_t to_settle_ = 0;  // confirmations
  std::uint64_t asked_ = 0;      // SUBSCRIBEs of this connection
  std::uint64_t confirmed_ = 0;  // … and their answers
  std::deque<waiting> waiting_;
  bool down_ = false;
  std::optional<clock::time_point> lost_since_;
};

class redis_publisher final : public redis_lane {
 public:
  redis_publisher(net::redis_loop& loop, redis_watch& watch, std::size_t lane, std::size_t limit)
      : redis_lane(loop, watch, lane), limit_(limit) {}

  /// From any thread. `write(out)` appends the `size` bytes of the message. Answers whether it is
  /// on its way.
  template <class Write>
  bool publish(redis_address to, std::size_t size, Write write) {
    std::lock_guard guard{mutex_};
    if (down_ || queued_.size() + in_flight_ + size > limit_) return false;
    // Of a Redis that takes everything and answers nothing but PING.
    if (unanswered_.size() >= most_unanswered) return false;
    net::append_command(queued_, 3);
    net::append_word(queued_, "PUBLISH");
    net::append_word(queued_, to.channel);
    net::begin_word(queued_, size);
    write(queued_);
    net::end_word(queued_);
    unanswered_.push_back(std::move(to));
    if (!woken_) wake();
    return true;
  }

  /// Redis has answered to everything, or cannot. From any thread.
  bool is_done() {
    std::lock_guard guard{mutex_};
    return down_ || unanswered_.empty();
  }

 private:
  static constexpr std::size_t most_unanswered = std::size_t{1} << 18U;

  void wake();
  void connected() override;
  void take_output(std::string& out) override;
  void received(net::resp_value& value) override;
  void disconnected(const std::string& reason, std::optional<clock::time_point> heard) override;

  std::size_t limit_;
  std::string queued_;
  std::size_t in_flight_ = 0;  // bytes
  std::deque<redis_address> unanswered_;
  bool woken_ = false;
  bool down_ = false;  // at first there is hope

  bool refused_ = false;
  std::set<redis_address> lost_;  // what is to be told of once there is a connection
  std::uint64_t lost_count_ = 0;
  clock::time_point lost_since_;
};

}  // namespace roost::detail
