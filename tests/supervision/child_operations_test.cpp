// start_child, terminate_child, restart_child, delete_child and the questions about one child.
#include "tests/supervision/tree.hpp"

using namespace roost;
using namespace roost::test;

namespace {

struct shop : tree {
  roost::supervisor open(supervisor_spec spec) {
    spec.name = "shop";
    start(std::move(spec));
    return roost::supervisor("shop");
  }
  std::string ids() {
    std::string text;
    for (auto& child : roost::supervisor("shop").which_children().get()) {
      text += text.empty() ? "" : " ";
      text += child.id + (child.process ? "+" : child.restarting ? "?" : "-");
    }
    return text;
  }
};

std::string answer(pending<child_result> result) { return std::move(result).get().to_string(); }

}  // namespace

TEST_CASE_FIXTURE(shop, "a child that is added starts behind the others, and stops before them") {
  auto top = open({.children = {plain("a")}});
  auto b = top.start_child(plain("b")).get();
  CHECK(b);
  CHECK(b.process() == whereis("b"));
  CHECK(ids() == "a+ b+");
  stop(whereis("shop"));
  CHECK(log->read() == lines{"start a", "start b", "stop b", "stop a"});
}

TEST_CASE_FIXTURE(shop, "an added child is restarted like the others") {
  auto top = open({.strategy = rest_for_one, .children = {plain("a")}});
  (void)top.start_child(plain("b")).get();
  restart_child(whereis("shop"), "a");
  CHECK(eventually([&] { return ids() == "a+ b+"; }));
  CHECK(log->read() == lines{"start a", "start b", "end a", "stop b", "start a", "start b"});
}

TEST_CASE_FIXTURE(shop, "an id that is taken is answered with what is there") {
  auto top = open({.children = {plain("a"), plain("b")}});
  CHECK(
      answer(top.start_child(plain("a"))) ==
      "{error, {already_started, " + to_string(whereis("a")) + "}}");
  CHECK(answer(top.terminate_child("a")) == "ok");
  auto again = top.start_child(plain("a")).get();
  CHECK(again.error() == child_error::already_present);
  CHECK(again.to_string() == "{error, already_present}");
  CHECK(ids() == "a- b+");
}

TEST_CASE_FIXTURE(shop, "an added child that does not start is not kept, and nobody else suffers") {
  auto now = mood(moody::mood::failing);
  auto top = open({.children = {plain("a")}});
  CHECK(answer(top.start_child(changing("b", now))) == "{error, no paper}");
  now->store(moody::mood::throwing);
  auto thrown = top.start_child(changing("b", now)).get();
  CHECK(thrown.error() == child_error::start_failed);
  CHECK(thrown.reason().what() == "paper jam");
  auto owner = roost::start<member>({.name = "c"}, log, std::string("c")).process();
  auto taken = top.start_child(plain("c")).get();
  CHECK(taken.error() == child_error::already_started);
  CHECK(taken.process() == owner);
  CHECK(ids() == "a+");
  CHECK(log->count("stop a") == 0);
}

TEST_CASE_FIXTURE(shop, "an added child that declines is kept, unless it is temporary") {
  auto now = mood(moody::mood::declining);
  auto top = open({});
  CHECK(answer(top.start_child(changing("a", now))) == "{ok, undefined}");
  CHECK(
      answer(top.start_child(with(changing("b", now), {.restart = temporary}))) ==
      "{ok, undefined}");
  CHECK(ids() == "a-");
}

TEST_CASE_FIXTURE(shop, "a spec that cannot work is refused, with the reason") {
  auto top = open({});
  CHECK(failure_of([&] {
          (void)top.start_child({}).get();
        }).starts_with("missing_id: expected a child's id to be set"));
  auto spec = plain("a", {.restart = transient, .significant = true});
  auto refused = top.start_child(spec).get();
  CHECK(refused.error() == child_error::invalid_spec);
  CHECK(refused.reason().term().starts_with("bad_combination: expected auto_shutdown"));
  CHECK(ids() == "");
}

