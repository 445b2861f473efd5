// Who is present: what nodes tell each other may come in any order, twice, in part or not at all.
#include "channels/tracker_delta.hpp"
#include "runtime/codec.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

using namespace roost::detail;

namespace {

tracked_ptr someone(const std::string& key) {
  return std::make_shared<const tracked>(tracked{"room:1", key, {{"online_at", 1}}});
}

std::set<std::string> keys(const replica_presences& known) {
  std::set<std::string> all;
  for (auto& [number, value] : known.present()) all.insert(value->key);
  return all;
}

bool same(const tracker_delta& one, const tracker_delta& other) {
  replica_presences left, right;
  left.merge(one);
  right.merge(other);
  return left == right;
}

/// Parts of one history, each of a few changes.
std::vector<tracker_delta> history(std::mt19937& dice, int changes) {
  own_presences own;
  std::vector<tracker_delta> parts;
  std::vector<std::uint64_t> here;
  for (int i = 0; i < changes; ++i) {
    if (here.empty() || dice() % 3 != 0) {
      here.push_back(own.add(someone("k" + std::to_string(dice() % 20))));
    } else {
      auto at = dice() % here.size();
      own.remove(here[at]);
      here.erase(here.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (dice() % 2 == 0)
      if (auto part = own.take_changes(); !part.empty()) parts.push_back(std::move(part));
  }
  parts.push_back(own.known().whole());
  return parts;
}

int rounds(int quick, int thorough) { return std::getenv("ROOST_LONG") ? thorough : quick; }

}  // namespace

TEST_CASE("a set of numbers is kept as few ranges") {
  causal_context context;
  for (std::uint64_t number : {5, 1, 2, 9, 3}) context.add({number, number});
  CHECK(context.ranges() == std::vector<number_range>{{1, 3}, {5, 5}, {9, 9}});
  context.add({4, 8});
  CHECK(context.ranges() == std::vector<number_range>{{1, 9}});
  CHECK(context.reach() == 9);
  context.add({0, 7});
  context.add({12, 11});
  context.add({20, ~std::uint64_t{0}});
  CHECK(context.ranges() == std::vector<number_range>{{1, 9}});
}

TEST_CASE("what joined and left elsewhere joins and leaves here") {
  own_presences own;
  replica_presences known;
  auto ann = own.add(someone("ann"));
  own.add(someone("ben"));
  auto first = known.merge(own.take_changes());
  CHECK(first.joins.size() == 2);
  CHECK(first.leaves.empty());
  own.remove(ann);
  auto second = known.merge(own.take_changes());
  CHECK(second.joins.empty());
  REQUIRE(second.leaves.size() == 1);
  CHECK(second.leaves[0].value->key == "ann");
  CHECK(keys(known) == std::set<std::string>{"ben"});
  CHECK(known.heard().reach() == own.last());
}

TEST_CASE("whoever came and went before anybody was told is no news") {
  own_presences own;
  replica_presences known;
  own.remove(own.add(someone("ann")));
  CHECK(known.merge(own.take_changes()).empty());
  CHECK(known.heard().reach() == own.last());
}

TEST_CASE("what was missed shows, a removal too, and the whole makes up for it") {
  own_presences own;
  replica_presences known;
  auto ann = own.add(someone("ann"));
  known.merge(own.take_changes());
  own.remove(ann);
  own.take_changes();  // lost on the way
  own.add(someone("ben"));
  known.merge(own.take_changes());
  CHECK(known.heard().reach() < own.last());
  CHECK(keys(known) == std::set<std::string>{"ann", "ben"});
  auto changes = known.merge(own.known().whole());
  CHECK(changes.leaves.size() == 1);
  CHECK(known == own.known());
}

TEST_CASE("an old whole that comes late brings nobody back") {
  own_presences own;
  replica_presences known;
  auto ann = own.add(someone("ann"));
  auto old = own.known().whole();
  own.remove(ann);
  known.merge(own.known().whole());
  CHECK(known.merge(old).empty());
  CHECK(keys(known).empty());
}

TEST_CASE("knowledge is put together in any order and grouping, and twice, to the same") {
  std::mt19937 dice(std::random_device{}());
  for (int round = 0; round < rounds(200, 5000); ++round) {
    auto parts = history(dice, 30);
    auto pick = [&] { return parts[dice() % parts.size()]; };
    auto a = pick(), b = pick(), c = pick();
    CHECK(same(merge(a, b), merge(b, a)));
    CHECK(same(merge(merge(a, b), c), merge(a, merge(b, c))));
    CHECK(same(merge(a, a), a));
    replica_presences one, other;
    for (auto& part : parts) one.merge(part);
    auto shuffled = parts;
    shuffled.insert(shuffled.end(), parts.begin(), parts.end());
    std::shuffle(shuffled.begin(), shuffled.end(), dice);
    for (auto& part : shuffled) other.merge(part);
    CHECK(one == other);
  }
}

TEST_CASE("after a million joins and leaves it is as small as before") {
  own_presences own;
  replica_presences known;
  for (int i = 0; i < 1'000'000; ++i) {
    own.remove(own.add(someone("ann")));
    if (i % 1000 == 0) known.merge(own.take_changes());
  }
  known.merge(own.take_changes());
  CHECK(own.known().present().empty());
  CHECK(own.known().heard().ranges().size() == 1);
  CHECK(own.changes_since(own.last() - 10)->size() == 1);
  CHECK(known == own.known());
}

TEST_CASE("what cannot be is not believed") {
  replica_presences known;
  // Numbers that it does not say it has heard of, ranges that are none or overlap.
  // Numbers that do not go with anybody, metas that clients could not read.
  auto nobody = std::make_shared<const tracked>(
      tracked{"room:1", "x", roost::payload::binary(std::string_view("x"))});
  auto not_text = std::make_shared<const tracked>(tracked{"room:1", "\xFF", {}});
  auto changes = known.merge(
      {{{3, 2}, {0, 0}, {5, 9}, {7, 8}},
       {{4, someone("x")}, {5, nullptr}, {6, nobody}, {7, not_text}}});
  CHECK(changes.empty());
  CHECK(known.heard().ranges() == std::vector<number_range>{{5, 9}});
}

TEST_CASE("whoever has missed some gets what has changed since, as long as that is kept") {
  own_presences own({2, 10});
  replica_presences known, late;
  std::vector<std::uint64_t> here;
  for (int i = 0; i < 8; ++i) {
    here.push_back(own.add(someone("k" + std::to_string(i))));
    known.merge(own.take_changes());
    if (i == 3) late = known;
  }
  CHECK(own.changes_since(8)->present().empty());  // the small one has begun again
  REQUIRE(own.changes_since(late.heard().reach()) != nullptr);
  late.merge(own.changes_since(late.heard().reach())->whole());
  CHECK(late == own.known());
  own.remove(here[0]);
  own.take_changes();
  late.merge(own.changes_since(8)->whole());
  CHECK(late == own.known());
  for (int i = 0; i < 30; ++i) {
    own.add(someone("more"));
    own.take_changes();
  }
  CHECK(own.changes_since(9) == nullptr);
}

TEST_CASE("a delta has the effect that the whole has") {
  std::mt19937 dice(std::random_device{}());
  for (int round = 0; round < rounds(200, 5000); ++round) {
    own_presences own({5, 50});
    std::vector<std::uint64_t> here;
    replica_presences by_delta, by_whole;
    for (int i = 0; i < 60; ++i) {
      if (here.empty() || dice() % 3 != 0) {
        here.push_back(own.add(someone("k")));
      } else {
        auto at = dice() % here.size();
        own.remove(here[at]);
        here.erase(here.begin() + static_cast<std::ptrdiff_t>(at));
      }
      if (dice() % 3 == 0) own.take_changes();
      if (dice() % 9 != 0 || own.has_changes()) continue;
      auto* since = own.changes_since(by_delta.heard().reach());
      auto delta = since != nullptr ? since->whole() : own.known().whole();
      auto one = by_delta.merge(delta), other = by_whole.merge(own.known().whole());
      CHECK(one.joins.size() == other.joins.size());
      CHECK(one.leaves.size() == other.leaves.size());
      CHECK(by_delta == by_whole);
    }
  }
}

TEST_CASE("pages read in order are the whole") {
  own_presences own;
  replica_presences known;
  std::vector<std::uint64_t> here;
  for (int i = 0; i < 1000; ++i) here.push_back(own.add(someone(std::to_string(i))));
  for (std::size_t i = 0; i < here.size(); i += 3) own.remove(here[i]);
  known.merge(own.known().whole());
  for (std::size_t i = 1; i < here.size(); i += 3) own.remove(here[i]);
  own.take_changes();
  std::uint64_t after = 0;
  int pages = 0;
  while (after < own.told()) {
    auto page = own.page(after, own.told(), {.presences = 50});
    CHECK(page.delta.present.size() <= 50);
    known.merge(page.delta);
    after = page.last;
    ++pages;
  }
  CHECK(known == own.known());
  CHECK(pages > 5);
  CHECK(own.page(0, own.told(), {.bytes = 1}).delta.present.size() == 1);
}

TEST_CASE("a delta travels") {
  own_presences own;
  own.add(someone("ann"));
  own.remove(own.add(someone("ben")));
  auto delta = own.take_changes();
  wire_buffer bytes;
  wire_writer out{bytes};
  encode_root(out, delta);
  wire_reader in{bytes.view()};
  tracker_delta arrived;
  decode_root(in, arrived);
  CHECK(same(delta, arrived));
}
