#include "runtime/timer_wheel.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <random>
#include <set>

using namespace roost;
using namespace roost::test;
using detail::timer_node;
using detail::timer_wheel;

namespace {

/// A wheel with a simulated clock, beside the sorted list that it must agree with. Timers have
/// numbers, in the order of their making.
class simulation {
 public:
  explicit simulation(std::uint64_t start = 1000) : now(start), wheel(start) {}
  simulation(const simulation&) = delete;
  simulation& operator=(const simulation&) = delete;
  ~simulation() {
    for (auto* node : nodes_) node->release();
  }

  std::size_t start(std::uint64_t delay) {
    auto* node = make(now + delay);
    due_.back() = std::max(node->deadline, now + 1);  // the present millisecond is being served
    pending_.insert({due_.back(), number(*node)});
    wheel.insert(node);
    return number(*node);
  }

  /// As another thread does it: the wheel has not heard of the timer yet.
  timer_node* make(std::uint64_t deadline) {
    auto* node = new timer_node(deadline, pid{nodes_.size() + 1}, nullptr, 0);
    node->add_ref();
    nodes_.push_back(node);
    due_.push_back(deadline);
    return node;
  }

  void cancel(std::size_t timer) {
    REQUIRE(nodes_[timer]->finish(timer_node::state::cancelled));
    pending_.erase({due_[timer], timer});
    wheel.remove(nodes_[timer]);
  }

  /// Lets the clock step to `to`: what is due by then fires, once, in order, and nothing else does.
  /// `on_fire(number)` may start and cancel others; it sees the time at which its timer was due.
  template <class F>
  void advance(std::uint64_t to, F on_fire) {
    wheel.advance(to, [&](timer_node* node) {
      auto timer = number(*node);
      bool first_time = node->finish(timer_node::state::fired);
      bool expected = pending_.erase({due_[timer], timer}) == 1;
      if (!first_time || !expected || due_[timer] < now || due_[timer] > to) ++wrong;
      now = std::max(now, due_[timer]);
      fired.push_back(timer);
      on_fire(timer);
      node->release();
    });
    now = to;
    if (!pending_.empty() && pending_.begin()->first <= to) ++wrong;
  }
  void advance(std::uint64_t to) {
    advance(to, [](std::size_t) {});
  }

  /// Steps to the millisecond that the wheel asks for, again and again, until nothing is left.
  template <class F>
  void run(F on_fire) {
    while (auto next = wheel.next()) {
      if (*next <= now || pending_.empty() || *next > pending_.begin()->first) {
        ++wrong;
        break;
      }
      auto before = fired.size();
      advance(*next, on_fire);
      for (auto i = before; i < fired.size(); ++i) wrong += due_[fired[i]] == now ? 0 : 1;
    }
  }
  void run() {
    run([](std::size_t) {});
  }

  const timer_node& node(std::size_t timer) const { return *nodes_[timer]; }
  std::size_t pending() const { return pending_.size(); }

  std::uint64_t now;
  timer_wheel wheel;
  std::vector<std::size_t> fired;
  int wrong = 0;

 private:
  static std::size_t number(const timer_node& node) { return node.to.id - 1; }

  std::vector<timer_node*> nodes_;
  std::vector<std::uint64_t> due_;
  std::set<std::pair<std::uint64_t, std::size_t>> pending_;
};

/// As many short delays as long ones: the number of bits is what is evenly spread.
class delays {
 public:
  explicit delays(std::uint64_t seed, unsigned bits = 32) : random_(seed), bits_(bits) {}
  std::uint64_t operator()() {
    auto bits = std::uniform_int_distribution<unsigned>(0, bits_)(random_);
    return std::uniform_int_distribution<std::uint64_t>(0, (1ULL << bits) - 1)(random_);
  }
  std::mt19937_64& random() { return random_; }

 private:
  std::mt19937_64 random_;
  unsigned bits_;
};

}  // namespace

