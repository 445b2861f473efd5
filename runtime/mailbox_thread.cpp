#include "runtime/mailbox_thread.hpp"

namespace roost::detail {

mailbox_thread::mailbox_thread() : home(&take_slot()), id{home->id.load(), 0} {
  home->thread = this;
  home->is_thread.store(true, std::memory_order_relaxed);
  if (!try_idle(*home)) notify();
}

mailbox_thread::~mailbox_thread() {
  home->id.store(0, std::memory_order_release);
  if (auto* nodes = remote.load())
    for (auto& [peer, serial] : ties_) nodes->untie(peer, id);
  auto* list = close(*home);
  while (list != nullptr) {
    message_ptr message{list};
    list = list->next;
    answer_for_the_dead(id, std::move(message), exit_reason::noproc);
  }
  // A sender that turned the claim on just before may still be on its way to notify.
  std::lock_guard guard{mutex_};
  free_slot(*home);
}

void mailbox_thread::asks(pid to, reference ref) {
  asked_ = {};
  auto* nodes = to.is_local() || to.node == caf_node ? nullptr : remote.load();
  if (nodes != nullptr) tie_with(*nodes, nodes->peer_of(to.node));
  asked_ = to;
  question_ = ref;
}

void mailbox_thread::tie_with(remote_nodes& nodes, std::uint32_t peer) {
  auto known = ties_.find(peer);
  if (known != ties_.end() && known->second == nodes.serial_of(peer)) return;
  auto serial = nodes.tie(peer, id, true);
  take_mail();  // the loss of the connection before comes first, and is no answer to the question
  if (serial != 0) ties_[peer] = serial;
}

void mailbox_thread::lost(const node_loss& loss) {
  auto tied = ties_.find(loss.peer);
  if (tied == ties_.end()) return;
  if (tied->second == loss.serial) ties_.erase(tied);
  auto* nodes = remote.load();
  if (nodes == nullptr || asked_.is_local() || nodes->peer_of(asked_.node) != loss.peer) return;
  auto notice =
      make_message<death_notice>(message_kind::no_reply, exit_reason(exit_reason::noconnection));
  notice->ref = question_;
  kept.push_back(std::move(notice));
}

mailbox_thread& mailbox_thread::current() {
  static thread_local mailbox_thread mailbox;
  return mailbox;
}

void mailbox_thread::notify() noexcept {
  std::lock_guard guard{mutex_};
  signalled_ = true;
  arrived_.notify_one();
}

void mailbox_thread::take_mail() {
  auto* list = fetch(*home);
  while (list != nullptr) {
    message_ptr message{std::exchange(list, list->next)};
    pid to{message->to, 0};
    if (to != id)
      answer_for_the_dead(to, std::move(message), exit_reason::noproc);
    else if (
        message->kind == message_kind::monitor || message->kind == message_kind::link ||
        message->kind == message_kind::unlink)
      answer_for_the_dead(id, std::move(message), exit_reason::noproc);
    else if (message->kind == message_kind::node_lost)
      lost(*value_of<node_loss>(*message));
    else if (!message->is_signal())
      kept.push_back(std::move(message));
  }
}

message_ptr mailbox_thread::wait(
    const std::function<bool(message&)>& fits,
    std::optional<std::chrono::steady_clock::time_point> deadline) {
  std::size_t looked_at = 0;
  for (;;) {
    take_mail();
    for (; looked_at < kept.size(); ++looked_at) {
      if (!fits(*kept[looked_at])) continue;
      auto found = std::move(kept[looked_at]);
      kept.erase(kept.begin() + static_cast<std::ptrdiff_t>(looked_at));
      return found;
    }
    if (!try_idle(*home)) continue;
    std::unique_lock guard{mutex_};
    auto ready = [this] { return signalled_; };
    if (!deadline)
      arrived_.wait(guard, ready);
    else
      arrived_.wait_until(guard, *deadline, ready);
    bool timed_out = !std::exchange(signalled_, false);
    guard.unlock();
    if (!timed_out) continue;
    // Take the claim back, as a sender would, so that the next sender does not believe us asleep.
    std::uint64_t idle = 0;
    if (home->intake.compare_exchange_strong(idle, slot::claimed, std::memory_order_acq_rel))
      return nullptr;
    // A sender has just claimed us and will notify: wait for it, then look a last time.
    guard.lock();
    arrived_.wait(guard, ready);
    signalled_ = false;
  }
}

}  // namespace roost::detail
