#include "channels/client/backoff.hpp"
#include <doctest/doctest.h>
#include <vector>

using namespace roost::detail;
using namespace std::chrono_literals;

TEST_CASE("without jitter the delays are those of phoenix.js") {
  const std::vector connects{10ms, 50ms, 100ms, 150ms, 200ms, 250ms, 500ms, 1000ms, 2000ms, 5000ms};
  for (unsigned tries = 1; tries <= connects.size(); ++tries)
    CHECK(reconnect_delay(tries) == connects[tries - 1]);
  CHECK(reconnect_delay(11) == 5000ms);
  CHECK(reconnect_delay(~0U) == 5000ms);
  const std::vector joins{1000ms, 2000ms, 5000ms, 10'000ms};
  for (unsigned tries = 1; tries <= joins.size(); ++tries)
    CHECK(rejoin_delay(tries) == joins[tries - 1]);
  CHECK(rejoin_delay(5) == 10'000ms);
}

TEST_CASE("jitter is a share more or less, and nothing on average") {
  CHECK(jittered(1000ms, 0.5, 0) == 500ms);
  CHECK(jittered(1000ms, 0.5, 0.5) == 1000ms);
  CHECK(jittered(1000ms, 0.5, 1) == 1500ms);
  CHECK(jittered(1000ms, 1, 0) == 0ms);
  CHECK(jittered(1000ms, 1, 1) == 2000ms);
  for (double random : {0.0, 0.3, 1.0}) CHECK(jittered(1000ms, 0, random) == 1000ms);
}

TEST_CASE("a delay that no clock can count is a day, a negative one is none") {
  CHECK(jittered(std::chrono::milliseconds::max(), 0, 0.5) == 24h);
  CHECK(jittered(-5ms, 0.5, 0.5) == 0ms);
}

TEST_CASE("a retry-after is never cut short, and its clients are spread") {
  CHECK(retry_delay(10s, 0.5, 0) == 10s);
  CHECK(retry_delay(10s, 0.5, 1) == 15s);
  CHECK(retry_delay(0s, 0.5, 1) == 500ms);
  CHECK(retry_delay(10s, 0, 1) == 10s);
  CHECK(retry_delay(100h, 0, 0) == 1h);
}