TEST_CASE_FIXTURE(shop, "a child that is terminated stays down until it is restarted") {
  auto top = open({.children = {plain("a"), plain("b")}});
  CHECK(answer(top.terminate_child("a")) == "ok");
  CHECK(log->read().back() == "stop a");
  CHECK(ids() == "a- b+");
  CHECK(answer(top.terminate_child("a")) == "ok");
  auto back = top.restart_child("a").get();
  CHECK(back.process() == whereis("a"));
  CHECK(answer(top.restart_child("a")) == "{error, running}");
  CHECK(answer(top.restart_child("c")) == "{error, not_found}");
  CHECK(answer(top.terminate_child("c")) == "{error, not_found}");
  CHECK(ids() == "a+ b+");
  CHECK(reports.count("supervisor_report") == 0);
}

TEST_CASE_FIXTURE(shop, "a temporary child that is terminated is forgotten") {
  auto top = open({.children = {plain("a", {.restart = temporary}), plain("b")}});
  CHECK(answer(top.terminate_child("a")) == "ok");
  CHECK(ids() == "b+");
}

TEST_CASE_FIXTURE(shop, "only a child without a process is deleted") {
  auto top = open({.children = {plain("a"), plain("b"), plain("c")}});
  CHECK(answer(top.delete_child("b")) == "{error, running}");
  CHECK(answer(top.delete_child("d")) == "{error, not_found}");
  (void)top.terminate_child("b").get();
  CHECK(answer(top.delete_child("b")) == "ok");
  CHECK(answer(top.restart_child("b")) == "{error, not_found}");
  CHECK(ids() == "a+ c+");
  auto b = top.start_child(plain("b")).get();
  CHECK(b.process() == whereis("b"));
  CHECK(ids() == "a+ c+ b+");
}

TEST_CASE_FIXTURE(shop, "a restart by hand that fails leaves the child as it was") {
  auto now = mood(moody::mood::fine);
  auto top = open({.children = {changing("a", now)}});
  (void)top.terminate_child("a").get();
  now->store(moody::mood::failing);
  CHECK(answer(top.restart_child("a")) == "{error, no paper}");
  CHECK(ids() == "a-");
  now->store(moody::mood::declining);
  CHECK(answer(top.restart_child("a")) == "{ok, undefined}");
  CHECK(ids() == "a-");
}

