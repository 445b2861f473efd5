#include "tests/support.hpp"
#include <malloc.h>
#include <new>

using namespace roost;
using namespace roost::test;

// Everything that this program allocates is counted, CAF's library included.
namespace {
std::atomic<std::int64_t> allocated{0};

void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  allocated.fetch_add(
      static_cast<std::int64_t>(::malloc_usable_size(block)), std::memory_order_relaxed);
  return block;
}
void release(void* block) noexcept {
  if (block == nullptr) return;
  allocated.fetch_sub(
      static_cast<std::int64_t>(::malloc_usable_size(block)), std::memory_order_relaxed);
  ::free(block);
}
}  // namespace

void* operator new(std::size_t size) { return counted(::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  auto unit = static_cast<std::size_t>(alignment);
  return counted(::aligned_alloc(unit, (size + unit - 1) / unit * unit));
}
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }

namespace {

/// Under the sanitizers everything is slower, and the tests do less.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int many = 20'000;
#else
constexpr int many = 1'000'000;
#endif

std::int64_t heap() { return allocated.load(std::memory_order_relaxed); }

/// … once everybody has come to rest: a worker that sleeps frees cancelled timers when it wakes.
bool heap_returns_to(std::int64_t limit) {
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
  make_calls(many / 100);
  auto before = heap();
  CHECK(make_calls(many) == many);
  CHECK(heap_returns_to(before + 50'000));
  MESSAGE("before " << before << " bytes, after " << heap());
}

TEST_CASE_FIXTURE(node, "a million processes come and go, and the heap is what it was") {
  // The process table keeps the room that it had at the peak, 100 bytes for each process of a wave;
  // everything else goes back.
  wave(many / 10);
  auto before = heap();
  for (int i = 0; i < 10; ++i) wave(many / 10);
  CHECK(heap_returns_to(before + before / 20));
  MESSAGE("before " << before << " bytes, after " << heap());
}
