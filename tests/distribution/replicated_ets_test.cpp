#include "runtime/distribution/replicated_ets.hpp"
#include "runtime/distribution/rpc.hpp"
#include "tests/distribution/sample_tables.hpp"
#include "tests/supervision/program.hpp"
#include <netinet/in.h>
#include <sys/socket.h>
#include <csignal>
#include <fstream>
#include <random>

using namespace roost;
using namespace roost::test;

namespace {

struct user {
  std::string name;
  int visits = 0;
  bool operator==(const user&) const = default;
};
using users_table = replicated_ets<user, &user::name>;

/// A process with a table of its own.
struct owner {
  struct open { using reply = std::string; };
  struct write { using reply = std::string; };
  struct close { using reply = unsigned; };
  struct crash {};
  using messages = roost::messages<open, write, close, crash>;

  enum ets::access access = ets::protected_;
  users_table users = {};

  std::string handle_call(open) {
    try {
      users = users_table{{.name = "users", .access = access}};
      return "opened";
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  std::string handle_call(write) {
    try {
      users.insert({"ada", 1});
      return "written";
    } catch (const std::exception& error) {
      return error.what();
    }
  }
  unsigned handle_call(close) {
    users.delete_table();
    return 0;
  }
  void handle_cast(crash) { throw std::runtime_error("told to"); }
};

bool is_gone(const std::string& name) {
  return eventually([&] {
    return !users_table::whereis(name) && !ets::whereis<users_table::plain_table>(name) &&
           !whereis("roost.ets." + name);
  });
}

/// A port that nobody else uses at the moment.
/// See tests/ports.py.
std::uint16_t free_port() {
  std::random_device random;
  std::uniform_int_distribution<unsigned> any{10'000, 32'000};
  for (;;) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(any(random)));
    auto socket = ::socket(AF_INET, SOCK_STREAM, 0);
    auto failed = ::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0;
    ::close(socket);
    if (!failed) return ntohs(address.sin_port);
  }
}

/// This program as a node, with as many others as are asked for.
class nodes {
 public:
  explicit nodes(std::vector<std::string> others) : epmd_port_(free_port()) {
    roost::node::start(node_options("test@127.0.0.1", epmd_port_));
    notes = open_notes();
    tallies = open_tallies();
    for (auto& other : others) start(other);
  }
  nodes(const nodes&) = delete;
  nodes& operator=(const nodes&) = delete;
  ~nodes() {
    programs_.clear();
    notes.delete_table();
    tallies.delete_table();
    roost::node::stop();
  }

  static std::string name(const std::string& short_name) { return short_name + "@127.0.0.1"; }

  void start(const std::string& other) {
    arguments all{name(other), std::to_string(epmd_port_), "test@127.0.0.1"};
    for (auto& [present, program] : programs_) all.push_back(name(present));
    programs_.erase(other);
    auto path = fs::path(sample_program()).replace_filename("sample_replica").string();
    auto& started = programs_.try_emplace(other, all, path).first->second;
    REQUIRE_MESSAGE(started.says("ready"), started.text);
  }
  void kill(const std::string& other) { programs_.erase(other); }
  void signal(const std::string& other, int number) { programs_.at(other).signal(number); }
  pid_t id(const std::string& other) { return programs_.at(other).id(); }

  template <class R, class... Args>
  R on(const std::string& other, const std::string& function, const Args&... args) {
    return rpc::call<R>({name(other), 20s}, function, args...).get();
  }
  template <class... Args>
  void run(const std::string& other, const std::string& function, const Args&... args) {
    rpc::call<void>({name(other), 20s}, function, args...).get();
  }

  /// All copies have these rows.
  bool become_equal(std::size_t size, std::chrono::milliseconds limit = 20s) {
    return eventually(
        [&] {
          if (notes.size() != size) return false;
          auto expected = checksum(notes);
          for (auto& [other, program] : programs_)
            if (on<std::size_t>(other, "size") != size ||
                on<std::uint64_t>(other, "checksum") != expected)
              return false;
          return true;
        },
        limit);
  }
  bool all_meet() {
    return eventually([&] {
      if (notes.peers().size() != programs_.size()) return false;
      for (auto& [other, program] : programs_)
        if (on<std::size_t>(other, "peers") != programs_.size()) return false;
      return true;
    });
  }

