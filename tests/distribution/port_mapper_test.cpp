// Port mappers against each other, against Debian's epmd and Erlang nodes, and against bad clients.
// Each test has a port of its own.
#include "runtime/distribution/port_mapper.hpp"
#include "runtime/distribution/epmd_clients.hpp"
#include "runtime/distribution/epmd_sockets.hpp"
#include "tests/supervision/program.hpp"
#include <sys/resource.h>
#include <algorithm>
#include <random>

using namespace roost::detail;
using namespace roost::test;
using namespace std::string_literals;
using epmd::unique_fd;

namespace {

/// A port that nobody uses. Below those that the kernel gives to outgoing connections, since here
/// somebody listens at the same port again and again.
std::uint16_t private_port() {
  std::random_device random;
  std::uniform_int_distribution<int> ports(20'000, 32'000);
  for (;;) {
    auto port = static_cast<std::uint16_t>(ports(random));
    int error = 0;
    if (epmd::listen_at(epmd::loopback(port), false, error)) return port;
  }
}

/// No name server has to be asked for one of so many letters.
const std::string no_host(70, 'x');

struct heard {
  void add(std::string_view event, std::string_view detail) {
    std::lock_guard guard{mutex};
    lines.push_back(std::string(event) + " " + std::string(detail));
  }
  bool has(std::string_view event) const {
    std::lock_guard guard{mutex};
    return std::ranges::any_of(lines, [&](auto& line) { return line.starts_with(event); });
  }
  long count(std::string_view event) const {
    std::lock_guard guard{mutex};
    return std::ranges::count_if(lines, [&](auto& line) { return line.starts_with(event); });
  }
  mutable std::mutex mutex;
  std::vector<std::string> lines;
};

/// A port mapper in this process.
struct mapper {
  mapper(
      const std::string& node, std::uint16_t port, std::uint16_t epmd_port,
      std::vector<std::string> addresses = {})
      : here(
            {.node = node,
             .port = port,
             .epmd_port = epmd_port,
             .addresses = std::move(addresses),
             .on_event = [events = events](auto event, auto detail) {
               events->add(event, detail);
             }}) {}
  std::shared_ptr<heard> events = std::make_shared<heard>();
  port_mapper here;
};

/// A port mapper in a process of its own, which may be killed.
struct other_process : program {
  other_process(const std::string& node, std::uint16_t port, std::uint16_t epmd_port)
      : other_process({node, std::to_string(port), std::to_string(epmd_port)}, path()) {}
  other_process(arguments all, const std::string& path) : program(std::move(all), path) {
    REQUIRE(eventually(
        [&] { return !read(1ms) || serves() || text.find("registered ") != text.npos; }));
  }
  bool serves() {
    read(1ms);
    return text.find("serving ") != text.npos;
  }
  static std::string path() {
    return fs::path(sample_program()).replace_filename("sample_port_mapper").string();
  }
};

struct debian_epmd : program {
  explicit debian_epmd(std::uint16_t port)
      : program({"-port", std::to_string(port), "-relaxed_command_check"}, "/usr/bin/epmd") {
    REQUIRE(eventually([&] {
      int error = 0;
      auto socket = epmd::start_connect(epmd::loopback(port), error);
      pollfd waiting{socket.get(), POLLOUT, 0};
      return error == 0 && ::poll(&waiting, 1, 1000) == 1 && epmd::connect_error(socket) == 0;
    }));
  }
};

std::string epmd_says(std::uint16_t port, arguments more) {
  more.insert(more.begin(), {"-port", std::to_string(port)});
  program run(std::move(more), "/usr/bin/epmd");
  run.exit_code();
  return run.text;
}

/// An Erlang node, which never starts an epmd.
struct erlang : program {
  erlang(const std::string& name, std::uint16_t epmd_port, const std::string& code)
      : program(
            {"ERL_EPMD_PORT=" + std::to_string(epmd_port), "erl", "-sname", name, "-start_epmd",
             "false", "-setcookie", "not_a_secret", "-noinput", "-eval", code},
            "/usr/bin/env") {}
};

std::optional<port_entry> find(
    std::uint16_t epmd_port, std::string_view name, const std::string& host = "127.0.0.1") {
  try {
    return epmd_lookup(host, epmd_port, name, 2s);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
}

bool finds(std::uint16_t epmd_port, std::string_view name, const std::string& host = "127.0.0.1") {
  return find(epmd_port, name, host).has_value();
}

std::vector<std::string> names_at(std::uint16_t epmd_port, const std::string& host = "127.0.0.1") {
  std::vector<std::string> result;
  for (auto& entry : epmd_names(host, epmd_port, 2s)) result.push_back(entry.name);
  std::ranges::sort(result);
  return result;
}

using names = std::vector<std::string>;

/// A client that does what it should not.
struct raw_client {
  explicit raw_client(std::uint16_t port) {
    int error = 0;
    socket = epmd::start_connect(epmd::loopback(port), error);
    REQUIRE(error == 0);
    pollfd waiting{socket.get(), POLLOUT, 0};
    REQUIRE(::poll(&waiting, 1, 5000) == 1);
  }
  void send(std::string_view bytes) const {
    ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  /// All that comes until the end of the connection, or until so much has come.
  std::string receive(std::size_t most = ~std::size_t{0}) const {
    std::string result;
    pollfd waiting{socket.get(), POLLIN, 0};
    while (result.size() < most && ::poll(&waiting, 1, 10'000) == 1) {
      char block[4096];
      auto size = ::recv(socket.get(), block, std::min(sizeof block, most - result.size()), 0);
      if (size <= 0) break;
      result.append(block, static_cast<std::size_t>(size));
    }
    return result;
  }
  bool is_closed() const {
    char byte;
    auto size = ::recv(socket.get(), &byte, 1, MSG_PEEK);
    return size == 0 || (size < 0 && errno != EAGAIN);
  }
  unique_fd socket;
};

/// A port mapper whose answers to registrations the test chooses.
struct scripted_port_mapper {
  explicit scripted_port_mapper(std::uint16_t port) {
    int error = 0;
    listener = epmd::listen_at(epmd::loopback(port), false, error);
    REQUIRE(error == 0);
  }
  unique_fd answer_next(const epmd::registration& answer) const {
    pollfd waiting{listener.get(), POLLIN, 0};
    REQUIRE(::poll(&waiting, 1, 10'000) == 1);
    unique_fd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char request[600];
    REQUIRE(::recv(client.get(), request, sizeof request, 0) > 0);
    auto bytes = epmd::encode_registration(answer, 6);
    // Byte by byte, as it may come.
    for (char& byte : bytes) ::send(client.get(), &byte, 1, MSG_NOSIGNAL);
    return client;
  }
  unique_fd listener;
};

std::string error_of(auto function) {
  try {
    function();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

/// For tests with more connections than a process may have by default.
void allow_many_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 8192);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  REQUIRE(limit.rlim_cur >= 2048);
}

}  // namespace

// --------------------------------------------------------------------------- among roost nodes

TEST_CASE("the first node of a host serves, and is found") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  CHECK(a.here.serves());
  CHECK(a.here.creation() > 3);
  CHECK(a.events->has("serving 127.0.0.1:" + std::to_string(port)));
  CHECK(
      epmd_lookup("127.0.0.1", port, "a", 2s) ==
      port_entry{.name = "a", .port = 40001, .node_type = 72, .extra = "roost"});
  CHECK_FALSE(epmd_lookup("127.0.0.1", port, "b", 2s));
  CHECK_FALSE(epmd_lookup("127.0.0.1", port, "", 2s));
  CHECK_FALSE(epmd_lookup("localhost", port, std::string(300, 'n'), 2s));
  CHECK(epmd_lookup("localhost", port, "a", 2s));
}

TEST_CASE("the second node registers with the first, and is found until it goes") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  {
    mapper b("b@127.0.0.1", 40002, port);
    CHECK_FALSE(b.here.serves());
    CHECK(b.here.creation() != 0);
    CHECK(b.here.creation() != a.here.creation());
    CHECK(b.events->has("registered 127.0.0.1:" + std::to_string(port)));
    CHECK(find(port, "b")->port == 40002);
    CHECK(names_at(port) == names{"a", "b"});
  }
  CHECK(eventually([&] { return !finds(port, "b"); }));
  mapper again("b@127.0.0.1", 40003, port);
  CHECK(find(port, "b")->port == 40003);
}

TEST_CASE("two nodes of one host with the same part before @ are told so") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  auto error = error_of([&] { mapper second("a@127.0.0.2", 40002, port); });
  CHECK(says(error, "a@127.0.0.2"));
  CHECK(says(error, "two nodes on one host need different ones"));
  CHECK(find(port, "a")->port == 40001);
  mapper b("b@127.0.0.1", 40003, port);
  CHECK(says(error_of([&] { mapper second("b@localhost", 40004, port); }), "knows that part only"));
  CHECK(find(port, "b")->port == 40003);
}

TEST_CASE("when the node that serves goes, another takes over and all are found again") {
  auto port = private_port();
  auto first = std::make_unique<mapper>("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.1", 40002, port);
  mapper c("c@127.0.0.1", 40003, port);
  auto creation = b.here.creation();
  first.reset();
  CHECK(eventually([&] { return finds(port, "b") && finds(port, "c"); }));
  CHECK(b.here.serves() != c.here.serves());
  CHECK(b.events->has("lost"));
  CHECK(c.events->has("lost"));
  CHECK(b.here.creation() == creation);
  CHECK(names_at(port) == names{"b", "c"});
}

TEST_CASE("a node that serves and is killed is replaced by one of many, again and again") {
  auto port = private_port();
  std::vector<std::unique_ptr<other_process>> nodes;
  names left;
  for (auto name : {"a", "b", "c", "d", "e", "f"}) {
    nodes.push_back(std::make_unique<other_process>(name + "@127.0.0.1"s, 40001, port));
    left.push_back(name);
  }
  while (nodes.size() > 1) {
    // Only the one that serves says so.
    auto server = nodes.end();
    REQUIRE(eventually([&] {
      server = std::ranges::find_if(nodes, [](auto& node) { return node->serves(); });
      return server != nodes.end();
    }));
    (*server)->signal(SIGKILL);
    left.erase(left.begin() + (server - nodes.begin()));
    nodes.erase(server);
    auto start = std::chrono::steady_clock::now();
    CHECK(eventually([&] {
      try {
        return names_at(port) == left;
      } catch (const std::runtime_error&) {
        return false;
      }
    }));
    CHECK(std::chrono::steady_clock::now() - start < 5s);
  }
}

TEST_CASE("nodes that start at the same moment agree on who serves") {
  auto port = private_port();
  std::vector<std::future<std::unique_ptr<mapper>>> starting;
  for (int i = 0; i < 10; ++i)
    starting.push_back(std::async(std::launch::async, [&, i] {
      return std::make_unique<mapper>("n" + std::to_string(i) + "@127.0.0.1", 1, port);
    }));
  std::vector<std::unique_ptr<mapper>> nodes;
  for (auto& one : starting) nodes.push_back(one.get());
  CHECK(std::ranges::count_if(nodes, [](auto& one) { return one->here.serves(); }) == 1);
  CHECK(names_at(port).size() == 10);
}

TEST_CASE("a node that is killed may start again under its name at once") {
  auto port = private_port();
  std::unique_ptr<debian_epmd> debian;
  std::unique_ptr<mapper> roost;
  SUBCASE("with a roost node") { roost = std::make_unique<mapper>("a@127.0.0.1", 1, port); }
  SUBCASE("with Debian's epmd") { debian = std::make_unique<debian_epmd>(port); }
  for (std::uint16_t i = 1; i <= 20; ++i) {
    other_process b("b@127.0.0.1", i, port);
    CHECK(find(port, "b")->port == i);
  }
}

TEST_CASE("a name that another node has taken meanwhile is waited for") {
  auto port = private_port();
  scripted_port_mapper script(port);
  auto starting =
      std::async(std::launch::async, [&] { return std::make_unique<mapper>("b@h", 1, port); });
  auto first = script.answer_next({.accepted = true, .creation = 44});
  auto b = starting.get();
  CHECK(b->here.creation() == 44);
  first.reset();  // the node that serves is gone, and somebody else has been faster
  script.answer_next({.accepted = false});
  CHECK(eventually([&] { return b->events->has("name_taken"); }));
  script.answer_next({.accepted = false});
  auto last = script.answer_next({.accepted = true, .creation = 55});
  CHECK(eventually([&] { return b->events->count("registered") == 2; }));
  CHECK(b->events->count("name_taken") == 1);
  CHECK(b->events->count("lost") == 1);
  CHECK(b->here.creation() == 44);
}

TEST_CASE("a node is found at its own address, whoever serves") {
  auto port = private_port();
  auto a = std::make_unique<mapper>("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.2", 40002, port, {"127.0.0.2"});
  mapper c("c@127.0.0.2", 40003, port, {"127.0.0.2"});
  CHECK_FALSE(b.here.serves());
  for (int i = 0; i < 8; ++i) {  // b and c share the address
    CHECK(find(port, "a", "127.0.0.2")->port == 40001);
    CHECK(find(port, "b", "127.0.0.2")->port == 40002);
    CHECK(find(port, "c", "127.0.0.2")->port == 40003);
    CHECK(names_at(port, "127.0.0.2") == names{"a", "b", "c"});
    CHECK_FALSE(epmd_lookup("127.0.0.2", port, "nobody", 2s));
  }
  a.reset();
  CHECK(eventually([&] { return finds(port, "b") && finds(port, "c"); }));
  for (int i = 0; i < 8; ++i) CHECK(names_at(port, "127.0.0.2") == names{"b", "c"});
}

TEST_CASE("a node that listens everywhere is found everywhere") {
  auto port = private_port();
  SUBCASE("when it serves") {
    mapper a("a@127.0.0.1", 40001, port, {"0.0.0.0"});
    CHECK(a.events->has("serving 0.0.0.0:" + std::to_string(port)));
    CHECK(finds(port, "a"));
    CHECK(finds(port, "a", "127.0.0.9"));
  }
  SUBCASE("when it does not") {
    mapper a("a@127.0.0.1", 40001, port);
    mapper b("b@127.0.0.1", 40002, port, {"0.0.0.0"});
    for (auto& address : epmd::interface_addresses(port)) {
      auto text = address.to_string();
      CHECK(finds(port, "a", text.substr(0, text.find(':'))));
    }
  }
  SUBCASE("when it takes over from one that did not, while others relay") {
    auto a = std::make_unique<mapper>("a@127.0.0.1", 40001, port);
    mapper b("b@127.0.0.1", 40002, port, {"0.0.0.0"});
    mapper c("c@127.0.0.1", 40003, port, {"0.0.0.0", "::"});
    a.reset();
    CHECK(eventually([&] { return finds(port, "b") && finds(port, "c"); }));
    CHECK(names_at(port) == names{"b", "c"});
    for (auto& address : epmd::interface_addresses(port)) {
      auto text = address.to_string();
      CHECK(finds(port, "b", text.substr(0, text.find(':'))));
    }
  }
}

TEST_CASE("who is not on the same host may ask but not register") {
  auto port = private_port();
  auto others = epmd::interface_addresses(port);
  std::erase_if(others, [](auto& address) { return address.is_loopback(); });
  if (others.empty()) {
    MESSAGE("not tried: this host has no address but 127.0.0.1");
    return;
  }
  mapper a("a@127.0.0.1", 40001, port, {"0.0.0.0"});
  // Who connects to an address that is not a loopback one comes from it.
  auto text = others[0].to_string();
  CHECK(finds(port, "a", text.substr(0, text.find(':'))));
  int error = 0;
  auto socket = epmd::start_connect(others[0], error);
  pollfd waiting{socket.get(), POLLOUT, 0};
  REQUIRE(::poll(&waiting, 1, 5000) == 1);
  auto request = epmd::encode_register({.name = "b", .port = 40002});
  REQUIRE(::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0);
  waiting.events = POLLIN;
  REQUIRE(::poll(&waiting, 1, 10'000) == 1);
  char byte;
  CHECK(::recv(socket.get(), &byte, 1, 0) <= 0);
  CHECK_FALSE(finds(port, "b"));
}

TEST_CASE("an address that is not this host's is told and left out") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port, {"192.0.2.1", "127.0.0.2"});
  CHECK(a.events->has("not_served 192.0.2.1:" + std::to_string(port)));
  CHECK(finds(port, "a", "127.0.0.2"));
  auto error = error_of([&] { mapper b("b@127.0.0.1", 40002, port, {no_host}); });
  CHECK(says(error, no_host));
}

TEST_CASE("an idle port mapper sleeps without a timeout") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.1", 40002, port);
  CHECK(finds(port, "b"));
  // Of a thread that waits in the kernel, the kernel tells the call and its arguments.
  auto sleeps_for_ever = [](const fs::path& task) {
    std::ifstream file(task / "syscall");
    std::string number, descriptors, count, timeout;
    file >> number >> descriptors >> count >> timeout;
    return timeout.ends_with("ffffffff");
  };
  if (!std::ifstream("/proc/self/syscall") || sizeof(void*) != 8) return;
  CHECK(eventually([&] {
    int sleeping = 0;
    for (auto& task : fs::directory_iterator("/proc/self/task")) {
      std::ifstream file(task.path() / "comm");
      std::string name;
      std::getline(file, name);
      if (name == "roost epmd" && sleeps_for_ever(task.path())) ++sleeping;
    }
    return sleeping == 2;
  }));
}

// ------------------------------------------------------------------------------ among Erlang's

TEST_CASE("Debian's epmd lists the names that a roost node serves, and cannot stop it") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.1", 40002, port);
  auto list = epmd_says(port, {"-names"});
  CHECK(says(list, "name a at port 40001"));
  CHECK(says(list, "name b at port 40002"));
  CHECK(says(epmd_says(port, {"-kill"}), "not allowed"));
  epmd_says(port, {"-stop", "b"});
  CHECK(names_at(port) == names{"a", "b"});
}

