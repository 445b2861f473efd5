#include "supervision/task_supervisor.hpp"
#include "runtime/blocking.hpp"
#include "runtime/gen_statem.hpp"
#include "runtime/registry.hpp"
#include "supervision/supervisor.hpp"
#include "tests/puppets.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct counter {
  struct bump { using reply = int; };
  struct crash {};
  using messages = roost::messages<bump, crash>;
  int value = 0;
  int handle_call(bump) { return ++value; }
  void handle_cast(crash) { throw std::logic_error("told to"); }
};

/// A machine of two states.
struct lamp {
  enum class state { off, on };
  struct press { using reply = bool; };
  using messages = roost::messages<press>;
  event_result<lamp> handle_event(state now, press, from<bool> client) {
    return next_state(now == state::on ? state::off : state::on, reply(client, now == state::off));
  }
};

/// A function that takes its time to go away.
struct lingering {
  std::shared_ptr<void> end = {};
  int operator()(int n) {
    end = std::shared_ptr<void>(nullptr, [](void*) { std::this_thread::sleep_for(2ms); });
    return n;
  }
};

bool ends(pid process) {
  return eventually([&] { return !is_alive(process); });
}

template <class T>
std::string in_words(const std::optional<task_result<T>>& result) {
  if (!result) return "nothing";
  return result->ok() ? "ok " + std::to_string(result->value())
                      : "exit " + result->reason().to_string();
}

struct supervised : node {
  server<mute> silence = roost::start<mute>();
  pid supervisor = task_supervisor::start_link({.name = "tasks", .max_children = 4});
  task_supervisor tasks{"tasks"};

  auto endless() {
    return [silence = silence] { return call(silence, mute::ask{}, infinity); };
  }
  std::size_t count() { return tasks.children().get().size(); }
};

}  // namespace

TEST_CASE_FIXTURE(supervised, "the crash of a task is only a message to its caller") {
  log_capture quiet;
  CHECK(await(tasks.async_nolink([] { return 5; })).get() == 5);
  std::promise<std::string> reason;
  auto caller = roost::start<puppet>();
  cast(caller, puppet::act{[&] {
         await(tasks.async_nolink([]() -> int {
           throw std::runtime_error("no paper");
         })).then([](int) {}, [&](const exit_reason& why) { reason.set_value(why.to_string()); });
       }});
  CHECK(reason.get_future().get().find("no paper") != std::string::npos);
  call(caller, puppet::done{}).get();
  CHECK(is_alive(supervisor));
  CHECK(eventually([&] { return count() == 0; }));
}

TEST_CASE_FIXTURE(
    supervised, "a task lives on when its caller dies, and ends with its supervisor") {
  log_capture quiet;
  auto caller = roost::start<puppet>();
  pid process;
  cast(caller, puppet::act{[&] { process = tasks.async_nolink(endless()).process(); }});
  call(caller, puppet::done{}).get();
  exit(caller.process(), exit_reason::kill);
  REQUIRE(ends(caller.process()));
  CHECK(tasks.children().get() == std::vector{process});
  auto mine = tasks.async_nolink(endless());
  exit(supervisor, exit_reason::kill);
  CHECK(ends(process));
  CHECK_THROWS_WITH_AS(await(mine).get(), doctest::Contains("killed"), process_exit);
}

TEST_CASE_FIXTURE(supervised, "async links the task to its caller as well") {
  log_capture quiet;
  auto caller = roost::start<puppet>();
  cast(caller, puppet::act{[&] {
         (void)tasks.async([]() -> int { throw std::runtime_error("both of us"); });
       }});
  CHECK(ends(caller.process()));
  CHECK(is_alive(supervisor));
}

