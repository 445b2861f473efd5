#include "runtime/distribution/global_state.hpp"
#include "tests/distribution/simulated_cluster.hpp"
#include <algorithm>
#include <memory>

using namespace roost;
using namespace roost::detail;
using namespace std::chrono_literals;
using roost::test::simulated_cluster;

namespace {

using number = simulated_cluster::number;
using outcome = global_state::outcome;

/// The name server of one simulated node.
class name_server final : public global_state::effects, public simulated_cluster::node_events {
 public:
  struct loss {
    std::string name;
    pid process;
    global_loss how;
  };

  name_server(
      simulated_cluster& cluster, std::vector<std::unique_ptr<name_server>>& all, number node)
      : cluster_(cluster), all_(all), node_(node) {
    start();
  }

  // --- what users do
  std::uint64_t register_name(
      const std::string& name, pid process, const std::string& resolver = "random_exit_name",
      bool replaces = false) {
    return ask([=, this](std::uint64_t client) {
      state_->register_name(client, {name, process, resolver}, replaces);
    });
  }
  std::uint64_t unregister_name(const std::string& name, pid process) {
    return ask([=, this](std::uint64_t client) { state_->unregister_name(client, name, process); });
  }
  std::uint64_t set_lock(
      const std::string& resource, pid holder, unsigned retries = global_state::forever) {
    return ask([=, this](std::uint64_t client) {
      state_->set_lock(client, wish(resource, holder, retries));
    });
  }
  void del_lock(const std::string& resource, pid holder) {
    in_the_process([=, this] { state_->del_lock(wish(resource, holder, 0)); });
  }
  std::uint64_t sync() {
    return ask([this](std::uint64_t client) { state_->sync(client); });
  }
  void stop() {
    cluster_.set_server(node_, nullptr);
    cluster_.kill(node_, self_);
    std::erase_if(shown_, [](auto& entry) { return !entry.second.process.is_local(); });
    clients_.clear();
  }
  void start() {
    self_ = cluster_.start_process(node_);
    cluster_.set_server(node_, this);
    global_state::limits limits;
    limits.claims = 2;
    limits.window = 2;
    state_ = std::make_unique<global_state>(self_, *this, limits);
    auto shown = shown_;
    for (auto& [name, claim] : shown) state_->adopt(claim);
    for (auto& name : cluster_.connected(node_)) state_->node_up(name);
  }

  std::map<std::uint64_t, outcome> answers;
  std::map<std::uint64_t, std::uint64_t> answered_at;
  std::vector<loss> losses;
  std::size_t unanswered() const { return clients_.size(); }
  const std::map<std::string, global_claim>& shown() const { return shown_; }
  const global_state& state() const { return *state_; }
  std::size_t largest_packet() const { return largest_packet_; }
  bool is_frozen = false;

  // --- what the node tells
  void node_up(const std::string& node) override { state_->node_up(node); }
  void node_down(const std::string& node) override { state_->node_down(node); }
  void down(reference ref, bool lost) override { state_->down(ref, lost); }

