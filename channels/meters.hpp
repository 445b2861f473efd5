// private: what the channels layer counts for metrics. Each thread counts for itself, in memory
// that no other thread writes, so that counting once per message costs about a nanosecond; whoever
// wants to know adds the threads up.
//
//   meters::here().messages_in.add();
//   auto sum = meters::sum();
//
// Times of single messages are measured only after meters::measure(true), since looking at the
// clock costs more than counting.
//
// Thread safety: here() is the calling thread's own; sum() may be called anywhere and is a moment
// old.
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace roost::detail::meters {

/// Written by one thread, read by all.
class tally {
 public:
  void add(std::uint64_t count = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Upper bounds in nanoseconds; what is longer falls into the last bucket.
inline constexpr std::array<std::int64_t, 12> time_bounds{
    10'000,     50'000,     100'000,     500'000,     1'000'000,     5'000'000,
    10'000'000, 50'000'000, 100'000'000, 500'000'000, 1'000'000'000, 5'000'000'000};

class times {
 public:
  void observe(std::chrono::nanoseconds time) noexcept {
    std::size_t bucket = 0;
    while (bucket < time_bounds.size() && time.count() > time_bounds[bucket]) ++bucket;
    buckets_[bucket].add();
    sum_.add(static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.count())));
  }
  const auto& buckets() const noexcept { return buckets_; }
  std::uint64_t sum() const noexcept { return sum_.value(); }

 private:
  std::array<tally, time_bounds.size() + 1> buckets_;
  tally sum_;
};

/// Bucket i counts what is at most 4^i; what is more falls into the last one.
class sizes {
 public:
  static constexpr std::size_t bounds = 10;  // 1, 4, 16, … 262,144
  static constexpr std::uint64_t bound(std::size_t i) noexcept { return std::uint64_t{1} << 2 * i; }

  void observe(std::uint64_t size) noexcept {
    auto bits = static_cast<std::size_t>(std::bit_width(size == 0 ? 0 : size - 1));
    buckets_[std::min(bounds, (bits + 1) / 2)].add();
    sum_.add(size);
  }
  const auto& buckets() const noexcept { return buckets_; }
  std::uint64_t sum() const noexcept { return sum_.value(); }

 private:
  std::array<tally, bounds + 1> buckets_;
  tally sum_;
};

struct alignas(64) of_a_thread {
  tally messages_in;   // of clients, heartbeats included
  tally messages_out;  // to clients
  tally joins_ok;
  tally joins_refused;
  tally joins_crashed;
  tally channels_left;  // of those that had joined
  tally connects_ok;
  tally connects_refused;
  std::array<tally, 6> responses;  // by the first digit of their status
  times request;                   // from a request's head to its response
  times connect;
  times join;
  times handle_in;
  sizes fan_out;  // channels and processes of this node that a broadcast went to
};

struct time_sum {
  std::array<std::uint64_t, time_bounds.size() + 1> buckets{};
  std::uint64_t sum_ns = 0;
};
struct size_sum {
  std::array<std::uint64_t, sizes::bounds + 1> buckets{};
  std::uint64_t sum = 0;
};

struct total {
  std::uint64_t messages_in = 0;
  std::uint64_t messages_out = 0;
  std::uint64_t joins_ok = 0;
  std::uint64_t joins_refused = 0;
  std::uint64_t joins_crashed = 0;
  std::uint64_t channels_left = 0;
  std::uint64_t connects_ok = 0;
  std::uint64_t connects_refused = 0;
  std::array<std::uint64_t, 6> responses{};
  time_sum request;
  time_sum connect;
  time_sum join;
  time_sum handle_in;
  size_sum fan_out;

  std::uint64_t channels() const noexcept {  // that are joined now
    return joins_ok - std::min(joins_ok, channels_left);
  }
};

inline constinit thread_local of_a_thread* mine = nullptr;
inline constinit std::atomic<bool> measures{false};

of_a_thread& of_new_thread();
inline of_a_thread& here() { return mine != nullptr ? *mine : of_new_thread(); }

/// Whether single messages are to be timed.
inline bool measured() noexcept { return measures.load(std::memory_order_relaxed); }
inline void measure(bool on) noexcept { measures.store(on, std::memory_order_relaxed); }

total sum();

}  // namespace roost::detail::meters
