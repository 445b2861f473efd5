// Nodes that tell each other who is present, over a network that loses, delays, doubles and
// reorders, and that is split now and then; time is counted, not waited for.
#include "channels/tracker_gossip.hpp"
#include "runtime/codec.hpp"
#include <doctest/doctest.h>
#include <cstdlib>
#include <random>
#include <set>

using namespace roost::detail;
using namespace std::chrono_literals;
using roost::pid;

namespace {

using clock_time = tracker_gossip::time;

std::string bytes_of(const tracker_message& message) {
  wire_buffer bytes;
  wire_writer out{bytes};
  encode_root(out, message);
  return std::string(bytes.view());
}
tracker_message message_of(const std::string& bytes) {
  wire_reader in{bytes};
  tracker_message message;
  decode_root(in, message);
  return message;
}

struct peer {
  peer(std::string name, std::uint64_t incarnation, tracker_settings settings)
      : state({std::move(name), incarnation}, {5, 20}), gossip(state, settings) {}

  tracker_state state;
  tracker_gossip gossip;
  // What somebody who is told of each change believes to see: topic, key and reference.
  std::multiset<std::string> seen = {};
  bool told_nonsense = false;
};

std::string text_of(const tracked& value) {
  return value.topic + " " + value.key + " " + reference_of(value.meta);
}

struct network_options {
  int count = 3;
  unsigned loss = 0;   // percent
  unsigned twice = 0;  // percent
  bool in_order = true;
  unsigned seed = 1;
  tracker_settings settings = {};
};

class network {
 public:
  explicit network(network_options options) : options_(options), dice_(options.seed) {
    for (int i = 0; i < options.count; ++i) {
      nodes_.push_back(nullptr);
      start(i);
      split_.push_back(0);
    }
  }

  peer& operator[](int index) { return *nodes_[static_cast<std::size_t>(index)]; }
  std::mt19937& dice() { return dice_; }
  std::size_t sent() const { return sent_; }
  std::size_t largest() const { return largest_; }
  bool is_up(int index) const { return nodes_[static_cast<std::size_t>(index)] != nullptr; }
  static std::string name(int index) { return "n" + std::to_string(index); }

  void start(int index) {
    auto incarnation = ++incarnations_;
    nodes_[static_cast<std::size_t>(index)] =
        std::make_unique<peer>(name(index), incarnation, options_.settings);
  }
  void kill(int index) { nodes_[static_cast<std::size_t>(index)] = nullptr; }
  /// As an earlier replica: the machine's clock ran back.
  void start_with_old_clock(int index) {
    nodes_[static_cast<std::size_t>(index)] =
        std::make_unique<peer>(name(index), 0, options_.settings);
  }

  template <class F>
  void at(int index, F act) {
    tracker_gossip::output out;
    act((*this)[index].gossip, out);
    finish(index, out);
  }
  void flush(int index) {
    at(index, [](auto& gossip, auto& out) { gossip.flush(out); });
  }
  void tick(int index) {
    at(index, [&](auto& gossip, auto& out) { gossip.tick(now_, out); });
  }
  void lost(int index, int other) {
    at(index, [&](auto& gossip, auto& out) { gossip.node_lost(name(other), now_, out); });
  }
  void goodbye(int index) {
    at(index, [](auto& gossip, auto& out) { gossip.flush(out), gossip.goodbye(out); });
    kill(index);
  }
  void join(int index, std::uint64_t process, const std::string& key) {
    (*this)[index].state.join(pid{process, 0}, "room:1", key, {});
  }

  clock_time now() const { return now_; }
  void pass(std::chrono::milliseconds time) { now_ += time; }
  void split(std::vector<int> sides) { split_ = std::move(sides); }
  void calm() {
    split_.assign(split_.size(), 0);
    options_.loss = options_.twice = 0;
  }

  void deliver(std::size_t letters = ~std::size_t{0}) {
    for (; letters > 0 && !wire_.empty(); --letters) {
      auto place = options_.in_order ? 0 : dice_() % wire_.size();
      auto letter = std::move(wire_[place]);
      wire_.erase(wire_.begin() + static_cast<std::ptrdiff_t>(place));
      if (!is_up(letter.to)) continue;
      at(letter.to,
         [&](auto& gossip, auto& out) { gossip.receive(message_of(letter.bytes), now_, out); });
    }
  }

  /// Everybody ticks so many times, and everything arrives.
  void settle(int periods = 1) {
    for (int i = 0; i < periods; ++i) {
      pass(options_.settings.broadcast_period);
      for (int n = 0; n < options_.count; ++n)
        if (is_up(n)) tick(n);
      deliver();
    }
  }

  /// Everybody sees what all that are up have present, and was told so.
  bool agrees() {
    std::multiset<std::string> truth;
    for (auto& node : nodes_)
      if (node)
        for (auto& [number, value] : node->state.own().known().present())
          truth.insert(text_of(*value));
    for (auto& node : nodes_) {
      if (!node) continue;
      std::multiset<std::string> listed;
      for (auto& value : node->state.index().list("room:1")) listed.insert(text_of(*value));
      if (listed != truth || node->seen != truth || node->told_nonsense) return false;
    }
    return true;
  }

