#include "runtime/discovery/cluster.hpp"
#include "runtime/alarms.hpp"
#include "runtime/blocking.hpp"
#include "runtime/discovery/claims.hpp"
#include "runtime/discovery/reconciler.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include "runtime/telemetry.hpp"
#include <algorithm>
#include <mutex>
#include <set>

namespace roost::discovery {
namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

// How often the list of nodes is compared with what is wanted. A node that is lost is seen by then.
constexpr milliseconds check_interval{1000};
// After a look that failed, for a strategy that looks once otherwise.
constexpr milliseconds retry_interval{5000};
constexpr milliseconds shortest_interval{10};
// Strategies have deadlines of their own. One that does not come back is not asked again until
// then.
constexpr milliseconds look_limit{60'000};

const telemetry::event connect_ok{"libcluster.connect_node.ok"};
const telemetry::event connect_error{"libcluster.connect_node.error"};
const telemetry::event disconnect_ok{"libcluster.disconnect_node.ok"};
const telemetry::event disconnect_error{"libcluster.disconnect_node.error"};
const telemetry::event look_ok{"roost.discovery.look.ok"};
const telemetry::event look_error{"roost.discovery.look.error"};

std::string_view to_text(connect_result result) {
  return result == connect_result::not_part_of_network ? "not_part_of_network" : "unreachable";
}

std::string_view to_text(disconnect_result result) {
  return result == disconnect_result::not_part_of_network ? "not_part_of_network"
                                                          : "already_disconnected";
}

struct look_result {
  std::vector<std::string> nodes;
  std::string error;  // empty: none
};

/// The strategies that are looking. A look that is given up runs on, and so does the last one of a
/// server that has ended; a strategy is never asked by two threads at a time.
class looking {
 public:
  explicit looking(const strategy* how) : how_(how) {
    std::lock_guard guard{mutex()};
    is_mine_ = all().insert(how).second;
  }
  looking(const looking&) = delete;
  looking& operator=(const looking&) = delete;
  ~looking() {
    if (!is_mine_) return;
    std::lock_guard guard{mutex()};
    all().erase(how_);
  }
  bool alone() const { return is_mine_; }

 private:
  static std::mutex& mutex() {
    static auto& one = *new std::mutex;
    return one;
  }
  static std::set<const strategy*>& all() {
    static auto& one = *new std::set<const strategy*>;
    return one;
  }

  const strategy* how_;
  bool is_mine_;
};

look_result look(strategy& how) {
  looking mine(&how);
  if (!mine.alone()) return {{}, "expected the look before to have ended, got one that still runs"};
  try {
    return {how.look(), {}};
  } catch (const std::exception& error) {
    std::string text = error.what();
    return {{}, text.empty() ? "unknown" : std::move(text)};
  }
}

}  // namespace

class cluster::state {
 public:
  state(topology topology, hooks hooks)
      : topology_(std::move(topology)),
        hooks_(std::move(hooks)),
        process_(roost::self()),
        claim_(hooks_.self()),
        plan_({.disconnect_vanished = topology_.disconnect_vanished}, std::random_device{}()) {}

  void look_soon() {
    look_timer_.cancel();
    if (looking_) return;
    looking_ = true;
    // Continuations run in this process, so that the state is there when they do.
    blocking([how = topology_.how] { return look(*how); }, look_limit)
        .then(
            [this, begin = clock::now()](look_result result) { looked(std::move(result), begin); },
            [this, begin = clock::now()](const exit_reason& reason) {
              looked({{}, "expected an answer, got " + reason.to_string()}, begin);
            });
  }

  void decide() {
    auto list = hooks_.list();
    auto self = hooks_.self();
    auto now = clock::now();
    auto steps = plan_.decide(
        now, std::set<std::string>(list.begin(), list.end()),
        {.self = self,
         .wanted_elsewhere = [this](auto& node) { return claim_.others_want(node); }});
    for (auto& node : steps.disconnect) disconnect(node);
    for (auto& node : steps.connect) connect(node);
    auto wait = std::min<clock::duration>(steps.next - now, check_interval);
    decide_timer_.cancel();
    decide_timer_ = send_after(
        std::max(std::chrono::ceil<milliseconds>(wait), milliseconds(1)), process_, decide_due{});
  }

