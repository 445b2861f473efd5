// The processes of the adapters that use links: see link_adapter.hpp.
#include "channels/link_adapter.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/pg.hpp"
#include "runtime/process_info.hpp"
#include "runtime/process_run.hpp"
#include <set>

namespace roost::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view takers = "takers";
constexpr std::string_view leaders = "leaders";
constexpr auto retry_after = 100ms;

// --- what leaders say to each other --------------------------------------------------------------

struct interest_request {
  static constexpr std::string_view wire_name = "roost.pub_sub.interest_request";
  pid from;
};
struct interest_told {
  static constexpr std::string_view wire_name = "roost.pub_sub.interest_told";
  pid from;
  interest_snapshot snapshot;
};
struct interest_changed {
  static constexpr std::string_view wire_name = "roost.pub_sub.interest_changed";
  pid from;
  interest_delta delta;
};
/// Neither waits for a node nor connects to it.
template <class M>
bool try_send(pid to, M message) {
  try {
    return send(to, std::move(message), {.nosuspend = true, .noconnect = true}) == send_status::ok;
  } catch (const busy&) {
    return false;
  }
}

// --- a taker -------------------------------------------------------------------------------------

struct link_taker {
  using messages = roost::messages<>;
  using infos = roost::messages<remote_broadcast>;

  std::shared_ptr<link_table> table;

  static init_result<link_taker> init(std::shared_ptr<link_table> table, std::string scope) {
    pg::join(scope, takers, self());
    return link_taker{std::move(table)};
  }
  void handle_info(const remote_broadcast& message) { table->deliver(message); }
};

std::string leader_name(const std::string& scope) { return scope + ".leader"; }

// --- the leader ----------------------------------------------------------------------------------

class link_leader {
 public:
  struct begin {};
  struct again {};
  /// From another leader: answered once this node sends it what it subscribes to.
  struct sync {
    static constexpr std::string_view wire_name = "roost.pub_sub.sync";
    using reply = bool;
    pid leader;
  };
  using messages = roost::messages<sync>;
  using infos = roost::messages<
      begin, again, pass_on, pg::joined, pg::left, interest_request, interest_told,
      interest_changed>;

  link_leader(std::shared_ptr<link_table> table, std::string scope)
      : table_(std::move(table)), scope_(std::move(scope)) {}

  static init_result<link_leader> init(std::shared_ptr<link_table> table, std::string scope) {
    table->set_leader(self());
    pg::join(scope, leaders, self());
    send(self(), begin{});
    return link_leader{std::move(table), std::move(scope)};
  }

  void handle_info(begin) {
    // A node that takes slowly must not keep the others waiting.
    set_async_dist(true);
    take_name();
    pg::monitor_scope(scope_).then([this](const pg::scope_monitor& scope) {
      for (auto& [group, members] : scope.groups) came(group, members);
    });
  }

  // Who there is.
  void handle_info(const pg::joined& change) { came(change.group, change.processes); }
  void handle_info(const pg::left& change) {
    if (change.group == takers) table_->remove_takers(change.processes);
    if (change.group != leaders) return;
    for (auto process : change.processes) {
      leaders_.erase(process);
      if (!process.is_local()) table_->forget_interest(node_of(process));
    }
  }

  // What others subscribe to.
  void handle_info(const interest_told& told) { table_->told(node_of(told.from), told.snapshot); }
  void handle_info(const interest_changed& told) {
    // Something got lost, which only a mistake can do: the whole sets it right.
    if (!table_->told(node_of(told.from), told.delta)) ask(told.from);
  }
  call_result<bool> handle_call(const sync& request, from<bool> caller) {
    if (knows(request.leader)) return true;
    strangers_.push_back({request.leader, caller});
    return noreply();
  }

  // What others are told.
  void handle_info(const interest_request& request) {
    if (!table_->by_interest()) return;
    auto [entry, is_new] = listeners_.try_emplace(request.from);
    if (is_new) entry->second.monitor = monitor(request.from);
    tell_all(request.from, entry->second);
  }
  void handle_info(const down& down) {
    auto found = listeners_.find(down.process);
    if (found == listeners_.end() || found->second.monitor != down.ref) return;
    listeners_.erase(found);
  }
  void handle_info(pass_on) {
    auto waiting = table_->take_waiting();
    tell_changes(table_->take_own_changes());
    for (auto& done : waiting) syncs_.push_back(std::move(done));
    begin_syncs();
  }
  void handle_info(again) {
    timer_runs_ = false;
    take_name();
    for (auto& [leader, listener] : listeners_)
      if (listener.lags) tell_all(leader, listener);
    begin_syncs();
  }

