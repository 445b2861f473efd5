// Which topics a node wants, in few bytes: what others know of it is never too little.
#include "channels/interest_filter.hpp"
#include <doctest/doctest.h>
#include <cstdlib>
#include <random>
#include <set>

using namespace roost::detail;

namespace {

std::string topic(std::size_t number) { return "room:" + std::to_string(number); }

/// Brings the other one up to date.
void tell(own_interest& own, others_interest& other) {
  auto delta = own.take_changes();
  REQUIRE((delta ? other.apply(*delta) : other.assign(own.snapshot())));
}

/// Of so many topics that nobody subscribes to, how many seem wanted.
double wrongly_wanted(const others_interest& other) {
  constexpr std::size_t asked = 100'000;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < asked; ++i)
    if (other.may_want(interest_hash("nobody:" + std::to_string(i)))) ++wrong;
  return static_cast<double>(wrong) / asked;
}

}  // namespace

TEST_CASE("a node of which nothing is known may want everything") {
  others_interest other;
  CHECK(other.may_want(interest_hash("room:1")));
  CHECK_FALSE(other.apply({{1}, {}}));
  CHECK(other.may_want(interest_hash("room:1")));
}

TEST_CASE("the hash is the same on every node and in every version") {
  CHECK(interest_hash("room:lobby") == 0x45a7d68685b48b64);
}

TEST_CASE("a topic is wanted from its first subscriber until its last one") {
  own_interest own;
  others_interest other;
  REQUIRE(other.assign(own.snapshot()));
  auto hash = interest_hash("room:1");
  CHECK_FALSE(other.may_want(hash));
  own.add("room:1");
  CHECK(own.has_changes());
  tell(own, other);
  CHECK(other.may_want(hash));
  CHECK_FALSE(own.has_changes());
  own.add("room:2");
  own.remove("room:1");
  tell(own, other);
  CHECK_FALSE(other.may_want(hash));
  CHECK(other.may_want(interest_hash("room:2")));
}

TEST_CASE("what came and went before anybody was told is no news") {
  own_interest own;
  others_interest other;
  REQUIRE(other.assign(own.snapshot()));
  own.add("room:1");
  own.remove("room:1");
  auto delta = own.take_changes();
  REQUIRE(delta);
  CHECK(delta->set.empty());
  tell(own, other);
  CHECK_FALSE(other.may_want(interest_hash("room:1")));
}

TEST_CASE("whatever comes and goes, nothing that is wanted is missed") {
  std::mt19937 dice(std::random_device{}());
  own_interest own;
  others_interest other;
  REQUIRE(other.assign(own.snapshot()));
  std::set<std::size_t> wanted;
  for (int round = 0; round < 300; ++round) {
    // It grows and shrinks through several sizes of the filter.
    auto changes = 1 + dice() % 600;
    bool more = (round / 60) % 2 == 0;
    for (std::size_t i = 0; i < changes; ++i) {
      auto number = dice() % 40'000;
      if (more ? wanted.insert(number).second : wanted.erase(number) != 0)
        more ? own.add(topic(number)) : own.remove(topic(number));
    }
    tell(own, other);
    CHECK(own.topics() == wanted.size());
    for (auto number : wanted)
      if (!other.may_want(interest_hash(topic(number)))) FAIL("missed " << topic(number));
  }
}

TEST_CASE("a million topics take a mebibyte, and few seem wanted that are not") {
  own_interest own;
  others_interest other;
  for (std::size_t i = 0; i < 1'000'000; ++i) own.add(topic(i));
  REQUIRE(other.assign(own.snapshot()));
  CHECK(other.memory() <= (1 << 20) + 64);
  auto wrong = wrongly_wanted(other);
  MESSAGE("1,000,000 topics: ", other.memory(), " bytes, ", wrong * 100, " % wrongly wanted");
  CHECK(wrong < 0.05);
  for (std::size_t i = 0; i < 1'000'000; ++i) own.remove(topic(i));
  REQUIRE(other.assign(own.snapshot()));
  CHECK(other.memory() <= 1024 + 64);
  CHECK(wrongly_wanted(other) == 0);
}

TEST_CASE("too many topics make it less exact, not wrong") {
  own_interest own;
  others_interest other;
  for (std::size_t i = 0; i < 3'000'000; ++i) own.add(topic(i));
  REQUIRE(other.assign(own.snapshot()));
  CHECK(other.memory() <= (1 << 20) + 64);
  for (std::size_t i = 0; i < 3'000'000; i += 1000) CHECK(other.may_want(interest_hash(topic(i))));
  for (std::size_t i = 0; i < 3'000'000; ++i) own.remove(topic(i));
  CHECK(own.topics() == 0);
  REQUIRE(other.assign(own.snapshot()));
  CHECK(wrongly_wanted(other) == 0);
}

TEST_CASE("what another node says is not believed when it cannot be") {
  own_interest own;
  own.add("room:1");
  auto good = own.snapshot();
  others_interest other;
  REQUIRE(other.assign(good));
  for (auto bits : {0, 1, 12, 14, 24, 63, 64, 255}) {
    auto bad = good;
    bad.bits = static_cast<std::uint8_t>(bits);
    CHECK_FALSE(other.assign(bad));
    CHECK(other.may_want(interest_hash("nobody")));
  }
  REQUIRE(other.assign(good));
  CHECK_FALSE(other.apply({{1u << 13}, {}}));
  CHECK(other.may_want(interest_hash("nobody")));
  REQUIRE(other.assign(good));
  CHECK_FALSE(other.apply({{}, {0xffffffff}}));
  CHECK(other.may_want(interest_hash("nobody")));
}
