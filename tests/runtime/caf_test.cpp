#include "runtime/caf.hpp"
#include "runtime/process_actor.hpp"
#include "runtime/process_info.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/sys.hpp"
#include "runtime/tsan.hpp"
#include "tests/support.hpp"
#include <caf/default_attachable.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <numeric>
#include <set>

using namespace roost;
using namespace roost::test;

namespace {

// --- processes -----------------------------------------------------------------------------------

/// Keeps the numbers that actors send, and answers them by name.
struct ledger {
  struct get { using reply = std::vector<int>; };
  struct leave { exit_reason reason; };
  struct crash {};
  using messages = roost::messages<get, leave, crash>;
  using infos = roost::messages<caf_message>;

  std::vector<int> numbers = {};
  std::vector<caf_message> kept = {};

  std::vector<int> handle_call(get) const { return numbers; }
  cast_result handle_cast(leave m) { return stop(m.reason); }
  void handle_cast(crash) { throw std::runtime_error("told to"); }

  void handle_info(caf_message m) {
    if (auto number = m.as<int>()) numbers.push_back(*number);
    auto word = m.as<std::string>().value_or("");
    if (word == "count") m.reply(static_cast<int>(numbers.size()));
    if (word == "two") m.reply(1, std::string("two"));
    if (word == "twice") m.reply(1), m.reply(2);
    if (word == "elsewhere") spawn([m] { m.reply(42); });
    if (word == "refuse") m.reply(caf::make_error(caf::sec::invalid_argument));
    if (word == "throw") throw std::runtime_error("asked to");
    if (word == "wait") kept.push_back(m);
    if (word == "go")
      for (auto& waiting : std::exchange(kept, {})) waiting.reply(7);
  }
};

/// Has nothing to do with actors.
struct counter {
  struct get { using reply = int; };
  struct bump {};
  using messages = roost::messages<get, bump>;
  int value = 0;
  int handle_call(get) const { return value; }
  void handle_cast(bump) { ++value; }
};

/// Tells what it hears: "exited <1> why", "down <2> why". Runs what it is given.
struct witness {
  struct heard { using reply = std::vector<std::string>; };
  struct run {
    std::function<void()> code;
    using reply = void;
  };
  using messages = roost::messages<heard, run>;

  std::vector<std::string> events = {};

  static init_result<witness> init(bool trap) {
    trap_exit(trap);
    return witness{};
  }
  std::vector<std::string> handle_call(heard) const { return events; }
  void handle_call(run m) { m.code(); }
  void handle_info(const exited& e) { note("exited", e.from, e.reason); }
  void handle_info(const down& d) { note("down", d.process, d.reason); }
  void note(const std::string& what, pid who, const exit_reason& reason) {
    events.push_back(what + " " + to_string(who) + " " + reason.to_string());
  }
};

struct observer {
  explicit observer(bool trap = true) : process(roost::start<witness>(trap)) {}

  template <class F>
  void run(F code) const {
    call(process, witness::run{std::move(code)}).get();
  }
  std::vector<std::string> events() const { return call(process, witness::heard{}).get(); }
  bool heard(const std::string& what, pid who, const exit_reason& reason) const {
    auto text = what + " " + to_string(who) + " " + reason.to_string();
    return eventually([&] {
      auto all = events();
      return std::find(all.begin(), all.end(), text) != all.end();
    });
  }
  bool is_alive() const { return roost::is_alive(process.process()); }
  caf::actor handle() const { return to_caf(process.process()); }

  server<witness> process;
};

// --- actors --------------------------------------------------------------------------------------

/// Without an argument, CAF binds a reference to nothing, which the sanitizer sees.
template <class F>
caf::actor spawn_actor(F function) {
  return caf_system().spawn(
      [](caf::event_based_actor* self, const F& init) { return init(self); }, std::move(function));
}

/// Adds, and has its ways to fail. An error that comes as a message ends it, as CAF has it.
caf::behavior adder(caf::event_based_actor* self) {
  self->set_default_handler(caf::drop);  // CAF would print what it does not expect
  self->set_exception_handler(
      [](std::exception_ptr&) -> caf::error { return caf::sec::runtime_error; });
  return {
      [](int a, int b) { return a + b; },
      [](int a) { return caf::make_message(a, std::string("and more")); },
      [](const std::string& word) -> caf::result<void> {
        if (word == "throw") throw std::runtime_error("asked to");
        if (word == "refuse") return caf::make_error(caf::sec::invalid_argument);
        return caf::unit;
      },
  };
}

caf::actor spawn_adder() { return spawn_actor(adder); }
void end(const caf::actor& actor, caf::error reason) { caf::anon_send(actor, std::move(reason)); }

/// Keeps each question, and drops them all when it is told so, or ends. It must end: what it keeps,
/// keeps it.
caf::behavior silent(caf::event_based_actor* self) {
  auto open = std::make_shared<std::vector<caf::response_promise>>();
  return {
      [=](int) {
        open->push_back(self->make_response_promise());
        return open->back();
      },
      [=](const std::string&) { open->clear(); },
  };
}

/// What a process does that waits for an answer until it is stopped.
void ask_silent() {
  auto actor = spawn_actor(silent);
  link(actor);
  request<int>(actor, infinity, 1).then([](int) {});
}

/// What an actor was told of the end of others.
struct news {
  struct item {
    bool exit;
    caf::actor_addr who;
    caf::error why;
  };
  std::mutex mutex;
  std::vector<item> items;

