#include "runtime/process_info.hpp"
#include "runtime/sys.hpp"
#include "runtime/system_monitor.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct counter {
  struct get { using reply = int; };
  struct bump { int by = 1; };
  struct configure { using reply = void; };
  struct nap {
    using reply = int;
    std::shared_ptr<std::promise<void>> entered;
    std::shared_future<void> leave;
  };
  using messages = roost::messages<get, bump, configure, nap>;
  int value = 0;
  int handle_call(get) const { return value; }
  void handle_cast(bump b) { value += b.by; }
  void handle_call(configure) {
    set_label("the counter");
    dictionary_put("color", std::string("red"));
    set_priority(process_priority::high);
    trap_exit(true);
  }
  int handle_call(nap n) {
    n.entered->set_value();
    n.leave.wait();
    return 1;
  }
};

struct secretive {
  using messages = roost::messages<>;
  std::string password;
  std::string format_status() const { return "secretive{***}"; }
};

struct watcher {
  struct seen {
    std::mutex mutex;
    std::vector<trace_event> events;
  };
  using messages = roost::messages<>;
  using infos = roost::messages<trace_event>;
  std::shared_ptr<seen> log;
  void handle_info(trace_event e) {
    std::lock_guard guard{log->mutex};
    log->events.push_back(std::move(e));
  }
};

struct loader {
  struct load { int times; };
  struct get { using reply = std::string; };
  using messages = roost::messages<get>;
  using continues = roost::messages<load>;
  std::string log = {};
  static init_result<loader> init() {
    continue_with(load{2});
    return loader{};
  }
  void handle_continue(load l) {
    log += "load" + std::to_string(l.times) + " ";
    if (l.times > 1) continue_with(load{l.times - 1});
  }
  std::string handle_call(get) { return log += "get"; }
};

struct self_starter {
  struct go {};
  using messages = roost::messages<>;
  using continues = roost::messages<go>;
  std::promise<void>* continued;
  static init_result<self_starter> init(std::promise<void>* continued) {
    continue_with(go{});
    return self_starter{continued};
  }
  void handle_continue(go) { continued->set_value(); }
};

struct shape {
  std::string name;
  std::vector<int> sides;
  std::optional<double> area;
};

struct limited {
  struct work {
    std::shared_ptr<std::promise<void>> entered;
    std::shared_future<void> leave;
  };
  struct count { using reply = std::vector<int>; };
  struct put { int n; };
  struct ask { using reply = int; };
  using messages = roost::messages<work, count, put, ask>;
  std::vector<int> got = {};
  void handle_cast(work w) {
    w.entered->set_value();
    w.leave.wait();
  }
  void handle_cast(put p) { got.push_back(p.n); }
  std::vector<int> handle_call(count) { return got; }
  int handle_call(ask) { return 1; }
};

struct held {
  std::promise<void> release;
  std::shared_future<void> leave = release.get_future().share();
  std::shared_ptr<std::promise<void>> entered = std::make_shared<std::promise<void>>();
};

/// What a server with this mailbox has got after 1, 2, … 10 were sent while it was busy.
std::vector<int> numbers_through(mailbox_options mailbox) {
  auto s = roost::start<limited>({.mailbox = mailbox});
  held busy;
  cast(s, limited::work{busy.entered, busy.leave});
  busy.entered->get_future().wait();
  for (int i = 1; i <= 10; ++i) cast(s, limited::put{i});
  busy.release.set_value();
  return eventually([&] {
    try {
      return !call(s, limited::count{}).get().empty();
    } catch (const process_exit&) {
      return false;
    }
  })
             ? call(s, limited::count{}).get()
             : std::vector<int>{};
}

