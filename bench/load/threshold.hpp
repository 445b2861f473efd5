// private: what a run has to reach, and whether it has. Pure.
//
//   p99 <= 5ms      connects_per_cpu_second >= 30000      errors == 0
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace roost::load {

/// A figure of a run. Times are in microseconds, memory is in bytes.
struct figure {
  std::string name;
  double value = 0;
};

class threshold {
 public:
  /// "NAME OP VALUE" with one of < <= > >= ==, the spaces are free; the value may have a unit: ns,
  /// us, ms, s; KB, MB, %. Throws std::invalid_argument.
  explicit threshold(std::string_view text);

  const std::string& text() const noexcept { return text_; }
  const std::string& name() const noexcept { return name_; }
  bool holds(double value) const noexcept;

 private:
  enum class comparison { less, at_most, more, at_least, equal };

  std::string text_;
  std::string name_;
  comparison comparison_;
  double limit_;
};

struct verdict {
  std::string text;
  double value = 0;
  bool known = false;  // false: the run has no such figure
  bool holds = false;
};

std::vector<verdict> judge(
    const std::vector<threshold>& thresholds, const std::vector<figure>& figures);

}  // namespace roost::load