 private:
  struct letter {
    int to;
    std::string bytes;
  };

  void post(int from, int to, const std::string& bytes) {
    if (split_[static_cast<std::size_t>(from)] != split_[static_cast<std::size_t>(to)]) return;
    if (dice_() % 100 < options_.loss) return;
    if (dice_() % 100 < options_.twice) wire_.push_back({to, bytes});
    wire_.push_back({to, bytes});
    ++sent_;
    largest_ = std::max(largest_, bytes.size());
  }

  void finish(int index, tracker_gossip::output& out) {
    auto& node = (*this)[index];
    out.changes.append(node.state.take_own_changes());
    for (auto& value : out.changes.joins) node.seen.insert(text_of(*value));
    for (auto& value : out.changes.leaves) {
      auto found = node.seen.find(text_of(*value));
      if (found == node.seen.end())
        node.told_nonsense = true;
      else
        node.seen.erase(found);
    }
    for (auto& letter : out.letters) {
      auto bytes = bytes_of(letter.message);
      for (int to = 0; to < options_.count; ++to)
        if (to != index && (letter.to.empty() || letter.to == name(to))) post(index, to, bytes);
    }
  }

  network_options options_;
  std::mt19937 dice_;
  std::vector<std::unique_ptr<peer>> nodes_;
  std::uint64_t incarnations_ = 0;
  std::vector<int> split_;
  std::vector<letter> wire_;
  clock_time now_{};
  std::size_t sent_ = 0;
  std::size_t largest_ = 0;
};

int rounds(int quick, int thorough) { return std::getenv("ROOST_LONG") ? thorough : quick; }

/// Nodes come, go, are lost and come again while presences do the same.
bool live_through(unsigned seed) {
  network all(
      {.count = 10,
       .loss = 15,
       .twice = 10,
       .in_order = false,
       .seed = seed,
       .settings = {.limits = {.presences = 4}}});
  auto& dice = all.dice();
  std::uint64_t process = 0;
  for (int step = 0; step < 300; ++step) {
    auto index = static_cast<int>(dice() % 10);
    auto what = dice() % 100;
    if (!all.is_up(index)) {
      if (what < 40) all.start(index);
    } else if (what < 2) {
      all.kill(index);
    } else if (what < 4) {
      all.goodbye(index);
    } else if (what < 6) {
      auto other = static_cast<int>(dice() % 10);
      if (other != index) all.lost(index, other);
    } else if (what < 60) {
      all.join(index, ++process, "k" + std::to_string(dice() % 30));
    } else if (auto here = all[index].state.processes(); !here.empty()) {
      auto who = here[dice() % here.size()];
      if (dice() % 2 == 0) {
        all[index].state.leave(who);
      } else {
        auto present = all[index].state.own().known().present().begin()->second;
        all[index].state.update(who, present->topic, present->key, {{"step", step}});
      }
    }
    if (all.is_up(index) && dice() % 3 == 0) all.flush(index);
    if (dice() % 12 == 0) {
      all.pass(1'500ms);
      for (int i = 0; i < 10; ++i)
        if (all.is_up(i)) all.tick(i);
    }
    if (dice() % 25 == 0) {
      std::vector<int> sides;
      for (int i = 0; i < 10; ++i) sides.push_back(static_cast<int>(dice() % 3) / 2);
      all.split(sides);
    }
    all.deliver(dice() % 40);
  }
  all.calm();
  // So long that whoever has gone without a word is noticed, and a beat of all others has come.
  all.settle(32);
  return all.agrees();
}

}  // namespace

TEST_CASE("what is present anywhere is seen everywhere, and leaves everywhere") {
  network all({});
  all.join(0, 1, "ann"), all.join(1, 1, "ben");
  for (int i = 0; i < 3; ++i) all.flush(i);
  all.deliver();
  CHECK(all.agrees());
  all[0].state.leave(pid{1, 0});
  all.flush(0);
  all.deliver();
  CHECK(all.agrees());
  CHECK(all[2].seen.size() == 1);
}

TEST_CASE("a quiet cluster says little") {
  network all({});
  all.join(0, 1, "ann");
  all.settle(5);
  auto before = all.sent();
  all.settle(20);
  CHECK(all.sent() - before == 12);  // three nodes, to two others, every tenth period
}

TEST_CASE("a removal that was lost is noticed by the next beat") {
  network all({.count = 2});
  all.join(0, 1, "ann");
  all.settle(3);
  all.split({0, 1});
  all[0].state.leave(pid{1, 0});
  all.flush(0);
  all.split({0, 0});
  CHECK_FALSE(all.agrees());
  all.settle();
  CHECK(all.agrees());
}

TEST_CASE("whoever comes later fetches everything, in small pages") {
  network all({.count = 2, .settings = {.limits = {.presences = 50}}});
  all.kill(1);
  for (std::uint64_t i = 1; i <= 5'000; ++i) all.join(0, i, "k" + std::to_string(i));
  for (std::uint64_t i = 1; i <= 5'000; i += 3) all[0].state.leave(pid{i, 0});
  all.flush(0);
  all.start(1);
  all.settle(2);
  CHECK(all.agrees());
  CHECK(all.largest() < 8'000);
}

TEST_CASE("changes while the pages are read are not lost") {
  network all({.count = 2, .settings = {.limits = {.presences = 10}}});
  all.kill(1);
  for (std::uint64_t i = 1; i <= 500; ++i) all.join(0, i, "k" + std::to_string(i));
  all.flush(0);
  all.start(1);
  all.tick(0);
  for (std::uint64_t i = 1; i <= 500; ++i) {
    all.deliver(1);
    // Every other change is told to nobody.
    all.split({0, static_cast<int>(i % 2)});
    all[0].state.leave(pid{i, 0});
    all.join(0, 1'000 + i, "more");
    all.flush(0);
    all.split({0, 0});
  }
  all.settle(4);
  CHECK(all.agrees());
  CHECK(all[1].seen.size() == 500);
}

TEST_CASE("a page that was not asked for does not hide that something was missed") {
  network all({.count = 2, .settings = {.limits = {.presences = 10}}});
  auto more = [&, next = std::uint64_t{1}](int count) mutable {
    for (int i = 0; i < count; ++i, ++next) all.join(0, next, "k" + std::to_string(next));
    all.flush(0);
  };
  auto unasked = [&](std::uint64_t after, page_limits limits) {
    auto page = all[0].state.own().page(after, all[0].state.own().told(), limits);
    all.at(1, [&](auto& gossip, auto& out) {
      gossip.receive({all[0].state.self(), page}, all.now(), out);
    });
  };
  more(20);
  all.deliver();
  all.split({0, 1});
  all[0].state.leave(pid{5, 0});  // is change 21, which never arrives
  all.flush(0);
  all.split({0, 0});
  more(30);
  SUBCASE("of another place") {
    all.deliver(1);  // it has noticed, and asks
    unasked(20, {});
  }
  SUBCASE("of another time") {
    all.deliver(3);  // it has asked, and has the first page
    all.split({0, 1});
    all[0].state.leave(pid{3, 0});
    all.flush(0);
    unasked(11, {});
    all.split({0, 0});
  }
  all.settle(3);
  CHECK(all.agrees());
}

TEST_CASE("a silent node is hidden, is shown again, and is forgotten in the end") {
  network all({.count = 2});
  all.join(0, 1, "ann"), all.join(1, 1, "ben");
  all.settle(3);
  all.split({0, 1});
  all.settle(19);
  CHECK(all[0].seen.size() == 2);
  all.settle(2);
  CHECK(all[0].seen.size() == 1);
  all.split({0, 0});
  all.settle(10);
  CHECK(all.agrees());
  all.split({0, 1});
  all.settle(801);
  CHECK(all[0].state.replicas().empty());
  all.split({0, 0});
  all.settle(10);
  CHECK(all.agrees());
}

TEST_CASE("a lost link hides at once, and late mail of the lost node shows nobody") {
  network all({.count = 2});
  all.join(1, 1, "ben");
  all.settle(3);
  all.join(1, 2, "eve");
  all.flush(1);  // is on its way
  all.lost(0, 1);
  CHECK(all[0].seen.empty());
  all.deliver();
  CHECK(all[0].seen.empty());
  SUBCASE("it is back") { all[0].gossip.node_found("n1"); }
  SUBCASE("it was only the link, others carry its mail") { all.pass(1'500ms); }
  all.settle(10);
  CHECK(all.agrees());
}

TEST_CASE("a goodbye is forgotten at once, and late mail shows nobody") {
  network all({.count = 2, .in_order = false, .seed = 3});
  all.join(1, 1, "ben");
  all.settle(3);
  for (std::uint64_t i = 2; i < 20; ++i) {
    all.join(1, i, "more");
    all.flush(1);
  }
  all.goodbye(1);
  all.deliver();
  CHECK(all[0].seen.empty());
  CHECK(all[0].state.replicas().empty());
  all.start(1);
  all.join(1, 1, "ben");
  all.settle(2);
  CHECK(all.agrees());
}

TEST_CASE("a node that was killed and comes again is itself, not twice") {
  network all({.count = 2});
  all.join(1, 1, "old");
  all.settle(3);
  all.kill(1);
  all.start(1);
  all.join(1, 1, "new");
  all.settle(1);
  CHECK(all.agrees());
}

TEST_CASE("a node whose clock ran back while it was away is let in when it is known to be lost") {
  network all({.count = 2});
  all.join(1, 1, "old");
  all.settle(3);
  all.kill(1);
  all.lost(0, 1);
  all.pass(2s);
  all.start_with_old_clock(1);
  all.join(1, 1, "new");
  all.settle(2);
  CHECK(all.agrees());
}

TEST_CASE("in a thousand histories everybody agrees in the end") {
  auto seed = std::random_device{}();
  for (int i = 0; i < rounds(200, 1000); ++i) {
    auto this_seed = seed + static_cast<unsigned>(i);
    INFO("seed ", this_seed);
    REQUIRE(live_through(this_seed));
  }
}