TEST_CASE("a roost node registers with Debian's epmd") {
  auto port = private_port();
  debian_epmd debian(port);
  mapper a("a@127.0.0.1", 40001, port);
  CHECK_FALSE(a.here.serves());
  CHECK(a.here.creation() != 0);
  CHECK(says(epmd_says(port, {"-names"}), "name a at port 40001"));
  CHECK(
      epmd_lookup("127.0.0.1", port, "a", 2s) ==
      port_entry{.name = "a", .port = 40001, .node_type = 72, .extra = "roost"});
  CHECK_FALSE(epmd_lookup("127.0.0.1", port, "nobody", 2s));
  CHECK(names_at(port) == names{"a"});
  auto error = error_of([&] { mapper second("a@127.0.0.2", 40002, port); });
  CHECK(says(error, "two nodes on one host need different ones"));
}

TEST_CASE("roost nodes take over from Debian's epmd, and give a name back to it") {
  auto port = private_port();
  auto debian = std::make_unique<debian_epmd>(port);
  mapper b("b@127.0.0.1", 40002, port);
  {
    mapper a("a@127.0.0.1", 40001, port);
    CHECK(finds(port, "a"));
  }
  CHECK(eventually([&] { return !finds(port, "a"); }));
  mapper c("c@127.0.0.1", 40003, port);
  debian.reset();
  CHECK(eventually([&] { return finds(port, "b") && finds(port, "c"); }));
  CHECK(b.here.serves() != c.here.serves());
}

