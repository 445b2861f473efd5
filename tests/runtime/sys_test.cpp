// What an operator does to servers of every kind, without their cooperation.
#include "runtime/sys.hpp"
#include "runtime/agent.hpp"
#include "runtime/blocking.hpp"
#include "runtime/gen_statem.hpp"
#include "runtime/process_info.hpp"
#include "tests/support.hpp"
#include <unistd.h>
#include <filesystem>
#include <fstream>

using namespace roost;
using namespace roost::test;

namespace {

struct counter {
  struct get { using reply = int; };
  struct bump { int by = 1; };
  struct crash {};
  struct hide {};
  struct remember {};
  using messages = roost::messages<get, bump, crash, hide, remember>;

  int value = 0;

  int handle_call(get) const { return value; }
  void handle_cast(bump message) { value += message.by; }
  void handle_cast(crash) { throw std::runtime_error("told to"); }
  void handle_cast(hide) { set_sensitive(true); }
  void handle_cast(remember) { dictionary_put("color", std::string("red")); }
};

struct lamp {
  enum class state { off, on };
  struct press {};
  using messages = roost::messages<press>;
  int presses = 0;
  event_result<lamp> handle_event(state now, press) {
    ++presses;
    return next_state(now == state::off ? state::on : state::off);
  }
};

struct stubborn {
  using messages = roost::messages<>;
  void terminate(const exit_reason&) { throw std::runtime_error("not like this"); }
};

struct slow_starter {
  using messages = roost::messages<>;
  static init_result<slow_starter> init(init_ref<slow_starter> ref) { return later(ref); }
};

struct sleepyhead {
  struct poke { using reply = int; };
  using messages = roost::messages<poke>;
  std::shared_ptr<std::atomic<int>> sleeps;
  int handle_call(poke) { return sleeps->load(); }
  void hibernate() { sleeps->fetch_add(1); }
};

struct held {
  std::promise<void> release;
  std::shared_future<void> leave = release.get_future().share();
  std::shared_ptr<std::promise<void>> entered = std::make_shared<std::promise<void>>();
};

struct watcher {
  using messages = roost::messages<>;
  std::shared_ptr<std::promise<std::string>> result;
  reference expected = {};
  static init_result<watcher> init(std::shared_ptr<std::promise<std::string>> result) {
    CHECK_THROWS_AS(
        start_monitor<counter>({.debug = {.log_to_file = "/no/such/place"}}, 0), start_error);
    auto [handle, ref] = start_monitor<counter>(0);
    exit(handle.process(), exit_reason::kill);
    return watcher{result, ref};
  }
  void handle_info(const down& d) {
    result->set_value((d.ref == expected ? "mine " : "other ") + d.reason.to_string());
  }
};

struct shell {
  using messages = roost::messages<>;
  using infos = roost::messages<io_output>;
  std::shared_ptr<std::promise<std::string>> printed;
  std::string text = {};
  void handle_info(const io_output& output) {
    text += output.text;
    if (text.ends_with("child\n")) printed->set_value(text);
  }
};

std::vector<std::string> texts(const std::vector<trace_event>& events) {
  std::vector<std::string> list;
  for (auto& event : events) list.push_back(event.message);
  return list;
}

using texts_t = std::vector<std::string>;

struct temporary_file {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("roost_sys_test." + std::to_string(::getpid()));
  ~temporary_file() { std::filesystem::remove(path); }
  std::string contents() const {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
};

}  // namespace

TEST_CASE_FIXTURE(node, "log keeps the last events, with who sent and who gets them") {
  auto c = start<counter>(0);
  sys::log(c.process(), 3).get();
  for (int i = 1; i <= 3; ++i) cast(c, counter::bump{i});
  call(c, counter::get{}).get();
  auto events = sys::get_log(c.process()).get();
  CHECK(texts(events) == texts_t{"bump{by: 3}", "get{}", "6"});
  CHECK(events[1].kind == trace_event::received);
  CHECK(events[1].peer == self());
  CHECK(events[2].kind == trace_event::replied);
  CHECK(events[2].peer == self());
  sys::log(c.process(), 1).get();
  CHECK(texts(sys::get_log(c.process()).get()) == texts_t{"6"});
  sys::log(c.process(), 0).get();
  CHECK(sys::get_log(c.process()).get().empty());
}

TEST_CASE_FIXTURE(node, "print_log and trace write to the log of the node") {
  log_capture quiet;
  auto c = start<counter>(0);
  sys::log(c.process()).get();
  cast(c, counter::bump{3});
  call(c, counter::get{}).get();
  CHECK_FALSE(quiet.saw("", "bump{by: 3}"));
  sys::print_log(c.process()).get();
  CHECK(quiet.saw("", " got bump{by: 3}"));
  sys::trace(c.process()).get();
  cast(c, counter::bump{4});
  call(c, counter::get{}).get();
  CHECK(quiet.saw("", " got bump{by: 4}"));
  CHECK(quiet.saw("", " replied 7 to " + to_string(self())));
  sys::no_trace(c.process()).get();
  cast(c, counter::bump{5});
  call(c, counter::get{}).get();
  CHECK_FALSE(quiet.saw("", "bump{by: 5}"));
}

TEST_CASE_FIXTURE(
    node, "log_to_file appends a line for each event; a file that cannot be opened fails") {
  temporary_file file;
  auto c = start<counter>(0);
  sys::log_to_file(c.process(), file.path.string()).get();
  cast(c, counter::bump{3});
  call(c, counter::get{}).get();
  sys::log_to_file(c.process(), "").get();
  cast(c, counter::bump{4});
  call(c, counter::get{}).get();
  auto text = file.contents();
  CHECK(text.find(to_string(c.process()) + " got bump{by: 3}") != text.npos);
  CHECK(text.find("replied 3") != text.npos);
  CHECK(text.find("by: 4") == text.npos);
  CHECK_THROWS_WITH_AS(
      sys::log_to_file(c.process(), "/no/such/place").get(), doctest::Contains("/no/such/place"),
      process_exit);
  CHECK(call(c, counter::get{}).get() == 7);
}

TEST_CASE_FIXTURE(
    node, "an installed function sees events and the state, until it has seen enough") {
  auto c = start<counter>(10);
  auto seen = std::make_shared<std::vector<std::string>>();
  sys::install(c, "first two", [seen](const trace_event& event, const counter& state) {
    seen->push_back(event.message + " at " + std::to_string(state.value));
    return seen->size() < 2;
  }).get();
  CHECK(sys::get_status(c.process()).get().debug == texts_t{"install first two"});
  for (int i = 1; i <= 3; ++i) cast(c, counter::bump{i});
  call(c, counter::get{}).get();
  CHECK(*seen == texts_t{"bump{by: 1} at 10", "bump{by: 2} at 11"});
  CHECK(sys::get_status(c.process()).get().debug.empty());
}

TEST_CASE_FIXTURE(
    node, "an id is installed once, removed by its name, and a function that throws goes") {
  log_capture quiet;
  auto c = start<counter>(0);
  auto first = std::make_shared<int>(0), second = std::make_shared<int>(0);
  sys::install(c.process(), "count", [first](const trace_event&) { return ++*first > 0; }).get();
  sys::install(c.process(), "count", [second](const trace_event&) { return ++*second > 0; }).get();
  sys::install(c.process(), "bad", [](const trace_event&) -> bool {
    throw std::runtime_error("oh");
  }).get();
  cast(c, counter::bump{});
  call(c, counter::get{}).get();
  CHECK(sys::get_status(c.process()).get().debug == texts_t{"install count"});
  CHECK(quiet.saw("", "id=bad"));
  sys::remove(c.process(), "count").get();
  call(c, counter::get{}).get();
  CHECK(*first == 3);
  CHECK(*second == 0);
}

TEST_CASE_FIXTURE(node, "get_status tells what a server is, has and is watched by") {
  auto c = start<counter>({.name = "status"}, 5);
  cast(c, counter::remember{});
  sys::suspend(c.process()).get();
  sys::statistics(c.process(), true).get();
  auto status = sys::get_status(c.process()).get();
  CHECK(status.process == c.process());
  CHECK(status.registered_name == "status");
  CHECK(status.module.ends_with("counter"));
  CHECK(status.suspended);
  CHECK(status.state == "counter{value: 5}");
  CHECK(status.debug == texts_t{"statistics"});
  sys::resume(c.process()).get();
  CHECK(sys::get_status(c.process()).get().dictionary == texts_t{"color"});
}

TEST_CASE_FIXTURE(node, "statistics count from zero, and are nothing when they are off") {
  auto c = start<counter>(0);
  call(c, counter::get{}).get();
  CHECK_FALSE(sys::get_statistics(c.process()).get().has_value());
  sys::statistics(c.process(), true).get();
  cast(c, counter::bump{});
  for (int i = 0; i < 4; ++i) call(c, counter::get{}).get();
  auto report = sys::get_statistics(c.process()).get();
  REQUIRE(report.has_value());
  CHECK(report->messages_in == 5);
  CHECK(report->messages_out == 4);
  CHECK(report->reductions == 5);
  CHECK(report->current_time >= report->start_time);
  sys::no_debug(c.process()).get();
  CHECK_FALSE(sys::get_statistics(c.process()).get().has_value());
}

TEST_CASE_FIXTURE(node, "state machines and agents are watched like servers") {
  auto l = start<lamp>();
  sys::log(l.process()).get();
  cast(l, lamp::press{});
  CHECK(sys::get_status(l.process()).get().state == "on lamp{presses: 1}");
  CHECK(texts(sys::get_log(l.process()).get()) == texts_t{"press{}"});
  auto a = start<agent<int>>(7);
  sys::statistics(a.process(), true).get();
  CHECK(get(a, [](const int& n) { return n; }).get() == 7);
  CHECK(sys::get_statistics(a.process()).get()->messages_out == 1);
  CHECK(sys::get_status(a.process()).get().state == "7");
  sys::suspend(a.process()).get();
  CHECK_THROWS_AS(
      get(
          a, [](const int& n) { return n; }, 10ms)
          .get(),
      process_exit);
  sys::terminate(a.process(), exit_reason::shutdown).get();
  CHECK(eventually([&] { return !is_alive(a.process()); }));
}

TEST_CASE_FIXTURE(
    node, "a request of an operator to nobody is noproc, to a busy server a timeout") {
  pid gone = spawn([] {});
  CHECK(eventually([&] { return !is_alive(gone); }));
  for (auto ask :
       {+[](pid p) { sys::log(p).get(); }, +[](pid p) { sys::get_status(p).get(); },
        +[](pid p) { sys::install(p, "x", [](const trace_event&) { return true; }).get(); },
        +[](pid p) { sys::log_to_file(p, "x").get(); }, +[](pid p) { stop(p).get(); }})
    CHECK_THROWS_WITH_AS(ask(gone), doctest::Contains("noproc"), process_exit);
  held busy;
  auto a = start<agent<int>>(0);
  cast(a, [entered = busy.entered, leave = busy.leave](int&) {
    entered->set_value();
    leave.wait();
  });
  busy.entered->get_future().wait();
  CHECK_THROWS_WITH_AS(
      sys::get_status(a.process(), 10ms).get(), doctest::Contains("timeout"), process_exit);
  busy.release.set_value();
}

TEST_CASE_FIXTURE(node, "what a sensitive process is told and holds is shown to nobody") {
  log_capture quiet;
  auto c = start<counter>(0);
  cast(c, counter::hide{});
  sys::log(c.process()).get();
  sys::get_state_text(c.process()).get();
  cast(c, counter::bump{12345});
  cast(c, counter::crash{});
  CHECK(eventually([&] { return quiet.saw("crash_report", "told to"); }));
  CHECK_FALSE(quiet.saw("crash_report", "12345"));
  CHECK(quiet.saw("crash_report", "(sensitive)"));
}

TEST_CASE_FIXTURE(node, "a server may be watched from its beginning") {
  log_capture quiet;
  auto c = start<counter>({.debug = {.log = 5, .statistics = true}}, 0);
  call(c, counter::get{}).get();
  CHECK(texts(sys::get_log(c.process()).get()) == texts_t{"get{}", "0"});
  CHECK(sys::get_statistics(c.process()).get()->messages_in == 1);
  CHECK_THROWS_AS(start<counter>({.debug = {.log_to_file = "/no/such/place"}}, 0), start_error);
}

// --- starting and stopping -----------------------------------------------------------------------

TEST_CASE_FIXTURE(node, "stop answers when the server has ended, after what was sent before") {
  auto c = start<counter>({.name = "short"}, 0);
  cast(c, counter::bump{});
  stop(c).get();
  CHECK_FALSE(is_alive(c.process()));
  CHECK(whereis("short") == pid{});
  auto other = start<counter>(0);
  stop(other, exit_reason::shutdown, 5s).get();
  CHECK_FALSE(is_alive(other.process()));
}

TEST_CASE_FIXTURE(
    node, "stop fails with the reason of a server that ends otherwise, or with its time") {
  log_capture quiet;
  auto s = start<stubborn>();
  CHECK_THROWS_WITH_AS(stop(s).get(), doctest::Contains("not like this"), process_exit);
  auto c = start<counter>(0);
  auto reason = in_process([c] {
    monitor(c.process());
    stop(c, "enough").then([] {});
    return std::string("asked");
  });
  CHECK(reason == "asked");
  CHECK(eventually([&] { return !is_alive(c.process()); }));
}

TEST_CASE_FIXTURE(
    node, "start_monitor hears of the end from the beginning, and not of a start that fails") {
  log_capture quiet;
  auto result = std::make_shared<std::promise<std::string>>();
  start<watcher>(result);
  CHECK(result->get_future().get() == "mine killed");
}

TEST_CASE_FIXTURE(node, "an init that is not finished in time ends with timeout") {
  auto before = processes().size();
  CHECK_THROWS_WITH_AS(
      start<slow_starter>({.timeout = 20ms}), doctest::Contains("timeout"), start_error);
  CHECK(eventually([&] { return processes().size() == before; }));
}

TEST_CASE_FIXTURE(node, "a server hibernates after a silence, once for each") {
  auto sleeps = std::make_shared<std::atomic<int>>(0);
  auto s = start<sleepyhead>({.hibernate_after = 5ms}, sleeps);
  CHECK(eventually([&] { return sleeps->load() == 1; }));
  call(s, sleepyhead::poke{}).get();
  CHECK(eventually([&] { return sleeps->load() == 2; }));
}

TEST_CASE_FIXTURE(node, "processes print to their group leader, and inherit it") {
  auto printed = std::make_shared<std::promise<std::string>>();
  auto s = start<shell>(printed);
  auto old = in_process([s] {
    auto before = set_group_leader(s.process());
    roost::puts("parent");
    spawn([s] {
      CHECK(group_leader() == s.process());
      roost::puts("child");
    });
    return before;
  });
  CHECK(old == pid{});
  CHECK(printed->get_future().get() == "parent\nchild\n");
}

TEST_CASE_FIXTURE(node, "a server starts with the priority that it is given") {
  auto c = start<counter>({.priority = process_priority::low}, 0);
  CHECK(process_info(c.process()).get()->priority == process_priority::low);
  auto m = start<counter>({.priority = process_priority::max}, 3);
  CHECK(call(m, counter::get{}).get() == 3);
  CHECK(to_string(process_info(m.process()).get()->priority) == "max");
}
