#include "runtime/discovery/gossip.hpp"
#include "runtime/discovery/heartbeat.hpp"
#include "tests/net/name_server.hpp"
#include <array>

using namespace roost::discovery;
using namespace roost::test;
using names = std::vector<std::string>;

namespace {

bindings named(std::string self) {
  return {
      .self = [self] { return self; },
      .cookie = [] { return std::string("a cookie that is long enough"); },
      .names = {}};
}

gossip::options on_loopback(std::uint16_t port, std::string secret = "") {
  return {
      .port = port,
      .if_addr = "127.0.0.1",
      .multicast_if = "127.0.0.1",
      .multicast_ttl = 0,
      .secret = std::move(secret)};
}

/// Looks until the answer is this one.
bool hears(gossip& node, const names& expected) {
  return eventually([&] { return node.look() == expected; });
}

/// Sends anything to the group, as anybody may.
class stranger {
 public:
  explicit stranger(std::uint16_t port) {
    group_.sin_family = AF_INET;
    group_.sin_port = htons(port);
    ::inet_pton(AF_INET, "233.252.1.32", &group_.sin_addr);
    in_addr loopback{htonl(INADDR_LOOPBACK)};
    REQUIRE(
        ::setsockopt(
            socket_.descriptor(), IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback) == 0);
  }
  void say(std::string_view bytes) {
    ::sendto(
        socket_.descriptor(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&group_),
        sizeof group_);
  }

 private:
  udp_socket socket_;
  sockaddr_in group_{};
};

}  // namespace

TEST_CASE("nodes on one host hear each other, and not themselves") {
  auto port = udp_socket().port();
  gossip a(on_loopback(port), named("a@h"));
  gossip b(on_loopback(port), named("b@h"));
  CHECK(a.look().empty());
  // Each of them has to look: it tells of itself while it does.
  using heard = std::vector<names>;
  CHECK(eventually([&] { return heard{a.look(), b.look()} == heard{{"b@h"}, {"a@h"}}; }));
  gossip c(on_loopback(port), named("c@h"));
  CHECK(eventually([&] {
    return heard{a.look(), b.look(), c.look()} ==
           heard{{"b@h", "c@h"}, {"a@h", "c@h"}, {"a@h", "b@h"}};
  }));
  CHECK(a.counts().heartbeats >= 2);
  CHECK(a.counts().garbage == 0);
}

TEST_CASE("nodes with another secret are strangers") {
  auto port = udp_socket().port();
  gossip a(on_loopback(port, "one"), named("a@h"));
  gossip b(on_loopback(port, "one"), named("b@h"));
  gossip x(on_loopback(port, "two"), named("x@h"));
  gossip y(on_loopback(port), named("y@h"));
  a.look(), b.look(), x.look(), y.look();
  CHECK(hears(a, {"b@h"}));
  CHECK(x.look().empty());
  CHECK(y.look().empty());
  CHECK(a.counts().garbage >= 2);
}

TEST_CASE("a node with a changed cookie follows it") {
  auto port = udp_socket().port();
  auto cookie = std::make_shared<std::string>("first cookie");
  auto node = named("a@h");
  node.cookie = [cookie] { return *cookie; };
  gossip a(on_loopback(port), node);
  gossip b(on_loopback(port, "second cookie"), named("b@h"));
  a.look(), b.look(), a.look();
  *cookie = "second cookie";
  CHECK(eventually([&] {
    b.look();
    return a.look() == names{"b@h"};
  }));
}

TEST_CASE("garbage, old heartbeats and odd names are counted and ignored") {
  log_capture log;
  auto port = udp_socket().port();
  gossip a(on_loopback(port, "s"), named("a@h"));
  a.look();
  auto key = derive_heartbeat_key("s");
  auto now = std::chrono::system_clock::now();
  stranger somebody(port);
  somebody.say("");
  somebody.say("heartbeat::");
  somebody.say(std::string(2000, 'x'));
  somebody.say(seal_heartbeat(key, {"no name", now}));
  somebody.say(seal_heartbeat(key, {"old@h", now - 61s}));
  somebody.say(seal_heartbeat(key, {"ahead@h", now + 62s}));
  somebody.say(seal_heartbeat(key, {"good@h", now - 50s}));
  CHECK(hears(a, {"good@h"}));
  CHECK(a.counts().garbage == 4);
  CHECK(a.counts().stale == 2);
  CHECK(a.counts().heartbeats == 1);
  CHECK(log.count("") == 1);
  CHECK(log.saw("", "node=old@h"));
}