TEST_CASE("a name that Debian's epmd is told to drop is registered again") {
  auto port = private_port();
  debian_epmd debian(port);
  mapper a("a@127.0.0.1", 40001, port);
  epmd_says(port, {"-stop", "a"});
  CHECK(eventually([&] { return a.events->has("lost") && finds(port, "a"); }));
}

TEST_CASE("Erlang nodes register at a roost node, find each other and survive its end") {
  auto port = private_port();
  auto a = std::make_unique<mapper>("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.1", 40002, port);
  erlang x("x@localhost", port, "io:format(\"x is up~n\").");
  REQUIRE(x.says("x is up"));
  CHECK(find(port, "x")->node_type == 77);
  erlang y(
      "y@localhost", port,
      "io:format(\"~p ~p ~p~n\", [net_adm:ping(x@localhost), net_adm:names(localhost), "
      "erl_epmd:port_please(\"b\", \"localhost\")]).");
  REQUIRE(y.says("\n"));
  CHECK(says(y.text, "pong"));
  CHECK(says(y.text, R"({"b",40002})"));
  CHECK(says(y.text, R"({"y",)"));
  CHECK(says(y.text, "{port,40002,6}"));
  a.reset();
  // An Erlang node tries again every two seconds.
  CHECK(eventually([&] { return finds(port, "x") && finds(port, "y") && finds(port, "b"); }, 30s));
  x.signal(SIGKILL);
  CHECK(eventually([&] { return !finds(port, "x"); }));
}

