#include "tests/support.hpp"
#include <malloc.h>

using namespace roost;
using namespace roost::test;

// The sanitizers bring an allocator of their own, which mallinfo2 knows nothing of and which keeps
// freed memory for a while; the address sanitizer finds leaks by itself.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool measurable = false;
#else
constexpr bool measurable = true;
#endif

namespace {

/// Bytes that are allocated and not freed, in all arenas.
std::size_t heap() {
  auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

/// … after everybody has come to rest: threads keep freed blocks and free cancelled timers late.
bool heap_returns_to(std::size_t expected) {
  return eventually([&] {
    // A worker that was asleep gives back what others have left for it when it wakes.
    for (int i = 0; i < 64; ++i) roost::spawn([] {});
    return heap() <= expected;
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

int make_calls(int count) {
  auto patient = roost::start<caller>(roost::start<echo>());
  auto answered = call(patient, caller::start{count}, 300s).get();
  exit(patient.process(), exit_reason::kill);
  return answered;
}

/// Processes that are all alive at once, and gone when this returns.
void wave(int size) {
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
  make_calls(measurable ? 10'000 : 1000);
  auto before = heap();
  auto calls = measurable ? 1'000'000 : 10'000;
  CHECK(make_calls(calls) == calls);
  for (int i = 0; i < 20; ++i) { MESSAGE("before " << before << " now " << heap()); std::this_thread::sleep_for(50ms); in_process([]{}); }
}

TEST_CASE_FIXTURE(node, "waves") {
  wave(100);
  for (int i = 0; i < 5; ++i) { wave(1'000'000); MESSAGE("now " << heap()); ::malloc_trim(0); }
}
TEST_CASE_FIXTURE(node, "waves2") {
  wave(100);
  for (int i = 0; i < 20; ++i) { wave(50'000); MESSAGE("now " << heap()); ::malloc_trim(0); }
}