  void finished(const connect_done& done) {
    auto now = clock::now();
    if (done.result == connect_result::connected) {
      plan_.connected(done.node, now);
      reported_.erase(done.node);
      logger::info("connected", {{"node", done.node}, {"topology", topology_.name}});
      telemetry::execute(
          connect_ok, {{"duration", now - done.begin}},
          {{"node", done.node}, {"topology", topology_.name}});
    } else {
      plan_.failed(done.node, now);
      report(done);
      telemetry::execute(
          connect_error, {{"duration", now - done.begin}},
          {{"node", done.node}, {"topology", topology_.name}, {"reason", to_text(done.result)}});
    }
    decide();
  }

  void finished(const disconnect_done& done) {
    plan_.disconnected(done.node);
    auto duration = clock::now() - done.begin;
    if (done.result == disconnect_result::disconnected) {
      logger::info("disconnected", {{"node", done.node}, {"topology", topology_.name}});
      telemetry::execute(
          disconnect_ok, {{"duration", duration}},
          {{"node", done.node}, {"topology", topology_.name}});
    } else {
      logger::warning(
          "did not disconnect",
          {{"node", done.node}, {"topology", topology_.name}, {"reason", to_text(done.result)}});
      telemetry::execute(
          disconnect_error, {{"duration", duration}},
          {{"node", done.node}, {"topology", topology_.name}, {"reason", to_text(done.result)}});
    }
    decide();
  }

  topology_status status() const {
    topology_status result;
    result.topology = topology_.name;
    result.strategy = topology_.how->name();
    for (auto& [node, attempt] : plan_.wanted())
      result.nodes.push_back({node, attempt.connected, attempt.failures});
    result.looks = looks_;
    result.failed_looks = failed_looks_;
    result.error = error_;
    return result;
  }

 private:
  void looked(look_result result, clock::time_point begin) {
    looking_ = false;
    ++looks_;
    auto duration = clock::now() - begin;
    bool failed = !result.error.empty();
    if (failed)
      keep_last(std::move(result.error), duration);
    else
      take(std::move(result.nodes), duration);
    look_again(failed);
    decide();
  }

  void look_again(bool failed) {
    auto wait = topology_.how->interval();
    if (wait < milliseconds(0) && !failed) return;
    if (wait < milliseconds(0)) wait = retry_interval;
    look_timer_ = send_after(std::max(wait, shortest_interval), process_, look_due{});
  }

  void keep_last(std::string error, clock::duration duration) {
    ++failed_looks_;
    if (error != error_)
      logger::warning(
          "expected to learn the nodes of the cluster, got an error",
          {{"topology", topology_.name}, {"strategy", topology_.how->name()}, {"error", error}});
    error_ = std::move(error);
    telemetry::execute(
        look_error, {{"duration", duration}, {"failures", failed_looks_}},
        {{"topology", topology_.name}, {"strategy", topology_.how->name()}, {"reason", error_}});
  }

  void take(std::vector<std::string> nodes, clock::duration duration) {
    if (!error_.empty())
      logger::notice(
          "learned the nodes of the cluster again",
          {{"topology", topology_.name}, {"strategy", topology_.how->name()}});
    error_.clear();
    drop_what_is_no_name(nodes);
    std::set<std::string> wanted(nodes.begin(), nodes.end());
    std::erase_if(reported_, [&](auto& each) { return !wanted.contains(each.first); });
    plan_.want(nodes);
    claim_.set(std::move(wanted));
    telemetry::execute(
        look_ok, {{"duration", duration}, {"count", nodes.size()}},
        {{"topology", topology_.name}, {"strategy", topology_.how->name()}});
  }

  void drop_what_is_no_name(std::vector<std::string>& nodes) {
    auto names_end = std::stable_partition(nodes.begin(), nodes.end(), detail::is_node_name);
    auto odd = names_end == nodes.end() ? std::string() : *names_end;
    nodes.erase(names_end, nodes.end());
    if (!odd.empty() && odd != odd_name_)
      logger::warning(
          "expected names of nodes to be name@host; one that is not is left out",
          {{"topology", topology_.name}, {"name", odd.substr(0, 255)}});
    odd_name_ = std::move(odd);
  }

