#include "runtime/remote.hpp"
#include "runtime/process_run.hpp"

namespace roost::detail {

bool tie(process& process, pid other, bool connect) {
  auto* nodes = remote.load(std::memory_order_acquire);
  if (nodes == nullptr || other.node == caf_node) return false;
  auto peer = nodes->peer_of(other.node);
  auto* known = process.extra ? process.extra->ties.find(peer) : nullptr;
  if (known != nullptr && *known == nodes->serial_of(peer)) return true;
  // A signal of the connection before, whose loss comes behind it.
  if (known != nullptr && !connect) return false;
  auto serial = nodes->tie(peer, process.self(), connect);
  // The loss of the connection before waits in the intake: it comes first.
  if (known != nullptr) sort_intake(process);
  if (serial == 0) return false;
  process.more().ties.insert(peer, serial);
  return true;
}

reference monitor_connected(pid other) {
  auto& me = *current_process();
  if (other.is_local() || tie(me, other, false)) return monitor(other);
  auto ref = make_ref();
  me.more().monitors.insert(ref, other);
  auto notice =
      make_message<down>(message_kind::down, ref, other, exit_reason(exit_reason::noconnection));
  notice->ref = ref;
  notice->from = other;
  enqueue(me.self(), std::move(notice));
  return ref;
}

namespace {

/// The keys whose value (or the key itself) is a process of the lost node.
template <class Key, class Map, class F>
std::vector<Key> lost_keys(const Map& map, F is_lost) {
  std::vector<Key> keys;
  map.for_each([&](const Key& key, const auto& value) {
    if (is_lost(key, value)) keys.push_back(key);
  });
  return keys;
}

void lose_links(process& process, const std::function<bool(pid)>& is_lost) {
  std::vector<pid> lost;
  process.links.for_each([&](pid other) {
    if (is_lost(other)) lost.push_back(other);
  });
  for (auto other : lost) {
    auto signal = make_message<exit_signal>(message_kind::exit, exit_reason::noconnection, true);
    signal->from = other;
    on_exit_signal(process, std::move(signal));
  }
}

void lose_monitors(process& process, const std::function<bool(pid)>& is_lost) {
  auto& monitors = process.extra->monitors;
  for (auto ref : lost_keys<reference>(monitors, [&](reference, pid to) { return is_lost(to); })) {
    auto watched = *monitors.take(ref);
    auto notice = make_message<down>(
        message_kind::down, ref, watched, exit_reason(exit_reason::noconnection));
    notice->ref = ref;
    notice->from = watched;
    append(process, notice.release());
  }
}

void lose_requests(process& process, const std::function<bool(pid)>& is_lost) {
  auto lost = lost_keys<reference>(
      process.extra->requests,
      [&](reference, const open_request& request) { return is_lost(request.server); });
  for (auto ref : lost) {
    auto notice =
        make_message<death_notice>(message_kind::no_reply, exit_reason(exit_reason::noconnection));
    notice->ref = ref;
    append(process, notice.release());
  }
}

template <class Map>
void forget(Map& map, const std::function<bool(pid)>& is_lost) {
  for (auto ref : lost_keys<reference>(map, [&](reference, pid other) { return is_lost(other); }))
    map.erase(ref);
}

}  // namespace

void let_go(process& process, const node_loss& loss) {
  auto* nodes = remote.load(std::memory_order_acquire);
  if (!process.extra || nodes == nullptr) return;
  auto* serial = process.extra->ties.find(loss.peer);
  if (serial != nullptr && *serial == loss.serial) process.extra->ties.erase(loss.peer);
  auto is_lost = [&](pid other) {
    return other && !other.is_local() && other.node != caf_node &&
           nodes->peer_of(other.node) == loss.peer;
  };
  forget(process.extra->monitored_by, is_lost);
  forget(process.extra->open_calls, is_lost);
  for (auto other : lost_keys<pid>(
           process.extra->unlinking, [&](pid other, reference) { return is_lost(other); }))
    process.extra->unlinking.erase(other);
  lose_monitors(process, is_lost);
  lose_requests(process, is_lost);
  lose_links(process, is_lost);  // last: it may end the process
}

void untie_all(process_extra& extra, pid process) noexcept {
  auto* nodes = remote.load(std::memory_order_acquire);
  if (nodes == nullptr) return;
  extra.ties.for_each([&](std::uint32_t peer, std::uint64_t) { nodes->untie(peer, process); });
}

}  // namespace roost::detail
