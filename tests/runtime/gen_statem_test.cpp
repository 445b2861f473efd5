#include "runtime/gen_statem.hpp"
#include "runtime/sys.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::test;

namespace {

using log_lines = std::vector<std::string>;

/// The example of the header: state functions, one event for all states.
struct code_lock {
  enum class state { locked, open };

  struct button { int digit; };
  struct length { using reply = std::size_t; };
  struct is_open { using reply = bool; };
  struct openings { using reply = int; };
  struct relock {};
  using messages = roost::messages<button, length, is_open, openings>;
  using internals = roost::messages<relock>;
  using result = event_result<code_lock>;

  std::string code;
  std::chrono::milliseconds open_for;
  std::string entered = {};
  int opened = 0;

  result handle_event(in<state::locked>, button b) {
    entered += std::to_string(b.digit);
    if (entered != code) return keep_state();
    return next_state(state::open, state_timeout(open_for, relock{}));
  }
  result handle_event(in<state::open>, button) { return postpone(); }
  result handle_event(in<state::open>, relock) { return next_state(state::locked); }
  std::size_t handle_event(state, length) { return code.size(); }
  bool handle_event(state now, is_open) { return now == state::open; }
  int handle_event(state, openings) { return opened; }

  void handle_enter(in<state::locked>, state) { entered.clear(); }
  void handle_enter(in<state::open>, state) { ++opened; }
};

/// Does what its events tell it to, and writes down what happens to it. One function for all
/// states.
struct recorder {
  enum class state { first, second, third };

  struct note { std::string text; };
  struct postponed_in_first { std::string text; };
  struct go { state to; };
  struct ask {
    using reply = std::string;
    std::string text;
  };
  struct lines { using reply = log_lines; };
  struct act { std::function<event_result<recorder>(recorder&)> what; };
  struct inner { std::string text; };
  using messages = roost::messages<note, postponed_in_first, go, ask, lines, act>;
  using internals = roost::messages<inner>;
  using infos = roost::messages<int>;
  using result = event_result<recorder>;

  log_lines log = {};
  std::shared_ptr<std::promise<std::string>> last_words = {};

  static std::string name(state s) {
    return s == state::first ? "first" : s == state::second ? "second" : "third";
  }
  void write(state s, const std::string& text) { log.push_back(name(s) + " " + text); }

  void handle_event(state s, const note& n) { write(s, n.text); }
  result handle_event(in<state::first>, const postponed_in_first&) { return postpone(); }
  void handle_event(state s, const postponed_in_first& n) { write(s, n.text); }
  result handle_event(state, go g) { return next_state(g.to); }
  result handle_event(in<state::first>, const ask&, from<std::string>) { return postpone(); }
  result handle_event(state s, const ask& question, from<std::string> client) {
    write(s, question.text);
    return keep_state(reply(client, question.text + " in " + name(s)));
  }
  log_lines handle_event(state, lines) { return log; }
  result handle_event(state, const act& a) { return a.what(*this); }
  void handle_event(state s, const inner& i) { write(s, i.text); }
  void handle_event(state s, roost::timeout) { write(s, "timeout"); }
  void handle_event(state s, int number) { write(s, std::to_string(number)); }
  void handle_event(in<state::second> s, const down& d) { write(s, d.reason.to_string()); }

  void handle_enter(state now, state before) { write(now, "from " + name(before)); }
  void terminate(const exit_reason& reason, state s) {
    if (last_words) last_words->set_value(name(s) + ", " + reason.to_string());
  }
};

using state = recorder::state;

/// What has been written since the start, without the first entry.
log_lines written(const server<recorder>& r) {
  auto lines = call(r, recorder::lines{}).get();
  REQUIRE(lines.at(0) == "first from first");
  lines.erase(lines.begin());
  return lines;
}

void act(const server<recorder>& r, std::function<event_result<recorder>(recorder&)> what) {
  cast(r, recorder::act{std::move(what)});
}

/// States with functions of their own, a generic one, and an init that chooses.
struct connection {
  enum class state { connecting, connected };
  struct send { std::string text; };
  struct sent { using reply = log_lines; };
  struct established {};
  using messages = roost::messages<send, sent>;
  using infos = roost::messages<established>;
  using result = event_result<connection>;

