// private: a clock that every write of a replicated table gets its time from.
//
// Times are milliseconds since 1970, shifted, plus a counter. They follow the wall clock, but never
// run backwards, and are always later than every time of another node that was seen: what is
// written by somebody who knew of a write comes after it, however wrong the clocks are.
//
// Thread safety: any thread. Source: Kulkarni and others, Logical Physical Clocks (2014).
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>

namespace roost::detail {

class hybrid_clock {
 public:
  static constexpr unsigned counter_bits = 16;
  using wall_clock = std::function<std::uint64_t()>;  // milliseconds since 1970

  using steady_clock = std::function<std::uint32_t()>;  // seconds since any moment

  hybrid_clock() : hybrid_clock(&hybrid_clock::system_time, &hybrid_clock::steady_time) {}
  hybrid_clock(wall_clock wall, steady_clock steady)
      : wall_(std::move(wall)), steady_(std::move(steady)) {}

  /// The one of this program: tables that are closed and opened again go on where they were.
  static hybrid_clock& instance() {
    static auto& only = *new hybrid_clock;  // outlives every thread
    return only;
  }

  /// A time after everything that was answered or seen before. A full counter runs over into the
  /// milliseconds.
  std::uint64_t next() {
    auto now = wall() << counter_bits;
    auto last = last_.load(std::memory_order_relaxed);
    for (;;) {
      auto mine = std::max(now, last + 1);
      if (last_.compare_exchange_weak(last, mine, std::memory_order_acq_rel)) return mine;
    }
  }

  /// Another node's time has been seen.
  void observe(std::uint64_t time) noexcept {
    auto last = last_.load(std::memory_order_relaxed);
    while (last < time && !last_.compare_exchange_weak(last, time, std::memory_order_acq_rel)) {
    }
  }

  std::uint64_t wall() const { return wall_(); }

  /// For how long something has lasted here, which nobody's clock should have a say in.
  std::uint32_t steady() const { return steady_(); }

  static constexpr std::uint64_t milliseconds_of(std::uint64_t time) noexcept {
    return time >> counter_bits;
  }

 private:
  static std::uint64_t system_time() {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    return ms > 0 ? static_cast<std::uint64_t>(ms) : 0;
  }

  static std::uint32_t steady_time() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now).count());
  }

  wall_clock wall_;
  steady_clock steady_;
  std::atomic<std::uint64_t> last_{0};
};

}  // namespace roost::detail
