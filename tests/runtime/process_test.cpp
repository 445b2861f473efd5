#include "runtime/blocking.hpp"
#include "runtime/process_core.hpp"
#include "runtime/scheduler.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct ping { int n = 0; };

/// Keeps what it is told, for the test to look at from outside.
struct recorder {
  struct seen {
    std::mutex mutex;
    std::vector<down> downs;
    std::vector<exited> exits;
    std::vector<int> pings;
    std::vector<std::string> order;
  };
  struct watch {
    using reply = reference;
    pid process;
  };
  struct watch_link {
    using reply = void;
    pid process;
  };
  struct unwatch {
    using reply = bool;
    reference ref;
    bool flush = false;
  };
  struct unlink_from {
    using reply = void;
    pid process;
  };
  struct trap { using reply = void; };
  using messages = roost::messages<watch, watch_link, unwatch, unlink_from, trap>;
  using infos = roost::messages<ping>;

  std::shared_ptr<seen> log;

  reference handle_call(watch w) { return monitor(w.process); }
  void handle_call(watch_link w) { link(w.process); }
  void handle_call(unlink_from w) { unlink(w.process); }
  bool handle_call(unwatch u) { return demonitor(u.ref, {.flush = u.flush}); }
  void handle_call(trap) { trap_exit(true); }

  void handle_info(const down& d) {
    add([&] {
      log->downs.push_back(d);
      log->order.push_back("down");
    });
  }
  void handle_info(const exited& e) {
    add([&] { log->exits.push_back(e); });
  }
  void handle_info(ping p) {
    add([&] {
      log->pings.push_back(p.n);
      log->order.push_back("ping");
    });
  }

  template <class F>
  void add(F f) {
    std::lock_guard guard{log->mutex};
    f();
  }
};

struct recording {
  std::shared_ptr<recorder::seen> log = std::make_shared<recorder::seen>();
  roost::server<recorder> server = roost::start<recorder>(log);

  template <class F>
  auto read(F f) {
    std::lock_guard guard{log->mutex};
    return f(*log);
  }
  std::size_t downs() {
    return read([](auto& s) { return s.downs.size(); });
  }
  std::size_t exits() {
    return read([](auto& s) { return s.exits.size(); });
  }
};

/// A server that does nothing until it is told to end.
struct idler {
  struct leave { exit_reason reason; };
  struct fail { std::string what; };
  struct greet { using reply = int; };
  using messages = roost::messages<leave, fail, greet>;
  cast_result handle_cast(leave l) { return stop(l.reason); }
  void handle_cast(fail f) { throw std::runtime_error(f.what); }
  int handle_call(greet) { return 1; }
};

struct watcher {
  using messages = roost::messages<>;
  std::shared_ptr<std::promise<int>> done;
  int left = 1000;
  static init_result<watcher> init(std::shared_ptr<std::promise<int>> done) {
    for (int i = 0; i < 1000; ++i) spawn_monitor([] {});
    return watcher{done};
  }
  void handle_info(const down& d) {
    if (d.reason == exit_reason::normal && --left == 0) done->set_value(0);
  }
};

struct timed {
  using messages = roost::messages<>;
  using infos = roost::messages<timer_fired<ping>>;
  std::shared_ptr<std::promise<bool>> done;
  reference expected = {};
  static init_result<timed> init(std::shared_ptr<std::promise<bool>> done) {
    auto started = start_timer(10ms, self(), ping{7});
    auto left = started.handle.remaining();
    CHECK((left && *left <= 11ms));
    return timed{done, started.ref};
  }
  void handle_info(timer_fired<ping> fired) {
    done->set_value(fired.ref == expected && fired.message.n == 7);
  }
};

}  // namespace

TEST_CASE_FIXTURE(node, "a spawned function runs in its own process and ends with normal") {
  recording seen;
  auto watcher = seen.server;
  std::promise<pid> ran;
  auto child = spawn([&] { ran.set_value(self()); });
  CHECK(ran.get_future().get() == child);
  CHECK(eventually([&] { return !is_alive(child); }));
}

