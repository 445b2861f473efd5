// private: how far a client is ahead of the rate at which it may send. Unlike a token_bucket it
// refuses nothing: what has come is counted, and tells how long to wait before the next.
#pragma once
#include <algorithm>
#include <cstdint>

namespace roost::detail {

class rate_meter {
 public:
  /// Counts `count` of what there may be `rate` a second of, and `burst` at once. Answers for how
  /// many ms nothing more should come; `now` is in ms.
  std::uint64_t count(
      std::uint64_t count, std::uint64_t rate, std::uint64_t burst, std::uint64_t now) noexcept {
    auto time_of = [rate](std::uint64_t many) { return many * 1'000'000 / rate; };
    paid_until_ = std::max(paid_until_, now * 1000) + time_of(count);
    auto ahead = paid_until_ - now * 1000, allowed = time_of(burst);
    return ahead <= allowed ? 0 : (ahead - allowed) / 1000 + 1;
  }

 private:
  std::uint64_t paid_until_ = 0;  // us
};

}  // namespace roost::detail