  note_table notes;
  tally_table tallies;

 private:
  log_capture quiet_;
  std::uint16_t epmd_port_;
  std::map<std::string, program> programs_;
};

/// The memory of a program that is in use, in KiB.
std::size_t memory_in_use(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  return 0;
}

}  // namespace

// --- one node ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(node, "a replicated table works without other nodes") {
  users_table users{{.name = "users"}};
  CHECK(users.name() == "users");
  users.insert({"ada", 1});
  CHECK(users.update_counter("ada", &user::visits) == 2);
  CHECK(users.lookup("ada") == user{"ada", 2});
  CHECK(users.size() == 1);
  CHECK(users.peers().empty());
  CHECK(whereis("roost.ets.users"));
  auto same = users_table::whereis("users");
  CHECK(same.lookup("ada")->visits == 2);
  // Anybody may read it as the plain table that it is.
  auto plain = ets::whereis<ets::set<user, &user::name>>("users");
  CHECK(plain.lookup("ada")->visits == 2);
  CHECK(users.memory() > plain.info().memory);
  users.delete_table();
  CHECK(is_gone("users"));
  CHECK_THROWS_AS(users.insert({"eve"}), std::invalid_argument);
  CHECK_THROWS_AS((void)users.lookup("ada"), std::invalid_argument);
  CHECK_THROWS_AS((void)users_table().size(), std::invalid_argument);
  CHECK_THROWS_AS(users_table().insert({"eve"}), std::invalid_argument);
}

TEST_CASE_FIXTURE(node, "a replicated table cannot be written to past its versions") {
  users_table users{{.name = "users", .access = ets::public_}};
  CHECK_THROWS_AS(users.table().insert({"ada"}), std::logic_error);
  in_process([&] { CHECK_THROWS_AS(users.table().insert({"ada"}), std::logic_error); });
  auto plain = ets::whereis<users_table::plain_table>("users");
  CHECK_THROWS_AS(plain.delete_table(), std::logic_error);
  users.delete_table();
}

TEST_CASE_FIXTURE(node, "a replicated table is named once, by what can be one") {
  users_table users{{.name = "users"}};
  CHECK_THROWS_AS(users_table({.name = "users"}), std::invalid_argument);
  CHECK(users.size() == 0);
  CHECK_THROWS_AS(users_table({.name = ""}), std::invalid_argument);
  CHECK_THROWS_AS(users_table({.name = "secret", .access = ets::private_}), std::invalid_argument);
  CHECK_THROWS_AS(users_table({.name = "hasty", .sync_interval = 1ms}), std::invalid_argument);
  CHECK_THROWS_AS(users_table({.name = "forgetful", .tombstone_ttl = 0ms}), std::invalid_argument);
  CHECK_THROWS_AS(note_table::whereis("users"), std::invalid_argument);
  CHECK_FALSE(users_table::whereis("secret"));
  // What could not be opened has left nothing behind.
  for (auto* name : {"secret", "hasty", "forgetful"})
    CHECK_FALSE(ets::whereis<users_table::plain_table>(name));
  users.delete_table();
}

TEST_CASE_FIXTURE(node, "a name that a process has is not free for the process of a table") {
  auto squatter = start<owner>({.name = "roost.ets.users"});
  CHECK_THROWS_AS(users_table({.name = "users"}), std::invalid_argument);
  CHECK_FALSE(ets::whereis<users_table::plain_table>("users"));
  stop(squatter).get();
  users_table users{{.name = "users"}};
  users.delete_table();
}

