#include "bench/load/progress.hpp"
#include <unistd.h>
#include <cstdio>

namespace roost::load {

progress::progress(bool on) : on_(on), terminal_(::isatty(STDERR_FILENO) == 1) {}

void progress::show_bar(const sample& sample, double connections) {
  constexpr int width = 40;
  auto done = static_cast<int>(width * sample.joined / connections);
  std::fprintf(
      stderr, "%s%-12s [%.*s%.*s] %.0f of %.0f, %.0f/s%s", terminal_ ? "\r" : "",
      sample.phase.c_str(), done, "########################################", width - done,
      "                                        ", sample.joined, connections, sample.rate,
      terminal_ ? "\033[K" : "\n");
  bar_open_ = terminal_;
  lines_ = 0;
}

void progress::show(const sample& sample, double connections) {
  if (!on_) return;
  if (sample.phase == "connecting" || sample.phase == "herding" || sample.phase == "leaving")
    return show_bar(sample, connections);
  if (bar_open_) std::fputc('\n', stderr);
  bar_open_ = false;
  if (lines_++ % 20 == 0)
    std::fprintf(
        stderr, "%8s %-11s %12s %10s %10s %8s %10s\n", "second", "", "events/s", "p50 us", "p99 us",
        "cpu", "memory MB");
  std::fprintf(
      stderr, "%8.0f %-11s %12.0f %10.0f %10.0f %7.0f%% %10.1f\n", sample.second,
      sample.phase.c_str(), sample.rate, sample.p50, sample.p99, sample.cpu * 100,
      sample.memory / 1e6);
}

void progress::end() {
  if (bar_open_) std::fputc('\n', stderr);
  bar_open_ = false;
}

}  // namespace roost::load