  bool has(bool exit, const caf::actor& who, const caf::error& why) {
    return eventually([&] {
      std::lock_guard guard{mutex};
      return std::any_of(items.begin(), items.end(), [&](const item& one) {
        return one.exit == exit && one.who == who.address() && one.why == why;
      });
    });
  }
  std::size_t count() {
    std::lock_guard guard{mutex};
    return items.size();
  }
};

/// Monitors and links whom it is told to, and traps exits.
caf::behavior guard_actor(caf::event_based_actor* self, std::shared_ptr<news> told) {
  auto note = [told](bool exit, caf::actor_addr who, caf::error why) {
    std::lock_guard guard{told->mutex};
    told->items.push_back({exit, std::move(who), std::move(why)});
  };
  self->set_down_handler([=](caf::down_msg& m) { note(false, m.source, m.reason); });
  self->set_exit_handler([=](caf::exit_msg& m) { note(true, m.source, m.reason); });
  return {
      [=](const std::string& verb, const caf::actor& other) {
        if (verb == "monitor") self->monitor(other);
        if (verb == "demonitor") self->demonitor(other);
        if (verb == "link") self->link_to(other);
        if (verb == "unlink") self->unlink_from(other);
      },
      [](const std::string& verb) { return verb; },
      [=](const std::string&, int) { self->quit(); },
  };
}

/// Links one other and dies of its exit.
caf::behavior companion(caf::event_based_actor* self, const caf::actor& other) {
  self->link_to(other);
  return adder(self);
}

struct guardian {
  guardian() : told(std::make_shared<news>()), actor(caf_system().spawn(guard_actor, told)) {}
  ~guardian() { caf::anon_send_exit(actor, caf::exit_reason::kill); }

  void tell(const std::string& verb, const caf::actor& other) const {
    caf::anon_send(actor, verb, other);
    settle();
  }
  /// Returns when everything sent to it so far has been handled.
  void settle() const { CHECK(request<std::string>(actor, 10s, "settle").get() == "settle"); }
  bool heard_down(const caf::actor& who, const caf::error& why) const {
    return told->has(false, who, why);
  }
  bool heard_exit(const caf::actor& who, const caf::error& why) const {
    return told->has(true, who, why);
  }

  std::shared_ptr<news> told;
  caf::actor actor;
};

bool is_gone(const caf::actor& actor) {
  return eventually([&] { return actor->getf(caf::abstract_actor::is_terminated_flag); });
}

// --- asking as an actor does
// -----------------------------------------------------------------------

template <class R>
struct answer {
  std::optional<R> value;
  caf::error error;
};

/// A thread that is an actor: what it does is CAF's code.
struct blocking {
  roost::detail::unseen as_caf;
  caf::scoped_actor self{caf_system()};
};

template <class R, class... Ts>
answer<R> ask(const caf::actor& to, Ts... values) {
  blocking thread;
  auto& self = thread.self;
  answer<R> result;
  self->request(to, std::chrono::seconds(10), std::move(values)...)
      .receive(
          [&](const R& value) { result.value = value; },
          [&](const caf::error& error) { result.error = error; });
  return result;
}

template <class F>
std::string failure_of(F ask) {
  try {
    ask();
    return "no failure";
  } catch (const process_exit& exit) {
    return exit.reason().to_string();
  }
}

}  // namespace

// --- from an actor to a process ------------------------------------------------------------------

TEST_CASE_FIXTURE(node, "an actor sends to a process, in order") {
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  constexpr int count = 20'000;
  spawn_actor([=](caf::event_based_actor* self) {
    for (int i = 0; i < count; ++i) self->send(handle, i);
  });
  REQUIRE(eventually([&] { return call(l, ledger::get{}).get().size() == count; }));
  std::vector<int> expected(count);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(call(l, ledger::get{}).get() == expected);
}

