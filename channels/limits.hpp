// private: what an endpoint counts, and whom it lets in. One for all workers of the endpoint.
//
// A gate has a limit, counts what is in use and what was refused, warns when use comes near to the
// limit, and logs the first refusal at once and then one a second. A rate is a bucket of tokens.
//
// Thread safety: any thread.
#pragma once
#include "channels/endpoint.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <atomic>
#include <mutex>

namespace roost::detail {

using counter = std::atomic<std::uint64_t>;

inline void count(counter& counter) noexcept { counter.fetch_add(1, std::memory_order_relaxed); }

/// Lets `rate` things through per second, after a silence `burst` at once. Pure: `now` is in ms.
class token_bucket {
 public:
  token_bucket(std::uint32_t rate, std::uint32_t burst) noexcept
      : rate_(rate), burst_(burst), tokens_(burst) {}

  bool take(std::uint64_t now) noexcept {
    if (rate_ == 0) return true;
    refill(now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  /// Milliseconds until there is one again.
  std::uint64_t wait() const noexcept {
    if (rate_ == 0 || tokens_ >= 1) return 0;
    return static_cast<std::uint64_t>((1 - tokens_) * 1000 / rate_) + 1;
  }

 private:
  void refill(std::uint64_t now) noexcept {
    if (now <= last_) return;
    auto since = static_cast<double>(now - last_);
    last_ = now;
    tokens_ = std::min<double>(burst_, tokens_ + since * rate_ / 1000);
  }

  std::uint32_t rate_;
  std::uint32_t burst_;
  double tokens_;
  std::uint64_t last_ = 0;
};

/// Lets one line a second through.
class log_pace {
 public:
  bool due(std::uint64_t now) noexcept {
    auto last = last_.load(std::memory_order_relaxed);
    return (last == 0 || now - last >= 1000) &&
           last_.compare_exchange_strong(last, now, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> last_{0};
};

enum class refusal { none, connections, sockets, address, rate, draining };
std::string_view to_string(refusal why) noexcept;

/// Who may come in, and how often somebody had to be refused.
class admission {
 public:
  admission(std::string endpoint, const endpoint_limits& limits);

  /// A TCP connection was accepted; `leave_connection` follows unless it is refused.
  refusal enter_connection();
  void leave_connection() noexcept;

  /// A client wants a socket; `leave_socket` follows unless it is refused.
  refusal enter_socket(const std::string& address);
  void leave_socket(const std::string& address) noexcept;

  /// Not ready any more, though everybody is still served: balancers have to notice first.
  void leave() noexcept { leaving_.store(true, std::memory_order_relaxed); }
  bool leaving() const noexcept { return leaving_.load(std::memory_order_relaxed); }

  /// No new sockets any more.
  void drain() noexcept { draining_.store(true, std::memory_order_relaxed); }
  bool draining() const noexcept { return draining_.load(std::memory_order_relaxed); }

  /// Seconds after which a refused client should try again: spread, so that those who were refused
  /// together do not come back together.
  unsigned retry_after() const;

  endpoint_statistics statistics() const noexcept;

  // Counted by whoever notices.
  counter slow_handshakes{0};
  counter too_many_channels{0};
  counter too_many_joins{0};
  counter join_timeouts{0};
  counter messages_too_big{0};
  counter throttled{0};
  counter slow_consumers{0};
  counter idle_timeouts{0};

  /// Counts a refusal by one of the limits above, and logs it at its pace.
  void note(counter& counter, std::string_view what, std::string_view socket = {});

  std::size_t max_connections() const noexcept { return max_connections_; }

 private:
  /// `used` includes the newcomer. Answers whether the limit lets it in.
  bool check(
      std::size_t used, std::size_t limit, std::string_view name, counter& refused, log_pace& near);
  void refuse(counter& refused, std::string_view name, std::size_t limit, std::string_view address);
  bool within_rate();
  bool within_address(const std::string& address);

  std::string endpoint_;
  endpoint_limits limits_;
  std::size_t max_connections_;
  std::size_t max_sockets_;
  std::atomic<bool> leaving_{false};
  std::atomic<bool> draining_{false};
  counter connections_{0};
  counter sockets_{0};
  counter accepted_{0};
  counter connected_{0};
  counter refused_connections_{0};
  counter refused_sockets_{0};
  counter refused_by_address_{0};
  counter refused_by_rate_{0};
  counter refused_draining_{0};
  log_pace log_;
  log_pace near_connections_;
  log_pace near_sockets_;

  std::mutex mutex_;
  token_bucket rate_;
  boost::unordered_flat_map<std::string, std::uint32_t> by_address_;
};

}  // namespace roost::detail
