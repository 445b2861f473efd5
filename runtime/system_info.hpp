// runtime/system_info.hpp
//
// The state of this node in numbers: processes, schedulers, memory, files. Cheap enough to be asked
// every second, however many processes there are.
//
//   auto before = roost::system_info();
//   …
//   auto now = roost::system_info();
//   auto busy = roost::scheduler_utilization(before, now);   // of each scheduler, 0 to 1
//   if (now.memory.used > now.memory.limit * 8 / 10) …
//
// Sums are since the start of the runtime; each number is read by itself, so they may be moments
// apart. Without a runtime there are no schedulers, and no uptime.
//
// Errors: a number that the system does not tell is 0. Thread safety: any process or thread; it
// reads a few files of /proc, which takes some 50 microseconds and does not wait.
// Source: erlang:system_info/1, erlang:memory/0, erlang:statistics/1 (scheduler_wall_time,
// run_queue_lengths), scheduler:utilization/2.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace roost {

struct scheduler_details {
  std::chrono::nanoseconds busy{0};  // not asleep: processes, timers, sockets and looking for work
  std::chrono::nanoseconds wall{0};  // since the start
  std::uint64_t reductions = 0;      // messages handled
  std::size_t run_queue = 0;         // processes that wait for their turn here
};

struct memory_details {
  std::uint64_t total = 0;      // bytes of this program in memory (resident)
  std::uint64_t processes = 0;  // … of it, what the processes take without what their states own
  /// Of all that shares the limit: of the cgroup, or of the host. Caches that can be dropped do not
  /// count.
  std::uint64_t used = 0;
  std::uint64_t limit = 0;   // bytes: of the cgroup if it has one, else of the host
  bool of_a_cgroup = false;  // whose limit and use these are
};

struct system_details {
  std::size_t processes = 0;
  std::size_t process_limit = 0;  // see set_process_limit
  std::vector<scheduler_details> schedulers;
  std::size_t blocking_jobs = 0;  // that wait for a thread of roost::blocking
  memory_details memory;
  std::size_t open_files = 0;  // descriptors
  std::size_t file_limit = 0;  // RLIMIT_NOFILE; 0: none
  std::chrono::milliseconds uptime{0};
  std::chrono::steady_clock::time_point taken;
  int os_pid = 0;
  std::string version;  // of roost

  std::size_t run_queue() const noexcept;  // of all schedulers
  std::uint64_t reductions() const noexcept;
};

system_details system_info();

/// How busy each scheduler was between the two, 0 to 1. Empty when they are not of one runtime.
std::vector<double> scheduler_utilization(const system_details& from, const system_details& to);

/// How many processes a node should have at most, for alarms and dashboards; nobody is refused. As
/// the BEAM's +P, 1,048,576 at first.
void set_process_limit(std::size_t limit) noexcept;

}  // namespace roost
