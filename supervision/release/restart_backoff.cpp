#include "supervision/release/restart_backoff.hpp"
#include <algorithm>

namespace roost::detail {

std::optional<restart_backoff::milliseconds> restart_backoff::after_death(
    bool was_ready, milliseconds lived) {
  ++crashes_;
  boot_crashes_ = was_ready ? 0 : boot_crashes_ + 1;
  if (boot_crashes_ >= options_.max_boot_crashes) return std::nullopt;
  if (was_ready && lived >= options_.stable_after) next_delay_ = milliseconds(0);
  auto delay = next_delay_;
  next_delay_ = std::min(std::max(delay * 2, options_.first_delay), options_.longest_delay);
  return delay;
}

}  // namespace roost::detail
