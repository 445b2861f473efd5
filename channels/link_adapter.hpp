// private: the adapters that send broadcasts over the links between nodes, process to process.
//
// On each node that has the pub_sub, some processes take what comes (pool_size of them), and one
// leads: it knows who there is on other nodes, from a scope of process groups of the pub_sub's own.
// A sender looks the other nodes up and sends to a process of each, always the same one, so that
// its messages keep their order.
//
// With interest: a node that learns of another one's leader asks it what its node subscribes to,
// and is then told the whole and after that what changes, gathered for a turn of the leader. Until
// it has been told, and whenever something is wrong with what it was told, it sends that node
// everything. A leader asks again after every loss of the connection, since the other one forgets
// whom it told.
#pragma once
#include "channels/interest_filter.hpp"
#include "channels/pub_sub_adapter.hpp"
#include "runtime/process.hpp"
#include <atomic>
#include <map>
#include <mutex>
#include <shared_mutex>

namespace roost::detail {

/// A broadcast on a link.
struct remote_broadcast {
  static constexpr std::string_view wire_name = "roost.pub_sub.broadcast";
  std::string topic;
  std::string event;
  roost::payload payload;
  std::string dispatcher;
};

/// To the leader: this node's interest has changed, or somebody waits until all know it.
struct pass_on {};

/// What the adapter shares with its processes, which may outlive it by a moment.
class link_table {
 public:
  link_table(pub_sub_local& local, bool by_interest) : by_interest_(by_interest), local_(&local) {}

  bool by_interest() const noexcept { return by_interest_; }
  void close();  // nothing is delivered any more

  // For senders.
  broadcast_result broadcast(const outgoing_broadcast& message);
  broadcast_result direct_broadcast(std::string_view node, const outgoing_broadcast& message);
  std::uint64_t sent() const noexcept { return sent_.load(std::memory_order_relaxed); }

  // For the processes.
  void deliver(const remote_broadcast& message);
  void add_takers(const std::vector<pid>& processes);
  void remove_takers(const std::vector<pid>& processes);
  bool has_takers(std::string_view node);
  // … and answer whether it was in order.
  bool told(const std::string& node, const interest_snapshot& snapshot);
  bool told(const std::string& node, const interest_delta& delta);
  void forget_interest(const std::string& node);

  // This node's own interest. The leader is told when there is something to pass on.
  void set_leader(pid leader);
  void subscribed(std::string_view topic, bool first);
  interest_snapshot own_snapshot();
  std::optional<interest_delta> take_own_changes();
  /// Called by the leader once everybody who is told has what there is now.
  void when_synced(std::function<void()> done);
  std::vector<std::function<void()>> take_waiting();

 private:
  struct peer {
    std::vector<pid> takers;  // in order
    others_interest interest;
  };
  bool send_to(const peer& peer, const outgoing_broadcast& message);

  const bool by_interest_;
  std::atomic<std::uint64_t> sent_{0};

  std::shared_mutex local_mutex_;
  pub_sub_local* local_;  // null once closed

  std::shared_mutex peers_mutex_;
  std::map<std::string, peer, std::less<>> peers_;  // by node

  std::mutex own_mutex_;
  pid leader_;
  bool leader_called_ = false;
  own_interest own_;
  std::vector<std::function<void()>> waiting_;
};

/// Starts the processes, linked to the calling one.
void start_link_processes(const std::shared_ptr<link_table>& table, pub_sub_local& local);

}  // namespace roost::detail
