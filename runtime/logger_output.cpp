// Where lines go: stderr, or a file that rotates.
#include "runtime/logger_output.hpp"
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <unistd.h>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

namespace roost::detail {
namespace {

std::string line_of(const log_event& event, log_format format, bool colors) {
  return format == log_format::json ? logger::format_json(event)
                                    : logger::format_text(event, colors);
}

bool stderr_has_colors() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) && !std::getenv("NO_COLOR") &&
         std::string_view(term ? term : "dumb") != "dumb";
}

/// A file that rotates. A full disk may have room again later, so a failure is told on stderr,
/// once, and the file is tried again with the next line.
class log_file {
 public:
  explicit log_file(const logger_options& options)
      : format_(options.format),
        sink_(options.file, static_cast<std::size_t>(options.max_file_size), options.max_files) {
    sink_.set_pattern("%v");
  }

  void handle(const log_event& event) {
    auto line = line_of(event, format_, false);
    attempt([&] { sink_.log(spdlog::details::log_msg("", spdlog::level::info, line)); });
    unflushed_ = true;
    if (event.level <= log_level::error) flush();
  }

  void flush() {
    // Only a flush that has something to write proves that there is room: a line may have gone to a
    // buffer, and after an error the buffer is empty.
    if (!std::exchange(unflushed_, false)) return;
    if (attempt([&] { sink_.flush(); })) failing_ = false;
  }

 private:
  template <class Action>
  bool attempt(Action action) {
    try {
      action();
      return true;
    } catch (const spdlog::spdlog_ex& error) {
      if (!std::exchange(failing_, true))
        write_to_stderr(fmt::format("log lines are lost: {}\n", error.what()));
      return false;
    }
  }

  log_format format_;
  spdlog::sinks::rotating_file_sink_st sink_;
  bool unflushed_ = false;
  bool failing_ = false;
};

}  // namespace

void write_to_stderr(std::string_view text) {
  while (!text.empty()) {
    auto written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // another program made our terminal non-blocking
      pollfd stderr_ready{STDERR_FILENO, POLLOUT, 0};
      ::poll(&stderr_ready, 1, 1000);
    } else if (errno != EINTR) {
      return;
    }
  }
}

sink stderr_sink(log_format format) {
  bool colors = stderr_has_colors();
  auto handle = [=](const log_event& event) {
    write_to_stderr(line_of(event, format, colors) + '\n');
  };
  return {handle, {}};
}

sink sink_for(const logger_options& options) {
  if (options.file.empty()) return stderr_sink(options.format);
  try {
    auto file = std::make_shared<log_file>(options);
    return {[file](const log_event& event) { file->handle(event); }, [file] { file->flush(); }};
  } catch (const spdlog::spdlog_ex& error) {
    throw std::invalid_argument(fmt::format(
        "expected {} to be a writable log file, got \"{}\"", options.file, error.what()));
  }
}

// ----------------------------------------------------------------------------------------- bursts

bool burst_limit::allow(log_level level, time_point now) {
  if (now - began_ >= window_) {
    began_ = now;
    passed_ = 0;
  }
  std::size_t quarters = level <= log_level::error ? 5 : 4;
  bool fits = passed_ < lines_ * quarters / 4;
  fits ? ++passed_ : ++dropped_;
  return fits;
}

std::optional<burst_limit::time_point> burst_limit::due() const {
  return dropped_ > 0 ? std::optional(began_ + window_) : std::nullopt;
}

log_event dropped_event(std::size_t count) {
  return {
      .time = std::chrono::system_clock::now(),
      .level = log_level::warning,
      .message = fmt::format("{} messages dropped", count),
      .fields = {{"dropped", static_cast<std::int64_t>(count)}}};
}

sink with_burst_limit(sink output, std::size_t lines, std::chrono::milliseconds window) {
  if (lines == 0) return output;
  struct state {
    sink output;
    burst_limit limit;

    std::optional<sink::clock::time_point> settle(sink::clock::time_point now, bool in_any_case) {
      auto due = limit.due();
      if (!due || (now < *due && !in_any_case)) return due;
      output.handle(dropped_event(limit.take_dropped()));
      if (output.flush) output.flush();
      return std::nullopt;
    }
    void handle(const log_event& event) {
      auto now = sink::clock::now();
      settle(now, false);
      if (limit.allow(event.level, now)) output.handle(event);
    }
  };
  auto all = std::make_shared<state>(state{std::move(output), burst_limit(lines, window)});
  return {
      [all](const log_event& event) { all->handle(event); },
      [all] {
        if (all->output.flush) all->output.flush();
      },
      [all](auto now, bool in_any_case) { return all->settle(now, in_any_case); }};
}

}  // namespace roost::detail