  log_lines wire = {};

  static statem_init<connection> init(std::string how) {
    if (how == "connected") return {state::connected, connection{}};
    if (how == "greet")
      return {state::connected, connection{}, next_event(send{"hello"}), state_timeout(1h)};
    if (how == "ignore") return ignore();
    if (how == "stop") return stop("no network");
    return {state::connecting, connection{}};
  }

  auto handle_event(in<state::connecting>, auto) { return postpone(); }
  result handle_event(in<state::connecting>, established) { return next_state(state::connected); }
  void handle_event(in<state::connected>, const send& m) { wire.push_back(m.text); }
  log_lines handle_event(in<state::connected>, sent) { return wire; }
  result handle_event(in<state::connected>, established) { return stop("twice"); }
};

/// Feeds itself for ever.
struct spinner {
  enum class state { spinning };
  struct spin {};
  using messages = roost::messages<>;
  using internals = roost::messages<spin>;

  std::atomic<long>* turns;

  static statem_init<spinner> init(std::atomic<long>* turns) {
    return {state::spinning, spinner{turns}, next_event(spin{})};
  }
  event_result<spinner> handle_event(state, spin) {
    ++*turns;
    return next_event(spin{});
  }
};

/// Owns what cannot be copied.
struct vault {
  enum class state { shut, open };
  struct put { std::unique_ptr<int> coin; };
  struct sum { using reply = int; };
  struct unlock {};
  using messages = roost::messages<put, sum, unlock>;

  int total = 0;

  event_result<vault> handle_event(in<state::shut>, const put&) { return postpone(); }
  void handle_event(in<state::open>, put message) { total += *message.coin; }
  event_result<vault> handle_event(state, unlock) { return next_state(state::open); }
  int handle_event(state, sum) { return total; }
};

/// Stops, or crashes, while it enters a state.
struct trapdoor {
  enum class state { above, below };
  struct fall { using reply = void; };
  using messages = roost::messages<fall>;
  event_result<trapdoor> handle_event(state, fall, from<void> client) {
    return next_state(state::below, reply(client, detail::unit{}));
  }
  enter_result<trapdoor> handle_enter(in<state::below>, state) { return stop("fell"); }
};

struct forgetful {
  enum class state { awake, asleep };
  struct sleep {};
  struct alarm {};
  using messages = roost::messages<sleep>;
  using internals = roost::messages<alarm>;
  event_result<forgetful> handle_event(state, sleep) {
    return next_state(state::asleep, generic_timeout("alarm", 1ms, alarm{}));
  }
  void handle_event(in<state::awake>, alarm) {}
};

}  // namespace

TEST_CASE_FIXTURE(node, "a lock opens with its code, and relocks after its time") {
  auto lock = roost::start_link<code_lock>({.name = "lock"}, std::string("42"), 1h);
  cast(lock, code_lock::button{4});
  CHECK_FALSE(call(lock, code_lock::is_open{}).get());
  cast(lock, code_lock::button{2});
  CHECK(call(server<code_lock>{"lock"}, code_lock::is_open{}).get());
  CHECK(call(lock, code_lock::length{}).get() == 2);
  auto hasty = roost::start<code_lock>(std::string("7"), 5ms);
  cast(hasty, code_lock::button{7});
  CHECK(eventually([&] { return !call(hasty, code_lock::is_open{}).get(); }));
  CHECK(call(hasty, code_lock::openings{}).get() == 1);
}

