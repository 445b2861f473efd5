#include "runtime/discovery/cluster.hpp"
#include "runtime/alarms.hpp"
#include "runtime/discovery/epmd.hpp"
#include "runtime/telemetry.hpp"
#include "tests/support.hpp"
#include <algorithm>
#include <map>
#include <set>

using namespace roost::test;
using namespace roost::discovery;
using names = std::vector<std::string>;

namespace {

/// The network as one node sees it. Hooks answer from a thread of their own, as the real ones may.
class network {
 public:
  void run(const names& nodes) {
    std::lock_guard guard{mutex_};
    alive_ = {nodes.begin(), nodes.end()};
    std::erase_if(connected_, [&](auto& node) { return !alive_.contains(node); });
  }
  void lose(const std::string& node) {
    std::lock_guard guard{mutex_};
    connected_.erase(node);
  }
  names connected() const {
    std::lock_guard guard{mutex_};
    return {connected_.begin(), connected_.end()};
  }
  int attempts(const std::string& node) const {
    std::lock_guard guard{mutex_};
    auto at = attempts_.find(node);
    return at == attempts_.end() ? 0 : at->second;
  }

  struct hooks hooks(std::string self = "me@h") {
    return {
        .connect =
            [this](auto& node, auto done) {
              std::thread([this, node, done] { done(connect(node)); }).detach();
            },
        .disconnect =
            [this](auto& node, auto done) {
              std::lock_guard guard{mutex_};
              done(
                  connected_.erase(node) > 0 ? disconnect_result::disconnected
                                             : disconnect_result::already_disconnected);
            },
        .list = [this] { return connected(); },
        .self = [self] { return self; }};
  }

  std::atomic<bool> unnamed = false;

 private:
  connect_result connect(const std::string& node) {
    if (unnamed) return connect_result::not_part_of_network;
    std::lock_guard guard{mutex_};
    ++attempts_[node];
    if (!alive_.contains(node)) return connect_result::unreachable;
    connected_.insert(node);
    return connect_result::connected;
  }

  mutable std::mutex mutex_;
  std::set<std::string> alive_;
  std::set<std::string> connected_;
  std::map<std::string, int> attempts_;
};

/// A strategy whose answer the test chooses.
class puppet : public strategy {
 public:
  std::string_view name() const noexcept override { return "puppet"; }
  names look() override {
    ++looks;
    std::unique_lock lock{mutex_};
    if (!error_.empty()) throw std::runtime_error(error_);
    return answer_;
  }
  std::chrono::milliseconds interval() const noexcept override { return pause; }

  void say(names nodes) {
    std::lock_guard guard{mutex_};
    answer_ = std::move(nodes);
    error_.clear();
  }
  void fail(std::string error) {
    std::lock_guard guard{mutex_};
    error_ = std::move(error);
  }

  std::atomic<int> looks = 0;
  std::chrono::milliseconds pause = 10ms;

 private:
  std::mutex mutex_;
  names answer_;
  std::string error_;
};

struct event_log {
  explicit event_log(const std::vector<std::string>& events) {
    roost::telemetry::attach_many(
        "event_log", events, [this](auto event, auto& measurements, auto& metadata) {
          std::string line(event);
          for (auto& [name, value] : metadata)
            line += " " + std::string(name) + "=" + value.to_string();
          std::lock_guard guard{mutex_};
          lines_.push_back(line);
          timed_ = timed_ && measurements.find("duration") != nullptr;
        });
  }
  ~event_log() { roost::telemetry::detach("event_log"); }
  int count(const std::string& line) const {
    std::lock_guard guard{mutex_};
    return static_cast<int>(std::count(lines_.begin(), lines_.end(), line));
  }
  bool saw(const std::string& line) const { return count(line) > 0; }
  bool all_timed() const {
    std::lock_guard guard{mutex_};
    return timed_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
  bool timed_ = true;
};

/// Networks and strategies are used by threads and processes, so they outlive the node.
struct stage {
  network net;
  std::shared_ptr<puppet> how = std::make_shared<puppet>();
  roost::runtime runtime{{.schedulers = 2}};
  log_capture log;

