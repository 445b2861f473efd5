#include "channels/link_adapter.hpp"
#include "runtime/distribution/node.hpp"
#include <algorithm>

namespace roost {
namespace detail {

// --- sending -------------------------------------------------------------------------------------

bool link_table::send_to(const peer& peer, const outgoing_broadcast& message) {
  if (peer.takers.empty()) return true;
  auto to = peer.takers[std::hash<pid>{}(self()) % peer.takers.size()];
  try {
    auto status = send(
        to,
        remote_broadcast{
            std::string(message.topic), std::string(message.event), message.payload,
            std::string(message.dispatcher)},
        {.noconnect = true});
    if (status != send_status::ok) return false;
    sent_.fetch_add(1, std::memory_order_relaxed);
    return true;
  } catch (const busy&) {
    return false;
  }
}

broadcast_result link_table::broadcast(const outgoing_broadcast& message) {
  auto hash = by_interest_ ? interest_hash(message.topic) : 0;
  bool all = true;
  std::shared_lock guard{peers_mutex_};
  for (auto& [node, peer] : peers_)
    if (!by_interest_ || peer.interest.may_want(hash)) all = send_to(peer, message) && all;
  return all ? broadcast_result::ok : broadcast_result::unreachable;
}

broadcast_result link_table::direct_broadcast(
    std::string_view node, const outgoing_broadcast& message) {
  std::shared_lock guard{peers_mutex_};
  auto found = peers_.find(node);
  bool sent =
      found != peers_.end() && !found->second.takers.empty() && send_to(found->second, message);
  return sent ? broadcast_result::ok : broadcast_result::unreachable;
}

void link_table::deliver(const remote_broadcast& message) {
  std::shared_lock guard{local_mutex_};
  if (local_ != nullptr)
    local_->deliver({message.topic, message.event, message.payload, message.dispatcher});
}

void link_table::close() {
  std::lock_guard guard{local_mutex_};
  local_ = nullptr;
}

// --- who there is --------------------------------------------------------------------------------

void link_table::add_takers(const std::vector<pid>& processes) {
  std::lock_guard guard{peers_mutex_};
  for (auto process : processes) {
    if (process.is_local()) continue;
    auto& takers = peers_[node_of(process)].takers;
    takers.insert(std::lower_bound(takers.begin(), takers.end(), process), process);
  }
}

bool link_table::has_takers(std::string_view node) {
  std::shared_lock guard{peers_mutex_};
  auto found = peers_.find(node);
  return found != peers_.end() && !found->second.takers.empty();
}

void link_table::remove_takers(const std::vector<pid>& processes) {
  std::lock_guard guard{peers_mutex_};
  for (auto process : processes) {
    auto found = peers_.find(node_of(process));
    if (found == peers_.end()) continue;
    std::erase(found->second.takers, process);
    if (found->second.takers.empty()) peers_.erase(found);
  }
}

bool link_table::told(const std::string& node, const interest_snapshot& snapshot) {
  std::lock_guard guard{peers_mutex_};
  return peers_[node].interest.assign(snapshot);
}

bool link_table::told(const std::string& node, const interest_delta& delta) {
  std::lock_guard guard{peers_mutex_};
  return peers_[node].interest.apply(delta);
}

void link_table::forget_interest(const std::string& node) {
  std::lock_guard guard{peers_mutex_};
  auto found = peers_.find(node);
  if (found == peers_.end()) return;
  found->second.interest.forget();
  if (found->second.takers.empty()) peers_.erase(found);
}

// --- own interest --------------------------------------------------------------------------------

void link_table::set_leader(pid leader) {
  std::lock_guard guard{own_mutex_};
  leader_ = leader;
  leader_called_ = false;
}

void link_table::subscribed(std::string_view topic, bool first) {
  std::lock_guard guard{own_mutex_};
  first ? own_.add(topic) : own_.remove(topic);
  if (!leader_ || leader_called_ || !own_.has_changes()) return;
  leader_called_ = true;
  send(leader_, pass_on{});
}

interest_snapshot link_table::own_snapshot() {
  std::lock_guard guard{own_mutex_};
  return own_.snapshot();
}

std::optional<interest_delta> link_table::take_own_changes() {
  std::lock_guard guard{own_mutex_};
  leader_called_ = false;
  return own_.take_changes();
}

void link_table::when_synced(std::function<void()> done) {
  std::unique_lock guard{own_mutex_};
  if (!leader_) {
    guard.unlock();
    return done();
  }
  waiting_.push_back(std::move(done));
  send(leader_, pass_on{});
}

std::vector<std::function<void()>> link_table::take_waiting() {
  std::lock_guard guard{own_mutex_};
  return std::exchange(waiting_, {});
}

}  // namespace detail

// --- the adapters --------------------------------------------------------------------------------

namespace {

class link_adapter final : public pub_sub_adapter {
 public:
  explicit link_adapter(bool by_interest) : by_interest_(by_interest) {}

  void start(pub_sub_local& local) override {
    table_ = std::make_shared<detail::link_table>(local, by_interest_);
    detail::start_link_processes(table_, local);
  }
  void stop() noexcept override {
    if (table_) table_->close();
  }
  std::string node_name() const override { return node::self(); }

  broadcast_result broadcast(const outgoing_broadcast& message) override {
    return table_->broadcast(message);
  }
  broadcast_result direct_broadcast(
      std::string_view node, const outgoing_broadcast& message) override {
    return table_->direct_broadcast(node, message);
  }
  std::uint64_t sent() const noexcept override { return table_ ? table_->sent() : 0; }

  void subscribed(std::string_view topic) override {
    if (by_interest_) table_->subscribed(topic, true);
  }
  void unsubscribed(std::string_view topic) override {
    if (by_interest_) table_->subscribed(topic, false);
  }
  void when_synced(std::function<void()> done) override { table_->when_synced(std::move(done)); }

 private:
  bool by_interest_;
  std::shared_ptr<detail::link_table> table_;
};

}  // namespace

pub_sub_adapter_spec pg_adapter() {
  return {"pg", [] { return std::make_unique<link_adapter>(false); }};
}

pub_sub_adapter_spec interest_adapter() {
  return {"interest", [] { return std::make_unique<link_adapter>(true); }};
}

}  // namespace roost
