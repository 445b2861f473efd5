#include "runtime/discovery/reconciler.hpp"
#include <doctest/doctest.h>

using roost::discovery::reconciler;
using namespace std::chrono_literals;
using names = std::vector<std::string>;

TEST_CASE("who is wanted and not there is connected, once at a time") {
  reconciler nodes{"a@h", 1};
  auto now = reconciler::clock::time_point{} + 1h;
  nodes.want({"a@h", "b@h", "c@h"});
  CHECK(nodes.due({"c@h"}, now) == names{"b@h"});
  CHECK(nodes.due({"c@h"}, now + 1min).empty());  // still being tried
  nodes.connected("b@h");
  CHECK(nodes.due({"b@h", "c@h"}, now).empty());
  CHECK(nodes.due({"c@h"}, now) == names{"b@h"});  // lost again: at once
}

TEST_CASE("a node that cannot be reached is tried for ever, at growing intervals") {
  reconciler nodes{"a@h", 2};
  auto now = reconciler::clock::time_point{} + 1h;
  nodes.want({"b@h"});
  auto longest = 0ms;
  for (int i = 0; i < 200; ++i) {
    REQUIRE(nodes.due({}, now) == names{"b@h"});
    nodes.failed("b@h", now);
    auto failed_at = now;
    while (nodes.due({}, now).empty()) {
      now += 50ms;
      REQUIRE(now - failed_at <= reconciler::longest_pause + 50ms);
    }
    longest =
        std::max(longest, std::chrono::duration_cast<std::chrono::milliseconds>(now - failed_at));
    nodes.failed("b@h", now);
    now += reconciler::longest_pause;
  }
  CHECK(longest > 1s);
}

TEST_CASE("who vanishes from the answer is told, whoever is this node is not") {
  reconciler nodes{"a@h", 3};
  CHECK(nodes.want({"a@h", "b@h", "c@h"}).empty());
  CHECK(nodes.want({"c@h"}) == names{"b@h"});
  CHECK(nodes.want({"c@h"}).empty());
}