TEST_CASE_FIXTURE(supervised, "no more tasks than max_children, until one has ended") {
  std::vector<pid> processes;
  for (int i = 0; i < 4; ++i) processes.push_back(tasks.start_child(endless()));
  CHECK_THROWS_WITH_AS(
      (void)tasks.async_nolink(endless()), doctest::Contains("at most 4 tasks"),
      max_children_reached);
  CHECK(eventually([&] { return count() == 4; }));
  CHECK(tasks.terminate_child(processes[0]).get());
  CHECK_FALSE(is_alive(processes[0]));
  CHECK_FALSE(tasks.terminate_child(processes[0]).get());
  CHECK(await(tasks.async_nolink([] { return 1; })).get() == 1);
}

TEST_CASE_FIXTURE(supervised, "a child is temporary, unless it is asked to come back") {
  log_capture quiet;
  std::atomic<int> once{0};
  std::atomic<int> again{0};
  std::atomic<int> normal{0};
  tasks.start_child([&] {
    ++once;
    throw std::runtime_error("once");
  });
  tasks.start_child(
      [&] {
        if (++again < 3) throw std::runtime_error("again");
      },
      {.restart = transient});
  tasks.start_child([&] { ++normal; }, {.restart = transient});
  CHECK(eventually([&] { return again == 3 && once == 1; }));
  CHECK(eventually([&] { return count() == 0; }));
  CHECK(once == 1);
  CHECK(again == 3);
  CHECK(normal == 1);
  for (int i = 0; i < 4; ++i) CHECK_NOTHROW(tasks.start_child(endless()));  // every place is free
}

TEST_CASE_FIXTURE(supervised, "too many restarts end the supervisor and all its tasks") {
  log_capture quiet;
  auto other = tasks.start_child(endless());
  std::atomic<int> runs{0};
  tasks.start_child(
      [&] {
        ++runs;
        throw std::runtime_error("always");
      },
      {.restart = permanent});
  CHECK(ends(supervisor));
  CHECK(ends(other));
  CHECK(runs == 4);
  CHECK_THROWS_WITH_AS(
      (void)tasks.async_nolink([] { return 1; }),
      doctest::Contains("add roost::child<roost::task_supervisor>"), std::invalid_argument);
}

TEST_CASE_FIXTURE(supervised, "a task that is shut down ends alone") {
  auto caller = roost::start<puppet>();
  std::promise<std::string> words;
  cast(caller, puppet::act{[&] {
         shutdown(tasks.async_nolink(endless())).then([&](auto result) {
           words.set_value(in_words(result));
         });
       }});
  CHECK(words.get_future().get() == "nothing");
  call(caller, puppet::done{}).get();
  CHECK(is_alive(supervisor));
}

TEST_CASE_FIXTURE(
    supervised, "a task that does not listen is killed after the time that it is given") {
  log_capture quiet;
  auto caller = roost::start<puppet>();
  std::promise<std::string> words;
  std::atomic<bool> deaf{false};
  auto stubborn = [&, ask = endless()] {
    trap_exit(true);  // the caller is not its parent, so its `shutdown` is only a message
    deaf = true;
    return ask();
  };
  std::optional<task<int>> mine;
  cast(caller, puppet::act{[&] { mine = tasks.async_nolink(stubborn); }});
  REQUIRE(eventually([&] { return deaf.load(); }));
  cast(caller, puppet::act{[&] {
         shutdown(*mine, 10ms).then([&](auto result) { words.set_value(in_words(result)); });
       }});
  CHECK(words.get_future().get() == "exit killed");
  CHECK(eventually([&] { return quiet.saw("supervisor_report", "killed"); }));
}

TEST_CASE_FIXTURE(supervised, "a task that has answered makes room, even while it still ends") {
  auto results =
      tasks.async_stream_nolink(std::vector<int>(50, 1), lingering{}, {.max_concurrency = 4}).get();
  CHECK(results.size() == 50);
}