TEST_CASE_FIXTURE(
    shop, "a child that its supervisor tries to restart is neither restarted nor deleted") {
  auto now = mood(moody::mood::fine);
  auto top = open({.max_restarts = 1'000'000'000, .children = {changing("a", now), plain("b")}});
  now->store(moody::mood::failing);
  end_child(whereis("shop"), "a", moody::crash{});
  CHECK(answer(top.restart_child("a")) == "{error, restarting}");
  CHECK(answer(top.delete_child("a")) == "{error, restarting}");
  CHECK(answer(top.start_child(plain("a"))) == "{error, already_present}");
  CHECK(answer(top.terminate_child("a")) == "ok");  // ends the attempts
  CHECK(ids() == "a- b+");
  now->store(moody::mood::fine);
  CHECK(top.restart_child("a").get());
  CHECK(ids() == "a+ b+");
}

TEST_CASE_FIXTURE(shop, "a spec is handed out by id and by process") {
  auto top = open({.children = {plain("a", {.restart = transient, .shutdown = 70ms}), plain("b")}});
  auto a = top.get_childspec("a").get();
  REQUIRE(a);
  CHECK(a->id == "a");
  CHECK(a->restart == transient);
  CHECK(a->shutdown.limit() == 70ms);
  CHECK(top.get_childspec(whereis("b")).get()->id == "b");
  CHECK_FALSE(top.get_childspec("c").get());
  CHECK_FALSE(top.get_childspec(whereis("shop")).get());
  auto b = top.which_child("b").get();
  REQUIRE(b);
  CHECK(b->process == whereis("b"));
  CHECK_FALSE(top.which_child("c").get());
}

TEST_CASE_FIXTURE(
    shop, "a child that takes long to stop holds up what concerns it, and nothing else") {
  auto top = open({.children = {with(deaf::child(log, "a"), {.shutdown = infinity}), plain("b")}});
  auto order = std::make_shared<journal>();
  spawn([top, order] {
    auto say = [order](std::string what) {
      return [=](child_result result) { order->add(what + " " + result.to_string()); };
    };
    top.terminate_child("a").then(say("terminate"));
    top.delete_child("a").then(say("delete"));
    top.restart_child("a").then(say("restart"));
    top.terminate_child("b").then(say("terminate b"));
  });
  REQUIRE(eventually([&] { return order->read() == lines{"terminate b ok"}; }));
  REQUIRE(eventually([&] { return log->count("hear a") == 1; }));
  CHECK(ids() == "a- b-");
  send(whereis("a"), deaf::goodbye{});
  CHECK(eventually([&] { return order->read().size() == 4; }));
  CHECK(
      order->read() ==
      lines{"terminate b ok", "terminate ok", "delete ok", "restart {error, not_found}"});
}

TEST_CASE_FIXTURE(shop, "a child that takes long to start is answered when it has") {
  auto gate = make_gate(false);
  auto top = open({.children = {plain("a")}});
  auto started =
      std::async(std::launch::async, [&] { return top.start_child(waiting("b", gate)).get(); });
  REQUIRE(eventually([&] { return log->count("wait b") == 1; }));
  restart_child(whereis("shop"), "a");  // meanwhile
  CHECK(top.start_child(waiting("b", gate)).get().error() == child_error::already_started);
  gate->open();
  CHECK(started.get().process() == whereis("b"));
  CHECK(ids() == "a+ b+");
}

TEST_CASE_FIXTURE(shop, "a child that is starting can be terminated") {
  auto gate = make_gate(false);
  auto top = open({});
  auto started =
      std::async(std::launch::async, [&] { return top.start_child(waiting("b", gate)).get(); });
  REQUIRE(eventually([&] { return log->count("wait b") == 1; }));
  CHECK(answer(top.terminate_child("b")) == "ok");
  CHECK(started.get().to_string() == "{error, terminated}");
  CHECK(ids() == "b-");
  gate->open();
  CHECK(answer(top.delete_child("b")) == "ok");
}

TEST_CASE_FIXTURE(shop, "a child whose init fails later was not started") {
  auto gate = make_gate(false);
  gate->open_to_failure();
  auto top = open({});
  CHECK(answer(top.start_child(waiting("b", gate))) == "{error, no paper}");
  CHECK(ids() == "");
}

TEST_CASE_FIXTURE(shop, "who waits for an operation hears when the supervisor ends") {
  auto top = open({.children = {with(deaf::child(log, "a"), {.shutdown = infinity})}});
  auto stopping = std::async(std::launch::async, [&]() -> std::string {
    try {
      return answer(top.terminate_child("a"));
    } catch (const process_exit& exit) {
      return exit.reason().to_string();
    }
  });
  REQUIRE(eventually([&] { return log->count("hear a") == 1; }));
  detail::stop_root(whereis("shop"), exit_reason::shutdown);
  auto a = whereis("a");
  CHECK(eventually([&] { return ids() == "a-"; }));
  send(a, deaf::goodbye{});
  CHECK(how_it_ended() == "shutdown");
  CHECK(stopping.get() == "shutdown");
}

TEST_CASE_FIXTURE(shop, "a restart of all takes those along that were terminated") {
  auto top = open({.strategy = one_for_all, .children = {plain("a"), plain("b"), plain("c")}});
  (void)top.terminate_child("b").get();
  log->take();
  restart_child(whereis("shop"), "a");
  CHECK(eventually([&] { return ids() == "a+ b+ c+"; }));
  CHECK(log->read() == lines{"end a", "stop c", "start a", "start b", "start c"});
}

TEST_CASE_FIXTURE(
    shop, "a handle by name reaches the supervisor of today, one by pid that of yesterday") {
  auto nameless = child<member>(log, std::string("a"));
  open({.children = {child<roost::supervisor>({.name = "rooms", .children = {nameless}})}});
  auto by_name = roost::supervisor("rooms");
  auto by_pid = roost::supervisor(whereis("rooms"));
  auto before = whereis("rooms");
  exit(before, exit_reason::kill);
  REQUIRE(eventually([&] { return whereis("rooms") && whereis("rooms") != before; }));
  CHECK(by_name.count_children().get().active == 1);
  CHECK_THROWS_AS((void)by_pid.count_children().get(), process_exit);
  CHECK_THROWS_AS((void)roost::supervisor("nobody").count_children().get(), process_exit);
}

TEST_CASE_FIXTURE(shop, "a call that a supervisor does not know fails at once, and is reported") {
  struct riddle { using reply = int; };
  struct sphinx {
    using messages = roost::messages<riddle>;
    int handle_call(riddle) { return 0; }
  };
  auto top = open({.children = {plain("a")}});
  try {
    (void)call(server<sphinx>("shop"), riddle{}, infinity).get();
    FAIL("expected no answer");
  } catch (const process_exit& exit) {
    CHECK(exit.reason().term().starts_with("{unexpected_call, "));
  }
  CHECK(reports.saw("supervisor_report", "context=unexpected_message"));
  CHECK(reports.saw("supervisor_report", "riddle"));
  CHECK(ids() == "a+");
}

// --- reports -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(shop, "a report names the child, how it ended and what it is") {
  open({.children = {plain("a", {.restart = transient, .shutdown = 70ms})}});
  auto a = to_string(whereis("a"));
  restart_child(whereis("shop"), "a");
  CHECK(reports.saw(
      "supervisor_report", "supervisor=shop context=child_terminated child=a process=" + a));
  CHECK(reports.saw("supervisor_report", "restart=transient shutdown=70 type=worker"));
}

TEST_CASE_FIXTURE(shop, "who listens to details hears of each start") {
  logger::set_level(log_level::debug);
  open({.children = {plain("a")}});
  logger::set_level(log_level::info);
  CHECK(
      reports.saw("progress_report", "supervisor=shop child=a process=" + to_string(whereis("a"))));
}

// --- back-off ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(
    shop, "with back-off a child waits before it comes back, and its supervisor answers") {
  auto top =
      open({.backoff = backoff{.min = 1s, .jitter = 0}, .children = {plain("a"), plain("b")}});
  auto crashed = std::chrono::steady_clock::now();
  end_child(whereis("shop"), "a");
  CHECK(ids() == "a? b+");
  CHECK(answer(top.restart_child("a")) == "{error, restarting}");
  restart_child(whereis("shop"), "b");
  CHECK(eventually([&] { return ids() == "a+ b+"; }));
  CHECK(std::chrono::steady_clock::now() - crashed >= 1s);
}

