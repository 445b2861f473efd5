// Who is present: what nodes tell each other may come in any order, twice, in part or not at all.
#include "channels/tracker_state.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

using namespace roost::detail;
using roost::pid;

namespace {

tracked someone(const std::string& key, std::uint64_t process = 1) {
  return {pid{process, 0}, "room:1", key, {{"online_at", 1}}};
}

std::set<std::string> keys(const replica_presences& known) {
  std::set<std::string> all;
  for (auto& [number, value] : known.present()) all.insert(value.key);
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
  CHECK(context.reaches(9));
  CHECK_FALSE(context.reaches(10));
  context.add({0, 7});
  context.add({12, 11});
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
  CHECK(second.leaves[0].second.key == "ann");
  CHECK(keys(known) == std::set<std::string>{"ben"});
  CHECK(known.heard().reaches(own.last()));
}

TEST_CASE("whoever came and went before anybody was told is no news") {
  own_presences own;
  replica_presences known;
  own.remove(own.add(someone("ann")));
  CHECK(known.merge(own.take_changes()).empty());
  CHECK(known.heard().reaches(own.last()));
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
  CHECK_FALSE(known.heard().reaches(own.last()));
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
  CHECK(known == own.known());
}

TEST_CASE("what cannot be is not believed") {
  replica_presences known;
  // Numbers that it does not say it has heard of, ranges that are none or overlap.
  auto changes = known.merge({{{3, 2}, {0, 0}, {5, 9}, {7, 8}}, {{4, someone("x")}}});
  CHECK(changes.empty());
  CHECK(known.heard().ranges() == std::vector<number_range>{{5, 9}});
}

// --- a simulation --------------------------------------------------------------------------------

namespace {

/// Nodes that tell each other what changes, over a network that loses, delays, doubles and reorders,
/// and that is split now and then. Heartbeats say how far the sender has come; who lacks something asks.
class simulation {
 public:
  static constexpr int count = 10;
  explicit simulation(unsigned seed) : dice_(seed) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      act();
      if (dice_() % 40 == 0) split_ = static_cast<int>(dice_() % (count + 1));
      deliver(dice_() % 12);
    }
    split_ = 0;
    calm_ = true;
    for (int i = 0; i < 4; ++i) {
      for (auto from = 0; from < count; ++from) beat(from);
      deliver(wire_.size() * 4 + 1000);
    }
  }

  bool agree() const {
    for (auto& node : nodes_)
      for (int i = 0; i < count; ++i) {
        auto& other = nodes_[static_cast<std::size_t>(i)];
        auto known = node.others.find(other.id);
        if (known == node.others.end() ? other.own.last() != 0 && &other != &node
                                       : &other != &node && !(known->second == other.own.known()))
          return false;
        // Of those who have ended nobody is left.
        for (auto& [id, presences] : node.others)
          if (id.node == other.id.node && id != other.id && !presences.present().empty())
            return false;
      }
    return true;
  }

 private:
  struct node {
    replica_id id;
    own_presences own = {};
    std::vector<std::uint64_t> here = {};
    std::map<replica_id, replica_presences> others = {};
  };
  struct letter {
    int from, to;
    replica_id id;
    std::uint64_t reaches = 0;
    bool request = false;
    tracker_delta delta = {};
  };

  node& at(int index) { return nodes_[static_cast<std::size_t>(index)]; }

  void act() {
    auto index = static_cast<int>(dice_() % count);
    auto& node = at(index);
    auto what = dice_() % 100;
    if (what < 2) {  // the node is started again
      node = {.id = {node.id.node, node.id.incarnation + 1}};
    } else if (what < 60 || node.here.empty()) {
      node.here.push_back(node.own.add(someone("k" + std::to_string(dice_() % 50))));
    } else {
      auto place = dice_() % node.here.size();
      node.own.remove(node.here[place]);
      node.here.erase(node.here.begin() + static_cast<std::ptrdiff_t>(place));
    }
    if (dice_() % 3 == 0) tell(index, node.own.take_changes());
    if (dice_() % 5 == 0) beat(index);
  }

  void tell(int from, const tracker_delta& delta) {
    for (int to = 0; to < count; ++to)
      if (to != from) post({from, to, at(from).id, at(from).own.last(), false, delta});
  }
  void beat(int from) { tell(from, at(from).own.take_changes()); }

  void post(letter letter) {
    bool cut = split_ != 0 && (letter.from < split_) != (letter.to < split_);
    if (cut || (!calm_ && dice_() % 5 == 0)) return;
    if (!calm_ && dice_() % 6 == 0) wire_.push_back(letter);
    wire_.push_back(std::move(letter));
  }

  void deliver(std::size_t letters) {
    for (; letters > 0 && !wire_.empty(); --letters) {
      auto place = dice_() % wire_.size();
      std::swap(wire_[place], wire_.back());
      auto letter = std::move(wire_.back());
      wire_.pop_back();
      receive(letter);
    }
  }

  void receive(const letter& letter) {
    auto& node = at(letter.to);
    if (letter.request) {
      if (letter.id == node.id)
        post({letter.to, letter.from, node.id, node.own.last(), false, node.own.known().whole()});
      return;
    }
    for (auto& [id, presences] : node.others)
      if (id.node == letter.id.node && id > letter.id) return;  // of one that has ended
    std::erase_if(node.others, [&](auto& entry) {
      return entry.first.node == letter.id.node && entry.first < letter.id;
    });
    auto& known = node.others[letter.id];
    known.merge(letter.delta);
    if (!known.heard().reaches(letter.reaches))
      post({letter.to, letter.from, letter.id, 0, true, {}});
  }

  std::mt19937 dice_;
  std::vector<node> nodes_ = [] {
    std::vector<node> all;
    for (int i = 0; i < count; ++i) all.push_back({.id = {"n" + std::to_string(i), 1}});
    return all;
  }();
  std::vector<letter> wire_;
  int split_ = 0;
  bool calm_ = false;
};

}  // namespace

TEST_CASE("ten nodes agree in the end, whatever the network does") {
  auto seed = std::random_device{}();
  for (int i = 0; i < rounds(100, 1000); ++i) {
    simulation simulation(seed + static_cast<unsigned>(i));
    simulation.run(400);
    INFO("seed ", seed + static_cast<unsigned>(i));
    REQUIRE(simulation.agree());
  }
}
