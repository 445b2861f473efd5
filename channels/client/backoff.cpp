#include "channels/client/backoff.hpp"
#include <algorithm>
#include <array>

namespace roost::detail {
namespace {

using std::chrono::milliseconds;

template <std::size_t N>
milliseconds at(const std::array<int, N>& delays, unsigned tries) noexcept {
  const auto index = std::min<std::size_t>(tries == 0 ? 0 : tries - 1, N - 1);
  return milliseconds(delays[index]);
}

milliseconds share_of(milliseconds delay, double share) noexcept {
  return milliseconds(
      static_cast<milliseconds::rep>(static_cast<double>(delay.count()) * share + 0.5));
}

}  // namespace

milliseconds reconnect_delay(unsigned tries) noexcept {
  static constexpr std::array delays{10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000};
  return at(delays, tries);
}

milliseconds rejoin_delay(unsigned tries) noexcept {
  static constexpr std::array delays{1000, 2000, 5000, 10'000};
  return at(delays, tries);
}

milliseconds jittered(milliseconds delay, double share, double random) noexcept {
  const auto sane = std::clamp<milliseconds>(delay, milliseconds(0), std::chrono::hours(24));
  return share_of(sane, 1 - share + 2 * share * random);
}

milliseconds retry_delay(milliseconds asked, double share, double random) noexcept {
  const auto delay = std::clamp<milliseconds>(asked, milliseconds(0), std::chrono::hours(1));
  const auto spread = std::max<milliseconds>(delay, std::chrono::seconds(1));
  return delay + share_of(spread, share * random);
}

}  // namespace roost::detail
