#include "runtime/system_monitor.hpp"
#include "runtime/logger.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/system_watch.hpp"
#include <algorithm>

namespace roost {
namespace {

struct subscription {
  pid subscriber;
  system_monitor_options options;
};

std::mutex subscription_mutex;
subscription current;

// Copies that running processes may look at without the lock.
std::atomic<std::uint64_t> schedule_ms{50};
std::atomic<std::uint32_t> queue_enable{0};
std::atomic<std::uint32_t> queue_disable{0};
std::atomic<std::size_t> large_bytes{0};

void set(subscription next) {
  std::lock_guard guard{subscription_mutex};
  current = next;
  auto& options = next.options;
  schedule_ms =
      static_cast<std::uint64_t>(std::max<std::int64_t>(10, options.long_schedule.count()));
  queue_enable = options.long_message_queue.enable;
  queue_disable = std::min(options.long_message_queue.disable, options.long_message_queue.enable);
  large_bytes = options.large_process;
}

pid subscriber() {
  std::lock_guard guard{subscription_mutex};
  return is_alive(current.subscriber) ? current.subscriber : pid{};
}

}  // namespace

void system_monitor(pid subscriber, system_monitor_options options) { set({subscriber, options}); }

void system_monitor_off() { set({}); }

namespace detail {

bool monitor_watches_mailboxes() noexcept {
  return queue_enable.load(std::memory_order_relaxed) != 0 ||
         large_bytes.load(std::memory_order_relaxed) != 0;
}

void watch_mailbox(process& process) {
  auto length = process.home->queued.load(std::memory_order_relaxed);
  auto enable = queue_enable.load(std::memory_order_relaxed);
  bool is_long = process.told_long ? length >= queue_disable.load(std::memory_order_relaxed)
                                   : enable != 0 && length > enable;
  if (process.told_long != is_long) {
    process.told_long = is_long;
    if (auto to = subscriber()) send(to, long_message_queue{process.self(), length, is_long});
  }
  auto limit = large_bytes.load(std::memory_order_relaxed);
  if (limit == 0) return;
  auto bytes = memory_of(process);
  bool told = process.told_large;
  process.told_large = bytes > limit;
  if (!told && process.told_large)
    if (auto to = subscriber()) send(to, large_process{process.self(), bytes});
}

std::uint64_t long_schedule_ms() noexcept { return schedule_ms.load(std::memory_order_relaxed); }

void tell_busy_link(pid sender, std::string_view node) {
  pid to;
  {
    std::lock_guard guard{subscription_mutex};
    if (current.options.busy_dist_port) to = current.subscriber;
  }
  if (to) send(to, busy_dist_port{sender, std::string(node)});
}

void tell_long_schedule(pid process, const message_type* message, std::uint64_t ms) {
  std::string name{message != nullptr ? message->name : "init"};
  if (auto to = subscriber())
    return send(to, long_schedule{process, name, std::chrono::milliseconds(ms)});
  logger::warning(
      "a handler holds its worker; blocking code belongs into roost::blocking",
      {{"process", to_string(process)}, {"message", name}, {"ms", ms}});
}

// --- the watch
// -------------------------------------------------------------------------------------

schedule_watch::schedule_watch(scheduler& workers)
    : workers_(workers), seen_(workers.size()), thread_([this] { run(); }) {}

schedule_watch::~schedule_watch() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void schedule_watch::notify() noexcept {
  std::lock_guard guard{mutex_};
  parked_.store(false, std::memory_order_relaxed);
  changed_.notify_all();
}

void schedule_watch::run() {
  constexpr int quiet_looks = 4;  // then nobody is looked at until a worker wakes
  int quiet = 0;
  std::unique_lock guard{mutex_};
  while (!stopping_) {
    auto pause = std::chrono::milliseconds(std::max<std::uint64_t>(5, long_schedule_ms() / 2));
    changed_.wait_for(guard, pause, [&] { return stopping_; });
    guard.unlock();
    look(exact_now());
    guard.lock();
    quiet = all_sleep() ? quiet + 1 : 0;
    if (quiet < quiet_looks || stopping_) continue;
    // Whoever wakes from here on sees that we rest; whoever woke before is seen.
    parked_.store(true, std::memory_order_seq_cst);
    if (all_sleep())
      changed_.wait(guard, [&] { return stopping_ || !parked_.load(std::memory_order_relaxed); });
    parked_.store(false, std::memory_order_relaxed);
    quiet = 0;
  }
}

bool schedule_watch::all_sleep() const noexcept {
  for (std::size_t i = 0; i < seen_.size(); ++i)
    if (!workers_.at(i).sleeping_.load(std::memory_order_seq_cst)) return false;
  return true;
}

void schedule_watch::look(std::uint64_t now) {
  for (std::size_t i = 0; i < seen_.size(); ++i) {
    auto& worker = workers_.at(i);
    auto& before = seen_[i];
    auto* slot = worker.running_.load(std::memory_order_acquire);
    auto progress = worker.progress();
    if (slot == nullptr || progress != before.progress) {
      before = {progress, now, false};
      continue;
    }
    auto held = now - before.since;
    if (held >= 5) workers_.wake_one_idle();
    if (before.told || held < long_schedule_ms()) continue;
    before.told = true;
    tell_long_schedule(
        pid{slot->id.load(std::memory_order_relaxed), 0},
        worker.handling_.load(std::memory_order_relaxed), held);
  }
}

}  // namespace detail
}  // namespace roost
