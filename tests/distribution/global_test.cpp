#include "runtime/distribution/global.hpp"
#include "tests/puppets.hpp"
#include <algorithm>

using namespace roost;
using namespace roost::test;

namespace {

namespace names = roost::global_names;

pid process() { return start<puppet>().process(); }

/// Runs the function in the process, and answers what it gives to its argument.
template <class R>
R in(pid where, std::function<void(std::function<void(R)>)> what) {
  auto promise = std::make_shared<std::promise<R>>();
  auto result = promise->get_future();
  cast(server<puppet>(where), puppet::act{[promise, what] {
         what([promise](R value) { promise->set_value(value); });
       }});
  return result.get();
}

bool locks(pid who, const std::string& resource, unsigned retries = 0) {
  return in<bool>(who, [=](auto answer) {
    names::set_lock({resource}, {.retries = retries}).then([answer](bool has_it) {
      answer(has_it);
    });
  });
}

void unlocks(pid who, const std::string& resource) {
  in<bool>(who, [=](auto answer) {
    names::del_lock({resource});
    answer(true);
  });
}

struct room {
  struct where { using reply = pid; };
  using messages = roost::messages<where>;
  std::string topic;
  pid handle_call(where) { return self(); }
  static init_result<room> init(std::string topic) {
    if (topic == "fails") throw std::runtime_error("no such room");
    if (topic == "ignored") return ignore();
    return room{std::move(topic)};
  }
};

struct name_server {
  roost::test::node runtime;
  pid kernel = names::start_link();
};

}  // namespace

TEST_CASE_FIXTURE(name_server, "a name belongs to whoever is first, until it ends") {
  auto a = process();
  auto b = process();
  CHECK(names::register_name("lobby", a).get());
  CHECK_FALSE(names::register_name("lobby", b).get());
  CHECK_FALSE(names::register_name("lobby", a).get());
  CHECK(names::register_name("hall", a).get());
  CHECK(names::whereis_name("lobby") == a);
  auto all = names::registered_names();
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector<std::string>{"hall", "lobby"});
  exit(a, exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(a); }));
  CHECK(names::whereis_name("lobby") == pid());  // at once
  CHECK(names::register_name("lobby", b).get());
  CHECK(eventually([&] { return names::registered_names().size() == 1; }));
}

TEST_CASE_FIXTURE(name_server, "a name can be given back, and taken over") {
  auto a = process();
  auto b = process();
  CHECK(names::register_name("lobby", a).get());
  names::unregister_name("lobby").get();
  CHECK(names::whereis_name("lobby") == pid());
  names::unregister_name("lobby").get();
  CHECK(names::register_name("lobby", b).get());
  CHECK(names::re_register_name("lobby", a).get());
  CHECK(names::whereis_name("lobby") == a);
  exit(b, exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(b); }));
  CHECK(names::whereis_name("lobby") == a);
}

TEST_CASE_FIXTURE(name_server, "what cannot be registered is said at once, or is a no") {
  CHECK_THROWS_AS((void)names::register_name("", process()), std::invalid_argument);
  CHECK_THROWS_AS((void)names::register_name("lobby", pid()), std::invalid_argument);
  CHECK_THROWS_AS((void)names::register_name("lobby", name_on("x", "b@h")), std::invalid_argument);
  CHECK_THROWS_AS((void)names::register_name("lobby", process(), "nice"), std::invalid_argument);
  names::offer_resolver("nice", [](const std::string&, pid one, pid) { return one; });
  CHECK(names::register_name("lobby", process(), "nice").get());
  auto gone = process();
  exit(gone, exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(gone); }));
  CHECK_FALSE(names::register_name("ghost", gone).get());
}

TEST_CASE_FIXTURE(name_server, "sending to a name finds its owner, or throws badarg") {
  auto lobby = start<room>({.name = global("lobby")}, std::string("talk"));
  CHECK(whereis(global("lobby")) == lobby.process());
  CHECK_THROWS_AS(names::send("nowhere", 1), std::invalid_argument);
  CHECK_THROWS_AS(roost::send(global("nowhere"), 1), std::invalid_argument);
  CHECK(call(server<room>{global("lobby")}, room::where{}).get() == lobby.process());
  CHECK_THROWS_AS(call(server<room>{global("nowhere")}, room::where{}).get(), process_exit);
}

