#include "runtime/registry.hpp"
#include "tests/puppets.hpp"

using namespace roost;
using namespace roost::test;

namespace {

/// Lets the puppet act and waits until it has.
void let(const server<puppet>& puppet, std::function<void()> what) {
  cast(puppet, puppet::act{std::move(what)});
  call(puppet, puppet::done{}).get();
}

void end(pid process) {
  exit(process, exit_reason::kill);
  REQUIRE(eventually([&] { return !is_alive(process); }));
}

struct counter {
  struct bump { using reply = int; };
  using messages = roost::messages<bump>;
  int value = 0;
  int handle_call(bump) { return ++value; }
};

struct stillborn {
  using messages = roost::messages<>;
  static init_result<stillborn> init() { return stop("not today"); }
};

/// Has two names and is busy. What waits in its mailbox is destroyed when it has died and nobody
/// has been told yet.
struct dying {
  struct be_busy { std::shared_future<void> until; };
  struct last_breath { std::shared_ptr<void> then; };
  using messages = roost::messages<be_busy, last_breath>;

  static init_result<dying> init(std::string key) {
    CHECK(registry("rooms").register_name(key));
    CHECK(registry("topics").register_name(key));
    return dying{};
  }
  void handle_cast(const be_busy& b) { b.until.wait(); }
  void handle_cast(last_breath) {}
};

struct eager {
  using messages = roost::messages<>;
  static init_result<eager> init(std::atomic<bool>* ran) {
    *ran = true;
    return eager{};
  }
};

/// Writes down what a registry tells it.
struct listener {
  struct heard { using reply = std::vector<std::string>; };
  using messages = roost::messages<heard>;
  using infos = roost::messages<registry::registered, registry::unregistered>;

  std::vector<std::string> lines = {};

  std::vector<std::string> handle_call(heard) const { return lines; }
  void handle_info(const registry::registered& m) { lines.push_back(m.registry + " + " + m.key); }
  void handle_info(const registry::unregistered& m) { lines.push_back(m.registry + " - " + m.key); }
};

struct seat {
  int row = 0;
  bool operator==(const seat&) const = default;
};

/// A registry with unique keys and one with duplicate keys.
struct two_registries : node {
  pid unique_owner = registry::start_link({.name = "rooms"});
  pid duplicate_owner =
      registry::start_link({.name = "topics", .keys = registry::duplicate, .partitions = 4});
  registry rooms{"rooms"};
  registry topics{"topics"};
};

}  // namespace

TEST_CASE_FIXTURE(
    two_registries, "a unique key has one owner; who comes second learns who is first") {
  auto first = roost::start<puppet>();
  auto second = roost::start<puppet>();
  let(first, [&] { CHECK(rooms.register_name("lobby")); });
  CHECK(rooms.whereis_name("lobby") == first.process());
  CHECK(rooms.lookup("lobby") == std::vector{first.process()});
  let(second, [&] {
    auto taken = rooms.register_name("lobby");
    CHECK_FALSE(taken);
    CHECK(taken.owner() == first.process());
    CHECK(rooms.keys_of(self()).empty());
  });
  // As in Elixir, a second registration by the owner itself is refused as well.
  let(first, [&] { CHECK(rooms.register_name("lobby").owner() == self()); });
  CHECK(rooms.keys_of(first.process()) == std::vector<std::string>{"lobby"});
  CHECK(rooms.count() == 1);
  CHECK_FALSE(rooms.whereis_name("cellar"));
}

