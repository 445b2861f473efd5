#include "runtime/discovery/cluster.hpp"
#include "runtime/blocking.hpp"
#include "runtime/discovery/reconciler.hpp"
#include "runtime/logger.hpp"
#include "runtime/telemetry.hpp"

namespace roost::discovery {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds beat{250};  // how often missing nodes are looked for

const telemetry::event connect_ok{"libcluster.connect_node.ok"};
const telemetry::event connect_error{"libcluster.connect_node.error"};
const telemetry::event disconnect_ok{"libcluster.disconnect_node.ok"};
const telemetry::event disconnect_error{"libcluster.disconnect_node.error"};
const telemetry::event alarm_set{"roost.alarm.set"};
const telemetry::event alarm_clear{"roost.alarm.clear"};

struct cluster {
  struct tick {};
  using messages = roost::messages<>;
  using infos = roost::messages<tick>;

  topology place;
  cluster_options options;
  reconciler nodes;
  bool looking = false;
  clock::time_point next_look = {};
  std::string last_error = {};
  clock::time_point alone_since = clock::now();
  bool alarmed = false;

  static init_result<cluster> init(topology topology, cluster_options options) {
    roost::send(roost::self(), tick{});
    return cluster{std::move(topology), options, reconciler(node::self())};
  }

  void handle_info(tick) {
    look();
    auto there = node::list(node::which::connected);
    for (auto& name : nodes.due({there.begin(), there.end()}, clock::now())) connect(name);
    watch_emptiness(there.empty());
    roost::send_after(beat, roost::self(), tick{});
  }

 private:
  /// A look may block, so it happens elsewhere; what it finds comes back here.
  void look() {
    if (looking || clock::now() < next_look) return;
    looking = true;
    blocking([how = place.how] { return how->look(); })
        .then(
            [this](const std::vector<std::string>& names) {
              last_error.clear();
              found(names);
            },
            [this](const exit_reason& reason) { failed(std::string(reason.what())); });
  }

  void looked() {
    looking = false;
    auto interval = place.how->interval();
    next_look = interval.count() < 0 ? clock::time_point::max() : clock::now() + interval;
  }

  void found(const std::vector<std::string>& names) {
    looked();
    for (auto& gone : nodes.want(names))
      if (place.disconnect_vanished) disconnect(gone);
  }

  /// The last good answer stays. Each error is told once.
  void failed(const std::string& error) {
    looked();
    if (next_look == clock::time_point::max()) next_look = clock::now() + milliseconds(5000);
    if (error == std::exchange(last_error, error)) return;
    logger::warning(
        "nodes cannot be looked for",
        {{"topology", place.name}, {"strategy", place.how->name()}, {"reason", error}});
  }

  void connect(const std::string& name) {
    auto start = clock::now();
    node::connect(name).then(
        [this, name, start](node::connect_result result) {
          bool ok = result == node::connect_result::connected;
          telemetry::execute(
              ok ? connect_ok : connect_error, {{"duration", clock::now() - start}},
              {{"node", name}, {"topology", place.name}, {"reason", ok ? "" : "unreachable"}});
          ok ? nodes.connected(name) : nodes.failed(name, clock::now());
        },
        [this, name](const exit_reason&) { nodes.failed(name, clock::now()); });
  }

  void disconnect(const std::string& name) {
    auto start = clock::now();
    node::disconnect(name).then(
        [this, name, start](bool was_connected) {
          telemetry::execute(
              was_connected ? disconnect_ok : disconnect_error,
              {{"duration", clock::now() - start}},
              {{"node", name},
               {"topology", place.name},
               {"reason", was_connected ? "" : "already_disconnected"}});
        },
        [](const exit_reason&) {});
  }

  void watch_emptiness(bool empty) {
    if (!empty) {
      alone_since = clock::now();
      if (std::exchange(alarmed, false))
        telemetry::execute(alarm_clear, {{"count", 1}}, {{"alarm", "cluster_empty"}});
      return;
    }
    if (alarmed || options.alarm_after.count() == 0 ||
        clock::now() - alone_since < options.alarm_after)
      return;
    alarmed = true;
    logger::warning("no other node is connected", {{"topology", place.name}});
    telemetry::execute(alarm_set, {{"count", 1}}, {{"alarm", "cluster_empty"}});
  }
};

}  // namespace

pid start(topology topology, cluster_options options) {
  auto name = "cluster." + topology.name;
  return roost::start<cluster>({.name = name}, std::move(topology), options).process();
}

}  // namespace roost::discovery
