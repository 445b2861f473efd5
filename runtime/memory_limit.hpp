// private: how much memory there is, and how much of it is used: of the cgroup, else of the host.
//
// A cgroup's limit is that of the nearest of its ancestors, of all limits the lowest. Pages of
// files that nobody has used lately (inactive_file) go before anybody is killed, so they do not
// count, as Kubernetes' working set has it.
#pragma once
#include <cstdint>
#include <string>

namespace roost::detail {

struct memory_limit {
  std::uint64_t used = 0;   // bytes
  std::uint64_t limit = 0;  // bytes
  bool of_a_cgroup = false;
};

/// `root` is where /proc and /sys are: for tests. Version 2 of cgroups first, then version 1.
memory_limit read_memory_limit(const std::string& root = "");

}  // namespace roost::detail