  // --- what the state asks for
  void send(pid to, global_packet packet) override {
    largest_packet_ = std::max(largest_packet_, packet.claims.size());
    deliver(cluster_.home_of(node_, to), pid{to.id, 0}, std::move(packet));
  }
  void send_to_node(const std::string& node, global_packet packet) override {
    deliver(cluster_.number_of(node), {}, std::move(packet));
  }
  reference monitor(pid process) override { return cluster_.monitor(node_, process); }
  reference monitor_server_of(const std::string& node) override {
    auto other = cluster_.number_of(node);
    return cluster_.monitor(node_, cluster_.translated(all_[other]->self_, other, node_));
  }
  void demonitor(reference ref) override { cluster_.demonitor(node_, ref); }
  void after(std::chrono::milliseconds delay, global_state::timer timer) override {
    cluster_.after(static_cast<std::uint64_t>(delay.count()), [this, self = self_, timer] {
      if (self == self_) state_->timer_fired(timer);
    });
  }
  void answer(std::uint64_t client, outcome result) override {
    CHECK(clients_.erase(client) == 1);
    CHECK(answers.emplace(client, result).second);
    answered_at[client] = cluster_.now();
  }
  void show(const std::string& name, const global_claim* claim) override {
    if (claim != nullptr)
      shown_.insert_or_assign(name, *claim);
    else
      shown_.erase(name);
  }
  void lost(const global_claim& claim, global_loss how, pid) override {
    losses.push_back({claim.name, claim.process, how});
    if (how == global_loss::exit) cluster_.kill(node_, claim.process);
  }
  std::optional<pid> resolve(const global_claim& mine, pid theirs) override {
    if (mine.resolver == "mine") return mine.process;  // not the same on both sides
    if (mine.resolver == "larger") return mine.process.id > theirs.id ? mine.process : theirs;
    if (mine.resolver == "unknown") return std::nullopt;
    return pid{};
  }
  bool is_alive(pid process) override { return cluster_.is_alive(node_, process); }
  std::string identity(pid process) override {
    return cluster_.name(cluster_.home_of(node_, process)) + "/" + std::to_string(process.id);
  }
  std::string this_node() override { return cluster_.name(node_); }
  std::uint32_t random(std::uint32_t bound) override {
    return static_cast<std::uint32_t>(cluster_.random(bound));
  }
  std::chrono::milliseconds now() override { return std::chrono::milliseconds(cluster_.now()); }

 private:
  global_state::lock_wish wish(const std::string& resource, pid holder, unsigned retries) {
    return {resource, identity(holder), holder, {}, true, retries};
  }

  std::uint64_t ask(std::function<void(std::uint64_t)> question) {
    auto client = ++last_client_;
    clients_.insert(client);
    in_the_process([=] { question(client); });
    return client;
  }

  void in_the_process(std::function<void()> run) {
    cluster_.send(node_, node_, [this, self = self_, run = std::move(run)] {
      if (self == self_) run();
    });
  }

  void deliver(number other, pid to, global_packet packet) {
    packet.server = cluster_.translated(packet.server, node_, other);
    packet.holder = cluster_.translated(packet.holder, node_, other);
    packet.other = cluster_.translated(packet.other, node_, other);
    for (auto& claim : packet.claims)
      claim.process = cluster_.translated(claim.process, node_, other);
    auto sent = [this, other, to, packet = std::move(packet)] {
      auto& receiver = *all_[other];
      if (receiver.is_frozen || (to && to != receiver.self_)) return;
      receiver.state_->receive(cluster_.name(node_), packet);
    };
    cluster_.send(node_, other, std::move(sent));
  }

  simulated_cluster& cluster_;
  std::vector<std::unique_ptr<name_server>>& all_;
  number node_;
  pid self_;
  std::map<std::string, global_claim> shown_;
  std::set<std::uint64_t> clients_;
  std::uint64_t last_client_ = 0;
  std::size_t largest_packet_ = 0;
  std::unique_ptr<global_state> state_;
};

struct cluster_of_names {
  cluster_of_names(number count, unsigned seed) : cluster(count, seed), processes(count) {
    for (number i = 0; i < count; ++i) servers.push_back(nullptr);
    for (number i = 0; i < count; ++i) {
      servers[i] = std::make_unique<name_server>(cluster, servers, i);
      for (int k = 0; k < 4; ++k) processes[i].push_back(cluster.start_process(i));
    }
  }

  void connect_all() {
    for (number a = 0; a < cluster.size(); ++a)
      for (number b = 0; b < a; ++b) cluster.connect(a, b);
  }
  /// All that is on its way arrives, and so does what it leads to at once.
  void settle() {
    while (cluster.step()) {
    }
  }

  std::string random_resolver() {
    if (!resolver.empty()) return resolver;
    static const std::vector<std::string> all{
        "random_exit_name", "random_notify_name", "notify_all_name", "larger", "mine", "fails"};
    return all[cluster.random(all.size())];
  }