TEST_CASE_FIXTURE(two_registries, "a dead owner is not seen, even before its entries are removed") {
  auto next = roost::start<puppet>();
  std::promise<void> is_killed;
  std::promise<void> has_died;
  std::promise<void> proceed;
  auto owner = roost::start<dying>(std::string("lobby"));
  cast(owner, dying::be_busy{is_killed.get_future().share()});
  cast(
      owner, dying::last_breath{
                 std::shared_ptr<void>(nullptr, [&, until = proceed.get_future().share()](void*) {
                   has_died.set_value();
                   until.wait();
                 })});
  CHECK(rooms.whereis_name("lobby") == owner.process());
  exit(owner.process(), exit_reason::kill);
  is_killed.set_value();
  has_died.get_future().wait();
  CHECK_FALSE(rooms.whereis_name("lobby"));
  CHECK(rooms.lookup("lobby").empty());
  CHECK(topics.lookup("lobby").empty());
  CHECK(topics.count() == 1);
  let(next, [&] { CHECK(rooms.register_name("lobby")); });
  proceed.set_value();
  CHECK(eventually([&] { return topics.count() == 0; }));
  CHECK(rooms.whereis_name("lobby") == next.process());  // its own entry has not been removed
}

TEST_CASE_FIXTURE(two_registries, "a key is free as soon as its owner has ended") {
  auto next = roost::start<puppet>();
  for (int i = 0; i < 50; ++i) {
    auto owner = roost::start<puppet>();
    let(owner, [&] { CHECK(rooms.register_name("lobby")); });
    end(owner.process());
    CHECK_FALSE(rooms.whereis_name("lobby"));
    CHECK(rooms.lookup("lobby").empty());
    let(next, [&] {
      CHECK(rooms.register_name("lobby"));
      CHECK(rooms.whereis_name("lobby") == self());
      rooms.unregister_name("lobby");
    });
  }
  CHECK(eventually([&] { return rooms.count() == 0; }));
}

TEST_CASE_FIXTURE(two_registries, "entries are removed after the death of their owner") {
  auto owner = roost::start<puppet>();
  let(owner, [&] {
    for (int i = 0; i < 100; ++i) CHECK(rooms.register_name("room " + std::to_string(i)));
    CHECK(topics.register_name("news"));
    CHECK(topics.register_name("news"));
    CHECK(topics.register_name("sports"));
  });
  CHECK(rooms.count() == 100);
  CHECK(topics.count() == 3);
  CHECK(topics.keys_of(owner.process()).size() == 3);
  end(owner.process());
  CHECK(eventually([&] { return rooms.count() == 0 && topics.count() == 0; }));
  CHECK(eventually([&] { return topics.keys_of(owner.process()).empty(); }));
}

TEST_CASE_FIXTURE(
    two_registries, "a process that has unregistered outlives the registry, others do not") {
  log_capture quiet;
  auto leaver = roost::start<puppet>();
  auto stayer = roost::start<puppet>();
  let(leaver, [&] {
    CHECK(rooms.register_name("a"));
    CHECK(rooms.register_name("b"));
    rooms.unregister_name("a");
    rooms.unregister_name("b");
  });
  let(stayer, [&] { CHECK(rooms.register_name("a")); });
  exit(unique_owner, exit_reason::kill);
  CHECK(eventually([&] { return !is_alive(stayer.process()); }));
  let(leaver, [] {});
  CHECK_THROWS_WITH_AS(
      rooms.lookup("a"), doctest::Contains("add roost::child<roost::registry>"),
      std::invalid_argument);
  registry::start_link({.name = "rooms"});
  CHECK(rooms.count() == 0);
  let(leaver, [&] { CHECK(rooms.register_name("a")); });
}

TEST_CASE_FIXTURE(
    two_registries, "duplicate keys have many owners, and a process may register twice") {
  std::vector<server<puppet>> owners;
  for (int i = 0; i < 10; ++i) {
    owners.push_back(roost::start<puppet>());
    let(owners.back(), [&] { CHECK(topics.register_name("news", i)); });
  }
  let(owners[0], [&] { CHECK(topics.register_name("news", 100)); });
  CHECK(topics.lookup("news").size() == 11);
  CHECK(topics.values<int>("news", owners[0].process()) == std::vector{0, 100});
  CHECK(topics.values<int>("news", owners[7].process()) == std::vector{7});
  CHECK(topics.match<int>("news", [](int value) { return value >= 8; }).size() == 3);
  CHECK(topics.count_match<int>("news", [](int value) { return value < 0; }) == 0);
  let(owners[0], [&] {
    CHECK(topics.unregister_match<int>("news", [](int value) { return value == 100; }) == 1);
    CHECK(topics.keys_of(self()).size() == 1);
  });
  CHECK(topics.values<int>("news", owners[0].process()) == std::vector{0});
  let(owners[0], [&] { topics.unregister_name("news"); });
  CHECK(topics.count() == 9);
  CHECK_THROWS_AS(topics.whereis_name("news"), std::invalid_argument);
}

