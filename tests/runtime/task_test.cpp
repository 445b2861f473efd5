#include "runtime/task.hpp"
#include "runtime/blocking.hpp"
#include "tests/puppets.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct adder {
  struct add {
    using reply = int;
    int a;
    int b;
  };
  using messages = roost::messages<add>;
  int handle_call(add message) { return message.a + message.b; }
};

/// A task that runs until somebody stops it.
task<int> endless(const server<mute>& mute) {
  return async([mute] { return call(mute, mute::ask{}, infinity); });
}

/// Watches how a process ends.
struct watcher {
  using messages = roost::messages<>;
  std::promise<std::string>* reason;

  static init_result<watcher> init(std::function<void()> start, std::promise<std::string>* reason) {
    start();
    return watcher{reason};
  }
  cast_result handle_info(const down& down) {
    reason->set_value(down.reason.to_string());
    return stop(exit_reason::normal);
  }
};

/// Runs the function in a process and answers the reason of its end.
std::string end_of(std::function<void()> run) {
  std::promise<std::string> reason;
  roost::start<watcher>(std::function<void()>([run] { spawn_monitor(run); }), &reason);
  return reason.get_future().get();
}

bool ends(pid process) {
  return eventually([&] { return !is_alive(process); });
}

/// Runs the function in a process that traps exits, and waits for the text that it promises.
template <class F>
std::string trapping(F function) {
  std::promise<std::string> text;
  auto process = spawn([&] {
    trap_exit(true);
    function(text);
  });
  auto result = text.get_future().get();
  exit(process, exit_reason::kill);
  return result;
}

template <class T>
std::string in_words(const std::optional<task_result<T>>& result) {
  if (!result) return "nothing";
  return result->ok() ? "ok " + std::to_string(result->value())
                      : "exit " + result->reason().to_string();
}

struct gauge {
  std::atomic<int> now{0};
  std::atomic<int> highest{0};
  void enter() {
    auto value = ++now;
    auto seen = highest.load();
    while (seen < value && !highest.compare_exchange_weak(seen, value)) {
    }
  }
  void leave() { --now; }
};

}  // namespace

TEST_CASE_FIXTURE(node, "a function runs in a process of its own; its result is awaited") {
  auto where = async([] { return self(); });
  CHECK(where.process() != self());
  CHECK(await(where).get() == where.process());
  CHECK(eventually([&] { return !is_alive(where.process()); }));
  bool ran = false;
  await(async([&] { ran = true; })).get();
  CHECK(ran);
}

TEST_CASE_FIXTURE(node, "a process awaits without blocking, before or after the task has ended") {
  std::promise<int> early;
  std::promise<int> late;
  spawn([&] { await(async([] { return 1; })).then([&](int n) { early.set_value(n); }); });
  CHECK(early.get_future().get() == 1);
  spawn([&] {
    auto slow = async([] { return blocking([] { std::this_thread::sleep_for(10ms); }); });
    auto quick = async([] { return 2; });
    await(slow).then([&late, quick] {
      auto after_then = std::make_shared<bool>(false);
      await(quick).then([&late, after_then](int n) { late.set_value(*after_then ? n : 0); });
      *after_then = true;
    });
  });
  CHECK(late.get_future().get() == 2);
}

TEST_CASE_FIXTURE(node, "a task waits for calls, blocking code and other tasks") {
  auto a = roost::start<adder>();
  CHECK(await(async([a] { return call(a, adder::add{1, 2}); })).get() == 3);
  CHECK(await(async([] { return blocking([] { return std::string("read"); }); })).get() == "read");
  CHECK(await(async([] { return await(async([] { return 5; })); })).get() == 5);
  auto sum = async<int>([a](from<int> answer) {
    call(a, adder::add{1, 2}).then([a, answer](int n) {
      call(a, adder::add{n, 10}).then([answer](int m) { answer.reply(m); });
    });
  });
  CHECK(await(sum).get() == 13);
}