  void random_operation(bool crashes) {
    auto node = cluster.random(cluster.size());
    auto other = cluster.random(cluster.size());
    auto& process = processes[node][cluster.random(4)];
    if (!cluster.is_alive(node, process)) process = cluster.start_process(node);
    auto name = "name" + std::to_string(cluster.random(6));
    auto& server = *servers[node];
    switch (cluster.random(14)) {
      case 0:
        cluster.kill(node, process);
        break;
      case 1:
      case 2:
        cluster.connect(node, other);
        break;
      case 3:
        cluster.disconnect(node, other);
        break;
      case 4:
        if (!crashes || cluster.random(4) != 0) break;
        server.stop();
        server.start();
        break;
      case 5:
      case 6:
        server.unregister_name(name, process);
        break;
      case 7:
        server.register_name(name, process, random_resolver(), true);
        break;
      case 8:
        if (!locks) break;
        if (cluster.random(2) == 0)
          server.set_lock("r", process, 5);
        else
          server.del_lock("r", process);
        break;
      case 9:
        cluster.wait();
        break;
      default:
        server.register_name(name, process, random_resolver());
    }
  }

  /// Everybody sees the same owners, which are alive, and nobody else has a claim.
  void check() {
    std::size_t claims = 0;
    for (number node = 0; node < cluster.size(); ++node) {
      CAPTURE(node);
      auto& server = *servers[node];
      claims += server.state().own_count();
      CHECK(server.unanswered() == 0);
      CHECK(server.state().operation_count() == 0);
      if (!locks) CHECK(server.state().lock_count() == 0);
      for (auto& [name, claim] : server.shown()) {
        CAPTURE(name);
        auto home = cluster.home_of(node, claim.process);
        CHECK(cluster.is_alive(home, pid{claim.process.id, 0}));
        for (number other = 0; other < cluster.size(); ++other) {
          auto seen = servers[other]->shown().find(name);
          REQUIRE(seen != servers[other]->shown().end());
          CHECK(seen->second.process == cluster.translated(claim.process, node, other));
        }
      }
      CHECK(server.largest_packet() <= 2);
    }
    CHECK(claims == servers[0]->shown().size());
  }

  simulated_cluster cluster;
  std::vector<std::unique_ptr<name_server>> servers;
  std::vector<std::vector<pid>> processes;
  std::string resolver;
  bool locks = false;  // whether random operations set and delete some
};

}  // namespace

TEST_CASE("a name has one owner, and every node sees it") {
  cluster_of_names all(3, 1);
  all.connect_all();
  all.settle();
  auto first = all.servers[0]->register_name("lobby", all.processes[0][0]);
  all.cluster.run();
  auto second = all.servers[1]->register_name("lobby", all.processes[1][0]);
  all.cluster.run();
  CHECK(all.servers[0]->answers[first] == outcome::yes);
  CHECK(all.servers[1]->answers[second] == outcome::no);
  CHECK(all.servers[2]->shown().at("lobby").process == pid{all.processes[0][0].id, 1});
  all.cluster.kill(0, all.processes[0][0]);
  all.cluster.run();
  for (auto& server : all.servers) CHECK(server->shown().empty());
}

TEST_CASE("of those who race for a name on connected nodes, exactly one gets it") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(2 + seed % 4, seed);
    all.connect_all();
    all.settle();
    std::map<std::string, std::vector<std::pair<number, std::uint64_t>>> asked;
    for (int i = 0; i < 60; ++i) {
      auto node = all.cluster.random(all.cluster.size());
      auto name = "name" + std::to_string(all.cluster.random(8));
      auto client =
          all.servers[node]->register_name(name, all.processes[node][all.cluster.random(4)]);
      asked[name].emplace_back(node, client);
      for (auto steps = all.cluster.random(5); steps-- != 0;) all.cluster.step();
    }
    all.cluster.run();
    for (auto& [name, clients] : asked) {
      int yes = 0;
      for (auto& [node, client] : clients) {
        auto answer = all.servers[node]->answers.at(client);
        CHECK(answer != outcome::timeout);
        if (answer == outcome::yes) ++yes;
      }
      CHECK(yes == 1);
    }
    all.check();
    for (auto& server : all.servers) {
      CHECK(server->losses.empty());
      CHECK(server->state().lock_count() == 0);
    }
  }
}