// ------------------------------------------------------------------------------- bad clients

TEST_CASE("a thousand clients that say nothing do not keep others from asking") {
  allow_many_descriptors();
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.1", 40002, port);
  std::vector<raw_client> silent;
  for (int i = 0; i < 1000; ++i) {
    silent.emplace_back(port);
    if (i % 2 != 0) silent.back().send("\0\5z"s);  // the beginning of a question
  }
  CHECK(finds(port, "b"));
  mapper c("c@127.0.0.1", 40003, port);
  CHECK(names_at(port) == names{"a", "b", "c"});
  CHECK_FALSE(b.events->has("lost"));
}

TEST_CASE("a port mapper without descriptors goes on serving") {
  auto port = private_port();
  other_process a(
      {"--nofile=20", other_process::path(), "a@127.0.0.1", "40001", std::to_string(port)},
      "/usr/bin/prlimit");
  mapper b("b@127.0.0.1", 40002, port);
  std::vector<raw_client> silent;
  for (int i = 0; i < 100; ++i) silent.emplace_back(port);
  CHECK(finds(port, "a"));
  CHECK(finds(port, "b"));
  CHECK_FALSE(b.events->has("lost"));
}

TEST_CASE("a slow client is served if it asks within 5 s, and cut off otherwise") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  raw_client slow(port);
  raw_client silent(port);
  raw_client asking(port);
  asking.send("\0\xffz"s);
  for (char byte : epmd::encode_lookup("a")) {
    slow.send({&byte, 1});
    CHECK(finds(port, "a"));  // served in between
  }
  std::optional<port_entry> answer;
  CHECK(epmd::decode_lookup_answer(slow.receive(), answer) == epmd::progress::complete);
  CHECK(answer->port == 40001);
  CHECK_FALSE(silent.is_closed());
  auto start = std::chrono::steady_clock::now();
  CHECK(silent.receive().empty());
  CHECK(asking.receive().empty());
  CHECK(silent.is_closed());
  CHECK(std::chrono::steady_clock::now() - start < 9s);
}