TEST_CASE_FIXTURE(node, "pids are never reused and print like Erlang's") {
  auto first = spawn([] {});
  CHECK(eventually([&] { return !is_alive(first); }));
  for (int i = 0; i < 1000; ++i) CHECK(spawn([] {}) != first);
  CHECK(to_string(pid{(3ULL << 28) | 42, 0}) == "<0.42.3>");
}

TEST_CASE_FIXTURE(node, "a monitor tells once how the process ended") {
  recording seen;
  auto victim = roost::start<idler>();
  auto ref = call(seen.server, recorder::watch{victim.process()}).get();
  cast(victim, idler::leave{"out of paper"});
  REQUIRE(eventually([&] { return seen.downs() == 1; }));
  auto got = seen.read([](auto& s) { return s.downs.front(); });
  CHECK(got.ref == ref);
  CHECK(got.process == victim.process());
  CHECK(got.reason.to_string() == "out of paper");
}

TEST_CASE_FIXTURE(node, "monitoring a process that has gone answers noproc at once") {
  recording seen;
  auto gone = spawn([] {});
  REQUIRE(eventually([&] { return !is_alive(gone); }));
  call(seen.server, recorder::watch{gone}).get();
  REQUIRE(eventually([&] { return seen.downs() == 1; }));
  CHECK(seen.read([](auto& s) { return s.downs.front().reason; }) == exit_reason::noproc);
}

TEST_CASE_FIXTURE(node, "monitors are stackable, and each is taken back on its own") {
  recording seen;
  auto victim = roost::start<idler>();
  auto kept = call(seen.server, recorder::watch{victim.process()}).get();
  auto dropped = call(seen.server, recorder::watch{victim.process()}).get();
  CHECK(call(seen.server, recorder::unwatch{dropped}).get());
  CHECK_FALSE(call(seen.server, recorder::unwatch{dropped}).get());
  cast(victim, idler::leave{exit_reason::normal});
  REQUIRE(eventually([&] { return seen.downs() >= 1; }));
  call(seen.server, recorder::trap{}).get();
  CHECK(seen.downs() == 1);
  CHECK(seen.read([](auto& s) { return s.downs.front().ref; }) == kept);
}

TEST_CASE_FIXTURE(node, "DOWN comes after the last message of the process") {
  recording seen;
  for (int round = 0; round < 200; ++round) {
    auto to = seen.server.process();
    auto child = in_process([to] {
      return spawn([to] {
        for (int i = 0; i < 5; ++i) send(to, ping{i});
      });
    });
    call(seen.server, recorder::watch{child}).get();
  }
  REQUIRE(eventually([&] { return seen.downs() == 200; }));
  auto pings = seen.read([](auto& s) { return s.pings.size(); });
  CHECK(pings == 1000);
}

TEST_CASE_FIXTURE(node, "a crash kills linked processes, normal ends do not") {
  log_capture quiet;
  auto left = roost::start<idler>();
  auto right = roost::start<idler>();
  recording keeper;
  call(keeper.server, recorder::trap{}).get();
  call(keeper.server, recorder::watch_link{left.process()}).get();
  cast(left, idler::leave{exit_reason::normal});
  REQUIRE(eventually([&] { return keeper.exits() == 1; }));  // trapping: told, and alive
  CHECK(keeper.read([](auto& s) { return s.exits.front().reason; }) == exit_reason::normal);

  recording fragile;
  call(fragile.server, recorder::watch_link{right.process()}).get();
  cast(right, idler::fail{"boom"});
  CHECK(eventually([&] { return !is_alive(fragile.server.process()); }));
  CHECK(quiet.saw("crash_report", "boom"));
}

TEST_CASE_FIXTURE(node, "linking to a process that has gone is the exit signal noproc") {
  auto gone = spawn([] {});
  REQUIRE(eventually([&] { return !is_alive(gone); }));
  recording trapping;
  call(trapping.server, recorder::trap{}).get();
  call(trapping.server, recorder::watch_link{gone}).get();
  REQUIRE(eventually([&] { return trapping.exits() == 1; }));
  CHECK(trapping.read([](auto& s) { return s.exits.front().reason; }) == exit_reason::noproc);
}

