#include "tests/support.hpp"
#include <sys/resource.h>
#include <algorithm>

using namespace roost;
using namespace roost::test;

namespace {

using steady = std::chrono::steady_clock;

/// Sends back whatever reaches it, for ever.
struct player {
  struct ball { pid from; };
  using messages = roost::messages<>;
  using infos = roost::messages<ball>;
  void handle_info(ball b) { send(b.from, ball{self()}); }
};

/// Never has an empty mailbox.
struct chatterbox {
  struct again {};
  using messages = roost::messages<>;
  using infos = roost::messages<again>;
  void handle_info(again) { send(self(), again{}); }
};

/// Tells how long a message has waited for it.
struct probe {
  struct measure {
    steady::time_point sent;
    std::shared_ptr<std::promise<steady::duration>> waited;
  };
  using messages = roost::messages<measure>;
  void handle_cast(const measure& m) { m.waited->set_value(steady::now() - m.sent); }
};

void keep_busy(std::size_t workers) {
  for (std::size_t i = 0; i < 4 * workers; ++i) {
    auto left = roost::start<player>();
    auto right = roost::start<player>();
    send(left.process(), player::ball{right.process()});
  }
  for (std::size_t i = 0; i < 2 * workers; ++i)
    send(roost::start<chatterbox>().process(), chatterbox::again{});
}

double milliseconds(steady::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// What all threads of this program have used so far.
std::chrono::microseconds processor_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto of = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

}  // namespace

TEST_CASE_FIXTURE(node, "processes that never rest do not starve the others") {
  keep_busy(runtime.schedulers());
  auto patient = roost::start<probe>();
  std::vector<steady::duration> waited;
  for (int i = 0; i < 100; ++i) {
    auto told = std::make_shared<std::promise<steady::duration>>();
    auto answer = told->get_future();
    cast(patient, probe::measure{steady::now(), told});
    waited.push_back(answer.get());
  }
  std::sort(waited.begin(), waited.end());
  auto median = waited[waited.size() / 2];
  MESSAGE(
      "median " << milliseconds(median) << " ms, worst " << milliseconds(waited.back()) << " ms");
  // The promise is 10 ms on a machine of its own; tests share theirs.
  CHECK(median < 50ms);
}

TEST_CASE_FIXTURE(
    node, "a worker that is held leaves what comes to the other one, which may be falling asleep") {
  // Again and again, as a worker could be forgotten between its last look and its sleep.
  for (auto end = steady::now() + 2s; steady::now() < end;) {
    roost::spawn([] {
      for (int i = 0; i < 3; ++i) roost::spawn([] {});
    });
    std::atomic<bool> held = false, stop = false;
    auto holder = roost::spawn([&] {
      held = true;
      while (!stop) {
      }
    });
    while (!held) {
    }
    bool served = true;
    for (int i = 0; i < 2 && served; ++i) {
      auto done = std::make_shared<std::promise<void>>();
      roost::spawn([done] { done->set_value(); });
      served = done->get_future().wait_for(10s) == std::future_status::ready;
    }
    stop = true;
    while (is_alive(holder)) std::this_thread::yield();
    REQUIRE(served);
  }
}

TEST_CASE_FIXTURE(node, "a node with nothing to do uses no processor") {
  for (int i = 0; i < 1000; ++i) roost::start<chatterbox>();
  auto before = processor_time();
  auto start = steady::now();
  std::this_thread::sleep_for(2s);  // what is measured, not something waited for
  auto used = processor_time() - before;
  auto share = std::chrono::duration<double>(used) / (steady::now() - start);
  MESSAGE("an idle node uses " << 100 * share << " % of a core");
  CHECK(share < 0.005);  // the promise is 0.1 %; tests share their machine
}
