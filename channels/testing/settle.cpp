#include "channels/testing/settle.hpp"
#include <algorithm>

namespace roost::detail {

using testing::expectation_failed;

namespace {

std::mutex inboxes_mutex;
std::vector<std::weak_ptr<test_inbox>>& inboxes() {
  static auto& all = *new std::vector<std::weak_ptr<test_inbox>>;
  return all;
}

struct processes { std::vector<pid> sockets, channels, witnesses; };

processes tested_processes() {
  processes all;
  std::lock_guard guard{inboxes_mutex};
  for (auto& weak : inboxes()) {
    auto inbox = weak.lock();
    if (!inbox) continue;
    std::lock_guard inner{inbox->mutex};
    if (!inbox->socket_ended) all.sockets.push_back(inbox->socket);
    for (auto& join : inbox->joins)
      if (join->is_alive()) all.channels.push_back(join->channel);
    all.witnesses.push_back(inbox->witness);
  }
  return all;
}

/// How much the processes have handled, the visits included.
struct tally {
  std::mutex mutex;
  std::condition_variable left;
  std::size_t under_way = 0;
  std::vector<pid> visited;
  std::uint64_t reductions = 0;
};

/// Leaves when the last copy of its function goes: also when the process has ended and drops it.
struct visit {
  explicit visit(std::shared_ptr<tally> tally) : of(std::move(tally)) {}
  visit(const visit&) = delete;
  visit& operator=(const visit&) = delete;
  ~visit() {
    std::lock_guard guard{of->mutex};
    --of->under_way;
    of->left.notify_all();
  }

  void count() const {
    std::lock_guard guard{of->mutex};
    of->visited.push_back(self());
    of->reductions += current_process()->reductions;
  }

  std::shared_ptr<tally> of;
};

/// Comes back when each of them has handled what it was sent before.
void call_on(const std::vector<pid>& processes, const std::shared_ptr<tally>& tally) {
  {
    std::lock_guard guard{tally->mutex};
    tally->under_way = processes.size();
  }
  for (auto process : processes)
    run_in(process, [visit = std::make_shared<visit>(tally)] { visit->count(); });
  std::unique_lock lock{tally->mutex};
  if (!tally->left.wait_for(lock, stuck_after, [&] { return tally->under_way == 0; }))
    throw expectation_failed(
        "expected the channels to handle their messages within " +
        std::to_string(stuck_after.count()) + " ms, got no sign of " +
        std::to_string(tally->under_way) + " of them: does a handler block?");
}

}  // namespace

void check_outside() {
  if (inside_process())
    throw std::logic_error(
        "expected roost::testing to be used by a thread of the test, got a process, which must not "
        "wait");
  if (scheduler::instance() == nullptr)
    throw std::logic_error(
        "expected a running roost::runtime, got none: write `roost::runtime runtime;` first");
}

worker& testing_worker() { return scheduler::instance()->at(0); }

void settle_with(const std::shared_ptr<test_inbox>& inbox) {
  std::lock_guard guard{inboxes_mutex};
  std::erase_if(inboxes(), [](auto& other) { return other.expired(); });
  inboxes().push_back(inbox);
}

/// Goes round until a round finds that nobody has handled anything since the one before. Channels
/// that send to each other without end never are that quiet, and are looked at as they are.
void settle() {
  check_outside();
  auto deadline = std::chrono::steady_clock::now() + stuck_after;
  std::vector<pid> before;
  std::uint64_t reductions = 0;
  for (int round = 0; std::chrono::steady_clock::now() < deadline; ++round) {
    on_worker([] {});  // what other threads have broadcast is delivered
    auto all = tested_processes();
    auto tally = std::make_shared<struct tally>();
    // In the order in which messages travel, so that one round is often enough.
    call_on(all.sockets, tally);
    call_on(all.channels, tally);
    call_on(all.witnesses, tally);
    if (round > 0 && tally->visited == before && tally->reductions == reductions + before.size())
      return;
    before = std::move(tally->visited);
    reductions = tally->reductions;
  }
}

}  // namespace roost::detail