TEST_CASE("clients that do not read their long answers are not waited for") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  std::vector<raw_client> registered;
  for (int i = 0; i < 400; ++i) {
    registered.emplace_back(port);
    auto name = std::to_string(i) + std::string(240, 'n');
    registered.back().send(epmd::encode_register({.name = name, .port = 1}));
    REQUIRE(registered.back().receive(6).size() == 6);
  }
  std::vector<raw_client> deaf;
  for (int i = 0; i < 50; ++i) {
    deaf.emplace_back(port);
    int small = 1024;
    ::setsockopt(deaf.back().socket.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    deaf.back().send(epmd::encode_names());
  }
  CHECK(finds(port, "a"));
  CHECK(names_at(port).size() == 401);
}

/// The sockets of a port mapper, driven by the test.
struct driven_clients {
  explicit driven_clients(std::uint16_t port)
      : table({.name = "a", .port = 1}, port, [] { return 9U; }),
        clients(table, epmd::loopback(port)) {
    table.is_primary(true);
    REQUIRE(clients.listen(epmd::loopback(port), false) == 0);
  }
  /// Answers how many sockets had something to tell.
  int turn() {
    polled.clear();
    clients.watch(polled);
    int ready = ::poll(polled.data(), polled.size(), 1);
    clients.handle(polled);
    return ready;
  }
  epmd::server table;
  epmd::clients clients;
  std::vector<pollfd> polled;
};

