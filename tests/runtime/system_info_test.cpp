// The state of a node in numbers.
#include "runtime/system_info.hpp"
#include "runtime/memory_limit.hpp"
#include "runtime/process_info.hpp"
#include "runtime/spawn.hpp"
#include "tests/support.hpp"
#include <fcntl.h>
#include <unistd.h>
#include <filesystem>
#include <fstream>

using namespace roost;
using namespace roost::test;
namespace fs = std::filesystem;

namespace {

/// A /proc and a /sys of our own.
struct fake_root {
  fake_root() {
    static std::atomic<int> made{0};
    path = fs::temp_directory_path() /
           ("roost_memory_" + std::to_string(::getpid()) + "_" + std::to_string(++made));
    write("proc/meminfo", "MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:  400 kB\n");
  }
  ~fake_root() { fs::remove_all(path); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path / file).parent_path());
    std::ofstream(path / file) << text;
  }
  detail::memory_limit read() const { return detail::read_memory_limit(path); }

  fs::path path;
};

double busiest(const system_details& from) {
  auto all = scheduler_utilization(from, system_info());
  return all.empty() ? -1 : *std::max_element(all.begin(), all.end());
}

}  // namespace

TEST_CASE("without a runtime there are no schedulers, but there is a program") {
  auto now = system_info();
  CHECK(now.schedulers.empty());
  CHECK(now.memory.total > 1 << 20);
  CHECK(now.memory.limit > now.memory.total);
  CHECK(now.os_pid == ::getpid());
  CHECK(now.version.find('.') != std::string::npos);
  CHECK(now.file_limit > 0);
}

TEST_CASE_FIXTURE(test::node, "a scheduler that sleeps is idle, one that works is busy") {
  auto before = system_info();
  REQUIRE(before.schedulers.size() == 2);
  // Nobody works: of an interval that is long enough hardly anything is busy.
  CHECK(eventually([&] {
    auto now = system_info();
    auto wall = now.schedulers[0].wall - before.schedulers[0].wall;
    return wall > 100ms && busiest(before) < 0.5;
  }));

  std::atomic<bool> stop = false;
  before = system_info();
  auto worker = roost::spawn([&] {
    while (!stop) {
    }
  });
  CHECK(eventually([&] {
    auto now = system_info();
    auto wall = now.schedulers[0].wall - before.schedulers[0].wall;
    return wall > 100ms && busiest(before) > 0.9;
  }));
  stop = true;
  CHECK(eventually([&] { return !is_alive(worker); }));
  auto rested = system_info();
  CHECK(eventually([&] {
    auto now = system_info();
    return now.schedulers[0].wall - rested.schedulers[0].wall > 50ms && busiest(rested) < 0.5;
  }));
}

TEST_CASE_FIXTURE(test::node, "processes, their messages and those that wait are counted") {
  auto before = system_info();
  std::atomic<bool> stop = false;
  // Two hold both workers, so that the others wait.
  std::atomic<int> holding = 0;
  for (int i = 0; i < 2; ++i)
    roost::spawn([&] {
      ++holding;
      while (!stop) {
      }
    });
  CHECK(eventually([&] { return holding == 2; }));
  CHECK(system_info().processes >= before.processes + 2);
  stop = true;
  CHECK(eventually([&] { return system_info().processes == before.processes; }));
  CHECK(system_info().reductions() > before.reductions());
  CHECK(eventually([] { return system_info().run_queue() == 0; }));

  // One process makes many, which wait behind it, as the other worker is held.
  stop = false;
  holding = 0;
  roost::spawn([&] {
    ++holding;
    while (!stop) {
    }
  });
  CHECK(eventually([&] { return holding == 1; }));
  std::atomic<std::size_t> seen = 0;
  in_process([&] {
    for (int i = 0; i < 1000; ++i) roost::spawn([] {});
    seen = system_info().run_queue();
  });
  CHECK(seen >= 1000);
  stop = true;
  CHECK(eventually([] { return system_info().run_queue() == 0; }));
}

TEST_CASE("open files are counted") {
  auto before = system_info().open_files;
  int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(system_info().open_files == before + 1);
  ::close(fd);
  CHECK(system_info().open_files == before);
}

TEST_CASE("without a limited cgroup the host's memory counts") {
  fake_root root;
  auto memory = root.read();
  CHECK(memory.limit == 1000 * 1024);
  CHECK(memory.used == 600 * 1024);
  CHECK_FALSE(memory.of_a_cgroup);
}

TEST_CASE("a cgroup of version 2 counts, with the lowest limit above it") {
  fake_root root;
  root.write("proc/self/cgroup", "0::/chat.slice/chat.service\n");
  root.write("sys/fs/cgroup/chat.slice/chat.service/memory.max", "max\n");
  root.write("sys/fs/cgroup/chat.slice/chat.service/memory.current", "10\n");
  root.write("sys/fs/cgroup/chat.slice/memory.max", "300000\n");
  root.write("sys/fs/cgroup/chat.slice/memory.current", "200000\n");
  root.write("sys/fs/cgroup/chat.slice/memory.stat", "anon 1\ninactive_file 50000\n");
  auto memory = root.read();
  CHECK(memory.limit == 300'000);
  CHECK(memory.used == 150'000);
  CHECK(memory.of_a_cgroup);

  root.write("sys/fs/cgroup/chat.slice/chat.service/memory.max", "100000\n");
  CHECK(root.read().limit == 100'000);
  CHECK(root.read().used == 10);
}

TEST_CASE("a container sees its cgroup at the top") {
  fake_root root;
  root.write("proc/self/cgroup", "4:memory:/docker/abc\n0::/\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "500000\n");
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "400000\n");
  auto memory = root.read();
  CHECK(memory.limit == 500'000);
  CHECK(memory.used == 400'000);

  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // no limit
  CHECK_FALSE(root.read().of_a_cgroup);
}
