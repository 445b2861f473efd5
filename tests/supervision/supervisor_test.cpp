#include "runtime/sys.hpp"
#include "tests/supervision/tree.hpp"

using namespace roost;
using namespace roost::test;

// --- order ---------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(tree, "children start from left to right and stop from right to left") {
  auto top = start({.children = {plain("a"), plain("b"), plain("c")}});
  CHECK(log->take() == lines{"start a", "start b", "start c"});
  stop(top);
  CHECK(log->take() == lines{"stop c", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "a child whose init finishes later holds up those after it") {
  auto gate = make_gate(false);
  auto top = std::async(std::launch::async, [&] {
    return start({.children = {plain("a"), waiting("b", gate), plain("c")}});
  });
  REQUIRE(eventually([&] { return log->count("wait b") == 1; }));
  CHECK(log->read() == lines{"start a", "wait b"});
  gate->open();
  stop(top.get());
  CHECK(log->read() == lines{"start a", "wait b", "start b", "start c", "stop c", "stop a"});
}

TEST_CASE_FIXTURE(tree, "a supervisor that is stopped does not wait for a child that is starting") {
  auto gate = make_gate(false);
  auto error = std::async(std::launch::async, [&] {
    return failure_of([&] {
      start_link({.name = "top", .children = {plain("a"), waiting("b", gate), plain("c")}});
    });
  });
  REQUIRE(eventually([&] { return log->count("wait b") == 1; }));
  detail::stop_root(whereis("top"), exit_reason::shutdown);
  CHECK(error.get() == "shutdown");
  CHECK(log->read() == lines{"start a", "wait b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "a supervisor ends with its parent, and for the same reason") {
  std::promise<pid> started;
  auto gate = make_gate(false);
  auto parent = spawn([&] {
    started.set_value(start_link({.children = {plain("a"), plain("b")}}));
    blocking([gate] { gate->pass(); }).then([] { exit("no longer needed"); });
  });
  auto top = started.get_future().get();
  REQUIRE(eventually([&] { return log->count("start b") == 1; }));
  auto promise = std::make_shared<std::promise<std::string>>();
  end = promise->get_future();
  roost::start<watcher>(top, promise);
  gate->open();
  CHECK(how_it_ended() == "no longer needed");
  CHECK_FALSE(is_alive(parent));
  CHECK(log->read() == lines{"start a", "start b", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "exit signals of strangers do not reach a supervisor") {
  auto top = start({.children = {plain("a")}});
  auto a = process(top, "a");
  exit(top, "go away");
  exit(top, exit_reason::shutdown);
  CHECK(process(top, "a") == a);
  stop(top);
}

// --- restarts ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(tree, "a child that crashes is started again, under its name") {
  auto top = start({.children = {plain("a"), plain("b")}});
  auto a = whereis("a");
  auto b = whereis("b");
  restart_child(top, "a");
  CHECK(whereis("a") != a);
  CHECK(whereis("a") == process(top, "a"));
  CHECK(whereis("b") == b);
  CHECK(log->take() == lines{"start a", "start b", "end a", "start a"});
  CHECK(reports.saw("supervisor_report", "context=child_terminated child=a"));
  CHECK(reports.saw("supervisor_report", "boom"));
  CHECK(reports.count("supervisor_report") == 1);
}

TEST_CASE_FIXTURE(tree, "a child that is killed comes back like one that crashes") {
  auto top = start({.children = {plain("a")}});
  auto a = process(top, "a");
  exit(a, exit_reason::kill);
  CHECK(eventually([&] { return process(top, "a") && process(top, "a") != a; }));
  CHECK(reports.saw("supervisor_report", "reason=killed"));
}

TEST_CASE_FIXTURE(
    tree, "permanent children always come back, transient after a crash, temporary never") {
  struct row {
    enum restart type;
    exit_reason reason;
    std::string then;
    bool reported;
  };
  const row table[] = {
      {permanent, exit_reason::normal, "running", true},
      {permanent, exit_reason::shutdown, "running", true},
      {permanent, exit_reason("boom"), "running", true},
      {transient, exit_reason::normal, "gone", false},
      {transient, exit_reason::shutdown, "gone", false},
      {transient, exit_reason::shutdown_with("left"), "gone", false},
      {transient, exit_reason("boom"), "running", true},
      {temporary, exit_reason::normal, "forgotten", false},
      {temporary, exit_reason::shutdown, "forgotten", false},
      {temporary, exit_reason("boom"), "forgotten", true},
  };
  for (auto& row : table) {
    CAPTURE(static_cast<int>(row.type));
    CAPTURE(row.reason.to_string());
    auto reported = reports.count("supervisor_report");
    auto top = start({.children = {plain("a", {.restart = row.type}), plain("b")}});
    end_child(top, "a", member::leave{row.reason});
    auto a = line(top, "a");
    CHECK((a.id == "forgotten" ? a.id : a.process ? "running" : "gone") == row.then);
    CHECK_FALSE(a.restarting);
    CHECK(roost::supervisor(top).count_children().get().specs == (row.then == "forgotten" ? 1 : 2));
    CHECK((reports.count("supervisor_report") > reported) == row.reported);
    stop(top);
  }
}

TEST_CASE_FIXTURE(
    tree, "the fourth restart within five seconds ends the supervisor with shutdown") {
  auto top = start({.children = {plain("a"), plain("b")}});
  for (int i = 0; i < 3; ++i) restart_child(top, "b");
  log->take();
  end_child(top, "b");
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->read() == lines{"end b", "stop a"});
  CHECK(reports.saw("supervisor_report", "context=shutdown child=b"));
  CHECK(reports.saw("supervisor_report", "reason=reached_max_restart_intensity"));
}

TEST_CASE_FIXTURE(tree, "the limit counts the restarts of all children together") {
  auto top = start({.max_restarts = 2, .children = {plain("a"), plain("b"), plain("c")}});
  restart_child(top, "a");
  restart_child(top, "b");
  end_child(top, "c");
  CHECK(how_it_ended() == "shutdown");
}

TEST_CASE_FIXTURE(tree, "restarts that are further apart than the window go on") {
  auto top = start({.max_restarts = 1, .max_seconds = 1ms, .children = {plain("a")}});
  for (int i = 0; i < 5; ++i) {
    restart_child(top, "a");
    auto restarted = std::chrono::steady_clock::now();
    REQUIRE(eventually([&] { return std::chrono::steady_clock::now() > restarted + 2ms; }));
  }
  stop(top);
}

TEST_CASE_FIXTURE(tree, "one_for_all stops the others in reverse and starts everybody in order") {
  auto top = start({.strategy = one_for_all, .children = {plain("a"), plain("b"), plain("c")}});
  log->take();
  restart_child(top, "b");
  REQUIRE(eventually([&] { return log->count("start c") == 1; }));
  CHECK(log->take() == lines{"end b", "stop c", "stop a", "start a", "start b", "start c"});
  stop(top);
  CHECK(log->take() == lines{"stop c", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "rest_for_one leaves those before alone and restarts those after") {
  auto top = start(
      {.strategy = rest_for_one, .children = {plain("a"), plain("b"), plain("c"), plain("d")}});
  auto a = whereis("a");
  log->take();
  restart_child(top, "b");
  REQUIRE(eventually([&] { return log->count("start d") == 1; }));
  CHECK(log->take() == lines{"end b", "stop d", "stop c", "start b", "start c", "start d"});
  CHECK(whereis("a") == a);
  restart_child(top, "d");
  CHECK(log->take() == lines{"end d", "start d"});
}

TEST_CASE_FIXTURE(
    tree, "a restart of all takes transient children along, and leaves temporary ones out") {
  auto top = start(
      {.strategy = one_for_all,
       .children = {
           plain("a"), plain("b", {.restart = transient}), plain("c", {.restart = temporary})}});
  end_child(top, "b", member::leave{exit_reason::normal});
  log->take();
  restart_child(top, "a");
  REQUIRE(eventually([&] { return log->count("start b") == 1; }));
  CHECK(log->take() == lines{"end a", "stop c", "start a", "start b"});
  CHECK(line(top, "c").id == "forgotten");
}

TEST_CASE_FIXTURE(tree, "a restart that fails is tried again") {
  auto now = mood(moody::mood::fine);
  auto top = start({.max_restarts = 1'000'000'000, .children = {plain("a"), changing("b", now)}});
  for (auto trouble : {moody::mood::failing, moody::mood::throwing}) {
    now->store(trouble);
    log->take();
    end_child(top, "b", moody::crash{});
    REQUIRE(eventually([&] { return log->count("try b") > 3; }));
    auto b = line(top, "b");  // answered in between
    CHECK_FALSE(b.process);
    CHECK(b.restarting);
    now->store(moody::mood::fine);
    CHECK(eventually([&] { return static_cast<bool>(process(top, "b")); }));
  }
  CHECK(log->count("start a") == 0);
  CHECK(reports.saw("supervisor_report", "context=start_error child=b"));
  CHECK(reports.saw("supervisor_report", "no paper"));
  CHECK(reports.saw("supervisor_report", "paper jam"));
}

TEST_CASE_FIXTURE(tree, "a restart that goes on failing reaches the limit") {
  auto now = mood(moody::mood::fine);
  auto top = start({.children = {plain("a"), changing("b", now), plain("c")}});
  now->store(moody::mood::failing);
  log->take();
  end_child(top, "b", moody::crash{});
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->read() == lines{"try b", "try b", "try b", "stop c", "stop a"});
}

TEST_CASE_FIXTURE(tree, "one_for_all starts everybody again when one of them fails to restart") {
  auto now = mood(moody::mood::fine);
  auto top =
      start({.strategy = one_for_all, .children = {plain("a"), changing("b", now), plain("c")}});
  now->store(moody::mood::failing);
  log->take();
  end_child(top, "b", moody::crash{});
  CHECK(how_it_ended() == "shutdown");
  CHECK(
      log->read() == lines{
                         "stop c", "stop a", "start a", "try b", "stop a", "start a", "try b",
                         "stop a", "start a", "try b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "a start function that throws is a child that fails, not a crash") {
  auto broken = std::make_shared<std::atomic<bool>>(false);
  auto b = plain("b");
  b.start = [start = b.start, broken](auto told) {
    if (broken->load()) throw std::runtime_error("no such program");
    return start(std::move(told));
  };
  auto top = start({.max_restarts = 1'000'000'000, .children = {plain("a"), b}});
  broken->store(true);
  end_child(top, "b");
  CHECK(eventually([&] { return reports.saw("supervisor_report", "no such program"); }));
  broken->store(false);
  CHECK(eventually([&] { return static_cast<bool>(process(top, "b")); }));
  stop(top);

  broken->store(true);
  CHECK(failure_of([&] {
          start_link({.children = {b}});
        }) == "{shutdown, {failed_to_start_child, b, no such program}}");
}

TEST_CASE_FIXTURE(
    tree, "a start function may start the child by other means, and pass its error on") {
  auto now = mood(moody::mood::fine);
  child_spec by_hand{
      .id = "b", .start = [this, now](auto) {
        auto started = start_link<moody>({.name = "b"}, log, std::string("b"), now);
        return detail::start_outcome{detail::start_status::ready, started.process(), {}};
      }};
  auto top = start({.children = {by_hand}});
  restart_child(top, "b", moody::crash{});
  stop(top);
  now->store(moody::mood::failing);
  CHECK(failure_of([&] {
          start_link({.children = {by_hand}});
        }) == "{shutdown, {failed_to_start_child, b, no paper}}");
  by_hand.start = [](auto) -> detail::start_outcome { exit("not today"); };
  CHECK(failure_of([&] {
          start_link({.children = {by_hand}});
        }) == "{shutdown, {failed_to_start_child, b, not today}}");
}

TEST_CASE_FIXTURE(tree, "thousands of restarts leave nothing behind") {
  auto top = start({.max_restarts = 1'000'000'000, .children = {plain("a"), plain("b")}});
  restart_child(top, "a");  // the test's own thread has a mailbox from now on
  auto before = runtime::process_count();
  for (int i = 0; i < 2000; ++i) restart_child(top, i % 2 == 0 ? "a" : "b");
  CHECK(eventually([&] { return runtime::process_count() <= before; }));
}

// --- starts that fail ----------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    tree, "a child that fails to start stops those before it, and start_error names it") {
  auto now = mood(moody::mood::failing);
  supervisor_spec spec{.children = {plain("a"), plain("b"), changing("c", now), plain("d")}};
  CHECK(
      failure_of([&] { start_link(spec); }) == "{shutdown, {failed_to_start_child, c, no paper}}");
  CHECK(log->take() == lines{"start a", "start b", "try c", "stop b", "stop a"});
  CHECK(reports.saw("supervisor_report", "context=start_error child=c"));

  now->store(moody::mood::throwing);
  auto error = failure_of([&] { start_link(spec); });
  CHECK(error.starts_with(
      "{shutdown, {failed_to_start_child, c, {error, std::runtime_error, \"paper jam\""));

  auto owner = roost::start<member>({.name = "c"}, log, std::string("c"));
  CHECK(
      failure_of([&] { start_link(spec); }) ==
      "{shutdown, {failed_to_start_child, c, {already_started, " + to_string(owner.process()) +
          "}}}");
}

TEST_CASE_FIXTURE(tree, "in a process, a first child that fails is a start_error at once") {
  auto now = mood(moody::mood::failing);
  auto error = in_process([&] {
    return failure_of([&] { start_link({.children = {changing("a", now), plain("b")}}); });
  });
  CHECK(error == "{shutdown, {failed_to_start_child, a, no paper}}");
}

TEST_CASE_FIXTURE(tree, "a supervisor whose name is taken does not start, nor do its children") {
  auto top = start({.name = "top", .children = {plain("a")}});
  try {
    start_link({.name = "top", .children = {plain("b")}});
    FAIL("expected a start_error");
  } catch (const start_error& error) {
    CHECK(error.already_started() == top);
  }
  CHECK(log->read() == lines{"start a"});
}

TEST_CASE_FIXTURE(
    tree, "a child that declines to start is kept without a process, a temporary one is not") {
  auto now = mood(moody::mood::declining);
  auto brief = with(changing("b", now), {.restart = temporary});
  auto top = start({.children = {changing("a", now), brief, plain("c")}});
  auto a = line(top, "a");
  CHECK(a.id == "a");
  CHECK_FALSE(a.process);
  CHECK_FALSE(a.restarting);
  CHECK(line(top, "b").id == "forgotten");
  CHECK(process(top, "c"));
  stop(top);
}

// --- stopping ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(tree, "a child that does not stop is killed when its time is over") {
  auto top = start(
      {.children = {plain("a"), with(deaf::child(log, "b"), {.shutdown = 60ms}), plain("c")}});
  auto asked = std::chrono::steady_clock::now();
  stop(top);
  CHECK(std::chrono::steady_clock::now() - asked >= 60ms);
  CHECK(log->read() == lines{"start a", "start b", "start c", "stop c", "hear b", "stop a"});
  CHECK(reports.saw("supervisor_report", "context=shutdown_error child=b"));
  CHECK(reports.saw("supervisor_report", "reason=killed"));
}

TEST_CASE_FIXTURE(tree, "a child that stops in time is not killed") {
  auto top = start(
      {.strategy = rest_for_one,
       .children = {plain("a"), with(deaf::child(log, "b"), {.shutdown = 10s})}});
  end_child(top, "a");
  REQUIRE(eventually([&] { return log->count("hear b") == 1; }));
  send(whereis("b"), deaf::goodbye{});
  CHECK(eventually([&] { return log->count("start b") == 2; }));
  CHECK_FALSE(reports.saw("supervisor_report", "shutdown_error"));
  say_goodbye(top, "b");
}

TEST_CASE_FIXTURE(tree, "a brutal kill asks nobody and is no error") {
  auto top = start({.children = {plain("a"), plain("b", {.shutdown = brutal_kill})}});
  stop(top);
  CHECK(log->read() == lines{"start a", "start b", "stop a"});
  CHECK(reports.count("supervisor_report") == 0);
}

TEST_CASE_FIXTURE(tree, "a child that has unlinked itself is stopped all the same") {
  auto top = start({.children = {plain("a"), plain("b")}});
  for (auto* name : {"a", "b"})
    call(server<member>{name}, member::unlink_from{.process = top}).get();
  auto gone = whereis("b");
  exit(gone, exit_reason::kill);  // its supervisor does not hear of this
  REQUIRE(eventually([&] { return !is_alive(gone); }));
  stop(top);
  CHECK(log->read() == lines{"start a", "start b", "stop a"});
}

TEST_CASE_FIXTURE(
    tree, "a child that crashes while others are being stopped is not counted again") {
  auto top = start(
      {.strategy = one_for_all,
       .max_restarts = 1,
       .children = {plain("a"), plain("b"), deaf::child(log, "c")}});
  end_child(top, "a");
  REQUIRE(eventually([&] { return log->count("hear c") == 1; }));
  end_child(top, "b");  // its turn to stop would have come after c
  log->take();
  send(whereis("c"), deaf::goodbye{});
  REQUIRE(eventually([&] { return static_cast<bool>(process(top, "b")); }));
  CHECK(eventually([&] { return log->read() == lines{"start a", "start b", "start c"}; }));
  CHECK(reports.saw("supervisor_report", "context=shutdown_error child=b"));
  say_goodbye(top, "c");
}

TEST_CASE_FIXTURE(tree, "a child that crashes while its supervisor shuts down stays down") {
  auto top = start({.children = {plain("a"), deaf::child(log, "b")}});
  detail::stop_root(top, exit_reason::shutdown);
  REQUIRE(eventually([&] { return log->count("hear b") == 1; }));
  end_child(top, "a");
  CHECK_FALSE(line(top, "a").restarting);
  send(whereis("b"), deaf::goodbye{});
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->read() == lines{"start a", "start b", "hear b", "end a"});
}

TEST_CASE_FIXTURE(tree, "a supervisor that is stopped gives up the restart that it waits for") {
  auto gate = make_gate(true);
  auto top = start({.children = {plain("a"), waiting("b", gate)}});
  gate->close();
  end_child(top, "b", late::crash{});
  REQUIRE(eventually([&] { return log->count("wait b") == 2; }));
  stop(top);
  CHECK(log->count("stop a") == 1);
  CHECK(log->count("start b") == 1);
}

TEST_CASE_FIXTURE(tree, "a supervisor that is stopped gives up the restart that fails") {
  auto now = mood(moody::mood::fine);
  auto top = start({.max_restarts = 1'000'000'000, .children = {plain("a"), changing("b", now)}});
  now->store(moody::mood::failing);
  end_child(top, "b", moody::crash{});
  REQUIRE(eventually([&] { return log->count("try b") > 3; }));
  stop(top);
  CHECK(log->count("stop a") == 1);
}

TEST_CASE_FIXTURE(tree, "a restart that fails while its supervisor shuts down is not tried again") {
  auto gate = make_gate(true);
  auto top = start({.max_restarts = 1, .children = {waiting("a", gate), deaf::child(log, "b")}});
  gate->close();
  end_child(top, "a", late::crash{});
  REQUIRE(eventually([&] { return log->count("wait a") == 2; }));
  detail::stop_root(top, exit_reason::shutdown);
  REQUIRE(eventually([&] { return log->count("hear b") == 1; }));
  gate->open_to_failure();
  REQUIRE(eventually([&] { return reports.saw("supervisor_report", "start_error"); }));
  send(whereis("b"), deaf::goodbye{});
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->count("wait a") == 2);
  CHECK_FALSE(reports.saw("supervisor_report", "reached_max_restart_intensity"));
}

// --- questions -----------------------------------------------------------------------------------

TEST_CASE_FIXTURE(tree, "which_children and count_children are answered while a restart waits") {
  auto gate = make_gate(true);
  auto top = start(
      {.name = "top",
       .children = {
           plain("a"), waiting("b", gate),
           child<roost::supervisor>({.name = "c", .children = {plain("d")}})}});
  gate->close();
  end_child(top, "b", late::crash{});
  REQUIRE(eventually([&] { return log->count("wait b") == 2; }));

  auto children = roost::supervisor("top").which_children().get();
  REQUIRE(children.size() == 3);
  CHECK(children[0].id == "a");
  CHECK(children[0].process == whereis("a"));
  CHECK(children[0].type == child_type::worker);
  CHECK_FALSE(children[0].restarting);
  CHECK(children[1].id == "b");
  CHECK_FALSE(children[1].process);
  CHECK(children[1].restarting);
  CHECK(children[2].id == "c");
  CHECK(children[2].process == whereis("c"));
  CHECK(children[2].type == child_type::supervisor);
  auto counts = roost::supervisor("top").count_children().get();
  CHECK(counts.specs == 3);
  CHECK(counts.active == 2);
  CHECK(counts.supervisors == 1);
  CHECK(counts.workers == 2);

  gate->open();
  CHECK(eventually([&] { return static_cast<bool>(process(top, "b")); }));
  CHECK_FALSE(line(top, "b").restarting);
  CHECK(roost::supervisor("top").count_children().get().active == 3);
}

TEST_CASE_FIXTURE(tree, "a child whose turn to start has not come counts as restarting") {
  auto gate = make_gate(true);
  auto top = start({.strategy = rest_for_one, .children = {waiting("a", gate), plain("b")}});
  gate->close();
  end_child(top, "a", late::crash{});
  REQUIRE(eventually([&] { return log->count("wait a") == 2; }));
  CHECK(line(top, "b").restarting);
  CHECK_FALSE(line(top, "b").process);
  gate->open();
  CHECK(eventually([&] { return static_cast<bool>(process(top, "b")); }));
}

TEST_CASE_FIXTURE(tree, "a supervisor drops what it does not understand, and says so") {
  auto top = start({.children = {plain("a")}});
  send(top, std::string("what is this"));
  CHECK(process(top, "a"));
  CHECK(reports.saw("supervisor_report", "what is this"));
}

// --- trees ---------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    tree, "supervisors in supervisors start and stop in the order of the whole tree") {
  auto inner = child<roost::supervisor>({.name = "inner", .children = {plain("b"), plain("c")}});
  CHECK(inner.id == "inner");
  auto top = start({.children = {plain("a"), inner, plain("d")}});
  CHECK(log->take() == lines{"start a", "start b", "start c", "start d"});
  stop(top);
  CHECK(log->take() == lines{"stop d", "stop c", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "an inner supervisor that gives up is restarted by the outer one") {
  auto inner = child<roost::supervisor>(
      {.name = "inner", .max_restarts = 1, .children = {plain("b"), plain("c")}});
  auto top = start({.children = {plain("a"), inner}});
  auto before = whereis("inner");
  restart_child(before, "c");
  log->take();
  end_child(before, "c");
  REQUIRE(eventually([&] { return log->count("start c") == 1; }));
  CHECK(log->read() == lines{"end c", "stop b", "start b", "start c"});
  CHECK(whereis("inner") != before);
  CHECK(process(top, "inner") == whereis("inner"));
  CHECK(reports.saw("supervisor_report", "context=child_terminated child=inner"));
}

TEST_CASE_FIXTURE(tree, "giving up goes from supervisor to supervisor, to the top") {
  auto inner =
      child<roost::supervisor>({.name = "inner", .max_restarts = 0, .children = {plain("b")}});
  auto top = start({.max_restarts = 1, .children = {plain("a"), inner}});
  end_child(whereis("inner"), "b");
  REQUIRE(eventually([&] { return log->count("start b") == 2; }));
  REQUIRE(eventually([&] { return static_cast<bool>(process(top, "inner")); }));
  end_child(whereis("inner"), "b");
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->read().back() == "stop a");
}

TEST_CASE_FIXTURE(tree, "a child that fails deep in the tree is named with its supervisors") {
  auto inner = child<roost::supervisor>(
      {.name = "inner", .children = {plain("b"), changing("c", mood(moody::mood::failing))}});
  CHECK(
      failure_of([&] {
        start_link({.children = {plain("a"), inner}});
      }) ==
      "{shutdown, {failed_to_start_child, inner, "
      "{shutdown, {failed_to_start_child, c, no paper}}}}");
  CHECK(log->read() == lines{"start a", "start b", "try c", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "an inner supervisor that starts late holds up the outer one") {
  auto gate = make_gate(false);
  auto inner = child<roost::supervisor>({.name = "inner", .children = {waiting("b", gate)}});
  auto top = std::async(std::launch::async, [&] {
    return start({.children = {plain("a"), inner, plain("c")}});
  });
  REQUIRE(eventually([&] { return log->count("wait b") == 1; }));
  CHECK(log->count("start c") == 0);
  gate->open();
  stop(top.get());
  CHECK(log->read() == lines{"start a", "wait b", "start b", "start c", "stop c", "stop a"});
}

TEST_CASE_FIXTURE(
    tree, "a child that crashes before the others have started is restarted after them") {
  auto gate = make_gate(false);
  auto top = std::async(std::launch::async, [&] {
    return start({.children = {plain("a"), waiting("b", gate), plain("c")}});
  });
  REQUIRE(eventually([&] { return log->count("wait b") == 1; }));
  auto before = whereis("a");
  cast(server<member>{"a"}, member::crash{});
  REQUIRE(eventually([&] { return !is_alive(before); }));
  gate->open();
  auto process = top.get();
  CHECK(eventually([&] { return log->count("start a") == 2; }));
  CHECK(log->read() == lines{"start a", "wait b", "end a", "start b", "start c", "start a"});
  stop(process);
}

// --- significant children ------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    tree, "with any_significant the supervisor ends with the first significant child") {
  child_options significant{.restart = transient, .significant = true};
  auto top = start(
      {.auto_shutdown = auto_shutdown::any_significant,
       .children = {
           plain("a"), plain("b", significant), plain("c", significant),
           plain("d", {.restart = transient})}});
  restart_child(top, "b");  // a crash is no end
  end_child(top, "d", member::leave{exit_reason::normal});
  CHECK(is_alive(top));
  log->take();
  end_child(top, "b", member::leave{exit_reason::normal});
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->read() == lines{"end b", "stop c", "stop a"});
}

TEST_CASE_FIXTURE(
    tree, "with all_significant the supervisor ends with the last significant child") {
  child_options significant{.restart = temporary, .significant = true};
  auto top = start(
      {.auto_shutdown = auto_shutdown::all_significant,
       .children = {plain("a"), plain("b", significant), plain("c", significant)}});
  end_child(top, "c");  // temporary: a crash is an end
  CHECK(process(top, "b"));
  log->take();
  end_child(top, "b", member::leave{exit_reason::normal});
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->read() == lines{"end b", "stop a"});
}

TEST_CASE_FIXTURE(tree, "a significant child that is being restarted has not ended") {
  auto gate = make_gate(true);
  child_options significant{.restart = transient, .significant = true};
  auto top = start(
      {.auto_shutdown = auto_shutdown::all_significant,
       .children = {plain("a", significant), with(waiting("b", gate), significant)}});
  gate->close();
  end_child(top, "b", late::crash{});
  end_child(top, "a", member::leave{exit_reason::normal});
  CHECK(line(top, "b").restarting);
  gate->open();
  CHECK(eventually([&] { return static_cast<bool>(process(top, "b")); }));
  stop(top);
}

TEST_CASE_FIXTURE(
    tree, "a significant child that its supervisor stops does not end the supervisor") {
  auto top = start(
      {.strategy = one_for_all,
       .auto_shutdown = auto_shutdown::any_significant,
       .children = {plain("a"), plain("b", {.restart = transient, .significant = true})}});
  restart_child(top, "a");
  CHECK(eventually([&] { return log->count("start b") == 2; }));
  stop(top);
}

// --- specs ---------------------------------------------------------------------------------------

namespace {

struct brief {
  using messages = roost::messages<>;
  static constexpr roost::child_options child_options{.restart = temporary, .shutdown = 1s};
};

template <class T>
struct holder {
  struct get { using reply = std::shared_ptr<int>; };
  using messages = roost::messages<get>;
  std::shared_ptr<int> value;
  std::shared_ptr<int> handle_call(get) { return value; }
};

}  // namespace

TEST_CASE("a spec says what its server, its caller and the defaults say, in this order") {
  auto plain = child<member>(std::make_shared<journal>(), std::string("a"));
  CHECK(plain.id == "member");
  CHECK(plain.restart == permanent);
  CHECK(plain.shutdown.limit() == 5s);
  CHECK(plain.type == child_type::worker);
  CHECK_FALSE(plain.significant);

  CHECK(child<brief>().restart == temporary);
  CHECK(child<brief>().shutdown.limit() == 1s);
  auto changed = with(child<brief>(), {.id = "b", .restart = transient, .significant = true});
  CHECK(changed.id == "b");
  CHECK(changed.restart == transient);
  CHECK(changed.shutdown.limit() == 1s);
  CHECK(changed.significant);

  CHECK(child<holder<int>>(std::make_shared<int>(1)).id == "holder<int>");
  CHECK(child<brief>({.name = "printer"}).id == "printer");
  auto nested = child<roost::supervisor>({});
  CHECK(nested.id == "supervisor");
  CHECK(nested.shutdown.is_infinity());
  CHECK(nested.type == child_type::supervisor);
}

TEST_CASE_FIXTURE(tree, "every start gets its own copy of the arguments") {
  auto shared = std::make_shared<int>(7);
  auto top = start({.children = {child<holder<int>>({.name = "h"}, shared)}});
  auto before = whereis("h");
  CHECK(call(server<holder<int>>{"h"}, holder<int>::get{}).get() == shared);
  exit(before, exit_reason::kill);
  REQUIRE(eventually([&] { return whereis("h") && whereis("h") != before; }));
  CHECK(call(server<holder<int>>{"h"}, holder<int>::get{}).get() == shared);
  stop(top);
}

TEST_CASE("a spec that cannot work says what is wrong with it") {
  auto log = std::make_shared<journal>();
  auto a = with(child<member>(log, std::string("a")), {.id = "a"});
  auto failure = [](supervisor_spec spec) { return failure_of([&] { validate(spec); }); };

  CHECK(failure({.children = {a}}) == "no error");
  CHECK(
      failure({.children = {a, with(a, {.id = "b"}), a}}) ==
      "duplicate_child_id: expected ids to be different, got a twice");
  CHECK(
      failure({.max_restarts = -1}) ==
      "invalid_intensity: expected max_restarts to be 0 or more, got -1");
  CHECK(
      failure({.max_seconds = 0ms}) ==
      "invalid_period: expected max_seconds to be more than 0, got 0 ms");
  CHECK(
      failure(
          {.auto_shutdown = auto_shutdown::any_significant,
           .children = {with(a, {.significant = true})}}) ==
      "bad_combination: expected a significant child to be transient or temporary, got permanent "
      "for child a");
  CHECK(
      failure({.children = {with(a, {.restart = transient, .significant = true})}}) ==
      "bad_combination: expected auto_shutdown to be set for a significant child, got never with "
      "child a");
  CHECK(
      failure({.children = {with(a, {.shutdown = -7ms})}}) ==
      "invalid_shutdown: expected shutdown to be 0 ms or more, infinity or brutal_kill, got -7 ms "
      "for child a");
  CHECK(
      failure({.children = {with(a, {.id = ""})}}) ==
      "missing_id: expected a child's id to be set, got an empty one for child ");
  auto unable = a;
  unable.start = nullptr;
  CHECK(
      failure({.children = {unable}}) ==
      "missing_start: expected a child's start function to be set, got none for child a");
}

TEST_CASE("a wrong spec is found before anything starts, also inside another") {
  supervisor_spec wrong{.max_restarts = -1};
  CHECK_THROWS_AS(start_link(wrong), std::invalid_argument);
  CHECK_THROWS_AS(child<roost::supervisor>(wrong), std::invalid_argument);
}

namespace {

/// Takes a moment to say goodbye.
struct slow_to_stop {
  using messages = roost::messages<>;
  std::atomic<int>* ended;
  static init_result<slow_to_stop> init(std::atomic<int>* ended) {
    trap_exit(true);
    return slow_to_stop{ended};
  }
  void terminate(const exit_reason&) {
    std::this_thread::sleep_for(20ms);
    ++*ended;
  }
};

}  // namespace

TEST_CASE_FIXTURE(node, "a supervisor that is told to stop ends after its children") {
  std::atomic<int> ended{0};
  auto top = start_link({.children = {roost::child<slow_to_stop>(&ended)}});
  stop(top, exit_reason::shutdown).get();
  CHECK(ended == 1);
  auto other = start_link({.children = {roost::child<slow_to_stop>(&ended)}});
  sys::terminate(other, exit_reason::shutdown).get();
  CHECK(eventually([&] { return !is_alive(other); }));
  CHECK(ended == 2);
}