TEST_CASE("of many silent clients the oldest go") {
  auto port = private_port();
  driven_clients here(port);
  std::vector<raw_client> silent;
  for (std::size_t i = 0; i < epmd::clients::most + 10; ++i) {
    silent.emplace_back(port);
    while (here.turn() != 0) continue;
  }
  CHECK(here.polled.size() == epmd::clients::most + 1);
  CHECK(silent[0].is_closed());
  CHECK(silent[9].is_closed());
  CHECK_FALSE(silent[10].is_closed());
  CHECK_FALSE(silent.back().is_closed());
}

TEST_CASE("a long answer is sent as fast as it is read, and given up in the end") {
  auto port = private_port();
  driven_clients here(port);
  for (std::uint64_t i = 1; i < 500; ++i)
    here.table.answer(
        {1'000'000 + i, true},
        epmd::register_request{{.name = std::to_string(i) + std::string(240, 'n')}});
  // What is accepted has the listener's buffer: a small one, so that the answer does not fit.
  here.turn();
  int small = 4096;
  ::setsockopt(here.polled.at(0).fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
  raw_client reader(port);
  raw_client deaf(port);
  reader.send(epmd::encode_names());
  deaf.send(epmd::encode_names());
  auto since = epmd::clock::now();
  std::string answer;
  CHECK(eventually([&] {
    here.turn();
    char block[20'000];
    auto size = ::recv(reader.socket.get(), block, sizeof block, 0);
    if (size > 0) answer.append(block, static_cast<std::size_t>(size));
    return size == 0;
  }));
  std::vector<port_entry> list;
  CHECK(epmd::decode_names_answer(answer, list) == epmd::progress::complete);
  CHECK(list.size() == 500);

  // The deaf one's answer is stuck, and nothing is spun on until its time is up.
  CHECK(eventually([&] { return here.turn() == 0; }));
  CHECK(here.polled.size() == 2);
  REQUIRE(here.clients.due());
  CHECK(*here.clients.due() <= epmd::clock::now() + epmd::clients::patience);
  here.clients.cut_off(since);
  here.turn();
  CHECK(here.polled.size() == 2);
  here.clients.cut_off(*here.clients.due());
  here.turn();
  CHECK(here.polled.size() == 1);
  CHECK_FALSE(here.clients.due());
}

TEST_CASE("a registration that says more loses its name") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  raw_client talker(port);
  talker.send(epmd::encode_register({.name = "t", .port = 1}));
  REQUIRE(talker.receive(6).size() == 6);
  CHECK(finds(port, "t"));
  talker.send("more");
  CHECK(eventually([&] { return !finds(port, "t"); }));
}

TEST_CASE("garbage ends its own connection only") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  mapper b("b@127.0.0.1", 40002, port);
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 600, '\0');
    for (auto& byte : bytes) byte = static_cast<char>(random());
    raw_client client(port);
    client.send(bytes);
  }
  for (auto bytes : {"GET / HTTP/1.1\r\n\r\n"s, "\xff\xff"s, "\0\0"s, "\0\1?"s, "\0\4x\0\0\0"s}) {
    raw_client client(port);
    client.send(bytes);
    CHECK(client.receive().empty());
  }
  CHECK(names_at(port) == names{"a", "b"});
  CHECK_FALSE(b.events->has("lost"));
}