TEST_CASE_FIXTURE(node, "after unlink, the other's crash does not reach us") {
  log_capture quiet;
  auto other = roost::start<idler>();
  recording me;
  call(me.server, recorder::watch_link{other.process()}).get();
  call(me.server, recorder::unlink_from{other.process()}).get();
  cast(other, idler::fail{"boom"});
  REQUIRE(eventually([&] { return !is_alive(other.process()); }));
  CHECK_NOTHROW(call(me.server, recorder::trap{}).get());
}

TEST_CASE_FIXTURE(node, "exit/2: normal is ignored, kill cannot be trapped and shows as killed") {
  recording seen;
  auto plain = roost::start<idler>();
  exit(plain.process(), exit_reason::normal);
  CHECK(call(plain, idler::greet{}).get() == 1);

  recording stubborn;
  call(stubborn.server, recorder::trap{}).get();
  call(seen.server, recorder::watch{stubborn.server.process()}).get();
  exit(stubborn.server.process(), "please");
  REQUIRE(eventually([&] { return stubborn.exits() == 1; }));
  exit(stubborn.server.process(), exit_reason::kill);
  REQUIRE(eventually([&] { return seen.downs() == 1; }));
  CHECK(seen.read([](auto& s) { return s.downs.front().reason; }) == exit_reason::killed);
}

