// private: what the processes that are measured use, as /proc and their processor clocks tell it.
#pragma once
#include <sys/types.h>
#include <cstdint>
#include <string>
#include <vector>

namespace roost::load {

class server_watch {
 public:
  /// Throws std::invalid_argument if one of them is not there.
  explicit server_watch(std::vector<pid_t> pids);

  bool empty() const noexcept { return pids_.empty(); }
  /// Seconds of processor time of all, since their starts. What has ended counts no more.
  double cpu() const;
  /// Bytes of memory that are resident.
  std::uint64_t memory() const;
  /// Whether all still run.
  bool alive() const;

 private:
  std::vector<pid_t> pids_;
};

/// "Intel(R) Xeon(R) …, 2 processors, Linux 6.1"
std::string machine();

}  // namespace roost::load
