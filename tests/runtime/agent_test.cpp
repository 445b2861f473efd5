#include "runtime/agent.hpp"
#include "tests/support.hpp"
#include <map>

using namespace roost;
using namespace roost::test;

namespace {

using counts = agent<std::map<std::string, int>>;

}  // namespace

TEST_CASE_FIXTURE(node, "an agent holds a value; functions read and change it") {
  auto a = roost::start_link<agent<int>>({.name = "number"}, 41);
  update(a, [](int& n) { ++n; }).get();
  CHECK(get(a, [](int n) { return n; }).get() == 42);
  CHECK(get_and_update(a, [](int& n) { return n++; }).get() == 42);
  update(a, [](int n) { return n * 2; }).get();
  CHECK(get(server<agent<int>>{"number"}, [](const int& n) {
          return std::to_string(n);
        }).get() == "86");
}

TEST_CASE_FIXTURE(node, "casts are carried out in order, and before a get that follows") {
  auto a = roost::start<counts>();
  for (int i = 0; i < 1000; ++i)
    cast(a, [i](auto& counts) { counts[i % 2 == 0 ? "even" : "odd"] += 1; });
  CHECK(get(a, [](const auto& counts) { return counts.at("odd"); }).get() == 500);
  cast(a, [](const auto&) { return std::map<std::string, int>{{"fresh", 1}}; });
  CHECK(get(a, [](const auto& counts) { return counts.size(); }).get() == 1);
}

TEST_CASE_FIXTURE(node, "an agent begins with what a function answers, in its own process") {
  std::atomic<bool> inside{false};
  auto a = roost::start<agent<std::string>>([&] {
    inside = inside_process() && self() != pid{};
    return std::string("loaded");
  });
  CHECK(inside);
  CHECK(get(a, [](const auto& text) { return text; }).get() == "loaded");
  log_capture quiet;
  CHECK_THROWS_WITH_AS(
      roost::start<agent<int>>([]() -> int { throw std::runtime_error("nothing to load"); }),
      doctest::Contains("nothing to load"), start_error);
}

TEST_CASE_FIXTURE(node, "functions run in the agent, and a process asks without blocking") {
  auto a = roost::start<agent<int>>(7);
  std::promise<std::pair<int, bool>> answer;
  spawn([&, a] {
    auto me = self();
    get(a, [me](int n) {
      return std::pair{n, self() != me};
    }).then([&](std::pair<int, bool> p) { answer.set_value(p); });
  });
  CHECK(answer.get_future().get() == std::pair{7, true});
}

TEST_CASE_FIXTURE(node, "what a function moves in need not be copyable") {
  auto a = roost::start<agent<std::unique_ptr<int>>>();
  cast(a, [box = std::make_unique<int>(5)](auto& value) mutable { value = std::move(box); });
  auto box = get_and_update(a, [](auto& value) { return std::move(value); }).get();
  REQUIRE(box);
  CHECK(*box == 5);
}

TEST_CASE_FIXTURE(node, "a function that throws crashes the agent; its caller learns why") {
  log_capture quiet;
  auto a = roost::start<agent<int>>(0);
  CHECK_THROWS_WITH_AS(
      update(a, [](int&) { throw std::runtime_error("cannot count"); }).get(),
      doctest::Contains("cannot count"), process_exit);
  CHECK(eventually([&] { return !is_alive(a.process()); }));
  CHECK_THROWS_WITH_AS(
      get(a, [](int n) { return n; }).get(), doctest::Contains("noproc"), process_exit);
}

TEST_CASE_FIXTURE(node, "an agent that is busy lets its callers time out") {
  auto a = roost::start<agent<int>>(0);
  std::promise<void> release;
  auto until = release.get_future().share();
  cast(a, [until](int&) { until.wait(); });
  CHECK_THROWS_WITH_AS(
      get(
          a, [](int n) { return n; }, 20ms)
          .get(),
      doctest::Contains("timeout"), process_exit);
  release.set_value();
  CHECK(get(a, [](int n) { return n; }).get() == 0);
}