TEST_CASE("after splits and heals every name has one owner, whatever has happened before") {
  for (unsigned seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(2 + seed % 4, seed);
    all.locks = seed % 2 == 0;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 80; ++i) {
        all.random_operation(false);
        for (auto steps = all.cluster.random(8); steps-- != 0;) all.cluster.step();
      }
      all.connect_all();
      all.cluster.run();
      all.check();
    }
  }
}

TEST_CASE("name servers that crash come back with the names of their nodes") {
  for (unsigned seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(2 + seed % 3, seed + 1000);
    for (int i = 0; i < 120; ++i) {
      all.random_operation(true);
      for (auto steps = all.cluster.random(8); steps-- != 0;) all.cluster.step();
    }
    all.connect_all();
    all.cluster.run();
    all.check();
  }
}

TEST_CASE("of several that have the same name after a heal one keeps it and the others are told") {
  for (auto* resolver : {"random_exit_name", "random_notify_name", "larger", "mine", "unknown"}) {
    CAPTURE(resolver);
    for (unsigned seed = 0; seed < 50; ++seed) {
      CAPTURE(seed);
      cluster_of_names all(4, seed);
      std::vector<std::string> names;
      for (int i = 0; i < 7; ++i) names.push_back("name" + std::to_string(i));
      for (number node = 0; node < 4; ++node)
        for (auto& name : names)
          all.servers[node]->register_name(name, all.cluster.start_process(node), resolver);
      all.cluster.run();
      all.connect_all();
      all.cluster.run();
      all.check();
      CHECK(all.servers[0]->shown().size() == names.size());
      for (auto& name : names) {
        int told = 0;
        for (number node = 0; node < 4; ++node)
          for (auto& loss : all.servers[node]->losses)
            if (loss.name == name) {
              ++told;
              CHECK(all.cluster.is_alive(node, loss.process) == (loss.how != global_loss::exit));
            }
        CHECK(told == 3);
      }
    }
  }
}

TEST_CASE("with notify_all_name nobody keeps the name, and with a function that fails neither") {
  for (auto* resolver : {"notify_all_name", "fails"}) {
    cluster_of_names all(2, 1);
    for (number node = 0; node < 2; ++node)
      all.servers[node]->register_name("lobby", all.processes[node][0], resolver);
    all.cluster.run();
    all.connect_all();
    all.cluster.run();
    for (number node = 0; node < 2; ++node) {
      CHECK(all.servers[node]->shown().empty());
      CHECK(all.servers[node]->losses.size() == 1);
      CHECK(all.cluster.is_alive(node, all.processes[node][0]));
    }
  }
}

TEST_CASE("a name that is registered again moves, and nobody is told off for it") {
  cluster_of_names all(3, 3);
  all.connect_all();
  all.settle();
  all.servers[0]->register_name("lobby", all.processes[0][0]);
  all.cluster.run();
  auto again =
      all.servers[1]->register_name("lobby", all.processes[1][0], "random_exit_name", true);
  all.cluster.run();
  CHECK(all.servers[1]->answers[again] == outcome::yes);
  all.check();
  CHECK(all.servers[2]->shown().at("lobby").process.id == all.processes[1][0].id);
  for (auto& server : all.servers) CHECK(server->losses.empty());
}

TEST_CASE("a name that was given back is free everywhere once that is answered") {
  for (unsigned seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(3, seed);
    all.connect_all();
    all.settle();
    all.servers[0]->register_name("lobby", all.processes[0][0]);
    all.cluster.run();
    auto back = all.servers[0]->unregister_name("lobby", all.processes[0][0]);
    while (all.servers[0]->answers.count(back) == 0) REQUIRE(all.cluster.step());
    auto next = all.servers[2]->register_name("lobby", all.processes[2][0]);
    all.cluster.run();
    CHECK(all.servers[2]->answers[next] == outcome::yes);
  }
}