struct receiver {
  using messages = roost::messages<>;
  using infos = roost::messages<int, std::string>;
  std::shared_ptr<std::promise<std::vector<int>>> result;
  std::vector<int> got = {};
  process_alias open = {}, once = {};
  static init_result<receiver> init(std::shared_ptr<std::promise<std::vector<int>>> result) {
    receiver r{result};
    r.open = alias();
    r.once = alias({.once = true});
    send(r.once, 1);
    send(r.once, 2);
    send(r.open, 3);
    send(self(), std::string("close"));
    return r;
  }
  void handle_info(int n) { got.push_back(n); }
  cast_result handle_info(const std::string& word) {
    if (word == "close") {
      CHECK(unalias(open));
      CHECK_FALSE(unalias(open));
      send(open, 4);
      send(self(), std::string("end"));
      return noreply();
    }
    result->set_value(got);
    return stop(exit_reason::normal);
  }
};

/// Tells the test what the system monitor says.
struct monitor_log {
  using messages = roost::messages<>;
  using infos = roost::messages<long_schedule, long_message_queue, large_process>;
  std::shared_ptr<std::promise<long_schedule>> held = {};
  std::shared_ptr<std::promise<std::size_t>> queue = {};
  std::shared_ptr<std::promise<std::size_t>> large = {};
  void handle_info(const long_schedule& e) {
    if (auto p = std::exchange(held, nullptr)) p->set_value(e);
  }
  void handle_info(long_message_queue e) {
    if (auto p = std::exchange(queue, nullptr)) p->set_value(e.length);
  }
  void handle_info(large_process e) {
    if (auto p = std::exchange(large, nullptr)) p->set_value(e.bytes);
  }
};

}  // namespace

TEST_CASE_FIXTURE(node, "a handler that holds its worker is told of while it runs; others go on") {
  auto held_back = std::make_shared<std::promise<long_schedule>>();
  auto log = roost::start<monitor_log>(held_back);
  system_monitor(log.process(), {.long_schedule = 10ms});
  auto c = roost::start<counter>(0);
  auto other = roost::start<counter>(7);
  held busy;
  auto nap = std::async(std::launch::async, [&] {
    return call(c, counter::nap{busy.entered, busy.leave}).get();
  });
  auto event = held_back->get_future().get();
  CHECK(event.process == c.process());
  CHECK(event.message.ends_with("nap"));
  CHECK(event.duration >= 10ms);
  CHECK(call(other, counter::get{}).get() == 7);
  busy.release.set_value();
  CHECK(nap.get() == 1);
  system_monitor_off();
}