TEST_CASE_FIXTURE(two_registries, "dispatch hands the entries to a function, once per partition") {
  std::vector<server<puppet>> owners;
  for (int i = 0; i < 20; ++i) {
    owners.push_back(roost::start<puppet>());
    let(owners.back(), [&] { CHECK(topics.register_name("news", seat{i})); });
  }
  std::vector<pid> seen;
  std::size_t calls = 0;
  int rows = 0;
  topics.dispatch("news", [&](const std::vector<pid>& processes) {
    ++calls;
    seen.insert(seen.end(), processes.begin(), processes.end());
  });
  topics.dispatch<seat>("news", [&](const std::vector<registry::entry<seat>>& entries) {
    for (auto& entry : entries) rows += entry.value.row;
  });
  CHECK(seen.size() == 20);
  CHECK(calls > 1);
  CHECK(calls <= 4);
  CHECK(rows == 190);
  topics.dispatch("empty", [](const std::vector<pid>&) { FAIL("nobody is there"); });
}

TEST_CASE_FIXTURE(
    two_registries, "an owner updates its value; readers see the old one or the new one") {
  auto owner = roost::start<puppet>();
  auto other = roost::start<puppet>();
  let(owner, [&] {
    CHECK(rooms.register_name("lobby", seat{1}));
    CHECK(rooms.update_value<seat>("lobby", [](seat s) { return seat{s.row + 1}; }) == seat{2});
  });
  let(other, [&] {
    CHECK_FALSE(rooms.update_value<seat>("lobby", [](seat) { return seat{99}; }));
    CHECK_FALSE(rooms.update_value<seat>("cellar", [](seat) { return seat{99}; }));
    CHECK_THROWS_AS(
        topics.update_value<seat>("news", [](seat s) { return s; }), std::invalid_argument);
  });
  auto entries = rooms.lookup<seat>("lobby");
  REQUIRE(entries.size() == 1);
  CHECK(entries[0].process == owner.process());
  CHECK(entries[0].value == seat{2});
  CHECK_THROWS_WITH_AS(
      rooms.lookup<int>("lobby"), doctest::Contains("to be int, got"), std::invalid_argument);
}

TEST_CASE_FIXTURE(two_registries, "select looks at all entries; a predicate may use the registry") {
  auto owner = roost::start<puppet>();
  let(owner, [&] {
    for (int i = 0; i < 10; ++i) CHECK(rooms.register_name("row " + std::to_string(i), seat{i}));
  });
  auto front = rooms.select<seat>([&](const std::string& key, pid process, const seat& seat) {
    return rooms.whereis_name(key) == process && seat.row < 3;
  });
  CHECK(front.size() == 3);
  CHECK(rooms.count_select<seat>([](auto& key, auto&&...) { return key == "row 4"; }) == 1);
}

TEST_CASE_FIXTURE(two_registries, "a registry keeps metadata of its own") {
  CHECK_FALSE(rooms.meta<int>("limit"));
  rooms.put_meta("limit", 50);
  rooms.put_meta("limit", 60);
  CHECK(rooms.meta<int>("limit") == 60);
  CHECK_THROWS_AS(rooms.meta<std::string>("limit"), std::invalid_argument);
  rooms.delete_meta("limit");
  CHECK_FALSE(rooms.meta<int>("limit"));
}