TEST_CASE_FIXTURE(shop, "back-off may belong to one child") {
  auto patient = backoff{.min = 1h, .max = 1h};
  auto top = open({.children = {plain("a", {.backoff = patient}), plain("b")}});
  end_child(whereis("shop"), "a");
  restart_child(whereis("shop"), "b");
  CHECK(ids() == "a? b+");
  CHECK(answer(top.terminate_child("a")) == "ok");
  CHECK(ids() == "a- b+");
  CHECK(top.restart_child("a").get());
  stop(whereis("shop"));
}

TEST_CASE_FIXTURE(shop, "those that come back together wait together") {
  auto top = open(
      {.strategy = rest_for_one,
       .children = {
           plain("a"), plain("b", {.backoff = backoff{.min = 1s, .jitter = 0}}), plain("c")}});
  log->take();
  end_child(whereis("shop"), "b");
  CHECK(eventually([&] { return ids() == "a+ b? c?"; }));
  CHECK(log->read() == lines{"end b", "stop c"});
  CHECK(top.start_child(plain("d")).get());
  CHECK(eventually([&] { return ids() == "a+ b+ c+ d+"; }));
  CHECK(
      log->read() ==
      lines{"end b", "stop c", "start d", "stop d", "start b", "start c", "start d"});
}

TEST_CASE_FIXTURE(shop, "a supervisor that waits with a restart stops at once") {
  open(
      {.strategy = one_for_all,
       .backoff = backoff{.min = 1h, .max = 1h},
       .children = {plain("a"), plain("b")}});
  end_child(whereis("shop"), "a");
  CHECK(eventually([&] { return ids() == "a? b?"; }));
  stop(whereis("shop"));
}

TEST_CASE_FIXTURE(shop, "back-off that cannot work is refused") {
  auto reason = [&](backoff wrong) {
    return failure_of([&] { open({.backoff = wrong, .children = {plain("a")}}); });
  };
  CHECK(
      reason({.min = -1ms}) ==
      "invalid_backoff: expected min to be 0 ms or more, got -1 ms for shop");
  CHECK(
      reason({.min = 5s, .max = 1s}) ==
      "invalid_backoff: expected max to be min (5000 ms) or more, got 1000 ms for shop");
  CHECK(reason({.factor = 0.5})
            .starts_with("invalid_backoff: expected factor to be 1 or more, got 0.5"));
  CHECK(reason({.jitter = 2}).starts_with("invalid_backoff: expected jitter to be 0 to 1, got 2"));
}
