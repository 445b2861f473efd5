#include "runtime/distribution/pg_state.hpp"
#include "tests/distribution/simulated_cluster.hpp"
#include <algorithm>
#include <memory>

using namespace roost;
using namespace roost::detail;
using roost::test::simulated_cluster;

namespace {

using number = simulated_cluster::number;
using members = std::map<std::string, std::vector<pid>>;

/// The scope of one simulated node, with the table and a subscriber to everything.
class scope final : public pg_state::effects, public simulated_cluster::node_events {
 public:
  using rows = std::map<std::string, std::map<pid, std::uint32_t>>;

  scope(simulated_cluster& cluster, std::vector<std::unique_ptr<scope>>& all, number node)
      : cluster_(cluster), all_(all), node_(node) {
    start();
  }

  // --- what users do
  void join(const std::string& group, pid process) { change(group, process, 1); }
  void leave(const std::string& group, pid process) { change(group, process, -1); }
  void crash() {
    cluster_.set_server(node_, nullptr);
    cluster_.kill(node_, self_);
    for (auto& [group, rows] : table_)
      std::erase_if(rows, [](auto& row) { return !row.first.is_local(); });
    told_.clear();
    start();
  }

  const rows& table() const { return table_; }
  const pg_state& state() const { return *state_; }
  const rows& told() const { return told_; }
  std::size_t largest_packet() const { return largest_packet_; }

  // --- what the node tells
  void node_up(const std::string& node) override { state_->node_up(node); }
  void node_down(const std::string& node) override { state_->node_down(node); }
  void down(reference ref, bool lost) override { state_->down(ref, lost); }

  // --- what the state asks for
  void send(pid to, pg_packet packet) override {
    auto other = cluster_.home_of(node_, to);
    deliver(other, pid{to.id, 0}, std::move(packet));
  }
  void send_to_node(const std::string& node, pg_packet packet) override {
    deliver(cluster_.number_of(node), {}, std::move(packet));
  }
  reference monitor(pid process) override { return cluster_.monitor(node_, process); }
  void demonitor(reference ref) override { cluster_.demonitor(node_, ref); }
  void flush_soon() override {
    in_the_process([this] { state_->flush(); });
  }
  void changed(
      const std::string& group, const std::vector<pg_change>& changes,
      pg_state::store store) override {
    for (auto& [process, before, after] : changes) {
      if (store == pg_state::store::yes) set(table_, group, process, after);
      CHECK(told_[group][process] == before);
      set(told_, group, process, after);
    }
  }

 private:
  void start() {
    self_ = cluster_.start_process(node_);
    cluster_.set_server(node_, this);
    state_ = std::make_unique<pg_state>(self_, *this, pg_state::limits{3, 100, 2});
    for (auto& [group, rows] : table_)
      for (auto& [process, count] : rows) state_->set_local({group, {process}, {count}});
    for (auto& name : cluster_.connected(node_)) state_->node_up(name);
  }

  static void set(rows& rows, const std::string& group, pid process, std::uint32_t count) {
    rows[group][process] = count;
    if (count == 0) rows[group].erase(process);
    if (rows[group].empty()) rows.erase(group);
  }

  void change(const std::string& group, pid process, int by) {
    auto count = static_cast<int>(table_[group][process]) + by;
    if (count < 0) count = 0;
    set(table_, group, process, static_cast<std::uint32_t>(count));
    in_the_process([this, group, process, count] {
      state_->set_local({group, {process}, {static_cast<std::uint32_t>(count)}});
    });
  }

  void in_the_process(std::function<void()> run) {
    cluster_.send(node_, node_, [this, self = self_, run = std::move(run)] {
      if (self == self_) run();
    });
  }

  void deliver(number other, pid to, pg_packet packet) {
    count_members(packet);
    auto sent = [this, other, to, packet = std::move(packet)] {
      auto& receiver = *all_[other];
      if (to && to != receiver.self_) return;
      receiver.state_->receive(cluster_.name(node_), translated(packet, other));
    };
    cluster_.send(node_, other, std::move(sent));
  }

  void count_members(const pg_packet& packet) {
    std::size_t count = 0;
    for (auto& rows : packet.groups) count += rows.processes.size();
    largest_packet_ = std::max(largest_packet_, count);
  }

  pg_packet translated(pg_packet packet, number to) const {
    packet.scope = cluster_.translated(packet.scope, node_, to);
    for (auto& rows : packet.groups)
      for (auto& process : rows.processes) process = cluster_.translated(process, node_, to);
    return packet;
  }