TEST_CASE("a flood of garbage costs a look only so much, and heartbeats still get through") {
  auto port = udp_socket().port();
  gossip a(on_loopback(port), named("a@h"));
  gossip b(on_loopback(port), named("b@h"));
  std::atomic<bool> stops = false;
  std::thread flood([&] {
    stranger somebody(port);
    while (!stops) {
      for (int i = 0; i < 50; ++i) somebody.say(std::string(500, 'x'));
      std::this_thread::sleep_for(1ms);
    }
  });
  std::chrono::steady_clock::duration longest{};
  CHECK(eventually([&] {
    auto begin = std::chrono::steady_clock::now();
    auto heard = a.look();
    longest = std::max(longest, std::chrono::steady_clock::now() - begin);
    b.look();
    // The thread may begin late: what counts is heard while garbage comes.
    return heard == names{"b@h"} && a.counts().garbage > 0;
  }));
  stops = true;
  flood.join();
  CHECK(a.counts().garbage > 0);
  CHECK(longest < 2s);
}

TEST_CASE("a node without a name hears the others and is not heard") {
  auto port = udp_socket().port();
  gossip a(on_loopback(port), named("a@h"));
  gossip nobody(on_loopback(port), named("nonode@nohost"));
  nobody.look();
  a.look();
  CHECK(hears(nobody, {"a@h"}));
  CHECK(a.look().empty());
  CHECK(a.counts().garbage == 0);
}

TEST_CASE("broadcasts do where there are no multicasts") {
  auto port = udp_socket().port();
  gossip::options options{
      .port = port, .multicast_addr = "127.255.255.255", .broadcast_only = true};
  gossip a(options, named("a@h"));
  gossip b(options, named("b@h"));
  a.look();
  CHECK(eventually([&] {
    b.look();
    return a.look() == names{"b@h"};
  }));
}

TEST_CASE("an address that this host does not have is an error at each look") {
  gossip a({.port = udp_socket().port(), .if_addr = "192.0.2.1"}, named("a@h"));
  CHECK_THROWS_AS(a.look(), std::runtime_error);
  CHECK_THROWS_AS(a.look(), std::runtime_error);
  auto speechless = named("a@h");
  speechless.cookie = [] { return std::string(); };
  gossip b(on_loopback(udp_socket().port()), speechless);
  CHECK_THROWS_WITH(b.look(), "expected a secret or a cookie for gossip, got neither");
}

TEST_CASE("addresses that are none are refused") {
  CHECK_THROWS_WITH(
      gossip({.if_addr = "eth0"}, named("a@h")),
      "expected if_addr to be an IPv4 address, got eth0");
  CHECK_THROWS_AS(gossip({.multicast_addr = "x"}, named("a@h")), std::invalid_argument);
  CHECK_THROWS_AS(gossip({.multicast_if = "::1"}, named("a@h")), std::invalid_argument);
}

// --- networks of their own -----------------------------------------------------------------------

namespace {

bool ip(arguments words) {
  program command(std::move(words), "/usr/sbin/ip");
  return command.exit_code() == 0;
}

/// Three hosts at one switch, each a network namespace, and so is the switch: the host's own
/// networks are not touched.
class lan {
 public:
  lan() {
    permitted_ = ip({"netns", "add", place("switch")});
    if (!permitted_) {
      MESSAGE("not permitted to make network namespaces; this test needs them");
      return;
    }
    in_switch({"link", "add", "bridge", "type", "bridge", "mcast_snooping", "0"});
    in_switch({"link", "set", "bridge", "up"});
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(ip({"netns", "add", host(i)}));
      REQUIRE(ip({"-n", host(i), "link", "set", "lo", "up"}));
      plug_in(i);
    }
  }
  lan(const lan&) = delete;
  lan& operator=(const lan&) = delete;
  ~lan() {
    if (!permitted_) return;
    for (auto& node : nodes_) node.reset();
    for (std::size_t i = 0; i < 3; ++i) ip({"netns", "delete", host(i)});
    ip({"netns", "delete", place("switch")});
  }

  bool permitted() const { return permitted_; }