TEST_CASE("every beginning of a request, hung up on, leaves nothing behind") {
  auto port = private_port();
  mapper a("a@127.0.0.1", 40001, port);
  auto whole = epmd::encode_register({.name = "half", .port = 1});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    raw_client client(port);
    client.send(whole.substr(0, size));
  }
  CHECK(names_at(port) == names{"a"});
}

// ------------------------------------------------------------------------- bad port mappers

TEST_CASE("who asks a port mapper that is not there is told so") {
  auto port = private_port();
  auto error = error_of([&] { epmd_lookup("127.0.0.1", port, "a", 2s); });
  CHECK(says(error, "127.0.0.1:" + std::to_string(port)));
  CHECK(says(error, "Connection refused"));
  CHECK_THROWS_AS(epmd_names("127.0.0.1", port, 2s), std::runtime_error);
  CHECK_THROWS_AS(epmd_names(no_host, port, 2s), std::runtime_error);
}

TEST_CASE("who asks a port mapper that is silent waits until the deadline") {
  auto port = private_port();
  int error = 0;
  auto silent = epmd::listen_at(epmd::loopback(port), false, error);
  REQUIRE(error == 0);
  auto start = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(epmd_lookup("127.0.0.1", port, "a", 100ms), std::runtime_error);
  CHECK_THROWS_AS(epmd_names("127.0.0.1", port, 100ms), std::runtime_error);
  auto took = std::chrono::steady_clock::now() - start;
  CHECK(took >= 200ms);
  CHECK(took < 5s);
}

