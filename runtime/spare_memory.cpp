#include "runtime/spare_memory.hpp"
#ifdef ROOST_JEMALLOC
#include <jemalloc/jemalloc.h>
#include <cstdio>
#else
#include <malloc.h>
#endif

namespace roost::detail {
namespace {

// Looking costs about a microsecond for each 64 KiB that the thread has.
constexpr std::uint32_t worth_it = 1'000;  // processes
constexpr std::uint64_t interval = 1'000;  // ms

void give_all_back() noexcept {
#ifdef ROOST_JEMALLOC
  ::mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0);
  unsigned arena = 0;
  auto size = sizeof arena;
  if (::mallctl("thread.arena", &arena, &size, nullptr, 0) != 0) return;
  char command[32];
  std::snprintf(command, sizeof command, "arena.%u.purge", arena);
  ::mallctl(command, nullptr, nullptr, nullptr, 0);
#else
  ::malloc_trim(0);
#endif
}

}  // namespace

std::optional<std::uint64_t> spare_memory::give_back(std::uint64_t now) noexcept {
  if (freed_ < worth_it) return std::nullopt;
  if (now - given_back_ < interval) return interval - (now - given_back_);
  give_all_back();
  freed_ = 0;
  given_back_ = now;
  return std::nullopt;
}

}  // namespace roost::detail