TEST_CASE_FIXTURE(node, "only the owner writes to a protected table") {
  auto process = start<owner>();
  CHECK(call(process, owner::open{}).get() == "opened");
  CHECK(call(process, owner::write{}).get() == "written");
  auto users = users_table::whereis("users");
  CHECK(users.member("ada"));
  CHECK_THROWS_AS(users.insert({"eve"}), std::logic_error);
  CHECK_THROWS_AS(users.delete_table(), std::logic_error);
  stop(process).get();
  CHECK(is_gone("users"));

  auto liberal = start<owner>(owner{ets::public_});
  CHECK(call(liberal, owner::open{}).get() == "opened");
  users_table::whereis("users").insert({"eve"});
  users_table::whereis("users").delete_table();
  CHECK(is_gone("users"));
  CHECK(is_alive(liberal.process()));
  stop(liberal).get();
}

TEST_CASE_FIXTURE(node, "a table goes with its owner, whether it ends well or crashes") {
  log_capture log;
  auto first = start<owner>();
  CHECK(call(first, owner::open{}).get() == "opened");
  stop(first).get();
  CHECK(is_gone("users"));
  auto second = start<owner>();
  CHECK(call(second, owner::open{}).get() == "opened");
  cast(second, owner::crash{});
  CHECK(is_gone("users"));
  auto third = start<owner>();
  CHECK(call(third, owner::open{}).get() == "opened");
  CHECK(call(third, owner::close{}).get() == 0);
  CHECK(is_gone("users"));
  CHECK(is_alive(third.process()));
  CHECK(call(third, owner::open{}).get() == "opened");
  stop(third).get();
  CHECK(is_gone("users"));
}

TEST_CASE_FIXTURE(node, "an owner whose table's process is killed ends too") {
  log_capture log;
  auto process = start<owner>();
  CHECK(call(process, owner::open{}).get() == "opened");
  roost::exit(whereis("roost.ets.users"), exit_reason::kill);
  CHECK(eventually([&] { return !is_alive(process.process()); }));
  CHECK(is_gone("users"));
}

