// Alarms with real things behind them: each is made to ring and to stop.
#include "operations/alarm_watch.hpp"
#include "runtime/alarms.hpp"
#include "supervision/supervisor.hpp"
#include "tests/puppets.hpp"
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>

using namespace roost;
using namespace roost::test;
using detail::alarm_check;
using detail::alarm_settings;
using detail::alarm_watch;

namespace {

bool rings(std::string_view id) {
  auto all = alarms();
  return std::any_of(all.begin(), all.end(), [&](auto& alarm) { return alarm.id == id; });
}

std::string description(std::string_view id) {
  for (auto& alarm : alarms())
    if (alarm.id == id) return alarm.description;
  return {};
}

/// Everything off but what the test switches on, and a look every 10 ms.
alarm_settings nothing() {
  alarm_settings settings;
  settings.interval = 10ms;
  for (auto* check :
       {&settings.memory, &settings.schedulers, &settings.network, &settings.processes,
        &settings.files, &settings.links, &settings.mailboxes})
    check->enabled = false;
  settings.crash_loops_enabled = false;
  return settings;
}

struct watched_node : test::node {
  log_capture quiet;

  void watch(const alarm_settings& settings) {
    roost::start_link<alarm_watch>({.name = alarm_watch::name}, settings);
  }
};

/// Crashes when it is told to.
struct fragile {
  struct crash {};
  using messages = roost::messages<crash>;
  void handle_cast(crash) { throw std::runtime_error("it broke"); }
};

/// Memory that is really there.
struct ballast {
  explicit ballast(std::size_t size)
      : bytes(size),
        memory(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    std::memset(memory, 1, size);
  }
  ballast(const ballast&) = delete;
  ballast& operator=(const ballast&) = delete;
  ~ballast() { ::munmap(memory, bytes); }
  std::size_t bytes;
  void* memory;
};

/// A connection over the loopback interface.
struct loopback {
  loopback() {
    int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    socklen_t size = sizeof address;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    from = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(from, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    to = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    ::close(listener);
  }
  loopback(const loopback&) = delete;
  loopback& operator=(const loopback&) = delete;
  ~loopback() {
    ::close(from);
    ::close(to);
  }
  void carry(std::size_t size) {
    std::vector<char> buffer(size);
    for (std::size_t sent = 0; sent < size;) {
      auto count = ::send(from, buffer.data(), std::min<std::size_t>(size - sent, 65536), 0);
      REQUIRE(count > 0);
      for (ssize_t left = count; left > 0;)
        left -= ::recv(to, buffer.data(), static_cast<std::size_t>(left), 0);
      sent += static_cast<std::size_t>(count);
    }
  }
  int from = -1;
  int to = -1;
};

}  // namespace

TEST_CASE_FIXTURE(watched_node, "memory that grows rings, memory that is given back does not") {
  constexpr std::size_t size = std::size_t{128} << 20;
  auto settings = nothing();
  settings.memory.enabled = true;
  settings.memory_limit = system_info().memory.total + size;
  settings.memory.limits = {.raise = 0.9, .clear = 0.85};
  // Without the ballast less than `clear` of the limit is taken, whatever the program's own size.
  auto own = static_cast<double>(system_info().memory.total);
  settings.memory.limits.clear = (own + 60e6) / static_cast<double>(settings.memory_limit);
  settings.memory.limits.raise = (own + 90e6) / static_cast<double>(settings.memory_limit);
  watch(settings);
  {
    ballast grown{size};
    CHECK(eventually([] { return rings("memory_high"); }));
    CHECK(description("memory_high").find("% of its limit") != std::string::npos);
  }
  CHECK(eventually([] { return !rings("memory_high"); }));
}

TEST_CASE_FIXTURE(watched_node, "the host's or the cgroup's memory rings as well") {
  auto settings = nothing();
  settings.memory = {.enabled = true, .limits = {.raise = 0.001, .clear = 0.0005}};
  watch(settings);
  CHECK(eventually([] { return rings("memory_high"); }));
  CHECK(description("memory_high").find("% of the") != std::string::npos);
}

TEST_CASE_FIXTURE(watched_node, "schedulers that are busy for a while ring, idle ones do not") {
  auto settings = nothing();
  settings.schedulers = {
      .enabled = true, .limits = {.raise = 0.8, .clear = 0.6, .sustained = 100ms}};
  watch(settings);
  std::atomic<bool> stop = false;
  auto begun = std::chrono::steady_clock::now();
  auto worker = roost::spawn([&] {
    while (!stop) {
    }
  });
  CHECK(eventually([] { return rings("schedulers_busy"); }));
  CHECK(std::chrono::steady_clock::now() - begun >= 100ms);
  CHECK(description("schedulers_busy").find("is busy") != std::string::npos);
  stop = true;
  CHECK(eventually([] { return !rings("schedulers_busy"); }));
  CHECK(eventually([&] { return !is_alive(worker); }));
}

TEST_CASE_FIXTURE(watched_node, "processes near their limit ring until some have gone") {
  auto settings = nothing();
  settings.processes = {.enabled = true, .limits = {.raise = 0.9, .clear = 0.5}};
  settings.process_limit = 1'000;
  watch(settings);
  std::vector<server<puppet>> many;
  for (int i = 0; i < 950; ++i) many.push_back(roost::start_link<puppet>({}));
  CHECK(eventually([] { return rings("process_limit_near"); }));
  CHECK(description("process_limit_near").find("of at most 1000") != std::string::npos);
  for (int i = 0; i < 300; ++i)
    roost::exit(many[static_cast<std::size_t>(i)].process(), exit_reason::shutdown);
  // 650 are less than raise and more than clear: it goes on.
  CHECK(eventually([] { return system_info().processes < 700; }));
  CHECK(rings("process_limit_near"));
  for (auto& one : many) roost::exit(one.process(), exit_reason::shutdown);
  CHECK(eventually([] { return !rings("process_limit_near"); }));
}

TEST_CASE_FIXTURE(watched_node, "open files near their limit ring until some are closed") {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  auto lowered = before;
  lowered.rlim_cur = system_info().open_files + 200;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &lowered) == 0);
  auto own = static_cast<double>(system_info().open_files);
  auto limit = static_cast<double>(lowered.rlim_cur);
  auto settings = nothing();
  settings.files = {
      .enabled = true, .limits = {.raise = (own + 100) / limit, .clear = (own + 50) / limit}};
  watch(settings);
  std::vector<int> opened;
  for (int i = 0; i < 120; ++i) opened.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(eventually([] { return rings("file_limit_near"); }));
  for (int fd : opened) ::close(fd);
  CHECK(eventually([] { return !rings("file_limit_near"); }));
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE_FIXTURE(watched_node, "a network that carries more than its share rings until it rests") {
  auto settings = nothing();
  settings.network = {.enabled = true, .limits = {.raise = 0.8, .clear = 0.5, .sustained = 50ms}};
  settings.interfaces = {"lo"};
  settings.interface_speed = 80'000'000;  // 10 MB/s
  watch(settings);
  loopback line;
  CHECK(eventually([&] {
    line.carry(1 << 20);
    return rings("network_saturated.lo");
  }));
  CHECK(description("network_saturated.lo").find("of 80 Mbit/s on lo") != std::string::npos);
  CHECK(eventually([] { return !rings("network_saturated.lo"); }, 30s));
}

