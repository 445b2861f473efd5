#include "bench/load/options.hpp"
#include "bench/load/threshold.hpp"
#include <doctest/doctest.h>
#include <stdexcept>

using namespace roost::load;

TEST_CASE("a target's path is completed as phoenix.js does") {
  auto plain = parse_target("ws://10.0.0.1:4000/socket");
  CHECK(plain.host == "10.0.0.1");
  CHECK(plain.port == 4000);
  CHECK(plain.path == "/socket/websocket?vsn=2.0.0");
  CHECK_FALSE(plain.secure);

  auto secure = parse_target("wss://localhost/live/websocket?token=a");
  CHECK(secure.host == "127.0.0.1");
  CHECK(secure.port == 443);
  CHECK(secure.path == "/live/websocket?token=a&vsn=2.0.0");
  CHECK(secure.secure);
  CHECK(parse_target("ws://127.0.0.1:1").path == "/socket/websocket?vsn=2.0.0");
}

TEST_CASE("a target that is none is refused with a sentence") {
  for (auto text :
       {"http://a:1/socket", "ws://", "ws://:1/", "ws://a:0/", "ws://a:x/", "ws://a:70000/"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_target(text), std::invalid_argument);
  }
}

TEST_CASE("sources are lists and ranges") {
  CHECK(parse_sources("127.0.0.2").size() == 1);
  auto all = parse_sources("127.0.0.254-127.0.1.1,10.0.0.1");
  CHECK(
      all ==
      std::vector<std::string>{"127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1", "10.0.0.1"});
  for (auto text : {"", "a", "127.0.0.2-", "127.0.0.3-127.0.0.2", "10.0.0.0-10.255.0.0"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_sources(text), std::invalid_argument);
  }
}

TEST_CASE("thresholds compare, with units") {
  CHECK(threshold("p99 <= 5ms").holds(5'000));
  CHECK_FALSE(threshold("p99<5ms").holds(5'000));
  CHECK(threshold("p50<1s").holds(999'999));
  CHECK(threshold("connects_per_cpu_second >= 30000").holds(30'000));
  CHECK(threshold("bytes_per_connection < 2KB").holds(1'999));
  CHECK(threshold("lost_replies == 0").holds(0));
  CHECK(threshold("memory_growth_percent < 2 %").holds(1.9));
  CHECK(threshold("p99 > 1.5us").holds(1.6));
  for (auto text :
       {"", "p99", "p99 < ", "< 5", "p99 = 5", "p99 < 5 apples", "p99 <> 5", "p99 < x"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(threshold{text}, std::invalid_argument);
  }
}

TEST_CASE("a threshold of a figure that the run does not have does not hold") {
  auto verdicts =
      judge({threshold("p99 < 5ms"), threshold("p98 < 5ms")}, {{"p99", 4'000}, {"p50", 1}});
  REQUIRE(verdicts.size() == 2);
  CHECK(verdicts[0].holds);
  CHECK(verdicts[0].value == 4'000);
  CHECK_FALSE(verdicts[1].known);
  CHECK_FALSE(verdicts[1].holds);
}
