#include "runtime/discovery/reconciler.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <optional>
#include <random>

using namespace std::chrono_literals;
using roost::discovery::reconciler;
using names = std::vector<std::string>;
using name_set = std::set<std::string>;
using time_point = reconciler::time_point;

namespace {

/// A plan, the nodes around it, and the time.
struct scene {
  explicit scene(reconciler::options options = {}) : plan(options, 7) {}

  reconciler::steps decide() {
    return plan.decide(now, actual, {.self = "me@h", .wanted_elsewhere = [this](auto& node) {
                                       return others.contains(node);
                                     }});
  }

  /// Connects what the plan says, successfully.
  void settle() {
    for (auto& node : decide().connect) {
      plan.connected(node, now);
      actual.insert(node);
    }
    decide();
  }

  void pass(std::chrono::milliseconds time) { now += time; }

  reconciler plan;
  time_point now = time_point{} + 1h;
  name_set actual;
  name_set others;  // wanted by other topologies
};

}  // namespace

TEST_CASE("missing nodes are connected at once and together, but never this one") {
  scene s;
  s.plan.want({"b@h", "me@h", "c@h"});
  CHECK(s.decide().connect == names{"b@h", "c@h"});
  CHECK(s.decide().connect.empty());  // both are on their way
}

TEST_CASE("nodes that are there already are left alone") {
  scene s;
  s.plan.want({"b@h", "c@h"});
  s.actual = {"b@h", "stranger@h"};
  auto steps = s.decide();
  CHECK(steps.connect == names{"c@h"});
  CHECK(steps.disconnect.empty());
}

TEST_CASE("a node that cannot be reached is tried for ever, half a second to two seconds apart") {
  scene s;
  s.plan.want({"b@h"});
  std::vector<std::chrono::milliseconds> pauses;
  for (int attempt = 0; attempt < 100; ++attempt) {
    REQUIRE(s.decide().connect == names{"b@h"});
    s.plan.failed("b@h", s.now);
    auto next = s.decide().next;
    REQUIRE(next > s.now);
    pauses.push_back(std::chrono::ceil<std::chrono::milliseconds>(next - s.now));
    s.now = next - 1ms;
    REQUIRE(s.decide().connect.empty());
    s.now = next;
  }
  CHECK(pauses.front() >= 500ms);
  CHECK(pauses.front() <= 1000ms);
  CHECK(pauses[2] >= 1s);
  for (auto pause : pauses) CHECK((pause >= 500ms && pause <= 2s));
  CHECK(*std::min_element(pauses.begin() + 10, pauses.end()) >= 1s);
  // Jitter: they differ though the longest is the same.
  CHECK(std::set(pauses.begin() + 10, pauses.end()).size() > 20);
}

TEST_CASE("two nodes that fail at one moment are not tried again at one moment") {
  scene s;
  s.plan.want({"b@h", "c@h", "d@h", "e@h"});
  for (auto& node : s.decide().connect) s.plan.failed(node, s.now);
  std::set<time_point> due;
  for (int i = 0; i < 4; ++i) {
    s.now = s.decide().next;
    due.insert(s.now);
    for (auto& node : s.decide().connect) s.plan.connected(node, s.now), s.actual.insert(node);
  }
  CHECK(due.size() >= 3);
}

TEST_CASE("a node that was there for long is connected again at once when it is lost") {
  scene s;
  s.plan.want({"b@h"});
  s.settle();
  s.pass(31s);
  s.decide();
  s.actual.clear();
  CHECK(s.decide().connect == names{"b@h"});
}

TEST_CASE("a link that is made and lost again and again is a failure each time") {
  scene s;
  s.plan.want({"b@h"});
  s.settle();
  s.pass(1s);
  s.actual.clear();
  CHECK(s.decide().connect.empty());
  CHECK(s.plan.wanted().at("b@h").failures == 1);
  s.pass(1s);
  s.settle();
  CHECK(s.plan.wanted().at("b@h").connected);
  s.pass(1s);
  s.actual.clear();
  s.decide();
  CHECK(s.plan.wanted().at("b@h").failures == 2);
  s.pass(2s);
  s.settle();
  s.pass(30s);
  s.decide();
  CHECK(s.plan.wanted().at("b@h").failures == 0);
}

