// private: metrics that a program defines: what it counts, and the handlers that do it.
//
// Each series has a few cells, and a thread counts in the one that it was given, so that workers do
// not fight for a line of the cache. A series is found by its tags under a shared lock; without
// tags there is only one.
#pragma once
#include "operations/exposition.hpp"
#include "operations/metrics.hpp"
#include "runtime/telemetry.hpp"
#include <boost/unordered/unordered_flat_map.hpp>
#include <array>
#include <atomic>
#include <shared_mutex>

namespace roost::detail {

/// Throws std::invalid_argument.
void validate(const std::vector<metrics::definition>& definitions);

/// As Prometheus is told it.
std::string exposed_name(const metrics::definition& definition);

class user_metric {
 public:
  explicit user_metric(metrics::definition definition);

  const metrics::definition& definition() const noexcept { return definition_; }
  void take(const telemetry::values& measurements, const telemetry::values& metadata);
  void show(exposition& page) const;
  std::size_t series() const;

 private:
  struct alignas(64) cell {
    explicit cell(std::size_t buckets) : counts(buckets) {}
    std::atomic<double> sum{0};
    std::vector<std::atomic<std::uint64_t>> counts;  // by bucket; a counter has one
  };
  struct one_series {
    std::vector<std::string> tags;
    std::vector<std::unique_ptr<cell>> cells;
  };
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };

  std::unique_ptr<one_series> make_series(std::vector<std::string> tags) const;
  one_series& find(const telemetry::values& metadata);
  void count(one_series& series, double value);

  metrics::definition definition_;
  std::string name_;
  double scale_ = 1;                  // from the measurement to what is shown
  std::unique_ptr<one_series> only_;  // without tags
  mutable std::shared_mutex mutex_;
  boost::unordered_flat_map<std::string, std::unique_ptr<one_series>, text_hash, std::equal_to<>>
      series_;
};

/// Attaches the handlers while it lives, and shows what they count in every exposition.
class user_metrics {
 public:
  explicit user_metrics(const std::vector<metrics::definition>& definitions);
  user_metrics(const user_metrics&) = delete;
  user_metrics& operator=(const user_metrics&) = delete;
  ~user_metrics();

  void show(exposition& page) const;

 private:
  std::vector<std::shared_ptr<user_metric>> all_;
};

}  // namespace roost::detail
