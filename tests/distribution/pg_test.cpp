#include "runtime/distribution/pg.hpp"
#include "tests/puppets.hpp"
#include <algorithm>

using namespace roost;
using namespace roost::test;

namespace {

namespace pg = roost::pg;

/// A member of groups, which does what it is told.
pid member() { return start<puppet>().process(); }

std::vector<pid> sorted(std::vector<pid> processes) {
  std::sort(processes.begin(), processes.end());
  return processes;
}

/// Writes down what it hears of groups.
struct listener {
  struct watch {
    using reply = std::vector<pid>;
    std::string scope, group;
  };
  struct watch_all {
    using reply = std::size_t;
    std::string scope;
  };
  struct unwatch { using reply = bool; };
  struct heard { using reply = std::vector<std::string>; };
  using messages = roost::messages<watch, watch_all, unwatch, heard>;
  using infos = roost::messages<pg::joined, pg::left>;

  std::vector<std::string> events = {};
  reference ref = {};
  std::string scope = {};

  call_result<std::vector<pid>> handle_call(watch wish, from<std::vector<pid>> client) {
    scope = wish.scope;
    pg::monitor(wish.scope, wish.group).then([this, client](pg::group_monitor monitor) {
      ref = monitor.ref;
      client.reply(monitor.members);
    });
    return noreply();
  }
  call_result<std::size_t> handle_call(watch_all wish, from<std::size_t> client) {
    scope = wish.scope;
    pg::monitor_scope(wish.scope).then([this, client](pg::scope_monitor monitor) {
      ref = monitor.ref;
      client.reply(monitor.groups.size());
    });
    return noreply();
  }
  call_result<bool> handle_call(unwatch, from<bool> client) {
    pg::demonitor(ref, scope).then([client](bool was) { client.reply(was); });
    return noreply();
  }
  std::vector<std::string> handle_call(heard) { return events; }
  void handle_info(const pg::joined& event) {
    if (event.ref == ref)
      events.push_back("+" + event.group + " " + std::to_string(event.processes.size()));
  }
  void handle_info(const pg::left& event) {
    if (event.ref == ref)
      events.push_back("-" + event.group + " " + std::to_string(event.processes.size()));
  }
};

std::vector<std::string> heard_by(const server<listener>& who) {
  return call(who, listener::heard{}).get();
}

struct scope {
  roost::test::node runtime;
  pid process = pg::start_link("s");
};

}  // namespace

TEST_CASE_FIXTURE(scope, "who joins is a member at once, as often as it has joined") {
  auto a = member();
  auto b = member();
  pg::join("s", "rooms", a);
  CHECK(pg::get_members("s", "rooms") == std::vector{a});
  pg::join("s", "rooms", std::vector{a, b});
  CHECK(sorted(pg::get_members("s", "rooms")) == sorted({a, a, b}));
  CHECK(sorted(pg::get_local_members("s", "rooms")) == sorted({a, a, b}));
  CHECK(pg::leave("s", "rooms", a) == pg::leave_result::ok);
  CHECK(sorted(pg::get_members("s", "rooms")) == sorted({a, b}));
  CHECK(pg::leave("s", "rooms", std::vector{a, b}) == pg::leave_result::ok);
  CHECK(pg::leave("s", "rooms", a) == pg::leave_result::not_joined);
  CHECK(pg::which_groups("s").empty());
}

TEST_CASE_FIXTURE(scope, "groups that have members are listed") {
  auto a = member();
  pg::join("s", "one", a);
  pg::join("s", "two", a);
  auto groups = pg::which_groups("s");
  std::sort(groups.begin(), groups.end());
  CHECK(groups == std::vector<std::string>{"one", "two"});
  CHECK(pg::which_local_groups("s").size() == 2);
}

TEST_CASE_FIXTURE(scope, "a process that ends leaves all its groups") {
  auto a = member();
  auto b = member();
  pg::join("s", "one", a);
  pg::join("s", "two", std::vector{a, a, b});
  exit(a, exit_reason::kill);
  CHECK(eventually([&] { return pg::get_members("s", "one").empty(); }));
  CHECK(eventually([&] { return pg::get_members("s", "two") == std::vector{b}; }));
  // One that has ended already is gone again as soon.
  pg::join("s", "one", a);
  CHECK(eventually([&] { return pg::which_groups("s").size() == 1; }));
}