TEST_CASE_FIXTURE(node, "a process answers an actor's request, now, later or from elsewhere") {
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  CHECK(ask<int>(handle, "count").value == 0);
  CHECK(ask<int>(handle, "twice").value == 1);
  CHECK(ask<int>(handle, "elsewhere").value == 42);
  CHECK(ask<int>(handle, "refuse").error == caf::sec::invalid_argument);
  auto waits = std::async(std::launch::async, [&] { return ask<int>(handle, "wait").value; });
  REQUIRE(eventually([&] {
    caf::anon_send(handle, "go");
    return waits.wait_for(1ms) == std::future_status::ready;
  }));
  CHECK(waits.get() == 7);

  // In an actor, without blocking; several values at once.
  auto text = std::make_shared<std::promise<std::string>>();
  spawn_actor([=](caf::event_based_actor* self) {
    self->request(handle, std::chrono::seconds(10), "two")
        .then([=](int n, const std::string& word) { text->set_value(std::to_string(n) + word); });
  });
  CHECK(text->get_future().get() == "1two");
}

TEST_CASE_FIXTURE(node, "a message that is no request is answered with a message") {
  auto l = roost::start<ledger>();
  blocking thread;
  auto& self = thread.self;
  self->send(to_caf(l.process()), "count");
  int got = -1;
  pid from;
  self->receive([&](int n) {
    got = n;
    from = to_pid(caf::actor_cast<caf::actor>(self->current_sender()));
  });
  CHECK(got == 0);
  CHECK(from == l.process());
}

TEST_CASE_FIXTURE(node, "a process takes part in a composition of actors") {
  auto l = roost::start<ledger>();
  auto shout = spawn_actor([](caf::event_based_actor*) -> caf::behavior {
    return {[](int) { return std::string("elsewhere"); }};
  });
  auto half = spawn_actor(
      [](caf::event_based_actor*) -> caf::behavior { return {[](int n) { return n / 2; }}; });
  CHECK(ask<int>(to_caf(l.process()) * shout, 0).value == 42);  // the process is the last stage
  CHECK(ask<int>(half * to_caf(l.process()), "elsewhere").value == 21);  // … and the first
}

TEST_CASE_FIXTURE(
    node, "a process that has gone drops messages and answers requests with an error") {
  log_capture quiet;
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  CHECK(to_pid(handle) == l.process());
  exit(l.process(), exit_reason::shutdown);
  REQUIRE(eventually([&] { return !is_alive(l.process()); }));
  CHECK_FALSE(to_caf(l.process()));
  CHECK_FALSE(to_caf(pid{}));
  caf::anon_send(handle, 1);
  CHECK(ask<int>(handle, "count").error == caf::sec::request_receiver_down);
  CHECK(to_pid(handle) == l.process());
}

TEST_CASE_FIXTURE(node, "a request that its process does not live to answer gets an error") {
  log_capture quiet;
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  CHECK(ask<int>(handle, "throw").error == caf::sec::request_receiver_down);

  // One that was taken and kept, and one that still waits.
  auto second = roost::start<ledger>();
  auto other = to_caf(second.process());
  auto kept = std::async(std::launch::async, [&] { return ask<int>(other, "wait").error; });
  REQUIRE(eventually([&] { return process_info(second.process()).get()->reductions > 0; }));
  sys::suspend(second.process()).get();
  auto waits = std::async(std::launch::async, [&] { return ask<int>(other, "count").error; });
  REQUIRE(eventually([&] { return process_info(second.process()).get()->message_queue_len == 1; }));
  exit(second.process(), exit_reason::kill);
  CHECK(kept.get() == caf::sec::request_receiver_down);
  CHECK(waits.get() == caf::sec::request_receiver_down);
}

TEST_CASE_FIXTURE(node, "a server that does not list caf_message logs it; a request is refused") {
  log_capture log;
  auto c = roost::start<counter>();
  auto handle = to_caf(c.process());
  caf::anon_send(handle, "what is this");
  CHECK(ask<int>(handle, 1, 2).error == caf::sec::unexpected_message);
  CHECK(call(c, counter::get{}).get() == 0);
  CHECK(eventually([&] { return log.saw("", "what is this"); }));
  // A request that the server took and dropped is refused as well.
  auto l = roost::start<ledger>();
  CHECK(ask<int>(to_caf(l.process()), "no such word").error == caf::sec::unexpected_message);
  // A function process reads no messages.
  auto idle = spawn(ask_silent);
  CHECK(ask<int>(to_caf(idle), 1).error == caf::sec::unexpected_message);
}

TEST_CASE_FIXTURE(node, "a limited mailbox limits actors too") {
  log_capture quiet;
  auto l = roost::start<ledger>({.mailbox = {.limit = 10}});
  auto handle = to_caf(l.process());
  sys::suspend(l.process()).get();
  for (int i = 0; i < 100; ++i) caf::anon_send(handle, i);
  CHECK(ask<int>(handle, "count").error);
  sys::resume(l.process()).get();
  CHECK(call(l, ledger::get{}).get().size() <= 20);
}

// --- the end of a process, as actors see it
// --------------------------------------------------------

