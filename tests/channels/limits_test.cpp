#include "channels/limits.hpp"
#include "tests/support.hpp"
#include <set>

using namespace roost;
using namespace roost::detail;
using namespace roost::test;

TEST_CASE("a bucket lets a burst through, and then so many a second") {
  token_bucket bucket(100, 5);
  std::uint64_t now = 1000;
  for (int i = 0; i < 5; ++i) CHECK(bucket.take(now));
  CHECK_FALSE(bucket.take(now));
  CHECK(bucket.wait() > 0);
  CHECK(bucket.wait() <= 11);
  int taken = 0;
  for (now = 1001; now <= 2000; ++now) taken += bucket.take(now);
  CHECK(taken >= 99);
  CHECK(taken <= 100);
  now += 100'000;
  taken = 0;
  while (bucket.take(now)) ++taken;
  CHECK(taken == 5);
}

TEST_CASE("a rate of 0 is no limit") {
  token_bucket bucket(0, 0);
  for (int i = 0; i < 1000; ++i) CHECK(bucket.take(1));
}

TEST_CASE_FIXTURE(node, "past a limit clients are refused, counted and logged") {
  log_capture log;
  admission gate(
      "endpoint", {.max_connections = 2, .max_sockets = 2, .max_sockets_per_address = 1});
  CHECK(gate.enter_connection() == refusal::none);
  CHECK(gate.enter_connection() == refusal::none);
  CHECK(gate.enter_connection() == refusal::connections);
  gate.leave_connection();
  CHECK(gate.enter_connection() == refusal::none);

  CHECK(gate.enter_socket("1.1.1.1") == refusal::none);
  CHECK(gate.enter_socket("1.1.1.1") == refusal::address);
  CHECK(gate.enter_socket("2.2.2.2") == refusal::none);
  CHECK(gate.enter_socket("3.3.3.3") == refusal::sockets);
  gate.leave_socket("1.1.1.1");
  CHECK(gate.enter_socket("1.1.1.1") == refusal::none);

  auto numbers = gate.statistics();
  CHECK(numbers.connections == 2);
  CHECK(numbers.accepted == 3);
  CHECK(numbers.refused_connections == 1);
  CHECK(numbers.sockets == 2);
  CHECK(numbers.connected == 3);
  CHECK(numbers.refused_by_address == 1);
  CHECK(numbers.refused_sockets == 1);
  CHECK(eventually([&] { return log.saw("", "limit reached, refusing clients"); }));
}

TEST_CASE_FIXTURE(node, "a limit that is not enforced only counts and logs") {
  log_capture log;
  admission gate(
      "endpoint", {.max_sockets = 1,
                   .max_sockets_per_address = 1,
                   .accept_rate = 1,
                   .accept_burst = 1,
                   .enforce = false});
  for (int i = 0; i < 3; ++i) CHECK(gate.enter_socket("1.1.1.1") == refusal::none);
  auto numbers = gate.statistics();
  CHECK(numbers.sockets == 3);
  CHECK(numbers.refused_sockets == 2);
  CHECK(numbers.refused_by_address == 2);
  CHECK(numbers.refused_by_rate >= 1);
  for (int i = 0; i < 3; ++i) gate.leave_socket("1.1.1.1");
  CHECK(gate.statistics().sockets == 0);
  CHECK(eventually([&] { return log.saw("", "limit reached, letting clients in"); }));
}

TEST_CASE_FIXTURE(node, "near a limit there is a warning before anybody is refused") {
  log_capture log;
  admission gate("endpoint", {.max_sockets = 10});
  for (int i = 0; i < 9; ++i) CHECK(gate.enter_socket("") == refusal::none);
  CHECK(eventually([&] { return log.saw("", "near a limit"); }));
  CHECK(gate.statistics().refused_sockets == 0);
}

TEST_CASE_FIXTURE(node, "a herd is taken in at the rate, the rest is told to come back apart") {
  admission gate("endpoint", {.accept_rate = 100, .accept_burst = 50});
  for (int i = 0; i < 1000; ++i) (void)gate.enter_connection();
  int in = 0;
  std::set<unsigned> later;
  for (int i = 0; i < 1000; ++i) {
    if (gate.enter_socket("") == refusal::none)
      ++in;
    else
      later.insert(gate.retry_after());
  }
  CHECK(in >= 50);
  CHECK(in < 200);
  CHECK(later.size() >= 8);
  CHECK(*later.begin() >= 1);
  CHECK(*later.rbegin() <= 12);
}

TEST_CASE_FIXTURE(node, "while it drains nobody comes in") {
  admission gate("endpoint", {});
  CHECK(gate.enter_socket("") == refusal::none);
  gate.drain();
  CHECK(gate.enter_socket("") == refusal::draining);
  CHECK(gate.statistics().refused_draining == 1);
  CHECK(gate.statistics().sockets == 1);
}
