#include "runtime/system_info.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/memory_limit.hpp"
#include "runtime/scheduler.hpp"
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cstdio>

namespace roost {
namespace {

std::atomic<std::size_t> wanted_processes{1'048'576};

std::uint64_t resident_bytes() {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{
      std::fopen("/proc/self/statm", "re"), std::fclose};
  unsigned long size = 0;
  unsigned long resident = 0;
  if (!file || std::fscanf(file.get(), "%lu %lu", &size, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t counted_files() {
  std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir("/proc/self/fd"), ::closedir};
  if (!directory) return 0;
  std::size_t count = 0;
  while (::readdir(directory.get()) != nullptr) ++count;
  return count < 3 ? 0 : count - 3;  // . and .. and the directory itself
}

std::size_t open_files() {
  // Since Linux 6.2 the directory's size says it. Before, a node with 100,000 sockets has to count
  // them, which takes some 30 ms: not more often than every few seconds.
  struct stat status {};
  if (::stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
    return static_cast<std::size_t>(status.st_size);
  static constexpr std::size_t many = 10'000;
  static std::atomic<std::size_t> last{0};
  static std::atomic<std::uint64_t> counted_at{0};
  auto now = detail::exact_now();
  if (last > many && now - counted_at < 5'000) return last;
  counted_at = now;
  return last = counted_files();
}

std::size_t file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 0;
  return limit.rlim_cur;
}

scheduler_details details_of(const detail::worker& worker, std::uint64_t now) {
  auto wall = now - std::min(now, worker.started_ns());
  return {
      .busy = std::chrono::nanoseconds(wall - std::min(wall, worker.idle_ns(now))),
      .wall = std::chrono::nanoseconds(wall),
      .reductions = worker.reductions(),
      .run_queue = worker.run_queue()};
}

}  // namespace

std::size_t system_details::run_queue() const noexcept {
  std::size_t sum = 0;
  for (auto& one : schedulers) sum += one.run_queue;
  return sum;
}

std::uint64_t system_details::reductions() const noexcept {
  std::uint64_t sum = 0;
  for (auto& one : schedulers) sum += one.reductions;
  return sum;
}

system_details system_info() {
  system_details now;
  now.processes = detail::process_count();
  now.process_limit = wanted_processes.load(std::memory_order_relaxed);
  now.blocking_jobs = detail::blocking_pool::waiting();
  auto memory = detail::read_memory_limit();
  now.memory = {
      .total = resident_bytes(),
      .processes = now.processes * (detail::process_size() + sizeof(detail::slot)),
      .used = memory.used,
      .limit = memory.limit,
      .of_a_cgroup = memory.of_a_cgroup};
  now.open_files = open_files();
  now.file_limit = file_limit();
  now.os_pid = ::getpid();
  now.version = ROOST_VERSION;
  now.taken = std::chrono::steady_clock::now();
  auto* workers = detail::scheduler::instance();
  if (workers == nullptr) return now;
  auto clock = detail::exact_now_ns();
  for (std::size_t i = 0; i < workers->size(); ++i)
    now.schedulers.push_back(details_of(workers->at(i), clock));
  now.uptime = std::chrono::duration_cast<std::chrono::milliseconds>(now.schedulers.front().wall);
  return now;
}

std::vector<double> scheduler_utilization(const system_details& from, const system_details& to) {
  std::vector<double> result;
  if (from.schedulers.size() != to.schedulers.size()) return result;
  for (std::size_t i = 0; i < to.schedulers.size(); ++i) {
    auto wall = to.schedulers[i].wall - from.schedulers[i].wall;
    auto busy = to.schedulers[i].busy - from.schedulers[i].busy;
    if (wall.count() <= 0) return {};
    auto part = static_cast<double>(busy.count()) / static_cast<double>(wall.count());
    result.push_back(std::clamp(part, 0.0, 1.0));
  }
  return result;
}

void set_process_limit(std::size_t limit) noexcept {
  wanted_processes.store(limit, std::memory_order_relaxed);
}

}  // namespace roost