TEST_CASE_FIXTURE(watched_node, "a child that crashes again and again rings until it does not") {
  auto settings = nothing();
  settings.crash_loops_enabled = true;
  settings.loops = {.raise = 5, .clear = 0, .window = 500ms};
  watch(settings);
  roost::start_link(supervisor_spec{
      .name = "shaky", .max_restarts = 1'000, .children = {child<fragile>({.name = "fragile"})}});
  CHECK(eventually([] {
    // A message to one that has just crashed is lost.
    roost::cast(server<fragile>(whereis("fragile")), fragile::crash{});
    return rings("crash_loop");
  }));
  CHECK(description("crash_loop") == "shaky restarts fragile again and again");
  CHECK(eventually([] { return !rings("crash_loop"); }));
}

TEST_CASE_FIXTURE(watched_node, "a supervisor that gives up rings for a while") {
  auto settings = nothing();
  settings.crash_loops_enabled = true;
  settings.loops = {.raise = 100, .clear = 0, .window = 300ms};
  watch(settings);
  roost::start_link(supervisor_spec{
      .name = "shaky", .max_restarts = 0, .children = {child<fragile>({.name = "fragile"})}});
  roost::cast(server<fragile>(whereis("fragile")), fragile::crash{});
  CHECK(eventually([] { return rings("crash_loop"); }));
  CHECK(description("crash_loop") == "shaky has given up on fragile");
  CHECK(eventually([] { return !rings("crash_loop"); }));
}

TEST_CASE_FIXTURE(watched_node, "a long mailbox rings until it is read") {
  auto settings = nothing();
  settings.mailboxes = {.enabled = true, .limits = {.raise = 500, .clear = 10}};
  watch(settings);
  std::atomic<bool> go = false;
  auto slow = roost::start_link<puppet>({});
  roost::cast(slow, puppet::act{[&] {
                while (!go) std::this_thread::yield();
              }});
  for (int i = 0; i < 600; ++i) roost::cast(slow, puppet::act{[] {}});
  CHECK(eventually([] { return rings("long_mailboxes"); }));
  CHECK(description("long_mailboxes").find(to_string(slow.process()) + " has 6") == 0);
  go = true;
  CHECK(eventually([] { return !rings("long_mailboxes"); }));
  roost::call(slow, puppet::done{}).get();
}

TEST_CASE_FIXTURE(watched_node, "alarms do not outlive their watch") {
  auto settings = nothing();
  settings.processes = {.enabled = true, .limits = {.raise = 0.1, .clear = 0.05}};
  settings.process_limit = 10;
  watch(settings);
  CHECK(eventually([] { return rings("process_limit_near"); }));
  roost::exit(whereis(alarm_watch::name), exit_reason::kill);
  CHECK(eventually([] { return !rings("process_limit_near"); }));
}
