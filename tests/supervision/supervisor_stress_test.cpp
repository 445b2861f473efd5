// Ten thousand children that are killed at random for a while: at the end each permanent one is
// alive, none is there twice, and the names are right. ROOST_STRESS_SEED repeats a choice of
// victims.
#include "supervision/dynamic_supervisor.hpp"
#include "supervision/supervisor.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

using namespace roost;
using namespace roost::test;

namespace {

constexpr int crowd = 10'000;
constexpr int no_limit = 1'000'000'000;

std::string name_of(int number) { return "stress_" + std::to_string(number); }

struct victim {
  struct crash {};
  struct leave {};
  struct who { using reply = int; };
  using messages = roost::messages<crash, leave, who>;
  int number = 0;
  void handle_cast(crash) { throw std::runtime_error("boom"); }
  cast_result handle_cast(leave) { return roost::stop(exit_reason::normal); }
  int handle_call(who) const { return number; }
};

struct no_log {
  no_log() { logger::set_level(log_level::none); }
  no_log(const no_log&) = delete;
  no_log& operator=(const no_log&) = delete;
  ~no_log() { logger::set_level(log_level::info); }
};

struct battlefield {
  no_log quiet;
  runtime node{{.schedulers = 3}};
  std::uint64_t seed = std::random_device{}();

  battlefield() {
    if (auto* text = std::getenv("ROOST_STRESS_SEED")) seed = std::strtoull(text, nullptr, 10);
    MESSAGE("seed " << seed);
  }

  /// Ends random children, by their names, in each of the ways in which a child can end.
  std::size_t kill_for(std::chrono::seconds time) const {
    std::mt19937_64 random(seed);
    auto end = std::chrono::steady_clock::now() + time;
    std::size_t kills = 0;
    while (std::chrono::steady_clock::now() < end) {
      for (int i = 0; i < 100; ++i, ++kills) {
        auto process = whereis(name_of(static_cast<int>(random() % crowd)));
        auto way = random() % 4;
        if (way == 0) cast(server<victim>(process), victim::crash{});
        if (way == 1) cast(server<victim>(process), victim::leave{});
        if (way > 1) exit(process, way == 2 ? exit_reason::kill : exit_reason("out of paper"));
      }
      std::this_thread::sleep_for(
          100us);  // no faster than the supervisor, or its queue is all we see
    }
    return kills;
  }

  /// Whoever answers, or has died of it, has received all that kill_for sent.
  static void wait_for_the_dead() {
    for (int i = 0; i < crowd; ++i) {
      try {
        (void)call(server<victim>(whereis(name_of(i))), victim::who{}, infinity).get();
      } catch (const process_exit&) {
      }
    }
  }

  /// All are alive, each is itself, and nobody else is there.
  void roll_call(std::size_t others) const {
    std::set<pid> met;
    for (int i = 0; i < crowd; ++i) {
      auto process = whereis(name_of(i));
      REQUIRE(process);
      REQUIRE(is_alive(process));
      REQUIRE(call(server<victim>(process), victim::who{}).get() == i);
      met.insert(process);
    }
    CHECK(met.size() == crowd);
    CHECK(eventually([&] { return runtime::process_count() == crowd + others; }));
  }
};

void fight(const battlefield& field, std::chrono::seconds time) {
  (void)self();  // this thread has a mailbox from now on, which counts as a process
  std::vector<child_spec> children;
  for (int i = 0; i < crowd; ++i) children.push_back(child<victim>({.name = name_of(i)}, i));
  auto top = roost::start_link(supervisor_spec{
      .max_restarts = no_limit, .max_seconds = 1s, .children = std::move(children)});
  auto others = runtime::process_count() - crowd;
  auto kills = field.kill_for(time);
  battlefield::wait_for_the_dead();
  roost::supervisor handle(top);
  CHECK(eventually(
      [&] {
        auto listed = handle.which_children().get();
        return listed.size() == crowd && std::all_of(listed.begin(), listed.end(), [](auto& child) {
                 return child.process && whereis(child.id) == child.process;
               });
      },
      60s));
  field.roll_call(others);
  MESSAGE(kills << " attempts on " << crowd << " children");
}

void dynamic_fight(const battlefield& field, std::chrono::seconds time) {
  auto top = dynamic_supervisor::start_link({.max_restarts = no_limit, .max_seconds = 1s});
  dynamic_supervisor handle(top);
  for (int i = 0; i < crowd; ++i)
    REQUIRE(handle.start_child<victim>({.name = name_of(i)}, i).get());
  auto others = runtime::process_count() - crowd;
  auto kills = field.kill_for(time);
  battlefield::wait_for_the_dead();
  CHECK(eventually(
      [&] {
        std::set<pid> listed;
        for (auto& child : handle.which_children().get()) listed.insert(child.process);
        for (int i = 0; i < crowd; ++i)
          if (!whereis(name_of(i)) || listed.erase(whereis(name_of(i))) == 0) return false;
        return listed.empty();
      },
      60s));
  field.roll_call(others);
  MESSAGE(kills << " attempts on " << crowd << " children");
}

}  // namespace

TEST_CASE_FIXTURE(
    battlefield, "ten thousand children that are killed at random are all there at the end") {
  fight(*this, 5s);
}

TEST_CASE_FIXTURE(battlefield, "… of a dynamic supervisor") { dynamic_fight(*this, 5s); }

TEST_CASE_FIXTURE(battlefield, "… after half a minute" * doctest::test_suite("long")) {
  fight(*this, 30s);
}

TEST_CASE_FIXTURE(
    battlefield, "… of a dynamic supervisor, after half a minute" * doctest::test_suite("long")) {
  dynamic_fight(*this, 30s);
}
