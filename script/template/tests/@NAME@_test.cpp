#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "counter.hpp"
#include "runtime/runtime.hpp"
#include <doctest/doctest.h>

TEST_CASE("a bumped counter says its new value") {
  roost::runtime runtime;
  auto c = roost::start_link<counter>({.name = "counter"}, 10);

  roost::cast(c, counter::bump{.by = 5});

  CHECK(roost::call(c, counter::get{}).get() == 15);
}
