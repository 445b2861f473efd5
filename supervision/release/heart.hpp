// supervision/release/heart.hpp — private.
//
// A small parent that starts the node again when it dies or when its heartbeats stop. It is one
// thread without a runtime, forked from before there are threads, so that little can go wrong in
// it.
//
//   if (auto code = run_heart(options, about)) return *code;   // in heart, when all is over
//   … here is the node; heart_line() is its line to heart
//
// The node writes single bytes to a pipe: `n` it begins to start, `r` ready, `b` a beat, `s` it was
// told to stop, so that its end is no crash. The node's exit code decides: 0, wrong usage and a
// node that runs already end heart with the same code; everything else is a crash. SIGTERM, SIGINT
// and SIGUSR1 are passed on. When heart itself is killed, the node stops in order.
//
// Source: OTP heart. There heart runs a command of its user's; here it knows what it has started.
#pragma once
#include "supervision/release/environment.hpp"
#include "supervision/release/restart_backoff.hpp"
#include <atomic>

namespace roost::detail {

struct heart_options {
  std::chrono::milliseconds beat_timeout{60'000};  // HEART_BEAT_TIMEOUT, in seconds
  restart_backoff::options backoff = {};
};

/// From the section `heart` and the variable HEART_BEAT_TIMEOUT, which wins.
heart_options read_heart_options(
    const config& config, const std::function<const char*(const char*)>& variable);

/// What heart's lines say, and how.
struct heart_context {
  std::string node;
  std::string crash_report;  // the file that the dying node writes
  bool json = false;
  std::function<void()> on_ready = {};  // the node serves; called in heart, each time
};

/// What became of the node before this one, for its log.
struct heart_history {
  int crashes = 0;
  std::string last = {};       // "signal 11 (SIGSEGV)"
  std::string backtrace = {};  // the file with it, if there is one
};

/// The node's end of the pipe; does nothing in a node without heart. Any thread.
class heart_line {
 public:
  void open(int descriptor) { descriptor_ = descriptor; }
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  void starting() const { write('n'); }
  void beat() const { write('b'); }
  void ready() const { write('r'); }
  void stopping() const { write('s'); }

 private:
  void write(char byte) const;

  std::atomic<int> descriptor_ = -1;
};

heart_line& line_to_heart();
heart_history& history_from_heart();

/// Answers heart's exit code in heart; nothing in the node, once for each time that it is started.
std::optional<int> run_heart(const heart_options& options, const heart_context& context);

/// How a process ended, in words; `status` is that of waitpid.
std::string describe_end(int status);

/// Where the core dump of a process is, or why there is none; `pattern` is that of core_pattern.
std::string describe_core(
    std::string_view pattern, bool dumped, long pid, const std::string& directory);

}  // namespace roost::detail