TEST_CASE_FIXTURE(node, "an actor monitors a process and reads how it ended") {
  log_capture quiet;
  guardian g;
  auto ends_with = [&](const exit_reason& reason, const caf::error& error) {
    auto l = roost::start<ledger>();
    auto handle = to_caf(l.process());
    g.tell("monitor", handle);
    cast(l, ledger::leave{reason});
    CHECK(g.heard_down(handle, error));
  };
  ends_with(exit_reason::normal, {});
  ends_with(exit_reason::shutdown, caf::exit_reason::user_shutdown);
  ends_with(exit_reason::shutdown_with("left"), caf::exit_reason::user_shutdown);
  ends_with("out of paper", caf::sec::runtime_error);

  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  g.tell("monitor", handle);
  exit(l.process(), exit_reason::kill);
  CHECK(g.heard_down(handle, caf::exit_reason::kill));
  auto before = g.told->count();
  g.tell("monitor", handle);  // it has gone: at once
  CHECK(eventually([&] { return g.told->count() == before + 1; }));
}

TEST_CASE_FIXTURE(node, "an actor takes its monitor of a process back") {
  guardian g;
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  g.tell("monitor", handle);
  g.tell("demonitor", handle);
  exit(l.process(), exit_reason::shutdown);
  REQUIRE(is_gone(handle));
  g.settle();
  CHECK(g.told->count() == 0);
}

TEST_CASE_FIXTURE(node, "a crash crosses a link, whoever made it") {
  log_capture quiet;
  auto l = roost::start<ledger>();
  auto actor = caf_system().spawn(companion, to_caf(l.process()));
  CHECK(request<int>(actor, 10s, 1, 2).get() == 3);
  cast(l, ledger::crash{});
  CHECK(is_gone(actor));

  observer o(false);
  actor = caf_system().spawn(companion, o.handle());
  end(actor, caf::sec::invalid_argument);
  CHECK(eventually([&] { return !o.is_alive(); }));

  observer second(false);
  auto linked = spawn_adder();
  second.run([=] { link(linked); });
  end(linked, caf::sec::invalid_argument);
  CHECK(eventually([&] { return !second.is_alive(); }));

  observer third;
  linked = spawn_adder();
  third.run([=] { link(linked), link(linked); });
  exit(third.process.process(), exit_reason::kill);
  CHECK(is_gone(linked));
}

TEST_CASE_FIXTURE(node, "an actor that traps exits reads the process's reason, once") {
  guardian g;
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  g.tell("link", handle);
  g.tell("link", handle);
  cast(l, ledger::leave{exit_reason::shutdown});
  CHECK(g.heard_exit(handle, caf::exit_reason::user_shutdown));
  g.settle();
  CHECK(g.told->count() == 1);
  g.tell("link", handle);  // it has gone: at once, as CAF does
  CHECK(eventually([&] { return g.told->count() == 2; }));
}

TEST_CASE_FIXTURE(node, "a blocking actor may link a process that has gone") {
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  exit(l.process(), exit_reason::shutdown);
  REQUIRE(is_gone(handle));
  blocking thread;
  auto& self = thread.self;
  self->link_to(handle);
  caf::error why;
  self->receive([&](const caf::exit_msg& m) { why = m.reason; });
  CHECK(why == caf::exit_reason::user_shutdown);
}

TEST_CASE_FIXTURE(node, "a link that was taken back is harmless, on either side") {
  log_capture quiet;
  guardian g;
  observer o(false);
  g.tell("link", o.handle());
  g.tell("unlink", o.handle());
  o.run([&] { link(g.actor), unlink(g.actor); });
  auto actor = spawn_adder();
  o.run([&] { link(actor); });
  o.run([&] { unlink(to_pid(actor)); });
  CHECK(process_info(o.process.process()).get()->links.empty());
  end(actor, caf::sec::invalid_argument);
  REQUIRE(is_gone(actor));
  CHECK(o.events().empty());

  auto handle = o.handle();
  exit(o.process.process(), "gone");
  REQUIRE(is_gone(handle));
  g.settle();
  CHECK(g.told->count() == 0);
}

// --- the end of an actor, as processes see it
// ------------------------------------------------------

TEST_CASE_FIXTURE(node, "a process that traps exits reads who ended, and how") {
  observer o;
  auto ends_with = [&](const caf::error& error, const exit_reason& reason) {
    auto actor = spawn_adder();
    o.run([&] { link(actor); });
    if (error == caf::exit_reason::kill)
      caf::anon_send_exit(actor, caf::exit_reason::kill);
    else
      end(actor, error);
    CHECK(o.heard("exited", to_pid(actor), reason));
  };
  ends_with(caf::exit_reason::user_shutdown, exit_reason::shutdown);
  ends_with(caf::exit_reason::kill, exit_reason::killed);
  ends_with(to_caf(exit_reason("out of paper")), "out of paper");
  ends_with(caf::sec::invalid_argument, "system_error(invalid_argument)");
  CHECK(o.is_alive());
  CHECK(process_info(o.process.process()).get()->links.empty());

  guardian g;
  o.run([&] { link(g.actor); });
  caf::anon_send(g.actor, "quit", 0);
  CHECK(o.heard("exited", to_pid(g.actor), exit_reason::normal));
}