  void plug_in(std::size_t i) {
    auto port = "port" + std::to_string(i);
    REQUIRE(
        ip({"link", "add", "eth0", "netns", host(i), "type", "veth", "peer", "name", port, "netns",
            place("switch")}));
    in_switch({"link", "set", port, "master", "bridge", "up"});
    auto address = "10.77.0." + std::to_string(i + 1) + "/24";
    REQUIRE(
        ip({"-n", host(i), "address", "add", address, "broadcast", "10.77.0.255", "dev", "eth0"}));
    REQUIRE(ip({"-n", host(i), "link", "set", "eth0", "up"}));
    REQUIRE(ip({"-n", host(i), "route", "add", "default", "dev", "eth0"}));
  }
  void unplug(std::size_t i) { REQUIRE(ip({"-n", host(i), "link", "delete", "eth0"})); }

  program& start(std::size_t i, std::string secret, arguments options = {}) {
    static const std::array<std::string, 3> letters{"a", "b", "c"};
    arguments words{"netns",
                    "exec",
                    host(i),
                    program_path(),
                    letters[i] + "@10.77.0." + std::to_string(i + 1),
                    std::move(secret)};
    words.insert(words.end(), options.begin(), options.end());
    nodes_[i] = std::make_unique<program>(words, "/usr/sbin/ip");
    return *nodes_[i];
  }

 private:
  static std::string program_path() {
    return (fs::path(sample_program()).parent_path() / "sample_gossip").string();
  }
  static std::string place(const std::string& name) {
    return "roost-" + std::to_string(::getpid()) + "-" + name;
  }
  static std::string host(std::size_t i) { return place("host" + std::to_string(i)); }
  void in_switch(arguments words) {
    words.insert(words.begin(), {"-n", place("switch")});
    REQUIRE(ip(words));
  }

  bool permitted_ = false;
  std::array<std::unique_ptr<program>, 3> nodes_;
};

}  // namespace

TEST_CASE(
    "nodes on different hosts hear each other by multicast, those with another secret do not") {
  lan net;
  if (!net.permitted()) return;
  auto& a = net.start(0, "secret");
  auto& b = net.start(1, "secret");
  CHECK(a.says("hears b@10.77.0.2 ."));
  CHECK(b.says("hears a@10.77.0.1 ."));
  auto& c = net.start(2, "another");
  CHECK(c.says("hears ."));
  CHECK(c.text.find("hears a") == c.text.npos);
  auto& again = net.start(2, "secret");
  CHECK(again.says("hears a@10.77.0.1 b@10.77.0.2 ."));
  CHECK(a.says("hears b@10.77.0.2 c@10.77.0.3 ."));
}

TEST_CASE("a node that listens at the address of one interface is heard and hears") {
  lan net;
  if (!net.permitted()) return;
  auto& a = net.start(0, "secret", {"if_addr=10.77.0.1"});
  auto& b = net.start(1, "secret", {"multicast_if=10.77.0.2"});
  CHECK(a.says("hears b@10.77.0.2 ."));
  CHECK(b.says("hears a@10.77.0.1 ."));
}

TEST_CASE("nodes on different hosts hear each other by broadcast") {
  lan net;
  if (!net.permitted()) return;
  arguments options{"broadcast_only=1", "multicast_addr=10.77.0.255"};
  auto& a = net.start(0, "secret", options);
  auto& b = net.start(1, "secret", options);
  CHECK(a.says("hears b@10.77.0.2 ."));
  CHECK(b.says("hears a@10.77.0.1 ."));
}

TEST_CASE("an interface that goes and comes back is joined again" * doctest::test_suite("slow")) {
  lan net;
  if (!net.permitted()) return;
  auto& a = net.start(0, "secret");
  auto& b = net.start(1, "secret");
  CHECK(a.says("hears b@10.77.0.2 ."));
  CHECK(b.says("hears a@10.77.0.1 ."));
  net.unplug(1);
  CHECK(b.says("expected to send a heartbeat, got Network is unreachable"));
  // Fifteen seconds after the last heartbeat, which says() does not wait for in one go.
  CHECK(eventually([&] { return a.says("hears ."); }, 30s));
  b.text.clear();
  net.plug_in(1);
  CHECK(eventually([&] { return b.says("hears a@10.77.0.1 ."); }, 60s));
}
