// When a value is an alarm, without a node that has one.
#include "operations/crash_loops.hpp"
#include "operations/network_load.hpp"
#include "operations/threshold.hpp"
#include <doctest/doctest.h>

using namespace roost::detail;
using namespace std::chrono_literals;

namespace {

const auto start = std::chrono::steady_clock::time_point() + 1h;

}  // namespace

TEST_CASE("an alarm is raised at one value and cleared at a lower one") {
  threshold memory{{.raise = 0.8, .clear = 0.7}};
  CHECK(memory.update(0.79, start) == std::nullopt);
  CHECK(memory.update(0.80, start) == true);
  CHECK(memory.update(0.95, start) == std::nullopt);  // once
  CHECK(memory.update(0.75, start) == std::nullopt);  // in between nothing changes
  CHECK(memory.update(0.70, start) == std::nullopt);
  CHECK(memory.raised());
  CHECK(memory.update(0.69, start) == false);
  CHECK(memory.update(0.75, start) == std::nullopt);
  CHECK_FALSE(memory.raised());
}

TEST_CASE("an alarm that wants to last is raised only after its window") {
  threshold busy{{.raise = 0.8, .clear = 0.5, .sustained = 30s}};
  CHECK(busy.update(0.9, start) == std::nullopt);
  CHECK(busy.update(0.9, start + 29s) == std::nullopt);
  CHECK(busy.update(0.7, start + 29s) == std::nullopt);  // a breath: it begins again
  CHECK(busy.update(0.9, start + 31s) == std::nullopt);
  CHECK(busy.update(0.9, start + 60s) == std::nullopt);
  CHECK(busy.update(0.9, start + 61s) == true);
  CHECK(busy.update(0.4, start + 62s) == false);
}

TEST_CASE("a supervisor that restarts too often within the window is in a loop") {
  crash_loops loops{{.raise = 3, .clear = 1, .window = 60s}};
  CHECK(loops.describe(start).empty());
  loops.restarted("chat", "room", start);
  loops.restarted("chat", "room", start + 10s);
  loops.restarted("other", "x", start + 10s);
  CHECK(loops.describe(start + 10s).empty());
  loops.restarted("chat", "room", start + 50s);
  CHECK(loops.describe(start + 50s) == "chat restarts room again and again");
  CHECK_FALSE(loops.describe(start + 65s).empty());  // two are left: more than clear
  CHECK(loops.describe(start + 71s).empty());
}

TEST_CASE("a supervisor that has given up is told of for a window") {
  crash_loops loops{{.raise = 3, .clear = 1, .window = 60s}};
  loops.gave_up("chat", "room", start);
  CHECK(loops.describe(start + 1s) == "chat has given up on room");
  CHECK(loops.describe(start + 61s).empty());
}

TEST_CASE("supervisors without end are not kept without end") {
  crash_loops loops{{.raise = 1, .clear = 0, .window = 1h}};
  for (int i = 0; i < 3'000; ++i)
    loops.restarted("s" + std::to_string(i), "x", start + std::chrono::milliseconds(i));
  auto text = loops.describe(start + 3s);
  CHECK(text.find("s2999 ") != text.npos);
  CHECK(text.find("s1999 ") == text.npos);
}

TEST_CASE("/proc/net/dev is read") {
  auto all = parse_net_dev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
      "    lo: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n"
      "eth0:4294967296 3 0 0 0 0 0 0 7 2 0 0 0 0 0 0\n"
      "broken: 1 2\n");
  CHECK(all.size() == 2);
  CHECK(all["lo"] == interface_bytes{100, 200});
  CHECK(all["eth0"] == interface_bytes{4'294'967'296, 7});
}

TEST_CASE("a network is as busy as its busier direction") {
  interface_bytes before{1'000, 1'000};
  interface_bytes now{1'000 + 125'000, 1'000 + 12'500};
  CHECK(network_load(before, now, 1s, 2'000'000) == doctest::Approx(0.5));
  CHECK(network_load(before, now, 500ms, 2'000'000) == doctest::Approx(1));
  CHECK(network_load(before, now, 1s, 0) == 0);      // no speed is known
  CHECK(network_load(now, before, 1s, 1'000) == 0);  // the counters began again
}
