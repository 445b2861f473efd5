#include "supervision/application_plan.hpp"
#include <doctest/doctest.h>
#include <stdexcept>

using namespace roost::detail;
using order = std::vector<std::size_t>;

TEST_CASE("applications start in the given order when nothing depends on anything") {
  CHECK(start_order({{"a", {}}, {"b", {}}, {"c", {}}}) == order{0, 1, 2});
  CHECK(start_order({}).empty());
}

TEST_CASE("an application starts after all that it depends on, directly or not") {
  CHECK(
      start_order({{"chat", {"web", "db"}}, {"web", {"log"}}, {"db", {"log"}}, {"log", {}}}) ==
      order{3, 1, 2, 0});
}

TEST_CASE("dependencies that cannot be are refused with one reason") {
  auto refused = [](const std::vector<application_node>& nodes, const char* sentence) {
    CHECK_THROWS_WITH_AS(start_order(nodes), sentence, std::invalid_argument);
  };
  refused(
      {{"a", {"c"}}, {"b", {}}},
      "expected application a to depend on applications of this program (a, b), got c");
  refused(
      {{"x", {"a"}}, {"a", {"b"}}, {"b", {"c"}}, {"c", {"a"}}},
      "expected applications to depend on each other without a cycle, got a → b → c → a");
  refused(
      {{"a", {"a"}}}, "expected applications to depend on each other without a cycle, got a → a");
  refused({{"a", {}}, {"a", {}}}, "expected names of applications to be different, got a twice");
  refused({{"", {}}}, "expected an application's name to be set, got an empty one");
}

TEST_CASE("a permanent application takes the node with it, a transient one if it crashed") {
  CHECK(ends_node(roost::permanent, true));
  CHECK(ends_node(roost::permanent, false));
  CHECK_FALSE(ends_node(roost::transient, true));
  CHECK(ends_node(roost::transient, false));
  CHECK_FALSE(ends_node(roost::temporary, true));
  CHECK_FALSE(ends_node(roost::temporary, false));
}