TEST_CASE_FIXTURE(node, "kill does not wait behind queued messages") {
  log_capture quiet;
  recording seen;
  auto busy = roost::start<idler>();
  call(seen.server, recorder::watch{busy.process()}).get();
  for (int i = 0; i < 100'000; ++i) send(busy.process(), i);
  exit(busy.process(), exit_reason::kill);
  CHECK(eventually([&] { return seen.downs() == 1; }));
}

TEST_CASE_FIXTURE(node, "messages of one sender arrive in the order of sending") {
  recording seen;
  auto to = seen.server.process();
  in_process([to] {
    for (int i = 0; i < 10'000; ++i) send(to, ping{i});
  });
  REQUIRE(eventually([&] { return seen.read([](auto& s) { return s.pings.size() == 10'000; }); }));
  bool in_order = seen.read([](auto& s) {
    for (int i = 0; i < 10'000; ++i)
      if (s.pings[static_cast<std::size_t>(i)] != i) return false;
    return true;
  });
  CHECK(in_order);
}

TEST_CASE_FIXTURE(node, "a name belongs to one process and goes away with it") {
  auto owner = roost::start<idler>({.name = "printer"});
  CHECK(whereis("printer") == owner.process());
  CHECK_THROWS_AS(register_name("printer", roost::start<idler>().process()), std::invalid_argument);
  CHECK_THROWS_AS(roost::start<idler>({.name = "printer"}), start_error);
  CHECK(call(server<idler>{"printer"}, idler::greet{}).get() == 1);
  cast(owner, idler::leave{exit_reason::normal});
  CHECK(eventually([] { return !whereis("printer"); }));
  auto second = roost::start<idler>({.name = "printer"});
  CHECK(whereis("printer") == second.process());
  unregister_name("printer");
  CHECK_FALSE(whereis("printer"));
  CHECK_THROWS_AS(send("printer", ping{}), std::invalid_argument);
}

TEST_CASE_FIXTURE(node, "send_after delivers after its time, and a cancelled timer never does") {
  recording seen;
  auto start = std::chrono::steady_clock::now();
  send_after(30ms, seen.server.process(), ping{1});
  auto never = send_after(40ms, seen.server.process(), ping{2});
  auto left = never.cancel();
  REQUIRE(left.has_value());
  CHECK(left->count() <= 41);
  CHECK_FALSE(never.cancel().has_value());
  send_after(60ms, seen.server.process(), ping{3});
  REQUIRE(eventually([&] { return seen.read([](auto& s) { return s.pings.size() >= 2; }); }));
  CHECK(std::chrono::steady_clock::now() - start >= 60ms);
  CHECK(seen.read([](auto& s) { return s.pings; }) == std::vector<int>{1, 3});
}

TEST_CASE_FIXTURE(node, "blocking work runs elsewhere and answers like a call") {
  auto answer = blocking([] { return std::string("read"); }).get();
  CHECK(answer == "read");
  std::promise<int> result;
  auto future = result.get_future();
  spawn([&] { blocking([] { return 42; }).then([&](int n) { result.set_value(n); }); });
  CHECK(future.get() == 42);
  CHECK_THROWS_AS(blocking([]() -> int { throw std::runtime_error("disk"); }).get(), process_exit);
}

TEST_CASE_FIXTURE(node, "a hundred thousand processes come and go") {
  std::atomic<int> ran{0};
  auto before = runtime::process_count();
  in_process([&] {
    for (int i = 0; i < 100'000; ++i) spawn([&] { ran.fetch_add(1); });
  });
  CHECK(eventually(
      [&] { return ran.load() == 100'000 && runtime::process_count() <= before + 1; }, 30s));
}

TEST_CASE_FIXTURE(node, "spawn_monitor watches from the beginning, however short the life is") {
  auto done = std::make_shared<std::promise<int>>();
  roost::start<watcher>(done);
  CHECK(done->get_future().wait_for(10s) == std::future_status::ready);
}

TEST_CASE_FIXTURE(node, "a crash travels along links, and stops where exits are trapped") {
  log_capture quiet;
  recording seen;
  call(seen.server, recorder::trap{}).get();
  auto a = roost::start<idler>();
  recording middle;
  call(middle.server, recorder::watch_link{a.process()}).get();
  call(seen.server, recorder::watch_link{middle.server.process()}).get();
  cast(a, idler::fail{"boom"});
  REQUIRE(eventually([&] { return seen.exits() == 1; }));
  CHECK_FALSE(is_alive(middle.server.process()));
  CHECK(seen.read([](auto& s) { return s.exits.front().reason.what() == "boom"; }));
  CHECK(is_alive(seen.server.process()));
}

TEST_CASE_FIXTURE(
    node, "start_timer wraps its message with a reference; remaining tells the time") {
  auto done = std::make_shared<std::promise<bool>>();
  roost::start<timed>(done);
  CHECK(done->get_future().get());
  recording seen;
  send_at(std::chrono::steady_clock::now() + 5ms, seen.server.process(), ping{1});
  CHECK(eventually([&] { return seen.read([](auto& s) { return s.pings.size() == 1; }); }));
}

TEST_CASE_FIXTURE(node, "a name belongs to a node: {name, node} finds it here and nowhere else") {
  auto owner = roost::start<idler>({.name = "here"});
  CHECK(call(server<idler>{"here", node_name()}, idler::greet{}).get() == 1);
  CHECK_THROWS_WITH_AS(
      call(server<idler>{"here", "elsewhere@nohost"}, idler::greet{}).get(),
      doctest::Contains("noconnection"), process_exit);
  in_process([] { hibernate(); });  // gives back memory, changes nothing
  CHECK(is_alive(owner.process()));
}

TEST_CASE_FIXTURE(node, "what runs as a process outside of its turn may let go of monitors") {
  struct listener final : detail::behavior {
    std::atomic<int>& told;
    explicit listener(std::atomic<int>& told) : told(told) {}
    detail::init_outcome init() override { return {}; }
    void handle(detail::message& message) override {
      if (detail::value_of<ping>(message) != nullptr) ++told;
    }
    std::string_view initial_call() const noexcept override { return "listener"; }
  };
  std::atomic<int> told{0};
  std::promise<pid> started;
  auto& worker = detail::scheduler::instance()->at(0);
  worker.post_function([&] {
    detail::start_request request;
    request.worker = 0;
    request.owned = true;
    started.set_value(
        detail::start_process(std::make_unique<listener>(told), std::move(request)).process);
  });
  auto process = started.get_future().get();
  for (int i = 1; i <= 20; ++i) {
    auto other = spawn([] {});
    REQUIRE(eventually([&] { return !is_alive(other); }));  // so that its DOWN waits at once
    std::promise<void> done;
    worker.post_function([&] {
      auto* inside = detail::find_slot(process.id)->tenant;
      detail::run_as(*inside, [&] { demonitor(monitor(other), {.flush = true}); });
      done.set_value();
    });
    done.get_future().get();
    send(process, ping{i});
    REQUIRE(eventually([&] { return told == i; }));
  }
  exit(process, exit_reason::kill);
}