TEST_CASE_FIXTURE(node, "writers from many threads lose nothing") {
  users_table users{{.name = "users", .access = ets::public_}};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&users, t] {
      for (int i = 0; i < 5000; ++i) {
        users.update_counter("shared", &user::visits, 1, user{});
        auto mine = std::to_string(t) + "-" + std::to_string(i % 50);
        users.insert({mine, i});
        if (i % 3 == 0) users.erase(mine);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(users.lookup("shared")->visits == 20'000);
  users.select_delete([](const user& one) { return one.name != "shared"; });
  CHECK(users.size() == 1);
  users.delete_table();
}

TEST_CASE("a table that nobody owns ends with its node") {
  std::optional<test::node> runtime(std::in_place);
  users_table users{{.name = "users"}};
  users.insert({"ada"});
  runtime.reset();
  CHECK_THROWS_AS(users.insert({"eve"}), std::invalid_argument);
  runtime.emplace();
  users_table again{{.name = "users"}};
  CHECK(again.size() == 0);
  again.delete_table();
}

// --- several nodes -------------------------------------------------------------------------------

TEST_CASE_FIXTURE(test::node, "what one node writes, all nodes read") {
  nodes all({"a", "b"});
  CHECK(all.all_meet());
  all.notes.insert({1, "from the test"});
  all.run("a", "insert", 2, "from a");
  all.run("b", "insert", 3, "from b");
  CHECK(all.become_equal(3));
  CHECK(all.notes.lookup(2)->text == "from a");
  CHECK(all.on<bool>("b", "erase", 1));
  CHECK(all.become_equal(2));
  CHECK_FALSE(all.notes.member(1));
  for (auto& peer : all.notes.peers()) CHECK(peer.unsent == 0);
}

TEST_CASE_FIXTURE(test::node, "a table that is opened before its node has a name is shared too") {
  users_table users{{.name = "users"}};
  users.insert({"ada", 1});
  auto notes = open_notes();
  notes.insert({1, "early"});
  notes.delete_table();
  nodes all({"a"});
  all.run("a", "insert", 1, "from a");
  CHECK(all.become_equal(1));
  CHECK(users.lookup("ada") == user{"ada", 1});
  users.delete_table();
}

TEST_CASE_FIXTURE(test::node, "a node that was killed gets everything back when it starts again") {
  nodes all({"a", "b"});
  all.run("a", "fill", 0, 20'000, "some text");
  CHECK(all.become_equal(20'000));
  all.kill("a");
  all.notes.erase(7);
  all.notes.insert({20'000, "written meanwhile"});
  all.start("a");
  CHECK(all.become_equal(20'000));
  CHECK(all.all_meet());
  all.run("a", "insert", 1, "by the new a");
  CHECK(eventually([&] { return all.notes.lookup(1)->text == "by the new a"; }));
}

TEST_CASE_FIXTURE(test::node, "two nodes that were apart become equal, and count right") {
  nodes all({"a"});
  all.run("a", "fill", 0, 1000, "before");
  for (int i = 0; i < 10; ++i) count(all.tallies, "hits");
  CHECK(all.become_equal(1000));
  CHECK(eventually([&] { return all.on<std::uint64_t>("a", "sum", "hits") == 10; }));
  // Nobody sends between them now, which would connect them again.
  CHECK(roost::node::disconnect("a@127.0.0.1").get());
  CHECK(eventually([&] { return all.notes.peers().empty(); }));
  for (int i = 500; i < 1500; ++i) all.notes.insert({i, "here"});
  all.notes.erase(3);
  for (int i = 0; i < 10; ++i) count(all.tallies, "hits");
  CHECK(roost::node::connect("a@127.0.0.1").get() == roost::node::connect_result::connected);
  all.run("a", "count", "hits", 10);
  CHECK(all.become_equal(1499));
  CHECK(eventually([&] { return sum(all.tallies, "hits") == 30; }));
  CHECK(eventually([&] { return all.on<std::uint64_t>("a", "sum", "hits") == 30; }));
}

TEST_CASE_FIXTURE(test::node, "a copy that is closed on one node stays on the others") {
  nodes all({"a", "b"});
  all.run("a", "fill", 0, 100, "text");
  CHECK(all.become_equal(100));
  all.run("a", "close");
  CHECK(eventually([&] { return all.notes.peers().size() == 1; }));
  CHECK(all.notes.size() == 100);
  all.notes.insert({100, "later"});
  CHECK(eventually([&] { return all.on<std::size_t>("b", "size") == 101; }));
}

TEST_CASE_FIXTURE(test::node, "a node that is frozen costs the others no memory, and catches up") {
  nodes all({"a", "b"});
  CHECK(all.all_meet());
  all.signal("a", SIGSTOP);
  auto before = memory_in_use(::getpid());
  std::string text(1000, 'x');
  for (int round = 0; round < 20; ++round)
    for (int i = 0; i < 5000; ++i) all.notes.insert({i, text + std::to_string(round)});
  CHECK(eventually([&] { return all.on<std::size_t>("b", "size") == 5000; }));
  // 100 MB were written to 5,000 rows. The sanitizers keep books about memory, and what was freed.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  CHECK(memory_in_use(::getpid()) < before + 60'000);
#else
  static_cast<void>(before);
#endif
  all.signal("a", SIGCONT);
  CHECK(all.become_equal(5000));
}

TEST_CASE_FIXTURE(test::node, "a table of 100,000 rows comes to a new node within seconds") {
  nodes all({});
  for (int i = 0; i < 100'000; ++i) all.notes.insert({i, "the text of row " + std::to_string(i)});
  auto before = std::chrono::steady_clock::now();
  all.start("a");
  CHECK(eventually([&] { return all.on<std::size_t>("a", "size") == 100'000; }, 60s));
  auto took = std::chrono::steady_clock::now() - before;
  MESSAGE(
      "the program has started and has all rows after "
      << std::chrono::duration_cast<std::chrono::milliseconds>(took).count() << " ms");
  CHECK(took < 20s);
  CHECK(all.become_equal(100'000));
}