TEST_CASE_FIXTURE(node, "a task that crashes takes its caller along") {
  log_capture quiet;
  std::atomic<bool> awaited{false};
  auto end = end_of([&] {
    await(async([]() -> int { throw std::runtime_error("no paper"); })).then([&](int) {
      awaited = true;
    });
  });
  CHECK(end.find("no paper") != end.npos);
  CHECK_FALSE(awaited);
  auto bystander = roost::start<mute>();
  end = end_of([&] {
    auto task = async([]() -> int { throw std::runtime_error("nobody awaits me"); });
    call(bystander, mute::ask{}, infinity).then([task](int) {});
  });
  CHECK(end.find("nobody awaits me") != end.npos);
}

TEST_CASE_FIXTURE(node, "a caller that traps exits learns the reason from await") {
  log_capture quiet;
  CHECK(trapping([](auto& text) {
          await(async([]() -> int { throw std::runtime_error("no paper"); }))
              .then(
                  [](int) {},
                  [&](const exit_reason& reason) { text.set_value(reason.to_string()); });
        }).find("no paper") != std::string::npos);
  CHECK_THROWS_WITH_AS(
      await(async([]() -> int { throw std::runtime_error("no ink"); })).get(),
      doctest::Contains("no ink"), process_exit);
  CHECK_THROWS_WITH_AS(
      await(async<int>([](from<int>) {})).get(), doctest::Contains("{normal, await}"),
      process_exit);
}

TEST_CASE_FIXTURE(node, "a caller that ends takes its task along") {
  log_capture quiet;
  auto m = roost::start<mute>();
  std::promise<pid> started;
  auto caller = spawn([&] {
    auto task = endless(m);
    started.set_value(task.process());
    await(task, infinity).then([](int) {});
  });
  auto process = started.get_future().get();
  exit(caller, "no longer needed");
  CHECK(ends(process));
}

TEST_CASE_FIXTURE(node, "an await that takes too long ends the caller, and the task with it") {
  log_capture quiet;
  auto m = roost::start<mute>();
  std::promise<pid> started;
  CHECK(end_of([&] {
          auto task = endless(m);
          started.set_value(task.process());
          await(task, 20ms).then([](int) {});
        }) == "timeout");
  CHECK(ends(started.get_future().get()));
  CHECK_THROWS_WITH_AS(await(endless(m), 20ms).get(), doctest::Contains("timeout"), process_exit);
}

TEST_CASE_FIXTURE(node, "a task is awaited once, by its owner") {
  auto mine = async([] { return 1; });
  CHECK(await(mine).get() == 1);
  CHECK_THROWS_WITH_AS(await(mine).get(), doctest::Contains("noproc"), process_exit);
  in_process([mine] {
    CHECK_THROWS_WITH_AS(
        await(mine).then([](int) {}), doctest::Contains("by the owner of the task"),
        std::invalid_argument);
    CHECK_THROWS_WITH_AS(await(mine).get(), doctest::Contains("use .then"), std::logic_error);
  });
  CHECK_THROWS_WITH_AS(
      await(mine).then([](int) {}), doctest::Contains("use .get"), std::logic_error);
}

TEST_CASE_FIXTURE(node, "yield answers nothing, and later the result") {
  auto m = roost::start<mute>();
  std::promise<void> gate;
  auto until = gate.get_future().share();
  auto gated = async([until] {
    return blocking([until] {
      until.wait();
      return 7;
    });
  });
  CHECK_FALSE(yield(gated, 10ms).get());
  gate.set_value();
  auto result = yield(gated).get();
  REQUIRE(result);
  CHECK(result->value() == 7);

  std::promise<std::string> words;
  auto caller = spawn([&] {
    auto task = endless(m);
    yield(task, 10ms).then([&, task](std::optional<task_result<int>> first) {
      yield(task, 10ms).then([&, task, first](std::optional<task_result<int>> second) {
        words.set_value(in_words(first) + ", " + in_words(second));
      });
    });
  });
  CHECK(words.get_future().get() == "nothing, nothing");
  exit(caller, exit_reason::kill);
}