TEST_CASE_FIXTURE(
    supervised, "a stream without links reports crashes and late tasks in their places") {
  log_capture quiet;
  auto work = [](int n) {
    if (n == 2) throw std::runtime_error("two");
    return blocking([n] { return n; });
  };
  auto results = tasks.async_stream_nolink(std::vector{1, 2, 3}, work).get();
  REQUIRE(results.size() == 3);
  CHECK(*results[0] == 1);
  CHECK(results[1].reason().what() == "two");
  CHECK(*results[2] == 3);
  auto late = tasks
                  .async_stream_nolink(
                      std::vector<int>(12, 1), [ask = endless()](int) { return ask(); },
                      {.max_concurrency = 4, .timeout = 5ms, .on_timeout = on_timeout::kill_task})
                  .get();
  CHECK(late.at(11).reason() == exit_reason::timeout);
  CHECK(eventually([&] { return count() == 0; }));
}

TEST_CASE_FIXTURE(
    supervised, "a stream from a process that does not trap exits survives its crashes") {
  log_capture quiet;
  auto caller = roost::start<puppet>();
  std::promise<std::size_t> failed;
  cast(caller, puppet::act{[&] {
         tasks
             .async_stream_nolink(
                 std::vector<int>(100, 1), [](int) -> int { throw std::runtime_error("no"); },
                 {.max_concurrency = 4})
             .then([&](std::vector<task_result<int>> all) {
               std::size_t bad = 0;
               for (auto& result : all) bad += result ? 0U : 1U;
               failed.set_value(bad);
             });
       }});
  auto answer = failed.get_future();
  bool answered = eventually([&] { return answer.wait_for(0s) == std::future_status::ready; });
  REQUIRE(answered);
  CHECK(answer.get() == 100);
  call(caller, puppet::done{}).get();
}

TEST_CASE_FIXTURE(node, "a supervisor stops its tasks before it ends") {
  auto tree =
      start_link(supervisor_spec{.children = {roost::child<task_supervisor>({.name = "tasks"})}});
  task_supervisor tasks{"tasks"};
  auto silence = roost::start<mute>();
  std::atomic<bool> deaf{false};
  auto polite = tasks.start_child([silence] { return call(silence, mute::ask{}, infinity); });
  auto stubborn = tasks.start_child(
      [&, silence] {
        trap_exit(true);
        deaf = true;
        return call(silence, mute::ask{}, infinity);
      },
      {.shutdown = 20ms});
  REQUIRE(eventually([&] { return deaf.load(); }));
  auto supervisor = tasks.process();
  detail::stop_root(tree, exit_reason::shutdown);
  CHECK(ends(tree));
  CHECK_FALSE(is_alive(supervisor));
  CHECK_FALSE(is_alive(polite));
  CHECK_FALSE(is_alive(stubborn));
}

TEST_CASE_FIXTURE(node, "servers in a tree are found in a registry, also after a restart") {
  log_capture quiet;
  start_link(supervisor_spec{
      .strategy = rest_for_one,
      .children = {
          roost::child<registry>({.name = "rooms", .keys = registry::unique}),
          with(roost::child<counter>({.name = via("rooms", "lobby")}, 10), {.id = "lobby"}),
          with(roost::child<counter>({.name = via("rooms", "hall")}, 20), {.id = "hall"}),
          roost::child<lamp>({.name = via("rooms", "lamp")}),
      }});
  CHECK(call(server<lamp>{via("rooms", "lamp")}, lamp::press{}).get());
  CHECK_FALSE(call(server<lamp>{via("rooms", "lamp")}, lamp::press{}).get());
  registry rooms{"rooms"};
  server<counter> lobby{via("rooms", "lobby")};
  CHECK(call(lobby, counter::bump{}).get() == 11);
  CHECK(call(server<counter>{via("rooms", "hall")}, counter::bump{}).get() == 21);
  auto before = lobby.process();
  cast(lobby, counter::crash{});
  CHECK(eventually([&] { return lobby.process() && lobby.process() != before; }));
  CHECK(call(lobby, counter::bump{}).get() == 11);
  // The registry takes its owners along; all come back and register again.
  before = lobby.process();
  exit(whereis("rooms"), exit_reason::kill);
  CHECK(eventually([&] { return lobby.process() && lobby.process() != before; }));
  CHECK(eventually([&] { return static_cast<bool>(server<counter>{via("rooms", "hall")}); }));
}