TEST_CASE_FIXTURE(scope, "a monitor hears of every change from its answer on") {
  auto a = member();
  auto b = member();
  pg::join("s", "rooms", a);
  auto one = start<listener>();
  auto all = start<listener>();
  CHECK(call(one, listener::watch{"s", "rooms"}).get() == std::vector{a});
  CHECK(call(all, listener::watch_all{"s"}).get() == 1);
  pg::join("s", "rooms", std::vector{a, b, b});
  pg::join("s", "other", b);
  pg::leave("s", "rooms", a);
  exit(b, exit_reason::kill);
  std::vector<std::string> of_one{"+rooms 3", "-rooms 1", "-rooms 2"};
  std::vector<std::string> of_all{"+rooms 3", "+other 1", "-rooms 1", "-other 1", "-rooms 2"};
  CHECK(eventually([&] { return heard_by(one) == of_one; }));
  CHECK(eventually([&] { return heard_by(all) == of_all; }));
  CHECK(call(one, listener::unwatch{}).get());
  CHECK_FALSE(call(one, listener::unwatch{}).get());
  pg::join("s", "rooms", a);
  CHECK(eventually([&] { return heard_by(all).size() == 6; }));
  CHECK(heard_by(one) == of_one);
}

TEST_CASE_FIXTURE(scope, "processes of other nodes, nobody and names cannot be joined") {
  CHECK_THROWS_AS(pg::join("s", "rooms", pid{7, 3}), std::invalid_argument);
  CHECK_THROWS_AS(pg::join("s", "rooms", pid{}), std::invalid_argument);
  CHECK_THROWS_AS(
      pg::join("s", "rooms", std::vector{member(), name_on("x", "b@host")}), std::invalid_argument);
  CHECK(pg::which_groups("s").empty());
}

TEST_CASE_FIXTURE(scope, "a scope has to be there for writing, and is empty for reading") {
  CHECK_THROWS_AS(pg::join("none", "rooms", member()), std::invalid_argument);
  CHECK_THROWS_AS(pg::leave("none", "rooms", member()), std::invalid_argument);
  CHECK(pg::get_members("none", "rooms").empty());
  CHECK(pg::which_groups("none").empty());
  CHECK_THROWS_AS(pg::start_link("s"), start_error);
  CHECK_THROWS_AS(pg::start_link(""), std::invalid_argument);
}

TEST_CASE_FIXTURE(scope, "scopes do not see each other's groups") {
  auto other = pg::start_link("t");
  pg::join("s", "rooms", member());
  CHECK(pg::get_members("t", "rooms").empty());
  CHECK(other == whereis("t"));
}

TEST_CASE_FIXTURE(scope, "a scope that crashes keeps its members for the next one") {
  log_capture quiet;
  auto a = member();
  auto b = member();
  pg::join("s", "rooms", std::vector{a, a, b});
  exit(process, exit_reason::kill);
  REQUIRE(eventually([&] { return whereis("s") == pid(); }));
  CHECK(pg::get_members("s", "rooms").size() == 3);
  pg::join("s", "rooms", a);  // nobody is there to be told
  exit(b, exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(b); }));
  pg::start_link("s");
  CHECK(eventually([&] { return pg::get_members("s", "rooms") == std::vector{a, a, a}; }));
  auto all = start<listener>();
  call(all, listener::watch_all{"s"}).get();
  exit(a, exit_reason::kill);
  CHECK(eventually([&] { return pg::which_groups("s").empty(); }));
}

TEST_CASE_FIXTURE(scope, "a scope that is stopped takes its members along") {
  pg::join("s", "rooms", member());
  stop(process).get();
  CHECK(pg::get_members("s", "rooms").empty());
  CHECK_THROWS_AS(pg::join("s", "rooms", member()), std::invalid_argument);
  pg::start_link("s");
  CHECK(pg::get_members("s", "rooms").empty());
}

TEST_CASE_FIXTURE(scope, "many processes join and leave at the same time") {
  std::vector<pid> members;
  for (int i = 0; i < 50; ++i) members.push_back(member());
  auto all = start<listener>();
  call(all, listener::watch_all{"s"}).get();
  for (int round = 0; round < 20; ++round)
    for (auto process : members)
      cast(server<puppet>(process), puppet::act{[] {
             pg::join("s", "rooms", self());
             pg::join("s", "rooms", self());
             pg::leave("s", "rooms", self());
           }});
  for (auto process : members) call(server<puppet>(process), puppet::done{}).get();
  CHECK(pg::get_members("s", "rooms").size() == 50 * 20);
  for (auto process : members) exit(process, exit_reason::kill);
  CHECK(eventually([&] { return pg::which_groups("s").empty(); }));
  // What the monitor was told adds up.
  CHECK(eventually([&] {
    int count = 0;
    for (auto& event : heard_by(all)) {
      auto size = std::stoi(event.substr(event.find(' ')));
      count += event[0] == '+' ? size : -size;
    }
    return count == 0;
  }));
}