TEST_CASE_FIXTURE(node, "listeners are told who registers and unregisters, not who dies") {
  auto ears = roost::start<listener>({.name = "ears"});
  registry::start_link({.name = "rooms", .listeners = {"ears", "nobody"}});
  registry rooms{"rooms"};
  auto owner = roost::start<puppet>();
  let(owner, [&] {
    CHECK(rooms.register_name("a"));
    CHECK(rooms.register_name("b"));
    CHECK_FALSE(rooms.register_name("b"));
    rooms.unregister_name("a");
    rooms.unregister_name("a");
  });
  end(owner.process());
  REQUIRE(eventually([&] { return rooms.count() == 0; }));
  CHECK(
      call(ears, listener::heard{}).get() ==
      std::vector<std::string>{"rooms + a", "rooms + b", "rooms - a"});
}

TEST_CASE_FIXTURE(two_registries, "a server is started under a via name and found by it") {
  auto c = roost::start<counter>({.name = via("rooms", "lobby")}, 41);
  CHECK(rooms.whereis_name("lobby") == c.process());
  CHECK(call(server<counter>{via(rooms, "lobby")}, counter::bump{}).get() == 42);
  CHECK(whereis(via("rooms", "lobby")) == c.process());
  CHECK_FALSE(server<counter>{via("rooms", "cellar")});
  CHECK_THROWS_WITH_AS(
      call(server<counter>{via("rooms", "cellar")}, counter::bump{}).get(),
      doctest::Contains("noproc"), process_exit);
  CHECK_THROWS_WITH_AS(
      send(via("rooms", "cellar"), 1), doctest::Contains("badarg"), std::invalid_argument);
  try {
    (void)roost::start<counter>({.name = via("rooms", "lobby")}, 0);
    FAIL("the name is taken");
  } catch (const start_error& error) {
    CHECK(error.already_started() == c.process());
  }
  roost::start<counter>({.name = via("rooms", "hall", seat{3})}, 0);
  CHECK(rooms.lookup<seat>("hall").at(0).value == seat{3});
}

TEST_CASE_FIXTURE(two_registries, "who does not start leaves no name behind") {
  log_capture quiet;
  CHECK_THROWS_WITH_AS(
      roost::start<stillborn>({.name = via("rooms", "lobby")}), doctest::Contains("not today"),
      start_error);
  CHECK(rooms.count() == 0);
  CHECK_THROWS_WITH_AS(
      roost::start<counter>({.name = via("nowhere", "lobby")}, 0),
      doctest::Contains("registry named \"nowhere\""), start_error);
  std::atomic<bool> ran{false};
  CHECK_THROWS_AS(roost::start<eager>({.name = via("nowhere", "lobby")}, &ran), start_error);
  CHECK_FALSE(ran);
  CHECK_THROWS_WITH_AS(
      roost::start<counter>({.name = via("topics", "lobby")}, 0),
      doctest::Contains("duplicate keys"), start_error);
}

TEST_CASE_FIXTURE(two_registries, "threads outside read, and cannot register") {
  CHECK_THROWS_WITH_AS(
      (void)rooms.register_name("lobby"), doctest::Contains("in a process"), std::logic_error);
  CHECK(rooms.lookup("lobby").empty());
  CHECK_THROWS_WITH_AS(
      registry::start_link({.name = "bad", .partitions = 0}),
      doctest::Contains("partitions to be 1 or more, got 0"), std::invalid_argument);
  CHECK_THROWS_AS(registry::start_link({.name = "rooms"}), start_error);
}

TEST_CASE_FIXTURE(node, "many processes fight for the same keys: each key has one owner") {
  registry::start_link({.name = "prizes", .partitions = 2});
  registry prizes{"prizes"};
  std::atomic<int> won{0};
  std::atomic<int> finished{0};
  std::vector<pid> fighters;
  for (int i = 0; i < 100; ++i) fighters.push_back(roost::start<puppet>().process());
  for (auto fighter : fighters)
    cast(server<puppet>{fighter}, puppet::act{[&] {
           for (int key = 0; key < 50; ++key)
             if (prizes.register_name(std::to_string(key))) ++won;
           ++finished;
         }});
  REQUIRE(eventually([&] { return finished == 100; }));
  CHECK(won == 50);
  CHECK(prizes.count() == 50);
  for (auto fighter : fighters) exit(fighter, exit_reason::kill);
  CHECK(eventually([&] { return prizes.count() == 0; }));
}
