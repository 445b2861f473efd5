#include "runtime/allocator.hpp"
#ifdef ROOST_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

namespace roost::detail {
namespace {

constexpr std::uint32_t worth_it = 1'000;  // processes
constexpr std::uint64_t interval = 1'000;  // ms

void let_all_go() noexcept {
#ifdef ROOST_JEMALLOC
  ::mallctl("thread.tcache.flush", nullptr, nullptr, nullptr, 0);
#endif
}

}  // namespace

void give_memory_back_in_background() noexcept {
#ifdef ROOST_JEMALLOC
  bool on = true;
  ::mallctl("background_thread", nullptr, nullptr, &on, sizeof on);
#endif
}

std::optional<std::uint64_t> spare_memory::let_go(std::uint64_t now) noexcept {
  if (ended_ < worth_it) return std::nullopt;
  if (now - let_go_ < interval) return interval - (now - let_go_);
  let_all_go();
  ended_ = 0;
  let_go_ = now;
  return std::nullopt;
}

}  // namespace roost::detail