TEST_CASE_FIXTURE(node, "what is postponed waits for the next state, in its order") {
  auto lock = roost::start<code_lock>(std::string("1"), 5ms);
  // A press that comes while it is open waits until it is locked, and opens it again.
  for (int i = 0; i < 4; ++i) cast(lock, code_lock::button{1});
  CHECK(eventually([&] { return call(lock, code_lock::openings{}).get() == 4; }));
  CHECK(eventually([&] { return !call(lock, code_lock::is_open{}).get(); }));
  auto r = roost::start<recorder>();
  for (auto text : {"a", "b", "c"}) cast(r, recorder::postponed_in_first{text});
  cast(r, recorder::note{"d"});
  cast(r, recorder::go{state::second});
  cast(r, recorder::note{"e"});
  CHECK(
      written(r) ==
      log_lines{"first d", "second from first", "second a", "second b", "second c", "second e"});
}

TEST_CASE_FIXTURE(node, "many events are tried again in turns, and new ones stay behind them") {
  auto r = roost::start<recorder>();
  act(r, [r](recorder&) -> recorder::result {
    for (int i = 0; i < 1000; ++i) cast(r, recorder::postponed_in_first{std::to_string(i)});
    cast(r, recorder::go{state::second});
    cast(r, recorder::note{"last"});
    cast(r, recorder::go{state::third});
    return keep_state();
  });
  CHECK(eventually([&] { return written(r).size() == 1003; }));
  auto lines = written(r);
  for (int i = 0; i < 1000; ++i)
    CHECK(lines.at(static_cast<std::size_t>(i) + 1) == "second " + std::to_string(i));
  CHECK(lines.at(1001) == "second last");
}

TEST_CASE_FIXTURE(node, "a call that is postponed is answered in a later state") {
  auto r = roost::start<recorder>();
  auto answer =
      std::async(std::launch::async, [&] { return call(r, recorder::ask{.text = "who"}).get(); });
  CHECK(answer.wait_for(20ms) == std::future_status::timeout);
  cast(r, recorder::go{state::third});
  CHECK(answer.get() == "who in third");
}

TEST_CASE_FIXTURE(node, "who waits for a postponed call learns how the machine ends") {
  log_capture quiet;
  auto r = roost::start<recorder>();
  auto answer =
      std::async(std::launch::async, [&] { return call(r, recorder::ask{.text = "who"}).get(); });
  CHECK(answer.wait_for(20ms) == std::future_status::timeout);
  act(r, [](recorder&) -> recorder::result { return stop("closed"); });
  CHECK_THROWS_WITH_AS(answer.get(), doctest::Contains("closed"), process_exit);
}

TEST_CASE_FIXTURE(node, "staying is no change of state: what is postponed goes on waiting") {
  auto r = roost::start<recorder>();
  cast(r, recorder::postponed_in_first{"a"});
  cast(r, recorder::go{state::first});
  act(r, [](recorder&) -> recorder::result { return repeat_state(); });
  act(r, [](recorder&) -> recorder::result { return keep_state_and_data(); });
  CHECK(written(r) == log_lines{"first from first"});  // repeat_state enters again
  cast(r, recorder::go{state::second});
  CHECK(written(r) == log_lines{"first from first", "second from first", "second a"});
}

TEST_CASE_FIXTURE(
    node, "an event of next_event comes first, then what was postponed, then the rest") {
  auto r = roost::start<recorder>();
  cast(r, recorder::postponed_in_first{"postponed"});
  act(r, [r](recorder&) -> recorder::result {
    cast(r, recorder::note{"waiting"});
    return next_state(
        state::second, next_event(recorder::inner{"one"}), next_event(recorder::note{"two"}));
  });
  CHECK(eventually([&] { return written(r).size() == 5; }));
  CHECK(
      written(r) ==
      log_lines{
          "second from first", "second one", "second two", "second postponed", "second waiting"});
}

TEST_CASE_FIXTURE(node, "a call can be inserted again, with its caller") {
  auto r = roost::start<recorder>();
  act(r, [](recorder&) -> recorder::result {
    // Its caller is nobody; what matters is that it is handled as the call that it is.
    return next_state(
        state::second, next_event(recorder::ask{.text = "again"}, from<std::string>()));
  });
  CHECK(written(r) == log_lines{"second from first", "second again"});
}