TEST_CASE("thousands of timers of every range fire in their millisecond, each once") {
  for (std::uint64_t start : {0ULL, 1ULL, 255ULL, 1'234'567ULL, (1ULL << 32) - 3, 1ULL << 47}) {
    simulation sim{start};
    delays delay{start + 1};
    for (int i = 0; i < 5000; ++i) sim.start(delay());
    CHECK(sim.wheel.size() == 5000);
    sim.run();
    CHECK(sim.wrong == 0);
    CHECK(sim.fired.size() == 5000);
    CHECK(sim.pending() == 0);
    CHECK(sim.wheel.size() == 0);
  }
}

TEST_CASE("delays at the edges of the levels are exact, wherever the clock stands") {
  for (unsigned level = 0; level <= 4; ++level)
    for (std::uint64_t start :
         {0ULL, 1ULL, 255ULL, 256ULL, 65'535ULL, 65'536ULL, 16'777'215ULL, 0xFFFF'FFFFULL,
          0x1'0000'0000ULL, 0x1234'5678ULL})
      for (int edge = -2; edge <= 2; ++edge) {
        auto delay = (1ULL << (8 * level)) + static_cast<std::uint64_t>(edge);
        if (static_cast<std::int64_t>(delay) <= 0) continue;
        CAPTURE(start);
        CAPTURE(delay);
        simulation sim{start};
        sim.start(delay);
        sim.run();
        CHECK(sim.wrong == 0);
        CHECK(sim.now == start + delay);
        CHECK(sim.fired.size() == 1);
      }
}

TEST_CASE("whatever steps the clock takes, a timer fires in the first that reaches it") {
  simulation sim;
  delays delay{7, 24};
  delays step{8, 20};
  for (int round = 0; round < 5000; ++round) {
    sim.start(delay());
    sim.advance(sim.now + step());
  }
  sim.run();
  CHECK(sim.wrong == 0);
  CHECK(sim.fired.size() == 5000);
  CHECK(sim.wheel.size() == 0);
}

TEST_CASE("a cancelled timer never fires, and the others are not disturbed") {
  simulation sim;
  delays delay{3, 26};
  std::vector<std::size_t> running;
  std::size_t cancelled = 0;
  for (int round = 0; round < 20'000; ++round) {
    running.push_back(sim.start(delay()));
    if (round % 8 == 0) sim.advance(sim.now + delay() % 500);
    auto pick = delay.random()() % running.size();
    if (sim.node(running[pick]).current != timer_node::state::armed) continue;
    sim.cancel(std::exchange(running[pick], running.back()));
    running.pop_back();
    ++cancelled;
  }
  CHECK(sim.wheel.size() == sim.pending());
  sim.run();
  CHECK(sim.wrong == 0);
  CHECK(cancelled > 3000);
  CHECK(sim.fired.size() == 20'000 - cancelled);
  CHECK(sim.wheel.size() == 0);
}

TEST_CASE("timers for the same millisecond fire in the order of starting") {
  for (std::uint64_t delay : {5ULL, 300ULL, 70'000ULL, 20'000'000ULL}) {
    simulation sim;
    for (int i = 0; i < 5; ++i) sim.start(delay);
    sim.run();
    CHECK(sim.fired == std::vector<std::size_t>{0, 1, 2, 3, 4});
  }
}

TEST_CASE("a timer may start others while it fires") {
  simulation sim;
  delays delay{11, 18};
  int left = 20'000;
  for (int i = 0; i < 20; ++i) sim.start(delay());
  sim.run([&](std::size_t) {
    if (left-- > 0) sim.start(delay());
  });
  CHECK(sim.wrong == 0);
  CHECK(sim.fired.size() == 20'020);
  CHECK(sim.wheel.size() == 0);
}

TEST_CASE("a timer for the present or the past fires in the next millisecond, not in this one") {
  simulation sim;
  sim.start(10);
  sim.advance(1500, [&](std::size_t timer) {
    if (timer == 0) sim.start(0);  // at 1010, so for 1011
  });
  CHECK(sim.wrong == 0);
  CHECK(sim.fired == std::vector<std::size_t>{0, 1});

  sim.wheel.insert(sim.make(3));
  CHECK(sim.wheel.next() == 1501);
  std::size_t fired = 0;
  auto count = [&](timer_node* node) {
    ++fired;
    node->release();
  };
  sim.wheel.advance(1500, count);
  CHECK(fired == 0);
  sim.wheel.advance(1501, count);
  CHECK(fired == 1);
  CHECK(sim.wheel.size() == 0);
}

TEST_CASE("a timer that fires may cancel one that is due in the same millisecond") {
  for (int victim : {1, 2, 3}) {
    simulation sim;
    for (int i = 0; i < 4; ++i) sim.start(20);
    sim.run([&](std::size_t timer) {
      if (timer == 0) sim.cancel(static_cast<std::size_t>(victim));
    });
    CHECK(sim.wrong == 0);
    CHECK(sim.fired.size() == 3);
    CHECK(std::count(sim.fired.begin(), sim.fired.end(), victim) == 0);
    CHECK(sim.wheel.size() == 0);
  }
}

TEST_CASE("a deadline beyond the last level waits its whole time") {
  constexpr auto day = 86'400'000ULL;
  for (std::uint64_t delay :
       {(1ULL << 32) - 1, 1ULL << 32, (1ULL << 32) + 1, (1ULL << 33) + 12'345, 50 * day, 365 * day,
        36'500 * day}) {
    simulation sim{987'654'321};
    auto far = sim.start(delay);
    auto near = sim.start(100);
    sim.run();
    CHECK(sim.wrong == 0);
    CHECK(sim.fired == std::vector<std::size_t>{near, far});
    CHECK(sim.now == 987'654'321 + delay);
  }
}

TEST_CASE("a wheel that slept for months fires everything at once, in order") {
  simulation sim;
  delays delay{5, 31};
  for (int i = 0; i < 2000; ++i) sim.start(delay());
  sim.advance(sim.now + (1ULL << 34));
  CHECK(sim.wrong == 0);
  CHECK(sim.fired.size() == 2000);
  CHECK_FALSE(sim.wheel.next().has_value());

  sim.advance(sim.now + (1ULL << 40));  // nothing to do, and no time lost over it
  auto last = sim.start(1000);
  sim.run();
  CHECK(sim.wrong == 0);
  CHECK(sim.fired.back() == last);
}

TEST_CASE("of firing and cancelling exactly one wins") {
  simulation sim;
  auto timer = sim.make(5);
  CHECK(timer->finish(timer_node::state::fired));
  CHECK_FALSE(timer->finish(timer_node::state::cancelled));
  CHECK_FALSE(timer->finish(timer_node::state::fired));
  CHECK(timer->current == timer_node::state::fired);
  timer->release();
}

TEST_CASE("a timer that is cancelled before the wheel has heard of it stays out of it") {
  simulation sim;
  auto other = sim.start(0);  // in a slot that a careless unlink would empty
  auto* late = sim.make(sim.now + 50);
  REQUIRE(late->finish(timer_node::state::cancelled));
  sim.wheel.remove(late);
  CHECK(sim.wheel.size() == 1);
  sim.wheel.insert(late);
  CHECK(sim.wheel.size() == 1);
  sim.advance(sim.now + 100);
  CHECK(sim.fired == std::vector<std::size_t>{other});
  CHECK(sim.wheel.size() == 0);
}

TEST_CASE("a wheel that goes away lets go of its messages; handles see them cancelled") {
  auto content = std::make_shared<int>(1);
  auto* node = new timer_node(
      5000, pid{1}, detail::make_message<std::shared_ptr<int>>(detail::message_kind::info, content),
      0);
  node->add_ref();
  {
    timer_wheel wheel{1000};
    wheel.insert(node);
    for (int i = 0; i < 100; ++i)
      wheel.insert(new timer_node(
          1000 + 5000ULL * static_cast<unsigned>(i), pid{1},
          detail::make_message<std::shared_ptr<int>>(detail::message_kind::info, content), 0));
  }
  CHECK(node->current == timer_node::state::cancelled);
  node->release();
  CHECK(content.use_count() == 1);
}
