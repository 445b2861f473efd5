#include "supervision/restart_plan.hpp"
#include "tests/support.hpp"
#include <algorithm>

using namespace roost;
using namespace roost::test;

namespace {

using positions = std::vector<std::size_t>;

const restart_intensity::clock::time_point start_of_time{};

/// Restarts at these times; answers which of them were allowed.
std::vector<bool> allowed(
    int max_restarts, std::chrono::milliseconds max_seconds,
    const std::vector<std::chrono::milliseconds>& restarts) {
  restart_intensity intensity{max_restarts, max_seconds};
  std::vector<bool> answers;
  for (auto at : restarts) answers.push_back(intensity.allow(start_of_time + at));
  return answers;
}

}  // namespace

TEST_CASE("each strategy stops and starts the right children, wherever the one that ended stands") {
  struct row {
    enum strategy strategy;
    std::size_t count;
    std::size_t ended;
    positions stop;
    positions start;
  };
  const row table[] = {
      {one_for_one, 1, 0, {}, {0}},
      {one_for_one, 4, 0, {}, {0}},
      {one_for_one, 4, 2, {}, {2}},
      {one_for_one, 4, 3, {}, {3}},
      {one_for_all, 1, 0, {}, {0}},
      {one_for_all, 4, 0, {3, 2, 1}, {0, 1, 2, 3}},
      {one_for_all, 4, 2, {3, 1, 0}, {0, 1, 2, 3}},
      {one_for_all, 4, 3, {2, 1, 0}, {0, 1, 2, 3}},
      {rest_for_one, 1, 0, {}, {0}},
      {rest_for_one, 4, 0, {3, 2, 1}, {0, 1, 2, 3}},
      {rest_for_one, 4, 1, {3, 2}, {1, 2, 3}},
      {rest_for_one, 4, 2, {3}, {2, 3}},
      {rest_for_one, 4, 3, {}, {3}},
  };
  for (auto& row : table) {
    CAPTURE(static_cast<int>(row.strategy));
    CAPTURE(row.count);
    CAPTURE(row.ended);
    auto plan = plan_restart(row.strategy, row.count, row.ended);
    CHECK(plan.stop == row.stop);
    CHECK(plan.start == row.start);
  }
}

TEST_CASE("what is stopped is started again in the opposite order, together with what ended") {
  for (auto strategy : {one_for_one, one_for_all, rest_for_one})
    for (std::size_t count = 1; count <= 12; ++count)
      for (std::size_t ended = 0; ended < count; ++ended) {
        auto plan = plan_restart(strategy, count, ended);
        auto expected = plan.stop;
        expected.push_back(ended);
        std::sort(expected.begin(), expected.end());
        CHECK(plan.start == expected);
        CHECK(std::is_sorted(plan.stop.rbegin(), plan.stop.rend()));
      }
}

TEST_CASE("the type of a child and the reason of its end decide whether it comes back") {
  struct row {
    exit_reason reason;
    bool transient_comes_back;
  };
  const row table[] = {
      {exit_reason::normal, false},
      {exit_reason::shutdown, false},
      {exit_reason::shutdown_with("left"), false},
      {exit_reason::kill, true},
      {exit_reason::killed, true},
      {exit_reason::noproc, true},
      {exit_reason::noconnection, true},
      {exit_reason::timeout, true},
      {exit_reason::error("std::runtime_error", "no paper", "printer"), true},
      {exit_reason("out of paper"), true},
      {exit_reason("normal"), true},  // text that only looks like the reason normal
  };
  for (auto& row : table) {
    CAPTURE(row.reason.to_string());
    CHECK(comes_back(permanent, row.reason));
    CHECK(comes_back(transient, row.reason) == row.transient_comes_back);
    CHECK_FALSE(comes_back(temporary, row.reason));
  }
}

TEST_CASE("as many restarts as the limit are allowed within the window, and not one more") {
  CHECK(allowed(3, 5s, {0ms, 1ms, 2ms, 3ms}) == std::vector{true, true, true, false});
  CHECK(allowed(1, 5s, {0ms, 4999ms}) == std::vector{true, false});
  CHECK(allowed(2, 1ms, {7ms, 7ms, 7ms}) == std::vector{true, true, false});
}

TEST_CASE("with a limit of none the first restart is too many") {
  CHECK(allowed(0, 5s, {0ms, 60s}) == std::vector{false, false});
}

TEST_CASE("a restart counts until the window has passed it, its end included") {
  CHECK(allowed(1, 5s, {0ms, 5000ms}) == std::vector{true, false});
  CHECK(allowed(1, 5s, {0ms, 5001ms}) == std::vector{true, true});
  CHECK(
      allowed(3, 5s, {0ms, 1000ms, 2000ms, 5000ms, 5001ms}) ==
      std::vector{true, true, true, false, false});
}

TEST_CASE("the window slides: a steady trickle of restarts goes on for ever") {
  restart_intensity intensity{3, 5s};
  for (int i = 0; i < 100'000; ++i) {
    bool allowed = intensity.allow(start_of_time + i * 1700ms);
    if (!allowed) FAIL("restart " << i << " was not allowed");
  }
  CHECK_FALSE(allowed(2, 5s, {0ms, 1700ms, 3400ms, 5100ms}).back());
}

TEST_CASE("a pause doubles until its longest, and begins again after a long run") {
  restart_delay delay;
  backoff options{.min = 100ms, .max = 1s, .factor = 2, .jitter = 0};
  auto now = start_of_time;
  std::vector<std::chrono::milliseconds> pauses;
  for (int i = 0; i < 6; ++i) {
    delay.started(now);
    now += 10ms;
    pauses.push_back(delay.next(options, now, 0.5));
  }
  CHECK(pauses == std::vector<std::chrono::milliseconds>{100ms, 200ms, 400ms, 800ms, 1s, 1s});
  CHECK(delay.next(options, now + 1h, 0.5) == 1s);  // it did not run
  delay.started(now);
  CHECK(delay.next(options, now + 999ms, 0.5) == 1s);
  delay.started(now);
  CHECK(delay.next(options, now + 1s, 0.5) == 100ms);
}

TEST_CASE("a pause is up to its jitter shorter or longer, and never longer than the longest") {
  backoff options{.min = 100ms, .max = 110ms, .factor = 1, .jitter = 0.2};
  auto pause = [&](double random) { return restart_delay{}.next(options, start_of_time, random); };
  CHECK(pause(0) == 80ms);
  CHECK(pause(0.5) == 100ms);
  CHECK(pause(1) == 110ms);
}

TEST_CASE("a child may fail for years") {
  restart_delay delay;
  backoff options{.min = 1ms, .max = 30s, .factor = 1000, .jitter = 0};
  for (int i = 0; i < 100'000; ++i) (void)delay.next(options, start_of_time, 0.5);
  CHECK(delay.next(options, start_of_time, 0.5) == 30s);
  backoff none{.min = 0ms, .max = 0ms};
  CHECK(restart_delay{}.next(none, start_of_time, 0.5) == 0ms);
}

TEST_CASE("a great many restarts within the window are counted, to a thousandth of it") {
  restart_intensity intensity{100'000, 1s};
  auto now = start_of_time;
  for (int i = 0; i < 100'000; ++i) CHECK(intensity.allow(now += 1us));
  CHECK_FALSE(intensity.allow(now));
  CHECK(intensity.allow(now + 1s + 1ms));
}
