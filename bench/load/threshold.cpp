#include "bench/load/threshold.hpp"
#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace roost::load {
namespace {

std::string_view trimmed(std::string_view text) {
  auto begin = text.find_first_not_of(' ');
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

[[noreturn]] void refuse(std::string_view text) {
  throw std::invalid_argument(
      "expected a threshold to be NAME, one of < <= > >= ==, and a number, got \"" +
      std::string(text) + "\"");
}

double scale_of(std::string_view unit, std::string_view text) {
  constexpr std::pair<std::string_view, double> units[] = {
      {"", 1},     {"%", 1},   {"ns", 1e-3},  {"us", 1},
      {"ms", 1e3}, {"s", 1e6}, {"KB", 1'000}, {"MB", 1'000'000}};
  for (auto& [name, scale] : units)
    if (name == unit) return scale;
  refuse(text);
}

}  // namespace

threshold::threshold(std::string_view text) : text_(trimmed(text)) {
  auto place = text_.find_first_of("<>=");
  if (place == text_.npos || place == 0) refuse(text);
  auto after = text_.find_first_not_of("<>=", place);
  if (after == text_.npos) refuse(text);
  name_ = trimmed(std::string_view(text_).substr(0, place));
  auto sign = std::string_view(text_).substr(place, after - place);
  if (sign == "<")
    comparison_ = comparison::less;
  else if (sign == "<=")
    comparison_ = comparison::at_most;
  else if (sign == ">")
    comparison_ = comparison::more;
  else if (sign == ">=")
    comparison_ = comparison::at_least;
  else if (sign == "==")
    comparison_ = comparison::equal;
  else
    refuse(text);
  auto number = trimmed(std::string_view(text_).substr(after));
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), limit_);
  if (error != std::errc() || end == number.data()) refuse(text);
  auto unit = number.substr(static_cast<std::size_t>(end - number.data()));
  limit_ *= scale_of(trimmed(unit), text);
}

bool threshold::holds(double value) const noexcept {
  switch (comparison_) {
    case comparison::less:
      return value < limit_;
    case comparison::at_most:
      return value <= limit_;
    case comparison::more:
      return value > limit_;
    case comparison::at_least:
      return value >= limit_;
    case comparison::equal:
      return value == limit_;
  }
  return false;
}

std::vector<verdict> judge(
    const std::vector<threshold>& thresholds, const std::vector<figure>& figures) {
  std::vector<verdict> verdicts;
  for (auto& threshold : thresholds) {
    auto found = std::find_if(figures.begin(), figures.end(), [&](const figure& figure) {
      return figure.name == threshold.name();
    });
    verdict verdict{.text = threshold.text()};
    if (found != figures.end()) {
      verdict.known = true;
      verdict.value = found->value;
      verdict.holds = threshold.holds(found->value);
    }
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

}  // namespace roost::load