TEST_CASE_FIXTURE(node, "a mailbox that grows and a process that is large are told of") {
  auto queue = std::make_shared<std::promise<std::size_t>>();
  auto large = std::make_shared<std::promise<std::size_t>>();
  auto log =
      roost::start<monitor_log>(std::shared_ptr<std::promise<long_schedule>>{}, queue, large);
  system_monitor(
      log.process(), {.long_schedule = 10s,
                      .long_message_queue = {.enable = 100, .disable = 10},
                      .large_process = 20'000});
  auto c = roost::start<counter>(0);
  held busy;
  auto nap = std::async(std::launch::async, [&] {
    return call(c, counter::nap{busy.entered, busy.leave}).get();
  });
  busy.entered->get_future().wait();
  for (int i = 0; i < 1000; ++i) cast(c, counter::bump{});
  busy.release.set_value();
  nap.get();
  CHECK(queue->get_future().get() > 100);
  CHECK(large->get_future().get() > 20'000);
  CHECK(call(c, counter::get{}).get() == 1000);
  system_monitor_off();
}

TEST_CASE_FIXTURE(node, "process_info tells what a process is and does") {
  auto c = roost::start<counter>({.name = "info"}, 5);
  call(c, counter::configure{}).get();
  auto other = in_process([&] { return monitor(c.process()); });
  (void)other;
  auto info = process_info(c.process()).get();
  REQUIRE(info.has_value());
  CHECK(info->registered_name == "info");
  CHECK(info->label == "the counter");
  CHECK(info->initial_call.ends_with("counter"));
  CHECK(info->status == process_status::waiting);
  CHECK(info->message_queue_len == 0);
  CHECK(info->trap_exit);
  CHECK(info->priority == process_priority::high);
  CHECK(info->reductions >= 1);
  CHECK(info->memory > 100);
  CHECK(info->dictionary == std::vector<std::string>{"color"});
  exit(c.process(), exit_reason::kill);
  CHECK(eventually([&] { return !process_info(c.process()).get().has_value(); }));
}

TEST_CASE_FIXTURE(node, "process_info sees links, monitors and the parent") {
  struct family {
    pid parent, child;
    std::optional<process_details> of_child, of_parent;
  };
  auto result = std::make_shared<std::promise<family>>();
  spawn([result] {
    auto child = roost::start_link<counter>(1).process();
    monitor(child);
    process_info(child).then([=](std::optional<process_details> of_child) {
      process_info(self()).then([=](std::optional<process_details> of_parent) {
        result->set_value({self(), child, of_child, of_parent});
      });
    });
  });
  auto [parent, child, of_child, of_parent] = result->get_future().get();
  CHECK(of_child->parent == parent);
  CHECK(of_child->links == std::vector<pid>{parent});
  CHECK(of_child->monitored_by == std::vector<pid>{parent});
  CHECK(of_parent->links == std::vector<pid>{child});
  CHECK(of_parent->monitors == std::vector<pid>{child});
}

TEST_CASE_FIXTURE(node, "process_info does not wait behind queued messages") {
  auto c = roost::start<counter>(0);
  held busy;
  auto nap = std::async(std::launch::async, [&] {
    return call(c, counter::nap{busy.entered, busy.leave}).get();
  });
  busy.entered->get_future().wait();
  for (int i = 0; i < 50; ++i) cast(c, counter::bump{});
  auto info = std::async(std::launch::async, [&] { return process_info(c.process()).get(); });
  busy.release.set_value();
  CHECK(info.get()->message_queue_len <= 50);
  CHECK(nap.get() == 1);
}

TEST_CASE_FIXTURE(node, "sys reads and replaces the state of any server") {
  auto c = roost::start<counter>(5);
  CHECK(sys::get_state(c).get().value == 5);
  CHECK(sys::get_state_text(c.process()).get() == "counter{value: 5}");
  CHECK(
      sys::replace_state(
          c,
          [](counter state) {
            state.value *= 2;
            return state;
          })
          .get()
          .value == 10);
  CHECK(call(c, counter::get{}).get() == 10);
  CHECK_THROWS_AS(
      sys::replace_state(c, [](counter) -> counter { throw std::runtime_error("no"); }).get(),
      process_exit);
  CHECK(call(c, counter::get{}).get() == 10);
  CHECK_THROWS_WITH_AS(
      sys::get_state(server<secretive>{c.process()}).get(),
      doctest::Contains("expected a server of type"), process_exit);
  auto s = roost::start<secretive>(std::string("hunter2"));
  CHECK(sys::get_state_text(s.process()).get() == "secretive{***}");
}

TEST_CASE_FIXTURE(node, "a suspended server keeps its messages for later") {
  auto c = roost::start<counter>(0);
  sys::suspend(c.process()).get();
  cast(c, counter::bump{});
  CHECK(sys::get_state(c).get().value == 0);
  CHECK(process_info(c.process()).get()->status == process_status::suspended);
  CHECK_THROWS_AS(call(c, counter::get{}, 10ms).get(), process_exit);
  sys::resume(c.process()).get();
  CHECK(call(c, counter::get{}).get() == 1);
}

TEST_CASE_FIXTURE(node, "a traced server's messages and replies are told, as text") {
  auto log = std::make_shared<watcher::seen>();
  auto w = roost::start<watcher>(log);
  auto c = roost::start<counter>(0);
  sys::trace(c.process(), w.process()).get();
  cast(c, counter::bump{.by = 3});
  call(c, counter::get{}).get();
  CHECK(eventually([&] {
    std::lock_guard guard{log->mutex};
    return log->events.size() == 3;
  }));
  CHECK(log->events[0].message == "bump{by: 3}");
  CHECK(log->events[1].message == "get{}");
  CHECK(log->events[2].kind == trace_event::replied);
  CHECK(log->events[2].message == "3");
  sys::no_trace(c.process()).get();
}

TEST_CASE_FIXTURE(node, "statistics count, terminate ends in order") {
  auto c = roost::start<counter>(0);
  sys::statistics(c.process(), true).get();
  for (int i = 0; i < 5; ++i) call(c, counter::get{}).get();
  auto report = sys::get_statistics(c.process()).get();
  CHECK(report->messages_out == 5);
  CHECK(report->reductions == 5);
  sys::terminate(c.process()).get();
  CHECK(eventually([&] { return !is_alive(c.process()); }));
}

TEST_CASE_FIXTURE(node, "continue runs before anything that waits, also after init") {
  auto l = roost::start<loader>();
  CHECK(call(l, loader::get{}).get() == "load2 load1 get");
}

TEST_CASE_FIXTURE(node, "what init continues with runs though nobody sends anything") {
  std::promise<void> continued;
  roost::start<self_starter>(&continued);
  CHECK(continued.get_future().wait_for(10s) == std::future_status::ready);
}

TEST_CASE_FIXTURE(node, "an alias takes messages until it ends") {
  auto result = std::make_shared<std::promise<std::vector<int>>>();
  roost::start<receiver>(result);
  CHECK(result->get_future().get() == std::vector<int>{1, 3});
}

TEST_CASE_FIXTURE(node, "a full mailbox drops what its policy says, and never signals") {
  log_capture quiet;
  CHECK(numbers_through({}) == std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  auto newest = numbers_through({.limit = 3, .policy = mailbox_policy::drop_newest});
  CHECK(newest == std::vector<int>{1, 2, 3});
  auto oldest = numbers_through({.limit = 3, .policy = mailbox_policy::drop_oldest});
  CHECK(oldest == std::vector<int>{4, 5, 6});  // past twice the limit the senders are refused
  CHECK(quiet.saw("", "mailbox full"));

  auto s = roost::start<limited>({.mailbox = {.limit = 2, .policy = mailbox_policy::crash}});
  held busy;
  cast(s, limited::work{busy.entered, busy.leave});
  busy.entered->get_future().wait();
  for (int i = 0; i < 4; ++i) cast(s, limited::put{i});
  busy.release.set_value();
  CHECK(eventually([&] { return !is_alive(s.process()); }));
  CHECK(eventually([&] { return quiet.saw("crash_report", "mailbox_full"); }));
}

TEST_CASE_FIXTURE(node, "a call that a full mailbox refuses fails at once") {
  log_capture quiet;
  auto s = roost::start<limited>({.mailbox = {.limit = 1}});
  held busy;
  cast(s, limited::work{busy.entered, busy.leave});
  busy.entered->get_future().wait();
  for (int i = 0; i < 5; ++i) cast(s, limited::put{i});
  CHECK_THROWS_WITH_AS(
      call(s, limited::ask{}).get(), doctest::Contains("mailbox_full"), process_exit);
  busy.release.set_value();
}

TEST_CASE("values print without a line of code by their author") {
  CHECK(
      to_text(shape{"square", {1, 1, 1, 1}, 1.0}) ==
      R"(shape{name: "square", sides: [1, 1, 1, 1], area: 1})");
  CHECK(to_text(std::pair{1, std::string("a")}) == R"({1, "a"})");
  CHECK(to_text(std::optional<int>{}) == "nullopt");
  CHECK(to_text(5s) == "5s");
  CHECK(to_text(exit_reason::noproc) == "noproc");
  CHECK(to_text(std::make_shared<int>(3)) == "3");
  CHECK(to_text(std::vector<int>(60, 1)).ends_with("…]"));
}