TEST_CASE("a node that says it is connected, but is not, does not keep the reconciler busy") {
  scene s;
  s.plan.want({"b@h"});
  int attempts = 0;
  for (auto end = s.now + 10min; s.now < end; s.pass(10ms))
    for (auto& node : s.decide().connect) s.plan.connected(node, s.now), ++attempts;
  CHECK(attempts < 600);
  CHECK(attempts > 20);
}

TEST_CASE("nodes that vanish from the answer are disconnected, and only those") {
  scene s;
  s.plan.want({"b@h", "c@h"});
  s.actual = {"b@h", "c@h", "stranger@h"};
  s.decide();
  s.plan.want({"b@h"});
  CHECK(s.decide().disconnect == names{"c@h"});
  CHECK(s.decide().disconnect.empty());  // on its way
  s.actual.erase("c@h");
  s.plan.disconnected("c@h");
  auto steps = s.decide();
  CHECK(steps.disconnect.empty());
  CHECK(steps.connect.empty());
  // It comes back by itself: that is no business of this topology any more.
  s.actual.insert("c@h");
  CHECK(s.decide().disconnect.empty());
}

TEST_CASE("a strategy that leaves nodes alone disconnects nobody") {
  scene s{{.disconnect_vanished = false}};
  s.plan.want({"b@h"});
  s.settle();
  s.plan.want({});
  CHECK(s.decide().disconnect.empty());
  s.actual.clear();
  CHECK(s.decide().connect.empty());
}

TEST_CASE("a node that another topology wants stays until that one lets it go as well") {
  scene s;
  s.plan.want({"b@h"});
  s.settle();
  s.others = {"b@h"};
  s.plan.want({});
  CHECK(s.decide().disconnect.empty());
  s.others.clear();
  CHECK(s.decide().disconnect == names{"b@h"});
}

TEST_CASE("a node that vanishes while it is being connected is disconnected after that") {
  scene s;
  s.plan.want({"b@h"});
  CHECK(s.decide().connect == names{"b@h"});
  s.plan.want({});
  CHECK(s.decide().disconnect.empty());
  s.plan.connected("b@h", s.now);
  s.actual = {"b@h"};
  CHECK(s.decide().disconnect == names{"b@h"});
}

TEST_CASE("a node that is wanted again while it is being disconnected is connected after that") {
  scene s;
  s.plan.want({"b@h"});
  s.settle();
  s.plan.want({});
  CHECK(s.decide().disconnect == names{"b@h"});
  s.plan.want({"b@h"});
  CHECK(s.decide().connect.empty());
  s.actual.clear();
  s.plan.disconnected("b@h");
  CHECK(s.decide().connect == names{"b@h"});
}

TEST_CASE("an attempt that is never answered counts as failed after a minute") {
  scene s;
  s.plan.want({"b@h"});
  auto steps = s.decide();
  CHECK(steps.next == s.now + 60s);
  s.now = steps.next;
  CHECK(s.decide().connect.empty());
  CHECK(s.plan.wanted().at("b@h").failures == 1);
  s.pass(1s);
  CHECK(s.decide().connect == names{"b@h"});
}

TEST_CASE("more nodes than may be tried at once take turns, those that wait longest first") {
  scene s{{.parallel = 2}};
  s.plan.want({"a@h", "b@h", "c@h", "d@h", "e@h"});
  name_set tried;
  for (int round = 0; round < 3; ++round) {
    auto now = s.decide().connect;
    CHECK(now.size() <= 2);
    for (auto& node : now) {
      tried.insert(node);
      s.plan.failed(node, s.now);
    }
  }
  CHECK(tried.size() == 5);
}