  void connect(const std::string& node) {
    auto done = [to = process_, node, begin = clock::now()](connect_result result) {
      send(to, connect_done{node, result, begin});
    };
    try {
      hooks_.connect(node, done);
    } catch (const std::exception&) {
      done(connect_result::unreachable);
    }
  }

  void disconnect(const std::string& node) {
    auto done = [to = process_, node, begin = clock::now()](disconnect_result result) {
      send(to, disconnect_done{node, result, begin});
    };
    try {
      hooks_.disconnect(node, done);
    } catch (const std::exception&) {
      done(disconnect_result::already_disconnected);
    }
  }

  /// Once for each node and reason: a node that stays away is tried for ever.
  void report(const connect_done& done) {
    auto [at, is_new] = reported_.try_emplace(done.node, done.result);
    if (!is_new && at->second == done.result) return;
    at->second = done.result;
    logger::warning(
        "did not connect; trying again",
        {{"node", done.node}, {"topology", topology_.name}, {"reason", to_text(done.result)}});
  }

  topology topology_;
  hooks hooks_;
  pid process_;
  node_claim claim_;
  reconciler plan_;
  std::map<std::string, connect_result> reported_;
  std::string odd_name_;
  std::string error_;
  std::uint64_t looks_ = 0;
  std::uint64_t failed_looks_ = 0;
  bool looking_ = false;
  timer look_timer_;
  timer decide_timer_;
};

// --- the server ----------------------------------------------------------------------------------

cluster::cluster(std::unique_ptr<state> state) noexcept : state_(std::move(state)) {}
cluster::cluster(cluster&&) noexcept = default;
cluster& cluster::operator=(cluster&&) noexcept = default;
cluster::~cluster() = default;

init_result<cluster> cluster::init(topology topology, hooks hooks) {
  cluster result{std::make_unique<state>(std::move(topology), std::move(hooks))};
  result.state_->look_soon();
  return result;
}

topology_status cluster::handle_call(get_status) const { return state_->status(); }
void cluster::handle_cast(look_now) { state_->look_soon(); }
void cluster::handle_info(look_due) { state_->look_soon(); }
void cluster::handle_info(decide_due) { state_->decide(); }
void cluster::handle_info(const connect_done& done) { state_->finished(done); }
void cluster::handle_info(const disconnect_done& done) { state_->finished(done); }

std::string cluster::format_status() const {
  auto status = state_->status();
  return status.topology + " (" + status.strategy + "), " + std::to_string(status.nodes.size()) +
         " nodes wanted, " + std::to_string(status.failed_looks) + " of " +
         std::to_string(status.looks) + " looks failed";
}

server<cluster> start_link(topology topology, hooks hooks) {
  if (topology.how == nullptr)
    throw std::invalid_argument(
        "expected topology " + topology.name + " to have a strategy, got none");
  return roost::start_link<cluster>(std::move(topology), std::move(hooks));
}

// --- the watch -----------------------------------------------------------------------------------

namespace {
constexpr std::string_view empty_alarm = "cluster_empty";
}

watch::watch(milliseconds alarm_after, std::function<std::vector<std::string>()> list)
    : alarm_after_(alarm_after), list_(std::move(list)), company_(clock::now()) {}

init_result<watch> watch::init(
    milliseconds alarm_after, std::function<std::vector<std::string>()> list) {
  send(roost::self(), check_due{});
  return watch(alarm_after, std::move(list));
}

void watch::handle_info(check_due) {
  auto now = clock::now();
  if (!list_().empty()) {
    company_ = now;
    clear_alarm(empty_alarm);
  } else if (now - company_ >= alarm_after_) {
    auto seconds = std::chrono::duration_cast<std::chrono::seconds>(alarm_after_).count();
    set_alarm(
        empty_alarm, "no other node has been connected for " + std::to_string(seconds) + " s");
  }
  auto wait = std::clamp(alarm_after_ / 4, shortest_interval, check_interval);
  send_after(wait, roost::self(), check_due{});
}

/// Nobody else would clear it.
void watch::terminate(const exit_reason&) { clear_alarm(empty_alarm); }

server<watch> start_watch(milliseconds alarm_after, hooks hooks) {
  if (alarm_after <= milliseconds(0) || alarm_after == milliseconds::max()) return {};
  return roost::start_link<watch>(alarm_after, std::move(hooks.list));
}

}  // namespace roost::discovery
