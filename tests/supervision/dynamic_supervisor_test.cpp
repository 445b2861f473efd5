#include "supervision/dynamic_supervisor.hpp"
#include "supervision/supervision_tree.hpp"
#include "tests/supervision/tree.hpp"

using namespace roost;
using namespace roost::test;

namespace {

/// Takes what its supervisor gives to all, and then its own.
struct clerk {
  struct describe { using reply = std::string; };
  using messages = roost::messages<describe>;
  using extra_arguments = roost::extra_arguments<std::string, int>;

  std::string text;

  static init_result<clerk> init(std::string shop, int floor, std::string name) {
    return clerk{shop + " " + std::to_string(floor) + " " + name};
  }
  std::string handle_call(describe) const { return text; }
};

struct idler {
  using messages = roost::messages<>;
  static constexpr roost::child_options child_options{.restart = temporary};
};

/// Starts so many children, one after the other, and says when they are there.
struct starter {
  using messages = roost::messages<>;
  struct next {};
  using infos = roost::messages<next>;
  dynamic_supervisor top;
  int left;
  std::shared_ptr<std::promise<void>> full;
  static init_result<starter> init(
      dynamic_supervisor top, int left, std::shared_ptr<std::promise<void>> full) {
    send(self(), next{});
    return starter{top, left, full};
  }
  void handle_info(next) {
    top.start_child<idler>().then([this](const child_result&) {
      if (--left == 0) return full->set_value();
      handle_info(next{});
    });
  }
};

struct crowd : tree {
  dynamic_supervisor open(dynamic_supervisor::options options = {}) {
    options.name = "crowd";
    watch(dynamic_supervisor::start_link(options));
    return dynamic_supervisor("crowd");
  }
  void watch(pid process) {
    auto promise = std::make_shared<std::promise<std::string>>();
    end = promise->get_future();
    roost::start<watcher>(process, promise);
  }
  child_spec stubborn(std::string name) {
    return with(deaf::child(log, std::move(name)), {.restart = temporary, .shutdown = 30ms});
  }
  static child_counts count() { return dynamic_supervisor("crowd").count_children().get(); }
  static std::vector<pid> processes() {
    std::vector<pid> all;
    for (auto& child : dynamic_supervisor("crowd").which_children().get())
      all.push_back(child.process);
    return all;
  }
};

pid started(pending<child_result> result) {
  auto answer = std::move(result).get();
  REQUIRE(answer);
  return answer.process();
}
std::string answer(pending<child_result> result) { return std::move(result).get().to_string(); }

}  // namespace

TEST_CASE_FIXTURE(crowd, "children come and go, and are counted") {
  auto top = open();
  CHECK(count().specs == 0);
  auto a = started(top.start_child(plain("a")));
  auto b = started(top.start_child<member>({.name = "b"}, log, std::string("b")));
  CHECK(a == whereis("a"));
  CHECK(b == whereis("b"));
  CHECK(count().specs == 2);
  CHECK(count().active == 2);
  CHECK(count().workers == 2);
  CHECK(answer(top.terminate_child(a)) == "ok");
  CHECK(answer(top.terminate_child(a)) == "{error, not_found}");
  CHECK(processes() == std::vector{b});
  CHECK(log->take() == lines{"start a", "start b", "stop a"});
  stop(whereis("crowd"));
  CHECK(log->take() == lines{"stop b"});
}

TEST_CASE_FIXTURE(crowd, "each comes back on its own, as its restart type says") {
  auto top = open();
  auto a = started(top.start_child(plain("a")));
  auto b = started(top.start_child(plain("b", {.restart = transient})));
  auto c = started(top.start_child(plain("c", {.restart = temporary})));
  for (auto one : {a, b, c}) exit(one, exit_reason::kill);
  CHECK(eventually(
      [&] { return whereis("a") && whereis("a") != a && whereis("b") && whereis("b") != b; }));
  CHECK(eventually([&] { return count().specs == 2; }));
  cast(server<member>("b"), member::leave{exit_reason::normal});
  CHECK(eventually([&] { return count().specs == 1; }));
  cast(server<member>("a"), member::leave{exit_reason::normal});
  CHECK(eventually([&] { return log->count("start a") == 3; }));
  CHECK(log->count("start b") == 2);
  CHECK(log->count("start c") == 1);
  CHECK(reports.saw("supervisor_report", "supervisor=crowd context=child_terminated"));
}

TEST_CASE_FIXTURE(crowd, "too many restarts end the supervisor and all children") {
  auto top = open({.max_restarts = 1});
  (void)started(top.start_child(plain("a")));
  (void)started(top.start_child(plain("b")));
  cast(server<member>("a"), member::crash{});
  REQUIRE(eventually([&] { return log->count("start a") == 2; }));
  cast(server<member>("a"), member::crash{});
  CHECK(how_it_ended() == "shutdown");
  CHECK(log->count("stop b") == 1);
  CHECK(reports.saw("supervisor_report", "reason=reached_max_restart_intensity"));
}

