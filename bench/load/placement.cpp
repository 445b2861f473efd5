#include "bench/load/placement.hpp"
#include <sched.h>
#include <unistd.h>

namespace roost::load {

void hurry() {
  sched_param first{};
  first.sched_priority = 1;
  ::sched_setscheduler(0, SCHED_RR, &first);
}

void keep_apart(bool is_herd) {
  auto processors = ::sysconf(_SC_NPROCESSORS_ONLN);
  if (processors < 2) return;
  cpu_set_t mine;
  CPU_ZERO(&mine);
  for (long i = is_herd ? 1 : 0; i < (is_herd ? processors : 1); ++i) CPU_SET(i, &mine);
  ::sched_setaffinity(0, sizeof mine, &mine);
}

}  // namespace roost::load