 private:
  struct listener {
    reference monitor;
    bool lags = false;  // its node was too slow for the latest change: it needs the whole
  };
  /// A leader that this node does not know yet, and who waits for that.
  struct stranger {
    pid leader;
    from<bool> caller;
  };

  bool knows(pid leader) const {
    return leaders_.contains(leader) && table_->has_takers(node_of(leader));
  }

  /// After a crash of the pub_sub its former leader may have it for a moment longer.
  void take_name() {
    auto name = leader_name(scope_);
    if (whereis(name) == self()) return;
    try {
      register_name(name, self());
    } catch (const std::invalid_argument&) {
      retry();
    }
  }

  void came(const std::string& group, const std::vector<pid>& processes) {
    if (group == takers) table_->add_takers(processes);
    if (group == leaders)
      for (auto process : processes) {
        leaders_.insert(process);
        if (!process.is_local() && table_->by_interest()) ask(process);
      }
    std::erase_if(strangers_, [this](const stranger& one) {
      bool known = knows(one.leader);
      if (known) one.caller.reply(true);
      return known;
    });
  }

  static void ask(pid leader) { send(leader, interest_request{self()}, {.noconnect = true}); }

  void tell_all(pid to, listener& listener) {
    listener.lags = !try_send(to, interest_told{self(), table_->own_snapshot()});
    if (listener.lags) retry();
  }

  void tell_changes(const std::optional<interest_delta>& delta) {
    if (delta && delta->set.empty() && delta->cleared.empty()) return;
    for (auto& [leader, listener] : listeners_) {
      if (listener.lags) continue;
      if (!delta) {
        tell_all(leader, listener);
      } else if (!try_send(leader, interest_changed{self(), *delta})) {
        listener.lags = true;
        retry();
      }
    }
  }

  /// Asks all connected nodes; those that have no such pub_sub, or are lost, need not answer. What
  /// they were told before comes before the question.
  void begin_syncs() {
    for (auto& [leader, listener] : listeners_)
      if (listener.lags) return;  // until it does not: see again
    for (auto& done : std::exchange(syncs_, {})) {
      auto missing = std::make_shared<std::size_t>(1);
      auto settle = [missing, done = std::move(done)] {
        if (--*missing == 0) done();
      };
      for (auto& node : node::list()) {
        ++*missing;
        call(server<link_leader>(leader_name(scope_), node), sync{self()}, infinity)
            .then([settle](bool) { settle(); }, [settle](const exit_reason&) { settle(); });
      }
      settle();
    }
  }

  void retry() {
    if (!std::exchange(timer_runs_, true)) send_after(retry_after, self(), again{});
  }

  std::shared_ptr<link_table> table_;
  std::string scope_;
  std::map<pid, listener> listeners_;  // leaders of other nodes
  std::set<pid> leaders_;              // this node's too
  std::vector<stranger> strangers_;
  std::vector<std::function<void()>> syncs_;  // to begin
  bool timer_runs_ = false;
};

/// It stays when the pub_sub crashes, so that a restart does not have to wait for its end. Nobody
/// is its parent: the runtime ends it.
void start_scope(const std::string& scope) {
  as_process nobody{nullptr};
  try {
    pg::start_link(scope);
  } catch (const start_error& error) {
    if (!error.already_started()) throw;
  }
}

}  // namespace

void start_link_processes(const std::shared_ptr<link_table>& table, pub_sub_local& local) {
  // A world of groups of its own, so that nodes without this pub_sub have nothing to do with it.
  auto scope = "pub_sub." + local.name();
  start_scope(scope);
  for (std::uint32_t i = 0; i < local.pool_size(); ++i) start_link<link_taker>(table, scope);
  start_link<link_leader>(table, scope);
}

}  // namespace roost::detail
