#include "operations/exposition.hpp"
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <algorithm>
#include <limits>

namespace roost::detail {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct exposition::pages {
  std::vector<MetricFamily> families;
  std::map<std::string, std::size_t, std::less<>> places;

  ClientMetric& add(
      std::string_view name, std::string_view help, MetricType type, exposition::labels labels) {
    auto place = places.find(name);
    if (place == places.end()) {
      place = places.emplace(name, families.size()).first;
      families.push_back({std::string(name), std::string(help), type, {}});
    }
    auto& metric = families[place->second].metric.emplace_back();
    for (auto& [key, value] : labels) metric.label.push_back({key, std::move(value)});
    return metric;
  }
};

exposition::exposition() : pages_(std::make_unique<pages>()) {}
exposition::~exposition() = default;

void exposition::counter(
    std::string_view name, std::string_view help, double value, labels labels) {
  pages_->add(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
}

void exposition::gauge(std::string_view name, std::string_view help, double value, labels labels) {
  pages_->add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
}

void exposition::histogram(
    std::string_view name, std::string_view help, std::span<const double> bounds,
    std::span<const std::uint64_t> counts, double sum, labels labels) {
  auto& histogram = pages_->add(name, help, MetricType::Histogram, std::move(labels)).histogram;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    total += counts[i];
    auto bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({total, bound});
  }
  histogram.sample_count = total;
  histogram.sample_sum = sum;
}

std::string exposition::text(std::string_view node) const {
  prometheus::TextSerializer serializer;
  if (node.empty()) return serializer.Serialize(pages_->families);
  auto labelled = pages_->families;
  for (auto& family : labelled)
    for (auto& metric : family.metric) metric.label.push_back({"node", std::string(node)});
  return serializer.Serialize(labelled);
}

std::string metric_name(std::string_view name) {
  std::string result;
  for (char c : name) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
    bool digit = c >= '0' && c <= '9';
    if (digit && result.empty()) result += '_';
    result += letter || digit ? c : '_';
  }
  return result;
}

namespace {

/// The metric that "# HELP name …" or "# TYPE name …" is about; empty: another line.
std::string_view metric_of_comment(std::string_view line) {
  if (!line.starts_with("# HELP ") && !line.starts_with("# TYPE ")) return {};
  line.remove_prefix(7);
  return line.substr(0, line.find(' '));
}

struct merged_metric {
  std::string name;
  std::string head;   // HELP and TYPE, of the first text that has them
  std::size_t owner;  // that text
  std::string lines;
};

}  // namespace

std::string merge_texts(const std::vector<std::string>& texts) {
  std::vector<merged_metric> metrics;
  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::string_view rest = texts[i];
    merged_metric* at = nullptr;
    while (!rest.empty()) {
      auto end = std::min(rest.find('\n'), rest.size() - 1);
      auto line = rest.substr(0, end + 1);
      rest.remove_prefix(end + 1);
      auto name = metric_of_comment(line.substr(0, line.find('\n')));
      if (name.empty()) {
        // Whatever comes before a HELP or TYPE belongs to nothing that we know.
        if (at != nullptr && !line.starts_with('#')) at->lines += line;
        continue;
      }
      auto place = places.find(name);
      if (place == places.end()) {
        place = places.emplace(name, metrics.size()).first;
        metrics.push_back({std::string(name), {}, i, {}});
      }
      at = &metrics[place->second];
      if (at->owner == i) at->head += line;
    }
  }
  std::string all;
  for (auto& metric : metrics) all += metric.head + metric.lines;
  return all;
}

}  // namespace roost::detail
