// private: what watches one process: a tracer, a log, a file, counters and installed functions.
//
// It exists only while something is switched on, so that a process that nobody watches pays for one
// pointer that it looks at.
#pragma once
#include "runtime/sys.hpp"
#include <cstdio>
#include <deque>

namespace roost::detail {

struct process;

class sys_debug {
 public:
  sys_debug() = default;
  sys_debug(const sys_debug&) = delete;
  sys_debug& operator=(const sys_debug&) = delete;

  /// Hands an event of `process`, which is the running one, to everybody who watches.
  void happened(
      process& process, trace_event::kind_of_event what, const message& message, pid peer);

  bool is_idle() const noexcept;
  std::vector<std::string> switched_on() const;

  void keep_log(std::size_t events);
  std::vector<trace_event> logged() const { return {log_.begin(), log_.end()}; }
  void open_file(const std::string& name);  // throws std::system_error
  void count(bool on, std::uint64_t reductions);
  std::optional<sys::statistics_report> counted(std::uint64_t reductions) const;
  void install(std::string id, event_function function);
  void remove(std::string_view id);

  pid tracer;
  bool prints = false;

 private:
  struct installed {
    std::string id;
    event_function function;
    bool done = false;
  };
  struct counters {
    std::uint64_t reductions = 0;  // of the process when the count began
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    std::chrono::system_clock::time_point since;
  };
  struct close_file {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };

  bool wants_text() const noexcept;
  void run_installed(process& process, const trace_event& event);

  std::size_t log_limit_ = 0;
  std::deque<trace_event> log_;
  std::string file_name_;
  std::unique_ptr<std::FILE, close_file> file_;
  std::optional<counters> counters_;
  std::vector<installed> functions_;
};

/// For start_options::debug.
void apply_debug_options(process& process, const debug_options& options);

}  // namespace roost::detail