TEST_CASE("a frozen node delays a registration, which ends with an answer all the same") {
  cluster_of_names all(3, 5);
  all.connect_all();
  all.settle();
  all.servers[2]->is_frozen = true;
  auto first = all.servers[1]->register_name("lobby", all.processes[1][0]);
  all.cluster.run();
  CHECK(all.servers[1]->answers[first] == outcome::timeout);
  CHECK(all.cluster.now() <= 20'000);
  // Once it counts as lost nobody waits for it.
  for (number other : {0, 1}) all.cluster.disconnect(2, other);
  auto second = all.servers[1]->register_name("lobby", all.processes[1][0]);
  all.cluster.run();
  CHECK(all.servers[1]->answers[second] == outcome::yes);
  CHECK(all.servers[0]->state().lock_count() == 0);
}

TEST_CASE("a node that is lost while a name is locked has released it") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(3, seed);
    all.connect_all();
    all.settle();
    auto client = all.servers[1]->register_name("lobby", all.processes[1][0]);
    for (auto steps = all.cluster.random(30); steps-- != 0;) all.cluster.step();
    auto lost = all.cluster.random(2);
    auto other = all.cluster.random(2) == 0 ? number{2} : 1 - lost;
    if (other != lost) all.cluster.disconnect(lost, other);
    all.cluster.run();
    CHECK(all.servers[1]->answered_at.at(client) < 1000);
    all.connect_all();
    all.cluster.run();
    all.check();
    CHECK(all.servers[0]->shown().size() == 1);
    for (auto& server : all.servers) CHECK(server->state().lock_count() == 0);
  }
}

TEST_CASE("a name of a node that only a neighbour sees counts") {
  cluster_of_names all(3, 7);  // 0 – 1 – 2
  all.cluster.connect(0, 1);
  all.cluster.connect(1, 2);
  all.settle();
  all.servers[0]->register_name("lobby", all.processes[0][0]);
  all.cluster.run();
  auto second = all.servers[2]->register_name("lobby", all.processes[2][0]);
  all.cluster.run();
  CHECK(all.servers[2]->answers[second] == outcome::no);
}

TEST_CASE("a lock is held by one requester, and given back with its holder") {
  for (unsigned seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(3, seed);
    all.connect_all();
    all.settle();
    std::set<std::pair<number, pid>> holders;
    std::vector<std::tuple<number, pid, std::uint64_t>> waiting;
    for (number node = 0; node < 3; ++node)
      for (auto process : all.processes[node])
        waiting.emplace_back(node, process, all.servers[node]->set_lock("printer", process));
    int had_it = 0;
    for (int i = 0; had_it < 12; ++i) {
      REQUIRE(i < 1'000'000);
      bool goes_on = all.cluster.step() || all.cluster.wait();
      REQUIRE((goes_on || !holders.empty()));
      for (auto& [node, process, client] : waiting) {
        auto answer = all.servers[node]->answers.find(client);
        if (answer == all.servers[node]->answers.end()) continue;
        CHECK(answer->second == outcome::yes);
        all.servers[node]->answers.erase(answer);
        holders.emplace(node, process);
        CHECK(holders.size() == 1);
      }
      if (!holders.empty() && all.cluster.random(10) == 0) {
        auto [node, process] = *holders.begin();
        holders.clear();
        ++had_it;
        if (all.cluster.random(2) == 0)
          all.cluster.kill(node, process);
        else
          all.servers[node]->del_lock("printer", process);
      }
    }
    all.cluster.run();
    for (auto& server : all.servers) CHECK(server->state().lock_count() == 0);
  }
}