  simulated_cluster& cluster_;
  std::vector<std::unique_ptr<scope>>& all_;
  number node_;
  pid self_;
  rows table_;
  rows told_;
  std::size_t largest_packet_ = 0;
  std::unique_ptr<pg_state> state_;
};

struct cluster_of_scopes {
  cluster_of_scopes(number count, unsigned seed) : cluster(count, seed), processes(count) {
    for (number i = 0; i < count; ++i) scopes.push_back(nullptr);
    for (number i = 0; i < count; ++i) {
      scopes[i] = std::make_unique<scope>(cluster, scopes, i);
      for (int k = 0; k < 4; ++k) processes[i].push_back(cluster.start_process(i));
    }
  }

  void random_operation() {
    auto node = cluster.random(cluster.size());
    auto other = cluster.random(cluster.size());
    auto& process = processes[node][cluster.random(4)];
    auto group = "g" + std::to_string(cluster.random(5));
    switch (cluster.random(12)) {
      case 0:
        cluster.kill(node, process);
        process = cluster.start_process(node);
        break;
      case 1:
      case 2:
        cluster.connect(node, other);
        break;
      case 3:
        cluster.disconnect(node, other);
        break;
      case 4:
        if (cluster.random(4) == 0) scopes[node]->crash();
        break;
      case 5:
      case 6:
      case 7:
        scopes[node]->leave(group, process);
        break;
      default:
        scopes[node]->join(group, process);
    }
  }

  /// What the node has to see: its own members and those of the nodes that it is connected to.
  scope::rows expected(number node) const {
    scope::rows all;
    for (number other = 0; other < cluster.size(); ++other) {
      if (other != node && !cluster.is_connected(node, other)) continue;
      for (auto& [group, rows] : scopes[other]->table())
        for (auto& [process, count] : rows)
          if (process.is_local()) {
            CHECK(cluster.is_alive(other, process));
            all[group][cluster.translated(process, other, node)] = count;
          }
    }
    return all;
  }

  void check() {
    for (number node = 0; node < cluster.size(); ++node) {
      CAPTURE(node);
      auto wanted = expected(node);
      CHECK(without_empty(scopes[node]->table()) == wanted);
      CHECK(without_empty(scopes[node]->told()) == wanted);
      auto groups = scopes[node]->state().groups();
      CHECK(groups.size() == wanted.size());
      for (auto& [group, rows] : wanted) {
        std::vector<pid> all;
        for (auto& [process, count] : rows) all.insert(all.end(), count, process);
        std::sort(groups[group].begin(), groups[group].end());
        CHECK(groups[group] == all);
      }
    }
  }

  static scope::rows without_empty(scope::rows rows) {
    for (auto& [group, members] : rows)
      std::erase_if(members, [](auto& row) { return row.second == 0; });
    std::erase_if(rows, [](auto& group) { return group.second.empty(); });
    return rows;
  }

  simulated_cluster cluster;
  std::vector<std::unique_ptr<scope>> scopes;
  std::vector<std::vector<pid>> processes;
};

}  // namespace

TEST_CASE("groups are equal wherever nodes are connected, whatever has happened before") {
  for (unsigned seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    cluster_of_scopes all(2 + seed % 4, seed);
    for (int round = 0; round < 4; ++round) {
      for (int i = 0; i < 60; ++i) {
        all.random_operation();
        for (auto steps = all.cluster.random(8); steps-- != 0;) all.cluster.step();
      }
      all.cluster.run();
      all.check();
    }
    for (auto& scope : all.scopes) CHECK(scope->largest_packet() <= 3);
  }
}

TEST_CASE("a member that leaves while a node is being told of all is gone there too") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    cluster_of_scopes all(2, seed);
    auto& one = all.scopes[0];
    auto& other = all.scopes[1];
    std::vector<pid> many;
    for (int i = 0; i < 40; ++i) {
      many.push_back(all.cluster.start_process(0));
      one->join("many", many.back());
    }
    all.cluster.run();
    all.cluster.connect(0, 1);
    for (auto process : many) {
      all.cluster.step();
      if (all.cluster.random(2) == 0)
        one->leave("many", process);
      else
        one->join("many", process);
    }
    all.cluster.run();
    all.check();
    CHECK(other->told().size() == 1);
  }
}

TEST_CASE("a node speaks for its own processes only") {
  cluster_of_scopes all(3, 1);
  all.cluster.connect(0, 1);
  all.cluster.run();
  // A node that claims a process of a third one, nobody, and a name.
  all.scopes[1]->join("g", pid{7, 3});
  all.scopes[1]->join("g", pid{});
  all.scopes[1]->join("g", pid{std::uint64_t{1} << 63, 0});
  all.scopes[1]->join("g", all.processes[1][0]);
  all.cluster.run();
  CHECK(all.scopes[0]->state().members("g") == std::vector<pid>{{all.processes[1][0].id, 2}});
}