TEST_CASE_FIXTURE(node, "a state time-out is cancelled by a change of state, and by nothing else") {
  auto r = roost::start<recorder>();
  // What a handler sends to its own process is there before the time-out that it starts.
  act(r, [r](recorder&) -> recorder::result {
    cast(r, recorder::note{"other"});
    cast(r, recorder::go{state::first});
    return state_timeout(5ms, recorder::inner{"late"});
  });
  CHECK(eventually([&] { return written(r).size() == 2; }));
  act(r, [r](recorder&) -> recorder::result {
    act(r, [](recorder&) -> recorder::result {
      // This one belongs to the state that is entered.
      return next_state(state::second, state_timeout(10ms, recorder::inner{"later"}));
    });
    return state_timeout(5ms, recorder::inner{"never"});
  });
  CHECK(eventually([&] { return written(r).back() == "second later"; }));
  CHECK(written(r) == log_lines{"first other", "first late", "second from first", "second later"});
}

TEST_CASE_FIXTURE(node, "an event time-out is cancelled by any other event") {
  auto r = roost::start<recorder>();
  act(r, [r](recorder&) -> recorder::result {
    cast(r, recorder::note{"in time"});
    return keep_state(event_timeout(5ms), generic_timeout("x", 20ms, recorder::inner{"x"}));
  });
  CHECK(eventually([&] { return written(r).size() == 2; }));
  CHECK(written(r) == log_lines{"first in time", "first x"});
  // Asking is an event too, so nobody may ask before it has come.
  std::atomic<bool> told{false};
  auto quiet = roost::start<recorder>();
  act(quiet, [&](recorder&) -> recorder::result {
    return event_timeout(5ms, recorder::act{[&](recorder&) -> recorder::result {
                           told = true;
                           return keep_state();
                         }});
  });
  CHECK(eventually([&] { return told.load(); }));
}

TEST_CASE_FIXTURE(
    node, "generic time-outs have names, run side by side, and outlive a change of state") {
  auto r = roost::start<recorder>();
  act(r, [r](recorder&) -> recorder::result {
    cast(r, recorder::go{state::third});
    act(r, [](recorder&) -> recorder::result { return cancel_generic_timeout("c"); });
    return next_state(
        state::second, generic_timeout("a", 20ms, recorder::inner{"a"}),
        generic_timeout("b", 10ms, recorder::inner{"b"}),
        generic_timeout("c", 5ms, recorder::inner{"c"}));
  });
  CHECK(eventually([&] { return written(r).size() == 4; }));
  CHECK(written(r) == log_lines{"second from first", "third from second", "third b", "third a"});
}

TEST_CASE_FIXTURE(node, "a time-out that is started again replaces the one that runs") {
  auto r = roost::start<recorder>();
  act(r, [](recorder&) -> recorder::result {
    return keep_state(
        generic_timeout("a", 1ms, recorder::inner{"old"}),
        generic_timeout("a", 10ms, recorder::inner{"new"}));
  });
  CHECK(eventually([&] { return !written(r).empty(); }));
  CHECK(written(r) == log_lines{"first new"});
  act(r, [](recorder&) -> recorder::result {
    return keep_state(
        generic_timeout("a", 5ms, recorder::inner{"never"}), state_timeout(5ms),
        generic_timeout("a", infinity, recorder::inner{"never"}), cancel_state_timeout(),
        generic_timeout("end", 20ms, recorder::inner{"end"}));
  });
  CHECK(eventually([&] { return written(r).size() == 2; }));
  CHECK(written(r) == log_lines{"first new", "first end"});
}

TEST_CASE_FIXTURE(node, "the event of a running time-out is updated, its time is not") {
  auto r = roost::start<recorder>();
  auto started = std::chrono::steady_clock::now();
  act(r, [r](recorder&) -> recorder::result {
    act(r, [](recorder&) -> recorder::result {
      return keep_state(
          update_generic_timeout("a", recorder::inner{"new"}),
          update_state_timeout(recorder::inner{"state"}));
    });
    return keep_state(generic_timeout("a", 20ms, recorder::inner{"old"}), state_timeout(20ms));
  });
  CHECK(eventually([&] { return written(r).size() == 2; }));
  CHECK(std::chrono::steady_clock::now() - started >= 20ms);
  auto lines = written(r);
  std::sort(lines.begin(), lines.end());
  CHECK(lines == log_lines{"first new", "first state"});
  // Without one that runs, it comes at once.
  act(r, [](recorder&) -> recorder::result {
    return update_generic_timeout("a", recorder::inner{"at once"});
  });
  CHECK(written(r).back() == "first at once");
}