TEST_CASE_FIXTURE(node, "the normal end of an actor harms nobody") {
  observer o(false);
  guardian g;
  o.run([&] { link(g.actor); });
  caf::anon_send(g.actor, "quit", 0);
  REQUIRE(is_gone(g.actor));
  CHECK(eventually([&] { return process_info(o.process.process()).get()->links.empty(); }));
  CHECK(o.is_alive());
}

TEST_CASE_FIXTURE(node, "an actor that has gone is noproc to link and monitor") {
  observer o;
  auto actor = spawn_adder();
  end(actor, caf::exit_reason::user_shutdown);
  REQUIRE(is_gone(actor));
  o.run([&] { link(actor), monitor(actor); });
  CHECK(o.heard("exited", to_pid(actor), exit_reason::noproc));
  CHECK(o.heard("down", to_pid(actor), exit_reason::noproc));
  o.run([] { monitor(caf::actor{}); });
  CHECK(eventually([&] { return o.events().size() == 3; }));
}

TEST_CASE_FIXTURE(node, "a process monitors an actor, once per monitor, until demonitor") {
  observer o;
  auto actor = spawn_adder();
  o.run([&] {
    monitor(actor), monitor(actor);
    auto third = monitor(actor);
    CHECK(demonitor(third));
    CHECK_FALSE(demonitor(third));
  });
  CHECK(process_info(o.process.process()).get()->monitors.size() == 2);
  end(actor, to_caf(exit_reason("out of paper")));
  CHECK(o.heard("down", to_pid(actor), "out of paper"));
  CHECK(eventually([&] { return o.events().size() == 2; }));
  CHECK(process_info(o.process.process()).get()->monitors.empty());
}

TEST_CASE_FIXTURE(node, "what has ended, or was taken back, is not remembered") {
  auto actor = spawn_adder();
  auto hangs_on_actor = [&](pid process, reference ref) {
    return actor->detach(roost::detail::watch_key{process.id, ref}) > 0;
  };
  auto hangs_on_process = [&](const caf::actor& process) {
    return process->detach(caf::default_attachable::observe_token{
               actor.address(), caf::default_attachable::link}) > 0;
  };
  // The process ends.
  observer o;
  auto gone = o.process.process();
  auto handle = o.handle();
  reference ref;
  o.run([&] { ref = monitor(actor), link(actor), unlink(actor), link(actor); });
  exit(gone, exit_reason::kill);
  REQUIRE(is_gone(handle));
  CHECK_FALSE(hangs_on_actor(gone, ref));
  CHECK_FALSE(hangs_on_actor(gone, {}));
  REQUIRE(is_gone(actor));  // by the link

  // The process takes it back.
  actor = spawn_adder();
  observer second;
  auto process = second.process.process();
  second.run([&] { ref = monitor(actor), link(actor), demonitor(ref), unlink(actor); });
  CHECK_FALSE(hangs_on_actor(process, ref));
  CHECK_FALSE(hangs_on_actor(process, {}));
  CHECK_FALSE(hangs_on_process(second.handle()));

  // The actor ends.
  second.run([&] { link(actor); });
  end(actor, caf::exit_reason::user_shutdown);
  CHECK(second.heard("exited", to_pid(actor), exit_reason::shutdown));
  CHECK_FALSE(hangs_on_process(second.handle()));
}

TEST_CASE_FIXTURE(node, "an exit signal from an actor: kill is final, others may be trapped") {
  observer o;
  guardian g;
  auto handle = o.handle();
  caf::anon_send_exit(handle, caf::exit_reason::user_shutdown);
  spawn_actor([=](caf::event_based_actor* self) {
    self->send_exit(handle, to_caf(exit_reason("enough")));
  });
  REQUIRE(eventually([&] { return o.events().size() == 2; }));
  CHECK(o.events()[0].ends_with("shutdown"));  // not taken for the parent's
  CHECK(o.events()[1].ends_with("enough"));
  caf::anon_send_exit(handle, caf::exit_reason::normal);
  CHECK(o.is_alive());
  g.tell("monitor", handle);
  caf::anon_send_exit(handle, caf::exit_reason::kill);
  CHECK(g.heard_down(handle, caf::exit_reason::kill));
}

TEST_CASE_FIXTURE(node, "a process sends exit signals to actors") {
  guardian g;
  observer o;
  o.run([&] { exit(g.actor, "enough"); });
  CHECK(g.heard_exit(o.handle(), caf::sec::runtime_error));
  exit(g.actor, exit_reason::kill);
  CHECK(is_gone(g.actor));
  exit(caf::actor{}, exit_reason::kill);  // nobody hears it
  exit(o.handle(), exit_reason::kill);    // a process by its handle
  CHECK(eventually([&] { return !o.is_alive(); }));
}