TEST_CASE_FIXTURE(node, "yield tells how a task has ended without hurting who traps exits") {
  log_capture quiet;
  CHECK(trapping([](auto& text) {
          yield(async([]() -> int { exit("out of ideas"); })).then([&](auto result) {
            text.set_value(in_words(result));
          });
        }) == "exit out of ideas");
  CHECK(in_words(yield(async([]() -> int { exit("out of ideas"); })).get()) == "exit out of ideas");
}

TEST_CASE_FIXTURE(node, "shutdown ends a task and not its caller") {
  auto m = roost::start<mute>();
  for (auto limit : {shutdown_time(5s), brutal_kill}) {
    std::promise<std::string> words;
    auto caller = spawn([&] {
      auto task = endless(m);
      shutdown(task, limit).then([&, task](auto result) {
        words.set_value(in_words(result) + (is_alive(task.process()) ? ", alive" : ", gone"));
        call(m, mute::ask{}, infinity).then([](int) {});
      });
    });
    CHECK(words.get_future().get() == "nothing, gone");
    CHECK(is_alive(caller));
    exit(caller, exit_reason::kill);
    CHECK(in_words(shutdown(endless(m), limit).get()) == "nothing");
  }
}

TEST_CASE_FIXTURE(
    node, "shutdown hands over a result that is there, and kills who does not listen") {
  log_capture quiet;
  auto m = roost::start<mute>();
  auto done = async([] { return 3; });
  REQUIRE(eventually([&] { return !is_alive(done.process()); }));
  CHECK(in_words(shutdown(done).get()) == "ok 3");
  std::promise<void> deaf;
  auto stubborn = async([&, m] {
    trap_exit(true);
    deaf.set_value();
    return call(m, mute::ask{}, infinity);
  });
  deaf.get_future().wait();
  // A thread outside is nobody's parent: the task traps its `shutdown`.
  CHECK(in_words(shutdown(stubborn, 20ms).get()) == "exit killed");
  CHECK(in_words(shutdown(stubborn).get()) == "exit noproc");

  std::promise<std::string> words;
  spawn([&] {
    auto quick = async([] { return 4; });
    await(async([] {
      return blocking([] { std::this_thread::sleep_for(5ms); });
    })).then([&, quick] {
      shutdown(quick).then([&](auto result) { words.set_value(in_words(result)); });
    });
  });
  CHECK(words.get_future().get() == "ok 4");
}

TEST_CASE_FIXTURE(node, "an ignored task runs on, and its crash hurts nobody") {
  log_capture quiet;
  std::promise<void> gate;
  auto until = gate.get_future().share();
  std::promise<std::string> reason;
  auto caller = roost::start<puppet>();
  cast(caller, puppet::act{[&, until] {
         auto late = async([until]() {
           return blocking([until]() -> int {
             until.wait();
             throw std::runtime_error("late");
           });
         });
         CHECK_FALSE(ignore(late));
         auto process = late.process();
         roost::start<watcher>(std::function<void()>([process] { monitor(process); }), &reason);
       }});
  call(caller, puppet::done{}).get();
  gate.set_value();
  // Links are told before monitors, so the caller would not live to answer.
  CHECK(reason.get_future().get().find("late") != std::string::npos);
  call(caller, puppet::done{}).get();
  auto done = async([] { return 3; });
  REQUIRE(eventually([&] { return !is_alive(done.process()); }));
  CHECK(in_words(ignore(done)) == "ok 3");
}

