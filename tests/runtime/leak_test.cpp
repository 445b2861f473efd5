#include "tests/support.hpp"
#include <malloc.h>

using namespace roost;
using namespace roost::test;

namespace {

// The sanitizers bring an allocator of their own, of which mallinfo2 knows nothing; there the tests
// run with less, and it is the address sanitizer that finds what is left behind.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool measurable = false;
#else
constexpr bool measurable = true;
#endif

/// Bytes that are allocated and not freed, in all arenas.
std::size_t heap() {
  auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

/// … after everybody has come to rest: a worker that sleeps frees cancelled timers when it wakes.
bool heap_returns_to(std::size_t limit) {
  if (!measurable) return true;
  return eventually([&] {
    for (int i = 0; i < 16; ++i) roost::spawn([] {});
    return heap() <= limit;
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
  make_calls(10'000);
  auto before = heap();
  auto calls = measurable ? 1'000'000 : 20'000;
  CHECK(make_calls(calls) == calls);
  CHECK(heap_returns_to(before + 1'000'000));  // less than one byte for each
  if (measurable) MESSAGE("before " << before << " bytes, after " << heap());
}

TEST_CASE_FIXTURE(node, "a million processes come and go, and the heap is what it was") {
  // The process table keeps the room that it had at the peak, 90 bytes for each process; everything
  // else goes back.
  auto size = measurable ? 100'000 : 5000;
  wave(size);
  auto before = heap();
  for (int i = 0; i < 10; ++i) wave(size);
  CHECK(heap_returns_to(before + before / 20));
  if (measurable) MESSAGE("before " << before << " bytes, after " << heap());
}