namespace {

/// Nodes that run and end, networks that split, answers that change: whatever happens, the promises
/// hold, and when the world calms down the right nodes are connected.
struct world {
  explicit world(unsigned seed) : random(seed), plan({.parallel = 5}, seed) {
    for (int i = 0; i < 12; ++i) all.push_back("n" + std::to_string(i) + "@h");
  }

  struct flight {
    std::string node;
    time_point ends;
    bool connects;
  };

  bool chance(int percent) { return static_cast<int>(random() % 100) < percent; }
  std::chrono::milliseconds up_to(int limit) {
    return std::chrono::milliseconds(1 + static_cast<int>(random() % static_cast<unsigned>(limit)));
  }
  std::string any() { return all[random() % all.size()]; }

  void disturb() {
    if (chance(3)) flip(alive);
    if (chance(3)) flip(others);
    if (chance(2)) {
      wanted.clear();
      for (auto& node : all)
        if (chance(60)) wanted.insert(node);
      plan.want({wanted.begin(), wanted.end()});
      seen.insert(wanted.begin(), wanted.end());
      // A node that is let go is forgotten, its failures too.
      std::erase_if(failed_at, [&](auto& each) { return !wanted.contains(each.first); });
    }
    if (chance(1)) actual.clear();
    // Somebody else connects or disconnects.
    if (chance(2)) {
      auto node = any();
      if (!actual.erase(node) && alive.contains(node)) actual.insert(node);
    }
  }

  void flip(name_set& nodes) {
    auto node = any();
    if (!nodes.erase(node)) nodes.insert(node);
  }

  void step() {
    std::erase_if(actual, [&](auto& node) { return !alive.contains(node); });
    land();
    auto steps = plan.decide(now, actual, {.self = "n0@h", .wanted_elsewhere = [this](auto& node) {
                                             return others.contains(node);
                                           }});
    for (auto& node : steps.connect) take_off(node, true);
    for (auto& node : steps.disconnect) take_off(node, false);
    REQUIRE(flights.size() <= 5 + all.size());
    REQUIRE(steps.next > now);
  }

  void take_off(const std::string& node, bool connects) {
    REQUIRE(node != "n0@h");
    for (auto& flight : flights) REQUIRE(flight.node != node);
    if (connects) {
      REQUIRE(wanted.contains(node));
    } else {
      REQUIRE(seen.contains(node));
      REQUIRE_FALSE(wanted.contains(node));
      REQUIRE_FALSE(others.contains(node));
    }
    if (connects) {
      auto [at, is_first] = failed_at.try_emplace(node, time_point{});
      REQUIRE(now - at->second >= 500ms);
    }
    flights.push_back({node, now + up_to(7000), connects});
  }

  void land() {
    auto landed = std::stable_partition(
        flights.begin(), flights.end(), [&](auto& flight) { return flight.ends > now; });
    for (auto at = landed; at != flights.end(); ++at) {
      if (!at->connects) {
        actual.erase(at->node);
        plan.disconnected(at->node);
      } else if (alive.contains(at->node)) {
        actual.insert(at->node);
        plan.connected(at->node, now);
      } else {
        if (wanted.contains(at->node)) failed_at[at->node] = now;
        plan.failed(at->node, now);
      }
    }
    flights.erase(landed, flights.end());
  }

  std::minstd_rand random;
  reconciler plan;
  time_point now = time_point{} + 1h;
  names all;
  name_set wanted, alive, others, actual, seen;
  std::vector<flight> flights;
  std::map<std::string, time_point> failed_at;
};

}  // namespace

TEST_CASE(
    "whatever happens, the promises hold, and in the end those are connected that should be") {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    world w(seed);
    for (int i = 0; i < 3000; ++i) {
      w.disturb();
      w.step();
      w.now += w.up_to(400);
    }
    // Calm, for the longest pause and as long as attempts take with five at a time.
    for (auto end = w.now + 60s; w.now < end; w.now += 100ms) w.step();
    for (auto& node : w.all) {
      CAPTURE(node);
      if (node != "n0@h" && w.wanted.contains(node) && w.alive.contains(node))
        CHECK(w.actual.contains(node));
    }
  }
}