  roost::server<cluster> start(bool disconnects = true, std::string name = "app") {
    return start_link(
        {.name = std::move(name), .how = how, .disconnect_vanished = disconnects}, net.hooks());
  }
  bool is(names nodes) {
    return eventually([&] { return net.connected() == nodes; });
  }
};

topology_status status_of(const roost::server<cluster>& topology) {
  return roost::call(topology, cluster::get_status{}).get();
}

}  // namespace

TEST_CASE_FIXTURE(stage, "the nodes that a strategy names are connected, and this one is not") {
  net.run({"b@h", "c@h"});
  how->say({"me@h", "b@h", "c@h"});
  auto app = start();
  CHECK(is({"b@h", "c@h"}));
  CHECK(net.attempts("me@h") == 0);
  CHECK(eventually([&] {
    auto status = status_of(app);
    return status.nodes.size() == 2 && status.nodes[0].connected && status.nodes[1].connected;
  }));
  auto status = status_of(app);
  CHECK(status.topology == "app");
  CHECK(status.strategy == "puppet");
  CHECK(status.nodes[0].node == "b@h");
  CHECK(status.looks > 0);
  CHECK(status.failed_looks == 0);
}

TEST_CASE_FIXTURE(stage, "a node that starts later is found and connected") {
  net.run({});
  how->say({"b@h"});
  auto app = start();
  CHECK(eventually([&] { return net.attempts("b@h") > 0; }));
  net.run({"b@h"});
  CHECK(is({"b@h"}));
}

TEST_CASE_FIXTURE(stage, "a lost node is connected again, also when the strategy looks only once") {
  net.run({"b@h"});
  auto once = std::make_shared<epmd>(epmd::options{.hosts = {"b@h", "c@h"}});
  auto app = start_link({.name = "hosts", .how = once}, net.hooks());
  CHECK(is({"b@h"}));
  net.lose("b@h");
  CHECK(eventually([&] { return net.attempts("b@h") == 2; }));
  net.run({"b@h", "c@h"});
  CHECK(is({"b@h", "c@h"}));
  CHECK(status_of(app).looks == 1);
}

TEST_CASE_FIXTURE(stage, "nodes that vanish are disconnected, strangers are not") {
  net.run({"b@h", "c@h", "stranger@h"});
  how->say({"stranger@h"});
  auto other = start(false, "other");
  CHECK(is({"stranger@h"}));
  roost::exit(other.process(), roost::exit_reason::kill);
  auto mine = std::make_shared<puppet>();
  mine->say({"b@h", "c@h"});
  auto app = start_link({.name = "app", .how = mine}, net.hooks());
  CHECK(is({"b@h", "c@h", "stranger@h"}));
  mine->say({"c@h"});
  CHECK(is({"c@h", "stranger@h"}));
  mine->say({});
  CHECK(is({"stranger@h"}));
}

TEST_CASE_FIXTURE(stage, "a node stays while another topology wants it") {
  net.run({"b@h"});
  how->say({"b@h"});
  auto second = std::make_shared<puppet>();
  second->say({"b@h"});
  auto app = start();
  auto other = start_link({.name = "other", .how = second}, net.hooks());
  CHECK(is({"b@h"}));
  CHECK(eventually([&] { return status_of(app).looks > 0 && status_of(other).looks > 0; }));
  how->say({});
  auto looks = how->looks.load();
  CHECK(eventually([&] { return how->looks > looks + 5; }));
  CHECK(net.connected() == names{"b@h"});
  second->say({});
  CHECK(is({}));
}

TEST_CASE_FIXTURE(stage, "while looks fail the last answer holds, and the log says so once") {
  event_log events({"roost.discovery.look.error"});
  net.run({"b@h"});
  how->say({"b@h"});
  auto app = start();
  CHECK(is({"b@h"}));
  how->fail("expected an answer, got silence");
  CHECK(eventually([&] { return status_of(app).failed_looks > 5; }));
  CHECK(status_of(app).error == "expected an answer, got silence");
  CHECK(net.connected() == names{"b@h"});
  net.lose("b@h");
  CHECK(is({"b@h"}));
  how->fail("something else");
  CHECK(eventually([&] { return log.saw("", "something else"); }));
  how->say({"b@h"});
  CHECK(eventually([&] { return status_of(app).error.empty(); }));
  CHECK(log.count("") < 20);
  CHECK(
      events.saw("roost.discovery.look.error topology=app strategy=puppet "
                 "reason=expected an answer, got silence"));
}

TEST_CASE_FIXTURE(stage, "a strategy that looks once is asked again when that look fails") {
  how->pause = -1ms;
  how->fail("not yet");
  net.run({"b@h"});
  auto app = start();
  CHECK(eventually([&] { return status_of(app).failed_looks == 1; }));
  how->say({"b@h"});
  roost::cast(app, cluster::look_now{});  // rather than after 5 s
  CHECK(is({"b@h"}));
  CHECK(status_of(app).looks == 2);
}

TEST_CASE_FIXTURE(stage, "telemetry tells of connections as libcluster does") {
  event_log events(
      {"libcluster.connect_node.ok", "libcluster.connect_node.error",
       "libcluster.disconnect_node.ok", "libcluster.disconnect_node.error"});
  net.run({"b@h"});
  how->say({"b@h", "c@h"});
  auto app = start();
  CHECK(eventually([&] {
    return events.saw("libcluster.connect_node.ok node=b@h topology=app") &&
           events.saw("libcluster.connect_node.error node=c@h topology=app reason=unreachable");
  }));
  how->say({});
  CHECK(eventually(
      [&] { return events.saw("libcluster.disconnect_node.ok node=b@h topology=app"); }));
  net.unnamed = true;
  how->say({"d@h"});
  CHECK(eventually([&] {
    return events.saw(
        "libcluster.connect_node.error node=d@h topology=app reason=not_part_of_network");
  }));
  CHECK(events.all_timed());
}

TEST_CASE_FIXTURE(stage, "a node that was gone before it is disconnected is told as such") {
  event_log events({"libcluster.disconnect_node.error"});
  net.run({"b@h"});
  how->say({"b@h"});
  auto hooks = net.hooks();
  hooks.list = [] { return names{"b@h"}; };  // old news
  hooks.disconnect = [](auto&, auto done) { done(disconnect_result::already_disconnected); };
  auto app = start_link({.name = "app", .how = how}, hooks);
  CHECK(eventually([&] { return status_of(app).nodes.size() == 1; }));
  how->say({});
  CHECK(eventually([&] {
    return events.saw(
        "libcluster.disconnect_node.error node=b@h topology=app reason=already_disconnected");
  }));
}

TEST_CASE_FIXTURE(stage, "a node that cannot be reached is logged once for each reason") {
  how->say({"b@h"});
  auto app = start();
  CHECK(eventually([&] { return net.attempts("b@h") >= 3; }));
  CHECK(log.saw("", "did not connect; trying again node=b@h topology=app reason=unreachable"));
  CHECK(log.count("") == 1);
}

TEST_CASE_FIXTURE(stage, "what is no name of a node is left out") {
  net.run({"b@h"});
  how->say({"", "no at", "two@at@h", "b@h", std::string(300, 'x') + "@h", "a b@h"});
  auto app = start();
  CHECK(is({"b@h"}));
  CHECK(status_of(app).nodes.size() == 1);
}

TEST_CASE_FIXTURE(stage, "hooks and strategies that throw do not end the topology") {
  struct odd : strategy {
    std::string_view name() const noexcept override { return "odd"; }
    names look() override { throw std::invalid_argument(""); }
    std::chrono::milliseconds interval() const noexcept override { return 10ms; }
  };
  auto broken = start_link({.name = "odd", .how = std::make_shared<odd>()}, net.hooks());
  CHECK(eventually([&] { return status_of(broken).failed_looks > 2; }));
  how->say({"b@h"});
  auto hooks = net.hooks();
  hooks.connect = [](auto&, auto) { throw std::runtime_error("no"); };
  auto app = start_link({.name = "app", .how = how}, hooks);
  CHECK(eventually([&] {
    auto nodes = status_of(app).nodes;
    return nodes.size() == 1 && nodes[0].failures > 0;
  }));
}

TEST_CASE_FIXTURE(stage, "a topology without a strategy does not start") {
  CHECK_THROWS_WITH_AS(
      start_link({.name = "app", .how = nullptr}, net.hooks()),
      "expected topology app to have a strategy, got none", std::invalid_argument);
}

TEST_CASE_FIXTURE(stage, "one look at a time, also when a topology ends while its strategy looks") {
  struct slow : strategy {
    std::string_view name() const noexcept override { return "slow"; }
    names look() override {
      ++inside;
      most = std::max(most.load(), inside.load());
      ++looks;
      eventually([&] { return open.load(); });
      --inside;
      return {"b@h"};
    }
    std::chrono::milliseconds interval() const noexcept override { return 10ms; }
    std::atomic<int> inside = 0, most = 0, looks = 0;
    std::atomic<bool> open = false;
  };
  net.run({"b@h"});
  auto strategy = std::make_shared<slow>();
  auto first = start_link({.name = "app", .how = strategy}, net.hooks());
  CHECK(eventually([&] { return strategy->looks == 1; }));
  roost::exit(first.process(), roost::exit_reason::kill);
  auto second = start_link({.name = "app", .how = strategy}, net.hooks());
  CHECK(eventually([&] { return status_of(second).failed_looks > 3; }));
  strategy->open = true;
  CHECK(is({"b@h"}));
  CHECK(strategy->most == 1);
}

TEST_CASE_FIXTURE(stage, "an empty list of nodes sets an alarm, and company clears it") {
  event_log events({"roost.alarm.set", "roost.alarm.clear"});
  auto watch = start_watch(50ms, net.hooks());
  CHECK(eventually([&] { return roost::alarms().size() == 1; }));
  CHECK(roost::alarms()[0].id == "cluster_empty");
  how->say({"b@h"});
  net.run({"b@h"});
  auto app = start();
  CHECK(eventually([&] { return roost::alarms().empty(); }));
  net.run({});
  CHECK(eventually([&] { return roost::alarms().size() == 1; }));
  roost::stop(watch).get();
  CHECK(roost::alarms().empty());
}

TEST_CASE_FIXTURE(stage, "no alarm is set by those who want none, or who have company") {
  CHECK_FALSE(start_watch(0ms, net.hooks()));
  auto hooks = net.hooks();
  std::atomic<int> asked = 0;
  hooks.list = [&asked] {
    ++asked;
    return names{"b@h"};
  };
  auto watch = start_watch(20ms, hooks);
  CHECK(eventually([&] { return asked > 5; }));
  CHECK(roost::alarms().empty());
  roost::stop(watch).get();
}