TEST_CASE_FIXTURE(node, "a stream runs so many tasks at a time and keeps the order") {
  gauge gauge;
  std::vector<int> numbers;
  for (int i = 0; i < 40; ++i) numbers.push_back(i);
  auto slow_square = [&gauge](int n) {
    return blocking([&gauge, n] {
      gauge.enter();
      std::this_thread::sleep_for(std::chrono::milliseconds(n % 3));
      gauge.leave();
      return n * n;
    });
  };
  auto results = async_stream(numbers, slow_square, {.max_concurrency = 4}).get();
  REQUIRE(results.size() == 40);
  for (int i = 0; i < 40; ++i) CHECK(*results[static_cast<std::size_t>(i)] == i * i);
  CHECK(gauge.highest <= 4);
  CHECK(gauge.highest > 1);
  CHECK(async_stream(std::vector<int>{}, [](int n) { return n; }).get().empty());
}

TEST_CASE_FIXTURE(node, "an unordered stream delivers what is ready first") {
  std::promise<void> gate;
  auto until = gate.get_future().share();
  std::promise<std::string> order;
  spawn([&, until] {
    auto text = std::make_shared<std::string>();
    async_stream(
        std::vector{1, 2, 3},
        [until](int n) {
          return blocking([until, n] {
            if (n == 1) until.wait();
            return n;
          });
        },
        {.max_concurrency = 3, .ordered = false})
        .each(
            [&, text](task_result<int> result) {
              *text += std::to_string(*result);
              if (text->size() == 2) gate.set_value();
            },
            [&, text] { order.set_value(*text); });
  });
  auto text = order.get_future().get();
  CHECK(text.size() == 3);
  CHECK(text.back() == '1');
}

TEST_CASE_FIXTURE(node, "a task of a stream that takes too long ends the caller, or only itself") {
  log_capture quiet;
  auto m = roost::start<mute>();
  auto work = [m](int n) {
    return async<int>([m, n](from<int> answer) {
      if (n != 2) return answer.reply(n);
      call(m, mute::ask{}, infinity).then([answer](int late) { answer.reply(late); });
    });
  };
  auto run = [work](int n) { return await(work(n), infinity); };
  CHECK_THROWS_WITH_AS(
      async_stream(std::vector{1, 2, 3}, run, {.timeout = 20ms}).get(),
      doctest::Contains("timeout"), process_exit);
  auto results =
      async_stream(
          std::vector{1, 2, 3}, run, {.timeout = 20ms, .on_timeout = on_timeout::kill_task})
          .get();
  REQUIRE(results.size() == 3);
  CHECK(*results[0] == 1);
  CHECK(results[1].reason() == exit_reason::timeout);
  CHECK(*results[2] == 3);
}

TEST_CASE_FIXTURE(
    node, "a crash in a stream ends the caller; one that traps exits sees it in its place") {
  log_capture quiet;
  auto risky = [](int n) {
    if (n == 2) throw std::runtime_error("two");
    return n;
  };
  auto end = end_of([&] { async_stream(std::vector{1, 2, 3}, risky).then([](auto) {}); });
  CHECK(end.find("two") != end.npos);
  CHECK_THROWS_WITH_AS(
      async_stream(std::vector{1, 2, 3}, risky).get(), doctest::Contains("two"), process_exit);
  CHECK(trapping([&](auto& text) {
          async_stream(std::vector{1, 2, 3}, risky).then([&](std::vector<task_result<int>> all) {
            text.set_value(std::to_string(*all[0]) + (all[1] ? "" : "!") + std::to_string(*all[2]));
          });
        }) == "1!3");
}

TEST_CASE_FIXTURE(node, "a stream of many tasks leaves nothing behind") {
  auto before = runtime::process_count();
  std::vector<int> numbers(2000, 1);
  auto results = async_stream(numbers, [](int n) { return n; }).get();
  int sum = 0;
  for (auto& result : results) sum += *result;
  CHECK(sum == 2000);
  CHECK(eventually([&] { return runtime::process_count() <= before + 1; }));
}