TEST_CASE_FIXTURE(node, "links and monitors by the handle of a process are those of processes") {
  observer o;
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  o.run([&] { link(handle), monitor(handle); });
  cast(l, ledger::leave{exit_reason::shutdown});
  CHECK(o.heard("exited", l.process(), exit_reason::shutdown));
  CHECK(o.heard("down", l.process(), exit_reason::shutdown));
  o.run([&] { monitor(handle); });
  CHECK(o.heard("down", l.process(), exit_reason::noproc));
}

// --- from a process to an actor ------------------------------------------------------------------

TEST_CASE_FIXTURE(node, "a process sends to an actor, in order and in its own name") {
  struct state {
    std::mutex mutex;
    std::vector<int> numbers;
    pid sender;
  };
  auto got = std::make_shared<state>();
  auto actor = spawn_actor([=](caf::event_based_actor* self) -> caf::behavior {
    return {[=](int n) {
      std::lock_guard guard{got->mutex};
      got->numbers.push_back(n);
      got->sender = to_pid(caf::actor_cast<caf::actor>(self->current_sender()));
    }};
  });
  observer o;
  o.run([=] {
    for (int i = 0; i < 1000; ++i) send(actor, i);
  });
  REQUIRE(eventually([&] {
    std::lock_guard guard{got->mutex};
    return got->numbers.size() == 1000;
  }));
  std::lock_guard guard{got->mutex};
  CHECK(std::is_sorted(got->numbers.begin(), got->numbers.end()));
  CHECK(got->sender == o.process.process());
}

TEST_CASE_FIXTURE(node, "a process asks an actor and goes on meanwhile") {
  auto actor = spawn_adder();
  auto sum = std::make_shared<std::promise<int>>();
  auto both = std::make_shared<std::promise<std::string>>();
  auto done = std::make_shared<std::promise<void>>();
  spawn([=] {
    request<int>(actor, 10s, 1, 2).then([=](int n) { sum->set_value(n); });
    request<std::tuple<int, std::string>>(actor, 10s, 1).then([=](auto values) {
      both->set_value(std::to_string(std::get<0>(values)) + std::get<1>(values));
    });
    request<void>(actor, infinity, "fine").then([=] { done->set_value(); });
  });
  CHECK(sum->get_future().get() == 3);
  CHECK(both->get_future().get() == "1and more");
  done->get_future().get();
}

TEST_CASE_FIXTURE(node, "a thread asks an actor and waits") {
  auto actor = spawn_adder();
  CHECK(request<int>(actor, 10s, 20, 22).get() == 42);
  CHECK(request<caf::message>(actor, 10s, 1).get().size() == 2);
  request<void>(actor, 10s, "fine").get();
}

TEST_CASE_FIXTURE(node, "a request that fails says why") {
  caf::actor actor;
  auto fails = [&](auto ask) {
    // Outside, and in a process.
    auto outside = failure_of([&] { ask().get(); });
    auto reason = std::make_shared<std::promise<std::string>>();
    spawn([=] {
      ask().then(
          [=](int) { reason->set_value("no failure"); },
          [=](const exit_reason& why) { reason->set_value(why.to_string()); });
    });
    CHECK(reason->get_future().get() == outside);
    return outside;
  };
  actor = spawn_adder();
  CHECK(fails([=] {
          return request<int>(actor, 10s, "refuse");
        }) == "system_error(invalid_argument)");
  CHECK(fails([=] {
          return request<int>(actor, 10s, 1);
        }) == "expected the actor to answer int, got (1, \"and more\")");
  CHECK(fails([=] {
          return request<int>(actor, 10s, 1, 2, 3);
        }) == "system_error(unexpected_message)");
  CHECK(fails([=] {
          return request<int>(spawn_adder(), 10s, "throw");
        }) == "system_error(runtime_error)");
  end(actor, caf::exit_reason::user_shutdown);
  REQUIRE(is_gone(actor));
  CHECK(fails([=] { return request<int>(actor, 10s, 1, 2); }) == "noproc");
  actor = spawn_actor(silent);
  CHECK(fails([=] { return request<int>(actor, 20ms, 1); }) == "timeout");
  exit(actor, exit_reason::shutdown);
  CHECK(fails([=] { return request<int>(caf::actor{}, 10s, 1); }) == "noproc");
}

TEST_CASE_FIXTURE(node, "an unanswered request crashes the process that made it") {
  log_capture quiet;
  auto caller = spawn([] { request<int>(caf::actor{}, 10s, 1).then([](int) {}); });
  CHECK(eventually([&] { return !is_alive(caller); }));
  CHECK(eventually([&] { return quiet.saw("crash_report", "noproc"); }));
}

