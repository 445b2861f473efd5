// private: what is seen while a run goes on: a bar while clients connect, then a line a second.
#pragma once
#include "bench/load/report.hpp"

namespace roost::load {

class progress {
 public:
  explicit progress(bool on);
  void show(const sample& sample, double connections);
  void end();

 private:
  void show_bar(const sample& sample, double connections);

  bool on_;
  bool terminal_;
  bool bar_open_ = false;
  std::size_t lines_ = 0;
};

}  // namespace roost::load