TEST_CASE_FIXTURE(node, "a time-out may come at a time rather than after a while") {
  auto r = roost::start<recorder>();
  auto at = std::chrono::steady_clock::now() + 20ms;
  std::promise<bool> late;
  act(r, [&](recorder&) -> recorder::result {
    return keep_state(
        generic_timeout("past", std::chrono::steady_clock::now() - 1h, recorder::inner{"past"}),
        state_timeout(at, recorder::act{[&](recorder&) -> recorder::result {
                        late.set_value(std::chrono::steady_clock::now() >= at);
                        return keep_state();
                      }}));
  });
  CHECK(late.get_future().get());
  CHECK(written(r) == log_lines{"first past"});
}

TEST_CASE_FIXTURE(
    node, "a time-out of zero comes after what waits inside and before what is outside") {
  auto r = roost::start<recorder>();
  act(r, [r](recorder&) -> recorder::result {
    cast(r, recorder::note{"outside"});
    return keep_state(
        state_timeout(0ms, recorder::inner{"zero"}), event_timeout(0ms),
        next_event(recorder::inner{"inside"}));
  });
  CHECK(eventually([&] { return written(r).size() == 3; }));
  CHECK(written(r) == log_lines{"first inside", "first zero", "first outside"});
  act(r, [](recorder&) -> recorder::result { return event_timeout(0ms); });
  CHECK(eventually([&] { return written(r).back() == "first timeout"; }));
  act(r, [](recorder&) -> recorder::result {
    return keep_state(
        state_timeout(0ms, recorder::inner{"cancelled"}), next_event(recorder::go{state::second}));
  });
  CHECK(written(r).back() == "second from first");
}

TEST_CASE_FIXTURE(node, "a machine may begin in any state, with actions, or not at all") {
  log_capture quiet;
  auto c = roost::start<connection>(std::string("greet"));
  CHECK(call(c, connection::sent{}).get() == log_lines{"hello"});
  CHECK_FALSE(roost::start<connection>(std::string("ignore")));
  CHECK_THROWS_WITH_AS(
      roost::start<connection>(std::string("stop")), doctest::Contains("no network"), start_error);
}

TEST_CASE_FIXTURE(node, "one overload may postpone everything; the state behind it gets it all") {
  auto c = roost::start<connection>(std::string());
  auto answer = std::async(std::launch::async, [&] { return call(c, connection::sent{}).get(); });
  cast(c, connection::send{"a"});
  cast(c, connection::send{"b"});
  CHECK(answer.wait_for(20ms) == std::future_status::timeout);
  send(c.process(), connection::established{});
  CHECK(eventually([&] { return call(c, connection::sent{}).get() == log_lines{"a", "b"}; }));
  answer.get();
}

TEST_CASE_FIXTURE(node, "what cannot be copied is postponed when it is only looked at") {
  auto v = roost::start<vault>();
  cast(v, vault::put{std::make_unique<int>(5)});
  cast(v, vault::put{std::make_unique<int>(6)});
  CHECK(call(v, vault::sum{}).get() == 0);
  cast(v, vault::unlock{});
  cast(v, vault::put{std::make_unique<int>(7)});
  CHECK(call(v, vault::sum{}).get() == 18);
}

