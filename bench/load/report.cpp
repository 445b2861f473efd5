#include "bench/load/report.hpp"
#include "channels/json.hpp"
#include <cmath>
#include <cstdio>

namespace roost::load {
namespace {

std::string text_of(double value) {
  char text[32];
  auto digits = value == std::floor(value) ? 0 : std::fabs(value) < 10 ? 3 : 1;
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  // 1234567.8 reads better as 1,234,567.8.
  std::string result = text;
  auto end = std::min(result.find('.'), result.size());
  auto begin = result[0] == '-' ? 1U : 0U;
  for (auto place = end; place > begin + 3; place -= 3) result.insert(place - 3, 1, ',');
  return result;
}

}  // namespace

std::string as_text(const report& report) {
  std::string out = report.mode + " on " + report.machine + "\n";
  char line[160];
  for (auto& [name, value] : report.figures) {
    std::snprintf(line, sizeof line, "  %-26s %16s\n", name.c_str(), text_of(value).c_str());
    out += line;
  }
  for (auto& verdict : report.verdicts)
    out += std::string(verdict.holds ? "  holds      " : "  DOES NOT HOLD  ") + verdict.text +
           (verdict.known ? " (" + text_of(verdict.value) + ")" : " (no such figure)") + "\n";
  return out;
}

std::string as_json(const report& report) {
  json settings = json::object(), figures = json::object();
  for (auto& [name, value] : report.settings) settings[name] = value;
  for (auto& [name, value] : report.figures) figures[name] = value;
  json samples = json::array(), curve = json::array(), verdicts = json::array();
  for (auto& sample : report.samples)
    samples.push_back(
        {{"second", sample.second},
         {"phase", sample.phase},
         {"joined", sample.joined},
         {"rate", sample.rate},
         {"p50", sample.p50},
         {"p99", sample.p99},
         {"cpu", sample.cpu},
         {"memory", sample.memory}});
  for (auto& point : report.curve)
    curve.push_back({{"percent", point.percent}, {"microseconds", point.nanoseconds / 1e3}});
  for (auto& verdict : report.verdicts)
    verdicts.push_back(
        {{"text", verdict.text},
         {"value", verdict.known ? json(verdict.value) : json()},
         {"holds", verdict.holds}});
  return json{{"mode", report.mode},           {"started", report.started},
              {"machine", report.machine},     {"settings", std::move(settings)},
              {"figures", std::move(figures)}, {"samples", std::move(samples)},
              {"curve", std::move(curve)},     {"thresholds", std::move(verdicts)}}
             .dump() +
         "\n";
}

}  // namespace roost::load
