#include "tests/support.hpp"
#include <fstream>
#include <unistd.h>

using namespace roost;
using namespace roost::test;

namespace {

/// Bytes of memory that this program has, as the kernel counts them.
std::size_t resident() {
  std::size_t total = 0;
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> total >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// … after everybody has come to rest: a worker that sleeps frees cancelled timers when it wakes, and
/// the allocator gives back what is free when somebody allocates.
bool memory_returns_to(std::size_t limit) {
  return eventually([&] {
    for (int i = 0; i < 1000; ++i) roost::spawn([] {});
    return resident() <= limit;
  });
}

struct echo {
  struct say {
    using reply = int;
    int what = 0;
  };
  using messages = roost::messages<say>;
  int handle_call(say s) { return s.what; }
};

/// Makes so many calls, a hundred of them under way at any time.
struct caller {
  struct start {
    using reply = int;
    int calls = 0;
  };
  using messages = roost::messages<start>;

  roost::server<echo> server;
  int wanted = 0;
  int asked = 0;
  int answered = 0;
  roost::from<int> asker = {};

  call_result<int> handle_call(start s, roost::from<int> from) {
    wanted = s.calls;
    asker = from;
    for (int i = 0; i < 100; ++i) ask();
    return noreply();
  }

  void ask() {
    if (asked == wanted) return;
    call(server, echo::say{++asked}, 30s).then([this](int) {
      if (++answered == wanted) asker.reply(answered);
      ask();
    });
  }
};

/// Four processes call four others, so that timers are started and cancelled on any worker.
int make_calls(int count) {
  std::vector<std::future<int>> all;
  for (int i = 0; i < 4; ++i)
    all.push_back(std::async(std::launch::async, [count] {
      auto process = roost::start<caller>(roost::start<echo>());
      return call(process, caller::start{count / 4}, 300s).get();
    }));
  int answered = 0;
  for (auto& one : all) answered += one.get();
  return answered;
}

/// Processes that are all alive at once, and gone when this returns.
void wave(int size) {
  self();  // this thread counts as a process too, from now on
  auto before = runtime::process_count();
  in_process([size] {
    std::vector<pid> crowd;
    for (int i = 0; i < size; ++i) crowd.push_back(roost::start<echo>().process());
    for (auto process : crowd) exit(process, exit_reason::shutdown);
  });
  REQUIRE(eventually([&] { return runtime::process_count() <= before; }, 60s));
}

}  // namespace

TEST_CASE_FIXTURE(node, "a million calls with a timeout of 30 s leave no memory behind") {
  make_calls(100'000);
  auto before = resident();
  CHECK(make_calls(1'000'000) == 1'000'000);
  CHECK(memory_returns_to(before + 1'000'000));  // one byte for each
  MESSAGE("before " << before << " bytes, after " << resident());
}

TEST_CASE_FIXTURE(node, "a million processes come and go, and the heap is what it was") {
  // The process table keeps the room that it had at the peak, 90 bytes for each process; everything
  // else goes back.
  wave(100'000);
  auto before = resident();
  for (int i = 0; i < 10; ++i) wave(100'000);
  CHECK(memory_returns_to(before + before / 20));
  MESSAGE("before " << before << " bytes, after " << resident());
}
