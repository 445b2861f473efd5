// operations/metrics.hpp
//
// Numbers for Prometheus: those that roost keeps of itself (docs/metrics.md has them all), and your
// own, which are made of telemetry events.
//
//   roost::operations({.metrics = {
//       roost::metrics::counter("my_app.import.count"),
//       roost::metrics::sum("my_app.import.rows", {.tags = {"kind"}}),
//       roost::metrics::last_value("my_app.queue.length"),
//       roost::metrics::distribution("my_app.import.duration",
//           {.unit = roost::metrics::unit::second, .buckets = {0.01, 0.1, 1, 10}})}})
//
// The last word of a name is the measurement, the words before are the event: the lines above hear
// my_app.import (count, rows, duration; kind) and my_app.queue (length). A counter counts events,
// whatever their measurement says. For Prometheus a name is written my_app_import_count_total: with
// underscores, its unit, and _total for counters and sums.
//
// The operations endpoint serves /metrics; an endpoint of your own does with
//
//   .routes = {roost::metrics_route()}
//
// which answers from what has been counted and never waits. Who may read it is up to that endpoint.
//
// Tags are labels: take words of a short list, never a topic or a user. After `max_series`
// different combinations the rest is counted together, with every tag as "(other)". Without tags an
// event costs some 10 ns, with tags a look-up more.
//
// Errors: operations() throws std::invalid_argument for a name of one word, one that occurs twice
// and buckets that do not rise. An event without the measurement is left out.
// Thread safety: values. Source: Elixir's Telemetry.Metrics, Prometheus' naming practices.
#pragma once
#include "channels/http.hpp"
#include <string>
#include <vector>

namespace roost {

namespace metrics {

enum class kind { counter, sum, last_value, distribution };

enum class unit {
  none,
  second,  // the measurement is in nanoseconds, as all durations, and shown in seconds
  byte,
};

struct options {
  std::string event = {};        // default: the name without its last word
  std::string measurement = {};  // default: the last word of the name
  std::string description = {};
  std::vector<std::string> tags = {};  // metadata that tells its series apart
  metrics::unit unit = metrics::unit::none;
  std::vector<double> buckets = {};  // upper bounds, rising, in the unit shown; empty: 5 ms to 10 s
  std::size_t max_series = 100;
};

struct definition {
  metrics::kind kind;
  std::string name;
  metrics::options options;
};

inline definition counter(std::string name, options options = {}) {
  return {kind::counter, std::move(name), std::move(options)};
}
inline definition sum(std::string name, options options = {}) {
  return {kind::sum, std::move(name), std::move(options)};
}
inline definition last_value(std::string name, options options = {}) {
  return {kind::last_value, std::move(name), std::move(options)};
}
inline definition distribution(std::string name, options options = {}) {
  return {kind::distribution, std::move(name), std::move(options)};
}

}  // namespace metrics

/// GET of this path answers all metrics: of this node, or with `operations.metrics.all_nodes` of
/// all that answer.
http_route metrics_route(std::string path = "/metrics");

/// The same text.
std::string metrics_text();

}  // namespace roost
