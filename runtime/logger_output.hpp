// runtime/logger_output.hpp — private.
//
// Where the default handler writes to: stderr, or a file that rotates, behind a limit on bursts.
//
// Thread safety: a sink is used by one thread at a time.
#pragma once
#include "runtime/logger.hpp"
#include <array>
#include <optional>
#include <utility>

namespace roost::detail {

inline constexpr std::array<std::string_view, 9> level_names{
    "none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"};

/// What the logger attaches: a log_handler, and what an output may need besides.
struct sink {
  using clock = std::chrono::steady_clock;

  log_handler handle;
  std::function<void()> flush = {};  // pushes out what a file holds back
  /// Tells of lines that were dropped, if it is time to, or in any case; answers when to ask again.
  std::function<std::optional<clock::time_point>(clock::time_point now, bool in_any_case)> settle =
      {};
};

/// Throws std::invalid_argument if the file cannot be opened.
sink sink_for(const logger_options& options);
sink stderr_sink(log_format format);

/// An output that a flood of lines cannot fill: past the limit lines are dropped until the window
/// is over, and then their number is told.
sink with_burst_limit(sink output, std::size_t lines, std::chrono::milliseconds window);

/// The decision of with_burst_limit. Pure: the caller says what time it is. As in the queue, error
/// and above may use a quarter more.
class burst_limit {
 public:
  using time_point = sink::clock::time_point;

  burst_limit(std::size_t lines, std::chrono::milliseconds window)
      : lines_(lines), window_(window) {}

  bool allow(log_level level, time_point now);

  /// When the window ends in which lines were dropped; nothing if none were.
  std::optional<time_point> due() const;
  std::size_t take_dropped() { return std::exchange(dropped_, 0); }

 private:
  std::size_t lines_;
  std::chrono::milliseconds window_;
  time_point began_{};
  std::size_t passed_ = 0;
  std::size_t dropped_ = 0;
};

/// With one system call where it can, so that lines of several programs do not mix. A broken stderr
/// is left alone: there is nobody to tell.
void write_to_stderr(std::string_view text);

log_event dropped_event(std::size_t count);

}  // namespace roost::detail
