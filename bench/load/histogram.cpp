#include "bench/load/histogram.hpp"
#include <cmath>

namespace roost::load {

void histogram::add(const histogram& other) noexcept {
  for (std::size_t i = 0; i < detail::steps; ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
}

histogram histogram::since(const histogram& earlier) const {
  histogram result;
  for (std::size_t i = 0; i < detail::steps; ++i)
    result.counts_[i] = counts_[i] - earlier.counts_[i];
  result.total_ = total_ - earlier.total_;
  return result;
}

double histogram::percentile(double percent) const noexcept {
  if (total_ == 0) return 0;
  auto rank = static_cast<std::uint64_t>(std::ceil(percent / 100 * static_cast<double>(total_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < detail::steps; ++i) {
    seen += counts_[i];
    if (seen != 0 && seen >= rank) return static_cast<double>(detail::value_of(i));
  }
  return 0;
}

double histogram::mean() const noexcept {
  double sum = 0;
  for (std::size_t i = 0; i < detail::steps; ++i)
    sum += static_cast<double>(detail::value_of(i)) * static_cast<double>(counts_[i]);
  return total_ == 0 ? 0 : sum / static_cast<double>(total_);
}

std::vector<histogram::point> histogram::curve() const {
  std::vector<point> points;
  if (total_ == 0) return points;
  // Ten points for each halving of what is left, until a point is less than one value.
  for (double left = 1; left * static_cast<double>(total_) >= 0.5; left /= 2)
    for (int i = 0; i < 10; ++i) {
      auto percent = 100 * (1 - left * (1 - i / 20.0));
      points.push_back({percent, percentile(percent)});
    }
  points.push_back({100, highest()});
  return points;
}

histogram shared_histogram::snapshot() const {
  histogram result;
  for (std::size_t i = 0; i < detail::steps; ++i) {
    auto count = counts_[i].load(std::memory_order_relaxed);
    result.counts_[i] = count;
    result.total_ += count;
  }
  return result;
}

}  // namespace roost::load
