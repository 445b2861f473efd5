#include "bench/load/server_watch.hpp"
#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <algorithm>
#include <ctime>
#include <fstream>
#include <stdexcept>

namespace roost::load {
namespace {

std::uint64_t kilobytes(pid_t pid, std::string_view key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return std::stoull(line.substr(key.size() + 1));
  return 0;
}

}  // namespace

server_watch::server_watch(std::vector<pid_t> pids) : pids_(std::move(pids)) {
  for (auto pid : pids_)
    if (::kill(pid, 0) != 0 && errno == ESRCH)
      throw std::invalid_argument(
          "expected --pid to be a process of this machine, got " + std::to_string(pid));
}

double server_watch::cpu() const {
  double sum = 0;
  for (auto pid : pids_) {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) continue;
    sum += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }
  return sum;
}

std::uint64_t server_watch::memory() const {
  std::uint64_t sum = 0;
  for (auto pid : pids_) sum += kilobytes(pid, "VmRSS:") * 1024;
  return sum;
}

bool server_watch::alive() const {
  return std::all_of(pids_.begin(), pids_.end(), [](pid_t pid) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(stat, line);
    auto end = line.rfind(')');
    return end != line.npos && end + 2 < line.size() && line[end + 2] != 'Z';
  });
}

std::string machine() {
  std::string model = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  utsname name{};
  ::uname(&name);
  return model + ", " + std::to_string(::sysconf(_SC_NPROCESSORS_ONLN)) + " processors, " +
         name.sysname + " " + name.release;
}

}  // namespace roost::load