TEST_CASE_FIXTURE(node, "a machine ends with stop, and its last word knows the state") {
  log_capture quiet;
  auto words = std::make_shared<std::promise<std::string>>();
  auto r = roost::start<recorder>(log_lines{}, words);
  cast(r, recorder::go{state::third});
  act(r, [](recorder&) -> recorder::result { return stop(exit_reason::shutdown); });
  CHECK(words->get_future().get() == "third, shutdown");
  auto t = roost::start<trapdoor>();
  call(t, trapdoor::fall{}).get();  // answered before the state is entered
  CHECK(eventually([&] { return !is_alive(t.process()); }));
  CHECK(eventually([&] { return quiet.saw("crash_report", "fell"); }));
}

TEST_CASE_FIXTURE(node, "infos, DOWNs and continuations are events like others") {
  log_capture log;
  auto r = roost::start<recorder>();
  send(r.process(), 7);
  act(r, [](recorder&) -> recorder::result {
    monitor(spawn([] { exit("over"); }));
    return next_state(state::second);
  });
  CHECK(eventually([&] { return written(r).back() == "second over"; }));
  act(r, [](recorder&) -> recorder::result {
    call(roost::start<recorder>(), recorder::lines{}).then([](auto) { send(self(), 8); });
    return keep_state();
  });
  CHECK(eventually([&] { return written(r).back() == "second 8"; }));
  // A DOWN that this state does not look at, and a message that nobody lists, are dropped.
  act(r, [](recorder&) -> recorder::result {
    monitor(spawn([] {}));
    send(self(), std::string("what is this"));
    return next_state(state::third);
  });
  CHECK(eventually([&] { return log.saw("", "down"); }));
  CHECK(eventually([&] { return log.saw("", "basic_string") || log.saw("", "what is this"); }));
  CHECK(written(r).back() == "third from second");
}

TEST_CASE_FIXTURE(node, "an event of its own that a state does not handle crashes the machine") {
  log_capture log;
  auto f = roost::start<forgetful>();
  cast(f, forgetful::sleep{});
  CHECK(eventually([&] { return !is_alive(f.process()); }));
  CHECK(eventually([&] { return log.saw("crash_report", "alarm in state asleep"); }));
}

TEST_CASE_FIXTURE(
    node, "a machine that feeds itself leaves its worker to others, and can be killed") {
  std::atomic<long> turns{0};
  std::vector<server<spinner>> spinners;
  for (int i = 0; i < 4; ++i) spinners.push_back(roost::start<spinner>(&turns));
  auto r = roost::start<recorder>();
  for (int i = 0; i < 100; ++i) cast(r, recorder::note{"x"});
  CHECK(written(r).size() == 100);
  CHECK(eventually([&] { return turns > 1000; }));
  for (auto& spinner : spinners) {
    exit(spinner.process(), exit_reason::kill);
    CHECK(eventually([&] { return !is_alive(spinner.process()); }));
  }
}

TEST_CASE_FIXTURE(
    node, "an operator sees the state and the data of a machine, and changes the data") {
  auto lock = roost::start<code_lock>(std::string("42"), std::chrono::milliseconds(1h));
  cast(lock, code_lock::button{4});
  CHECK(sys::get_state(lock).get().entered == "4");
  CHECK(sys::get_state_text(lock.process()).get().find("locked code_lock{code: ") == 0);
  sys::replace_state(lock, [](code_lock data) {
    data.code = "43";
    return data;
  }).get();
  cast(lock, code_lock::button{3});
  CHECK(call(lock, code_lock::is_open{}).get());
  CHECK_THROWS_WITH_AS(
      sys::get_state(server<vault>{lock.process()}).get(),
      doctest::Contains("expected a server of type"), process_exit);
}

TEST_CASE_FIXTURE(node, "a machine ends with its parent") {
  log_capture quiet;
  auto words = std::make_shared<std::promise<std::string>>();
  spawn([words] {
    auto r = roost::start_link<recorder>(log_lines{}, words);
    act(r, [](recorder&) -> recorder::result {
      trap_exit(true);
      return keep_state();
    });
    call(r, recorder::lines{}).then([](auto) { exit("no longer needed"); });
  });
  CHECK(words->get_future().get() == "first, no longer needed");
  CHECK(eventually([&] { return quiet.count("crash_report") == 2; }));
}