TEST_CASE_FIXTURE(
    crowd, "there are at most max_children, those that are being restarted included") {
  auto now = mood(moody::mood::fine);
  auto top = open({.max_children = 2, .max_restarts = 1'000'000'000});
  auto a = started(top.start_child(changing("a", now)));
  auto b = started(top.start_child<idler>());
  CHECK(top.start_child<idler>().get().error() == child_error::max_children);
  now->store(moody::mood::failing);
  exit(a, exit_reason::kill);
  REQUIRE(eventually([&] { return log->count("try a") > 3; }));
  CHECK(count().specs == 2);
  CHECK(count().active == 1);
  CHECK(top.start_child<idler>().get().error() == child_error::max_children);
  CHECK(top.terminate_child(a).get());  // its pid still names it
  CHECK(count().specs == 1);
  CHECK(top.terminate_child(b).get());
  CHECK(top.start_child<idler>().get());
}

TEST_CASE_FIXTURE(
    crowd, "a restart that fails is tried again, and the supervisor answers meanwhile") {
  auto now = mood(moody::mood::fine);
  auto top = open({.max_restarts = 1'000'000'000});
  auto a = started(top.start_child(changing("a", now)));
  now->store(moody::mood::throwing);
  exit(a, exit_reason::kill);
  REQUIRE(eventually([&] { return log->count("try a") > 3; }));
  auto children = top.which_children().get();
  REQUIRE(children.size() == 1);
  CHECK(children[0].restarting);
  CHECK_FALSE(children[0].process);
  now->store(moody::mood::fine);
  CHECK(eventually([&] { return count().active == 1; }));
  CHECK(reports.saw("supervisor_report", "context=start_error"));
  now->store(moody::mood::declining);
  exit(whereis("a"), exit_reason::kill);
  CHECK(eventually([&] { return count().specs == 0; }));
}

TEST_CASE_FIXTURE(crowd, "a child that does not start is not kept") {
  auto now = mood(moody::mood::failing);
  auto top = open();
  CHECK(answer(top.start_child(changing("a", now))) == "{error, no paper}");
  now->store(moody::mood::declining);
  CHECK(answer(top.start_child(changing("a", now))) == "{ok, undefined}");
  auto owner = roost::start<member>({.name = "b"}, log, std::string("b")).process();
  auto taken = top.start_child<member>({.name = "b"}, log, std::string("b")).get();
  CHECK(taken.error() == child_error::already_started);
  CHECK(taken.process() == owner);
  CHECK(count().specs == 0);
  CHECK(failure_of([&] { (void)top.start_child({}).get(); }).starts_with("missing_id"));
  CHECK(failure_of([&] {
          (void)top.start_child(plain("c", {.restart = transient, .significant = true})).get();
        }).starts_with("bad_combination"));
}

TEST_CASE_FIXTURE(crowd, "a child whose init finishes later is answered then") {
  auto gate = make_gate(false);
  auto top = open();
  auto late =
      std::async(std::launch::async, [&] { return top.start_child(waiting("a", gate)).get(); });
  REQUIRE(eventually([&] { return log->count("wait a") == 1; }));
  CHECK(count().active == 0);
  CHECK(top.start_child<idler>().get());  // nobody waits for it
  gate->open();
  CHECK(late.get().process() == whereis("a"));
  CHECK(eventually([&] { return count().active == 2; }));
  auto broken = make_gate(false);
  broken->open_to_failure();
  CHECK(answer(top.start_child(waiting("b", broken))) == "{error, no paper}");
  CHECK(count().specs == 2);
}

TEST_CASE_FIXTURE(crowd, "children stop all at once, and the stubborn ones are killed together") {
  auto top = open();
  for (int i = 0; i < 50; ++i) (void)started(top.start_child(stubborn(std::to_string(i))));
  auto asked = std::chrono::steady_clock::now();
  stop(whereis("crowd"));
  CHECK(std::chrono::steady_clock::now() - asked >= 30ms);
  CHECK(reports.count("supervisor_report") == 1);
  CHECK(reports.saw("supervisor_report", "context=shutdown_error child=undefined reason=killed"));
}

TEST_CASE_FIXTURE(crowd, "a child that is terminated has its time, and then is killed") {
  auto top = open();
  auto process = started(top.start_child(stubborn("a")));
  auto asked = std::chrono::steady_clock::now();
  CHECK(top.terminate_child(process).get());
  CHECK(std::chrono::steady_clock::now() - asked >= 30ms);
  CHECK_FALSE(is_alive(process));
  CHECK(reports.saw("supervisor_report", "context=shutdown_error"));
}

TEST_CASE_FIXTURE(crowd, "a child that has unlinked itself stops with the others") {
  auto top = open();
  auto a = started(top.start_child(plain("a")));
  call(server<member>("a"), member::unlink_from{.process = top.process()}).get();
  stop(whereis("crowd"));
  CHECK_FALSE(is_alive(a));
}

TEST_CASE_FIXTURE(crowd, "what all children need comes from their supervisor") {
  auto top = open({.extra_arguments = extra_arguments<std::string, int>{"corner shop", 2}});
  auto ann = started(top.start_child<clerk>(std::string("ann")));
  CHECK(call(server<clerk>(ann), clerk::describe{}).get() == "corner shop 2 ann");
  auto bob = started(top.start_child(child<clerk>({.name = "bob"}, std::string("bob"))));
  exit(bob, exit_reason::kill);
  REQUIRE(eventually([&] { return whereis("bob") && whereis("bob") != bob; }));
  CHECK(call(server<clerk>("bob"), clerk::describe{}).get() == "corner shop 2 bob");
}

TEST_CASE_FIXTURE(crowd, "who wants other extra arguments than there are does not start") {
  auto top = open({.extra_arguments = extra_arguments<int>{2}});
  CHECK(
      answer(top.start_child<clerk>(std::string("ann"))).find("extra_arguments") !=
      std::string::npos);
  CHECK(count().specs == 0);
}

TEST_CASE_FIXTURE(crowd, "with back-off a child waits before it comes back") {
  auto top = open({.backoff = backoff{.min = 1h, .max = 1h}});
  auto a = started(top.start_child(plain("a", {.backoff = backoff{.min = 30ms, .jitter = 0}})));
  auto b = started(top.start_child(plain("b")));
  auto crashed = std::chrono::steady_clock::now();
  for (auto one : {a, b}) exit(one, exit_reason::kill);
  CHECK(eventually([&] { return log->count("start a") == 2; }));
  CHECK(std::chrono::steady_clock::now() - crashed >= 30ms);
  CHECK(count().active == 1);
  CHECK(top.terminate_child(b).get());
  CHECK(count().specs == 1);
}

TEST_CASE_FIXTURE(crowd, "a hundred thousand children start and stop") {
  auto top = open();
  constexpr int count_of = 100'000;
  auto full = std::make_shared<std::promise<void>>();
  auto before = runtime::process_count();
  auto process = roost::start<starter>(top, count_of, full).process();
  full->get_future().wait();
  exit(process, exit_reason::kill);
  CHECK(count().active == count_of);
  stop(whereis("crowd"));
  CHECK(eventually([&] { return runtime::process_count() <= before; }));
}

TEST_CASE_FIXTURE(crowd, "a stranger's message is refused, and an exit of the parent obeyed") {
  auto top = open();
  send(top.process(), 42);
  exit(top.process(), exit_reason::shutdown);  // no parent of its
  CHECK(count().specs == 0);
  CHECK(reports.saw("supervisor_report", "context=unexpected_message"));
  stop(whereis("crowd"));
}

// --- pictures ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(crowd, "a tree is printed with names, pids and what is missing") {
  auto patient = backoff{.min = 1h, .max = 1h};
  start(
      {.name = "shop",
       .children = {
           plain("till"), plain("clerk", {.backoff = patient}), plain("cook"),
           child<roost::supervisor>(
               {.name = "kitchen", .strategy = rest_for_one, .children = {plain("oven")}}),
           with(child<dynamic_supervisor>({.name = "guests"}), {.id = "all guests"})}});
  auto shop = roost::supervisor("shop");
  end_child(shop.process(), "clerk");
  (void)shop.terminate_child("cook").get();
  dynamic_supervisor guests("guests");
  auto guest = started(guests.start_child<idler>());
  auto text = supervision_tree_of("shop").get().to_text();
  auto id = [](const char* name) { return to_string(whereis(name)); };
  CHECK(
      text == "shop " + id("shop") +
                  " supervisor, one_for_one\n"
                  "├─ till " +
                  id("till") +
                  " worker\n"
                  "├─ clerk restarting worker\n"
                  "├─ cook undefined worker\n"
                  "├─ kitchen " +
                  id("kitchen") +
                  " supervisor, rest_for_one\n"
                  "│  └─ oven " +
                  id("oven") +
                  " worker\n"
                  "└─ all guests (guests) " +
                  id("guests") +
                  " supervisor, dynamic\n"
                  "   └─ " +
                  to_string(guest) + " worker\n");
  (void)started(guests.start_child<idler>());
  (void)started(guests.start_child<idler>());
  auto tree = supervision_tree_of(whereis("shop"), {.children = 2}).get();
  CHECK(tree.to_text().find("└─ … and 3 more\n") != std::string::npos);
  CHECK(tree.find("till")->process == whereis("till"));
}

TEST_CASE_FIXTURE(crowd, "a process is found in a tree by its id or its name") {
  start(
      {.name = "shop",
       .children = {child<roost::supervisor>(
           {.name = "kitchen", .children = {with(plain("oven"), {.id = "the hot one"})}})}});
  auto tree = supervision_tree_of("shop").get();
  REQUIRE(tree.find("the hot one") != nullptr);
  CHECK(tree.find("the hot one")->process == whereis("oven"));
  CHECK(tree.find("kitchen")->strategy == "one_for_one");
  CHECK(tree.find("cellar") == nullptr);
  CHECK_FALSE(supervision_tree_of("nobody").get().process);
}
