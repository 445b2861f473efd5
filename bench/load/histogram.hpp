// private: how often each latency was seen, in HdrHistogram's layout: 128 steps for every doubling,
// so that a percentile is off by less than 1 %. One thread adds; any process that shares the memory
// may take a snapshot meanwhile.
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace roost::load {

namespace detail {

inline constexpr unsigned step_bits = 7;
inline constexpr unsigned value_bits = 40;  // 2^40 ns are 18 minutes; what is longer counts as that
inline constexpr std::size_t steps = std::size_t{value_bits - step_bits + 1} << step_bits;

constexpr std::size_t step_of(std::uint64_t value) noexcept {
  if (value >> value_bits != 0) return steps - 1;
  auto width = static_cast<unsigned>(std::bit_width(value));
  if (width <= step_bits) return value;
  auto shift = width - step_bits - 1;
  return (std::size_t{shift + 1} << step_bits) + (value >> shift) - (std::size_t{1} << step_bits);
}

/// The smallest value of the step.
constexpr std::uint64_t value_of(std::size_t step) noexcept {
  if (step < (std::size_t{2} << step_bits)) return step;
  auto shift = (step >> step_bits) - 1;
  return ((step & ((std::size_t{1} << step_bits) - 1)) + (std::size_t{1} << step_bits)) << shift;
}

}  // namespace detail

/// Counts of one moment.
class histogram {
 public:
  void add(std::uint64_t nanoseconds, std::uint64_t times = 1) noexcept {
    counts_[detail::step_of(nanoseconds)] += times;
    total_ += times;
  }
  void add(const histogram& other) noexcept;
  /// What came since `earlier`.
  histogram since(const histogram& earlier) const;

  std::uint64_t count() const noexcept { return total_; }
  /// Nanoseconds; `percent` is 0 to 100. 0 when nothing was counted.
  double percentile(double percent) const noexcept;
  double highest() const noexcept { return percentile(100); }
  double mean() const noexcept;

  struct point {
    double percent;
    double nanoseconds;
  };
  /// The curve of the percentiles, closer together the nearer they are to 100.
  std::vector<point> curve() const;

 private:
  friend class shared_histogram;
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(detail::steps);
  std::uint64_t total_ = 0;
};

/// Lies in memory that processes share.
class shared_histogram {
 public:
  void add(std::uint64_t nanoseconds) noexcept {
    auto& count = counts_[detail::step_of(nanoseconds)];
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  histogram snapshot() const;

 private:
  std::array<std::atomic<std::uint64_t>, detail::steps> counts_ = {};
};

}  // namespace roost::load
