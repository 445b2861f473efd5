#include "bench/load/histogram.hpp"
#include <doctest/doctest.h>
#include <cmath>

using namespace roost::load;

TEST_CASE("a percentile is off by less than one percent, from nanoseconds to minutes") {
  for (double value = 1; value < 6e11; value *= 1.37) {
    histogram one;
    one.add(static_cast<std::uint64_t>(value));
    CAPTURE(value);
    CHECK(std::fabs(one.percentile(50) - std::floor(value)) <= value / 100);
  }
}

TEST_CASE("percentiles of a thousand different values") {
  histogram all;
  for (std::uint64_t i = 1; i <= 1000; ++i) all.add(i * 1000);
  CHECK(all.count() == 1000);
  CHECK(all.percentile(0) == doctest::Approx(1'000).epsilon(0.01));
  CHECK(all.percentile(50) == doctest::Approx(500'000).epsilon(0.01));
  CHECK(all.percentile(99) == doctest::Approx(990'000).epsilon(0.01));
  CHECK(all.highest() == doctest::Approx(1'000'000).epsilon(0.01));
  CHECK(all.mean() == doctest::Approx(500'500).epsilon(0.01));
}

TEST_CASE("nothing was counted") {
  histogram none;
  CHECK(none.percentile(99) == 0);
  CHECK(none.mean() == 0);
  CHECK(none.curve().empty());
}

TEST_CASE("what takes longer than eighteen minutes counts as that") {
  histogram one;
  one.add(~std::uint64_t{0});
  CHECK(one.highest() > 1e12);
}

TEST_CASE(
    "histograms of several processes add up, and a later one less an earlier one is between") {
  shared_histogram shared;
  for (int i = 0; i < 10; ++i) shared.add(1'000);
  auto earlier = shared.snapshot();
  for (int i = 0; i < 5; ++i) shared.add(2'000'000);
  auto between = shared.snapshot().since(earlier);
  CHECK(between.count() == 5);
  CHECK(between.percentile(1) == doctest::Approx(2e6).epsilon(0.01));
  between.add(earlier);
  CHECK(between.count() == 15);
  CHECK(between.percentile(50) == doctest::Approx(1'000).epsilon(0.01));
}

TEST_CASE("the curve rises to the highest value, closer together towards the end") {
  histogram all;
  for (std::uint64_t i = 1; i <= 10'000; ++i) all.add(i);
  auto curve = all.curve();
  for (std::size_t i = 1; i < curve.size(); ++i) {
    CHECK(curve[i].percent > curve[i - 1].percent);
    CHECK(curve[i].nanoseconds >= curve[i - 1].nanoseconds);
  }
  CHECK(curve.back().percent == 100);
  CHECK(curve[curve.size() - 2].percent > 99.99);
}