TEST_CASE_FIXTURE(name_server, "a server does not start under a name that is taken") {
  auto first = start<room>({.name = global("lobby")}, std::string("talk"));
  try {
    start<room>({.name = global("lobby")}, std::string("talk"));
    FAIL("it has started");
  } catch (const start_error& error) {
    CHECK(error.already_started() == first.process());
  }
  CHECK(names::whereis_name("lobby") == first.process());
}

TEST_CASE_FIXTURE(name_server, "a server that does not start leaves its name free") {
  log_capture quiet;
  CHECK_THROWS_AS(start<room>({.name = global("lobby")}, std::string("fails")), start_error);
  CHECK_FALSE(start<room>({.name = global("lobby")}, std::string("ignored")));
  CHECK(start<room>({.name = global("lobby")}, std::string("talk")));
}

TEST_CASE_FIXTURE(name_server, "started in a process, a server waits for its name with its mail") {
  auto starter = process();
  auto lobby = in<pid>(starter, [](auto answer) {
    auto fresh = start<room>({.name = global("lobby")}, std::string("talk"));
    call(fresh, room::where{}).then([answer](pid where) { answer(where); });
  });
  CHECK(names::whereis_name("lobby") == lobby);
  // The second one ends, and its starter hears why.
  auto reason = in<std::string>(starter, [](auto answer) {
    auto fresh = start<room>({.name = global("lobby")}, std::string("talk"));
    call(fresh, room::where{})
        .then(
            [answer](pid) { answer("answered"); },
            [answer](const exit_reason& why) { answer(why.to_string()); });
  });
  CHECK(reason == "{already_started, " + to_string(lobby) + "}");
  CHECK(is_alive(starter));
}

TEST_CASE("without a name server nothing can be registered, which is no hang") {
  roost::test::node runtime;
  CHECK_THROWS_AS(names::register_name("lobby", process()).get(), process_exit);
  CHECK_THROWS_AS(start<room>({.name = global("lobby")}, std::string("talk")), start_error);
  CHECK(names::whereis_name("lobby") == pid());
}

TEST_CASE_FIXTURE(name_server, "a lock is held by one process, and ends with it") {
  auto a = process();
  auto b = process();
  CHECK(locks(a, "printer"));
  CHECK(locks(a, "printer"));
  CHECK_FALSE(locks(b, "printer"));
  CHECK(locks(b, "scanner"));
  unlocks(a, "printer");
  CHECK_FALSE(locks(b, "printer"));
  unlocks(a, "printer");
  CHECK(locks(b, "printer"));
  exit(b, exit_reason::kill);
  CHECK(locks(a, "printer", 50));
  CHECK_THROWS_AS((void)names::set_lock({"printer"}), std::logic_error);  // outside processes
}

TEST_CASE_FIXTURE(name_server, "transactions have the lock for themselves") {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::atomic<int> done{0};
  std::vector<pid> processes;
  for (int i = 0; i < 10; ++i) processes.push_back(process());
  for (auto one : processes)
    cast(
        server<puppet>(one), puppet::act{[&] {
          names::trans({"printer"}, [&](names::held_lock lock) {
            most = std::max(most.load(), ++inside);
            // It goes on in a later message.
            call(server<puppet>(start<puppet>()), puppet::done{}).then([&, lock = std::move(lock)] {
              --inside;
              ++done;
            });
          });
        }});
  CHECK(eventually([&] { return done == 10; }));
  CHECK(most == 1);
  // A function that throws gives the lock back as well.
  log_capture quiet;
  cast(server<puppet>(processes[0]), puppet::act{[] {
         names::trans({"printer"}, [] { throw std::runtime_error("out of paper"); });
       }});
  CHECK(locks(processes[1], "printer", 50));
  auto refused = in<bool>(processes[2], [](auto answer) {
    names::trans(
        {"printer"}, [answer] { answer(false); }, {.retries = 0}, [answer] { answer(true); });
  });
  CHECK(refused);
}

TEST_CASE_FIXTURE(name_server, "a name server that crashes comes back with its names") {
  log_capture quiet;
  auto a = process();
  CHECK(names::register_name("lobby", a).get());
  exit(kernel, exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(kernel); }));
  CHECK(names::whereis_name("lobby") == a);
  names::start_link();
  CHECK_FALSE(names::register_name("lobby", process()).get());
  exit(a, exit_reason::kill);
  CHECK(eventually([&] { return names::registered_names().empty(); }));
  names::sync().get();
}