TEST_CASE_FIXTURE(node, "a late answer is dropped, and so is one to a process that has gone") {
  auto actor = spawn_actor(silent);
  observer o;
  auto timeouts = std::make_shared<std::atomic<int>>(0);
  o.run([=] {
    for (int i = 0; i < 100; ++i)
      request<int>(actor, 1ms, i).then([](int) {}, [=](const exit_reason&) { ++*timeouts; });
  });
  CHECK(eventually([&] { return timeouts->load() == 100; }));
  auto gone = spawn([=] { request<int>(actor, infinity, 1).then([](int) {}); });
  exit(gone, exit_reason::kill);
  caf::anon_send(actor, "forget");
  CHECK(request<int>(spawn_adder(), 10s, 1, 2).get() == 3);
  CHECK(o.is_alive());
  exit(actor, exit_reason::shutdown);
}

TEST_CASE_FIXTURE(node, "who waits outside hears that the question was dropped") {
  auto actor = spawn_actor(silent);
  auto waits = std::async(std::launch::async, [=] {
    return failure_of([=] { request<int>(actor, infinity, 1).get(); });
  });
  REQUIRE(eventually([&] {
    caf::anon_send(actor, "forget");
    return waits.wait_for(1ms) == std::future_status::ready;
  }));
  CHECK(waits.get() == "unanswered");
}

TEST_CASE_FIXTURE(node, "a process asks a process through its handle, even itself") {
  auto l = roost::start<ledger>();
  auto handle = to_caf(l.process());
  CHECK(request<int>(handle, 10s, "count").get() == 0);
  CHECK(failure_of([&] {
          request<int>(handle, 10s, "no such word").get();
        }) == "system_error(unexpected_message)");
  exit(l.process(), exit_reason::kill);
  REQUIRE(is_gone(handle));
  CHECK(failure_of([&] { request<int>(handle, 10s, "count").get(); }) == "noproc");
}

// --- the two worlds ------------------------------------------------------------------------------

TEST_CASE("exit reasons survive the way there and back") {
  for (const exit_reason& reason :
       {exit_reason::normal, exit_reason::shutdown, exit_reason::shutdown_with("left"),
        exit_reason::killed, exit_reason::noproc, exit_reason::noconnection, exit_reason::timeout,
        exit_reason("out of paper"), exit_reason::error("std::logic_error", "no", "ledger, get")})
    CHECK(to_exit_reason(to_caf(reason)) == reason);
  CHECK(to_exit_reason(to_caf(exit_reason::kill)) == exit_reason::killed);
  CHECK(to_exit_reason(caf::sec::request_receiver_down) == exit_reason::noproc);
}

TEST_CASE("without a runtime there is no actor system") {
  CHECK_THROWS_WITH_AS(
      caf_system(), doctest::Contains("write `roost::runtime runtime;`"), std::logic_error);
  CHECK_FALSE(to_caf(pid{12345, 0}));
}

TEST_CASE_FIXTURE(node, "what is for processes says so outside them") {
  auto actor = spawn_adder();
  CHECK_THROWS_WITH_AS(link(actor), doctest::Contains("in a process"), std::logic_error);
  CHECK_THROWS_WITH_AS(monitor(actor), doctest::Contains("in a process"), std::logic_error);
  auto c = roost::start<counter>();
  auto text = std::make_shared<std::promise<std::string>>();
  spawn_actor([=](caf::event_based_actor*) {
    try {
      call(c, counter::get{}).get();
    } catch (const std::logic_error& error) {
      text->set_value(error.what());
    }
  });
  CHECK(text->get_future().get().find("got a CAF actor") != std::string::npos);
}

TEST_CASE_FIXTURE(node, "handles are taken while processes come and go") {
  std::atomic<bool> done{false};
  std::atomic<int> taken{0};
  auto take = [&] {
    while (!done)
      for (auto process : processes())
        if (auto handle = to_caf(process)) {
          taken += to_pid(handle) == process ? 1 : 0;
          CHECK(to_pid(handle) == process);
        }
  };
  std::thread one(take), two(take);
  for (int i = 0; i < 2000; ++i) spawn([] {});
  REQUIRE(eventually([&] { return taken > 0 || processes().empty(); }));
  done = true;
  one.join();
  two.join();
}

TEST_CASE_FIXTURE(node, "links made and broken from both sides at once leave nothing behind") {
  guardian g;
  observer o;
  std::thread actor([&] {
    for (int i = 0; i < 300; ++i) g.tell(i % 2 == 0 ? "link" : "unlink", o.handle());
  });
  for (int i = 0; i < 300; ++i) o.run([&] { i % 2 == 0 ? link(g.actor) : unlink(g.actor); });
  actor.join();
  g.tell("unlink", o.handle());
  o.run([&] { unlink(g.actor); });
  CHECK(process_info(o.process.process()).get()->links.empty());
  auto handle = o.handle();
  exit(o.process.process(), exit_reason::kill);
  REQUIRE(is_gone(handle));
  g.settle();
  CHECK(g.told->count() == 0);
}

