#include "operations/user_metrics.hpp"
#include <algorithm>
#include <mutex>
#include <set>

namespace roost::detail {
namespace {

constexpr std::size_t cells_of_series = 8;
constexpr auto separator = '\x1f';
constexpr auto other = "(other)";

const std::vector<double>& default_buckets() {
  static const std::vector<double> bounds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
  return bounds;
}

std::size_t cell_of_thread() noexcept {
  static std::atomic<std::size_t> threads{0};
  static thread_local const auto mine = threads.fetch_add(1) % cells_of_series;
  return mine;
}

std::string handler_id(const metrics::definition& definition) {
  return "roost.operations.metrics." + definition.name;
}

void append_text(std::string& to, const telemetry::value* value) {
  if (value != nullptr) to += value->to_string();
}

}  // namespace

void validate(const std::vector<metrics::definition>& definitions) {
  std::set<std::string> names;
  for (auto& one : definitions) {
    auto expect = [&](bool good, std::string_view what) {
      if (!good)
        throw std::invalid_argument(
            "expected the metric \"" + one.name + "\" to " + std::string(what));
    };
    auto& options = one.options;
    auto dot = one.name.rfind('.');
    bool split = dot != one.name.npos && dot != 0 && dot + 1 != one.name.size();
    expect(
        split || (!options.event.empty() && !options.measurement.empty()),
        "be the name of an event, a dot and a measurement, got a single word");
    expect(
        std::adjacent_find(
            options.buckets.begin(), options.buckets.end(), std::greater_equal<>()) ==
            options.buckets.end(),
        "have buckets that rise");
    expect(options.max_series > 0, "have a .max_series of 1 or more, got 0");
    expect(names.insert(exposed_name(one)).second, "be there once, got another one of that name");
  }
}

std::string exposed_name(const metrics::definition& definition) {
  auto name = metric_name(definition.name);
  auto add = [&](std::string_view suffix) {
    if (!name.ends_with(suffix)) name += suffix;
  };
  if (definition.kind != metrics::kind::counter) {
    if (definition.options.unit == metrics::unit::second) add("_seconds");
    if (definition.options.unit == metrics::unit::byte) add("_bytes");
  }
  if (definition.kind == metrics::kind::counter || definition.kind == metrics::kind::sum)
    add("_total");
  return name;
}

user_metric::user_metric(metrics::definition definition)
    : definition_(std::move(definition)), name_(exposed_name(definition_)) {
  auto& options = definition_.options;
  auto dot = definition_.name.rfind('.');
  if (options.event.empty()) options.event = definition_.name.substr(0, dot);
  if (options.measurement.empty()) options.measurement = definition_.name.substr(dot + 1);
  if (options.unit == metrics::unit::second) scale_ = 1e-9;
  bool is_distribution = definition_.kind == metrics::kind::distribution;
  if (is_distribution && options.buckets.empty()) options.buckets = default_buckets();
  if (!is_distribution) options.buckets.clear();
  if (options.tags.empty()) only_ = make_series({});
}

std::unique_ptr<user_metric::one_series> user_metric::make_series(
    std::vector<std::string> tags) const {
  auto series = std::make_unique<one_series>();
  series->tags = std::move(tags);
  bool last = definition_.kind == metrics::kind::last_value;
  for (std::size_t i = 0; i < (last ? 1 : cells_of_series); ++i)
    series->cells.push_back(std::make_unique<cell>(definition_.options.buckets.size() + 1));
  return series;
}

user_metric::one_series& user_metric::find(const telemetry::values& metadata) {
  if (only_) return *only_;
  static thread_local std::string key;
  key.clear();
  for (auto& tag : definition_.options.tags) {
    append_text(key, metadata.find(tag));
    key += separator;
  }
  {
    std::shared_lock guard{mutex_};
    if (auto found = series_.find(std::string_view(key)); found != series_.end())
      return *found->second;
  }
  std::vector<std::string> tags;
  std::unique_lock guard{mutex_};
  bool full = series_.size() >= definition_.options.max_series;
  if (full) key = other;
  auto& place = series_[key];
  if (place) return *place;
  for (auto& tag : definition_.options.tags) {
    std::string text;
    append_text(text, metadata.find(tag));
    tags.push_back(full ? other : text);
  }
  place = make_series(std::move(tags));
  return *place;
}

void user_metric::take(const telemetry::values& measurements, const telemetry::values& metadata) {
  auto* value = measurements.find(definition_.options.measurement);
  if (definition_.kind == metrics::kind::counter) return count(find(metadata), 1);
  if (value != nullptr) count(find(metadata), value->real() * scale_);
}

void user_metric::count(one_series& series, double value) {
  if (definition_.kind == metrics::kind::last_value)
    return series.cells.front()->sum.store(value, std::memory_order_relaxed);
  auto& cell = *series.cells[cell_of_thread()];
  cell.sum.fetch_add(value, std::memory_order_relaxed);
  if (definition_.kind != metrics::kind::distribution) return;
  auto& bounds = definition_.options.buckets;
  auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
  cell.counts[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
}

std::size_t user_metric::series() const {
  std::shared_lock guard{mutex_};
  return only_ ? 1 : series_.size();
}

void user_metric::show(exposition& page) const {
  auto& options = definition_.options;
  auto show_series = [&](const one_series& series) {
    double sum = 0;
    std::vector<std::uint64_t> counts(options.buckets.size() + 1);
    for (auto& cell : series.cells) {
      sum += cell->sum.load(std::memory_order_relaxed);
      for (std::size_t i = 0; i < counts.size(); ++i)
        counts[i] += cell->counts[i].load(std::memory_order_relaxed);
    }
    exposition::labels labels;
    for (std::size_t i = 0; i < series.tags.size(); ++i)
      labels.emplace_back(metric_name(options.tags[i]), series.tags[i]);
    auto help =
        options.description.empty() ? "Of the event " + options.event + "." : options.description;
    if (definition_.kind == metrics::kind::distribution)
      page.histogram(name_, help, options.buckets, counts, sum, std::move(labels));
    else if (definition_.kind == metrics::kind::last_value)
      page.gauge(name_, help, sum, std::move(labels));
    else
      page.counter(name_, help, sum, std::move(labels));
  };
  if (only_) return show_series(*only_);
  std::shared_lock guard{mutex_};
  for (auto& [key, series] : series_) show_series(*series);
}

user_metrics::user_metrics(const std::vector<metrics::definition>& definitions) {
  for (auto& one : definitions) {
    auto metric = std::make_shared<user_metric>(one);
    auto id = handler_id(metric->definition());
    telemetry::detach(id);  // of one that was killed before it could
    telemetry::attach(
        id, metric->definition().options.event,
        [metric](
            std::string_view, const telemetry::values& measurements,
            const telemetry::values& metadata) { metric->take(measurements, metadata); });
    all_.push_back(std::move(metric));
  }
}

user_metrics::~user_metrics() {
  for (auto& one : all_) telemetry::detach(handler_id(one->definition()));
}

void user_metrics::show(exposition& page) const {
  for (auto& one : all_) one->show(page);
}

}  // namespace roost::detail
