// private: metrics as text for Prometheus. The door to prometheus-cpp.
//
//   exposition page;
//   page.counter("roost_crashes_total", "Processes that crashed.", 3);
//   page.gauge("roost_memory_bytes", "Resident memory.", 1e6, {{"kind", "total"}});
//   auto text = page.text("chat@host");      // every line has the label node="chat@host"
//
// Values of one name come together under one HELP and TYPE, in the order of their first use.
// Thread safety: one thread at a time; merge_texts is pure.
// Source: Prometheus' text format 0.0.4, and its rules for names.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace roost::detail {

inline constexpr auto exposition_type = "text/plain; version=0.0.4; charset=utf-8";

class exposition {
 public:
  using labels = std::vector<std::pair<std::string, std::string>>;

  exposition();
  exposition(const exposition&) = delete;
  exposition& operator=(const exposition&) = delete;
  ~exposition();

  void counter(std::string_view name, std::string_view help, double value, labels labels = {});
  void gauge(std::string_view name, std::string_view help, double value, labels labels = {});

  /// `counts` has one number more than `bounds`: what is above the last bound. They are not
  /// cumulative.
  void histogram(
      std::string_view name, std::string_view help, std::span<const double> bounds,
      std::span<const std::uint64_t> counts, double sum, labels labels = {});

  /// With a node's name, every line is labelled with it.
  std::string text(std::string_view node = {}) const;

 private:
  struct pages;
  std::unique_ptr<pages> pages_;
};

/// "my_app.import.count" → "my_app_import_count": what Prometheus allows in a name.
std::string metric_name(std::string_view name);

/// One text of several nodes' texts, with the lines of each metric together, as the format wants
/// it. What a text says of a metric first, its HELP and TYPE, holds for all.
std::string merge_texts(const std::vector<std::string>& texts);

}  // namespace roost::detail