TEST_CASE("who does not want to wait for a lock is told so") {
  cluster_of_names all(2, 1);
  all.connect_all();
  all.settle();
  auto first = all.servers[0]->set_lock("printer", all.processes[0][0]);
  all.cluster.run();
  auto second = all.servers[1]->set_lock("printer", all.processes[1][0], 0);
  auto same = all.servers[0]->set_lock("printer", all.processes[0][0], 0);
  all.cluster.run();
  CHECK(all.servers[0]->answers[first] == outcome::yes);
  CHECK(all.servers[1]->answers[second] == outcome::no);
  CHECK(all.servers[0]->answers[same] == outcome::yes);
  // Set twice, given back twice.
  all.servers[0]->del_lock("printer", all.processes[0][0]);
  all.cluster.run();
  CHECK(all.servers[1]->state().lock_count() == 1);
  all.servers[0]->del_lock("printer", all.processes[0][0]);
  all.cluster.run();
  CHECK(all.servers[1]->state().lock_count() == 0);
}

TEST_CASE("sync answers when the names of all connected nodes are known") {
  for (unsigned seed = 0; seed < 50; ++seed) {
    cluster_of_names all(3, seed);
    for (number node = 0; node < 2; ++node)
      for (int i = 0; i < 9; ++i)
        all.servers[node]->register_name(
            std::to_string(node) + "/" + std::to_string(i), all.processes[node][0]);
    all.cluster.run();
    all.connect_all();
    while (all.cluster.random(20) != 0) all.cluster.step();
    all.servers[2]->node_up(all.cluster.name(0));
    all.servers[2]->node_up(all.cluster.name(1));
    auto client = all.servers[2]->sync();
    while (all.servers[2]->answers.count(client) == 0) REQUIRE(all.cluster.step());
    CHECK(all.servers[2]->shown().size() == 18);
  }
}

TEST_CASE("a name is taken before its node has told of it") {
  for (unsigned seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(2, seed);
    for (int i = 0; i < 20; ++i)
      all.servers[1]->register_name("name" + std::to_string(i), all.processes[1][0]);
    all.cluster.run();
    all.connect_all();
    while (all.cluster.random(10) != 0) all.cluster.step();
    all.servers[0]->node_up(all.cluster.name(1));
    std::vector<std::uint64_t> clients;
    for (int i = 0; i < 20; ++i)
      clients.push_back(
          all.servers[0]->register_name("name" + std::to_string(i), all.processes[0][0]));
    all.cluster.run();
    for (auto client : clients) CHECK(all.servers[0]->answers[client] == outcome::no);
    CHECK(all.servers[0]->losses.empty());
    CHECK(all.servers[1]->losses.empty());
    all.check();
  }
}

TEST_CASE("a name is replaced before its node has told of it") {
  for (unsigned seed = 0; seed < 100; ++seed) {
    CAPTURE(seed);
    cluster_of_names all(3, seed);
    for (number node : {1, 0})
      for (int i = 0; i < 20; ++i)
        all.servers[node]->register_name(
            std::to_string(node) + "/" + std::to_string(i), all.processes[node][0]);
    all.cluster.run();
    all.connect_all();
    while (all.cluster.random(10) != 0) all.cluster.step();
    all.servers[0]->node_up(all.cluster.name(1));
    for (int i = 0; i < 20; ++i)
      all.servers[0]->register_name(
          "1/" + std::to_string(i), all.processes[0][0], "random_exit_name", true);
    all.cluster.run();
    for (auto& [client, answer] : all.servers[0]->answers) CHECK(answer == outcome::yes);
    CHECK(all.servers[0]->losses.empty());
    CHECK(all.servers[1]->losses.empty());
    all.check();
    for (auto& [name, claim] : all.servers[2]->shown())
      CHECK(claim.process.id == all.processes[0][0].id);
  }
}

TEST_CASE("nobody waits for a node without a name server, which may get one later") {
  cluster_of_names all(3, 9);
  all.servers[2]->stop();
  all.connect_all();
  all.settle();
  auto client = all.servers[0]->register_name("lobby", all.processes[0][0]);
  all.settle();
  CHECK(all.servers[0]->answers[client] == outcome::yes);
  all.servers[2]->start();
  all.cluster.run();
  all.check();
  auto second = all.servers[2]->register_name("lobby", all.processes[2][0]);
  all.cluster.run();
  CHECK(all.servers[2]->answers[second] == outcome::no);
}