TEST_CASE_FIXTURE(node, "actors that never rest do not starve processes, nor the other way round") {
  std::vector<caf::actor> busy;
  auto l = roost::start<ledger>();
  for (int i = 0; i < 8; ++i)
    busy.push_back(spawn_actor([=](caf::event_based_actor* self) -> caf::behavior {
      self->send(self, 1);
      return {[=](int n) { self->send(self, n); }};
    }));
  std::vector<pid> hot;
  for (int i = 0; i < 8; ++i) hot.push_back(roost::start<ledger>().process());
  auto c = roost::start<counter>();
  for (int i = 0; i < 200; ++i) {
    cast(c, counter::bump{});
    CHECK(call(c, counter::get{}).get() == i + 1);
    CHECK(request<int>(spawn_adder(), 10s, 1, i).get() == i + 1);
  }
  auto fired = std::make_shared<std::promise<void>>();
  spawn([=] {
    auto actor = spawn_actor(silent);
    link(actor);
    request<int>(actor, 20ms, 1)
        .then([](int) {}, [=](const exit_reason&) { fired->set_value(), exit(actor, "done"); });
  });
  CHECK(fired->get_future().wait_for(10s) == std::future_status::ready);
  for (auto& actor : busy) caf::anon_send_exit(actor, caf::exit_reason::kill);
}

TEST_CASE_FIXTURE(node, "actors that never rest do not keep sockets waiting") {
  struct handler final : roost::detail::io_handler {
    std::atomic<bool> seen{false};
    void on_io(std::uint32_t) override { seen = true; }
  };
  auto busy = [](caf::event_based_actor* self) -> caf::behavior {
    self->send(self, 1);
    return {[=](int n) { self->send(self, n); }};
  };
  std::vector<caf::actor> actors;
  for (int i = 0; i < 8; ++i) actors.push_back(spawn_actor(busy));
  auto& worker = roost::detail::scheduler::instance()->at(0);
  auto socket = std::make_unique<handler>();
  int fd = ::eventfd(1, EFD_NONBLOCK);
  worker.post_function([&] { worker.watch(fd, EPOLLIN | EPOLLET, *socket); });
  CHECK(eventually([&] { return socket->seen.load(); }));
  std::promise<void> closed;
  worker.post_function([&] {
    worker.unwatch(fd, *socket);
    worker.delete_after_poll(std::move(socket));
    closed.set_value();
  });
  closed.get_future().get();
  ::close(fd);
  for (auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::kill);
}

TEST_CASE_FIXTURE(node, "an actor that floods a process does not starve the others") {
  auto l = roost::start<ledger>({.mailbox = {.limit = 1000}});
  log_capture quiet;
  auto handle = to_caf(l.process());
  auto flood = spawn_actor([=](caf::event_based_actor* self) -> caf::behavior {
    self->send(self, 1);
    return {[=](int n) {
      for (int i = 0; i < 100; ++i) self->send(handle, "noise");
      self->send(self, n);
    }};
  });
  auto c = roost::start<counter>();
  for (int i = 0; i < 200; ++i) CHECK(call(c, counter::get{}).get() == 0);
  caf::anon_send_exit(flood, caf::exit_reason::kill);
}

TEST_CASE_FIXTURE(node, "actors started by one actor use every worker") {
  struct seen {
    std::mutex mutex;
    std::set<std::thread::id> threads;
  };
  auto all = std::make_shared<seen>();
  spawn_actor([=](caf::event_based_actor*) {
    for (int i = 0; i < 200; ++i)
      spawn_actor([=](caf::event_based_actor*) {
        std::this_thread::sleep_for(1ms);
        std::lock_guard guard{all->mutex};
        all->threads.insert(std::this_thread::get_id());
      });
  });
  CHECK(eventually([&] {
    std::lock_guard guard{all->mutex};
    return all->threads.size() == 2;
  }));
}

TEST_CASE("a runtime ends while actors are busy, asked and linked") {
  log_capture quiet;
  for (int i = 0; i < 10; ++i) {
    node node;
    auto l = roost::start<ledger>();
    auto handle = to_caf(l.process());
    for (int j = 0; j < 4; ++j)
      spawn_actor([=](caf::event_based_actor* self) -> caf::behavior {
        self->link_to(handle);
        self->monitor(handle);
        self->set_down_handler([](caf::down_msg&) {});
        self->send(self, 1);
        return {[=](int n) {
          self->send(self, n);
          self->request(handle, std::chrono::seconds(10), "count")
              .then([](int) {}, [](caf::error&) {});
        }};
      });
    spawn(ask_silent);
  }
}