TEST_CASE(
    "a node does not start beside a port mapper that does not answer" *
    doctest::test_suite("slow")) {
  auto port = private_port();
  int error = 0;
  auto silent = epmd::listen_at(epmd::loopback(port), false, error);
  REQUIRE(error == 0);
  CHECK(says(error_of([&] { mapper a("a@127.0.0.1", 40001, port); }), "no answer within 5 s"));
}

TEST_CASE("a node waits for a port mapper that hangs up, until it is replaced") {
  auto port = private_port();
  int error = 0;
  auto rude = epmd::listen_at(epmd::loopback(port), false, error);
  REQUIRE(error == 0);
  std::atomic<int> hung_up{0};
  std::jthread hanging_up([&](std::stop_token stop) {
    while (!stop.stop_requested() && hung_up < 2) {
      unique_fd client(::accept4(rude.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (client) ++hung_up;
    }
    rude.reset();
  });
  mapper a("a@127.0.0.1", 40001, port);
  CHECK(hung_up == 2);
  CHECK(a.here.serves());
}

TEST_CASE("names and ports that cannot be are refused with a sentence") {
  auto port = private_port();
  for (auto node : {"@127.0.0.1"s, "a b@127.0.0.1"s, std::string(256, 'n') + "@127.0.0.1"})
    CHECK_THROWS_AS(mapper(node, 1, port), std::invalid_argument);
  ::setenv("ERL_EPMD_PORT", "70000", 1);
  CHECK(says(error_of([] { mapper a("a@127.0.0.1", 1, 0); }), "ERL_EPMD_PORT"));
  ::setenv("ERL_EPMD_PORT", std::to_string(port).c_str(), 1);
  mapper a("a@127.0.0.1", 1, 0);
  CHECK(finds(port, "a"));
  CHECK(finds(0, "a"));
  ::unsetenv("ERL_EPMD_PORT");
  CHECK(epmd_port_or_default(0) == 4369);
}
