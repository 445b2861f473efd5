#include "runtime/scheduler.hpp"
#include "runtime/mailbox_thread.hpp"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <algorithm>
#include <climits>
#include <ctime>

namespace roost::detail {
namespace {

// How much a process may do before the next one has its turn, and how many processes may run before
// the sockets and timers have theirs.
constexpr unsigned messages_per_run = 64;
constexpr unsigned runs_per_turn = 32;

thread_local worker* this_worker = nullptr;
std::atomic<scheduler*> the_scheduler{nullptr};

template <class Node>
Node* reversed(Node* list, Node* Node::*next) noexcept {
  Node* result = nullptr;
  while (list != nullptr) {
    auto* rest = list->*next;
    list->*next = result;
    result = list;
    list = rest;
  }
  return result;
}

template <class Node>
void push_shared(std::atomic<Node*>& stack, Node* node, Node* Node::*next) noexcept {
  auto* head = stack.load(std::memory_order_relaxed);
  do {
    node->*next = head;
  } while (!stack.compare_exchange_weak(
      head, node, std::memory_order_seq_cst, std::memory_order_relaxed));
}

}  // namespace

std::uint64_t exact_now_ns() noexcept {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000ULL +
         static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint64_t exact_now() noexcept { return exact_now_ns() / 1'000'000; }

// --- a worker ------------------------------------------------------------------------------------

worker::worker(std::uint32_t index)
    : index_(index), wheel_(exact_now()), now_(exact_now()), started_ns_(exact_now_ns()) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  wakeup_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;  // the counter is never read: each write is one edge
  event.data.ptr = nullptr;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event);
  event.events = EPOLLIN;
  event.data.ptr = &patient_;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, patient_.fd(), &event);
}

worker::~worker() {
  unlink_cancelled();
  auto* job = posted_.exchange(nullptr);
  while (job != nullptr) delete std::exchange(job, job->next);
  ::close(wakeup_);
  ::close(epoll_);
}

worker* worker::current() noexcept { return this_worker; }

void worker::enqueue(slot& slot) noexcept {
  push_shared(inbox_, &slot, &slot::run_next);
  wake();
}

void worker::post(std::unique_ptr<posted> job) noexcept {
  push_shared(posted_, job.release(), &posted::next);
  wake();
}

void worker::cancelled(timer_node* node) noexcept {
  // Not worth a wake-up: the memory of the node can wait until the worker has other work.
  push_shared(cancelled_, node, &timer_node::next_cancelled);
}

void worker::enqueue_foreign(void* job) {
  {
    std::lock_guard guard{foreign_mutex_};
    foreign_.push_back(job);
  }
  auto before = foreign_count_.fetch_add(1, std::memory_order_seq_cst);
  if (this_worker != this)
    wake();
  else if (before > 0)
    scheduler::instance()->wake_one_idle();  // as for processes: the second one is worth it
}

void* worker::take_foreign(worker& from) {
  if (from.foreign_count_.load(std::memory_order_relaxed) == 0) return nullptr;
  std::lock_guard guard{from.foreign_mutex_};
  if (from.foreign_.empty()) return nullptr;
  auto* job = from.foreign_.front();
  from.foreign_.pop_front();
  from.foreign_count_.fetch_sub(1, std::memory_order_relaxed);
  return job;
}

void* worker::steal_foreign() {
  auto& all = *scheduler::instance();
  for (std::size_t i = 1; i < all.size(); ++i)
    if (auto* job = take_foreign(all.at((index_ + i) % all.size()))) return job;
  return nullptr;
}

bool worker::others_have_foreign() const noexcept {
  auto& all = *scheduler::instance();
  for (std::size_t i = 1; i < all.size(); ++i)
    if (all.at((index_ + i) % all.size()).foreign_count_.load(std::memory_order_seq_cst) != 0)
      return true;
  return false;
}

void worker::wake() noexcept {
  if (!sleeping_.load(std::memory_order_seq_cst)) return;
  if (!sleeping_.exchange(false, std::memory_order_seq_cst)) return;
  std::uint64_t one = 1;
  (void)!::write(wakeup_, &one, sizeof one);
}

void worker::push(slot& slot) noexcept {
  auto priority = slot.priority.load(std::memory_order_relaxed);
  if (priority == process_priority::max) return max_.push(slot);
  if (priority == process_priority::high) return high_.push(slot);
  if (priority == process_priority::low) return low_.push(slot);
  if (slot.home.load(std::memory_order_relaxed) != unpinned) return pinned_.push(slot);
  if (!overflow_.empty() || !ring_.push(&slot)) {
    overflow_.push_back(&slot);
    return publish_overflow();
  }
  // One waiting process is about to run here; a second one is worth another worker's while.
  if (ring_.size() > 1) scheduler::instance()->wake_one_idle();
}

slot* worker::pop() noexcept {
  if (auto* job = max_.pop()) return job;
  bool eighth = ++pops_ % 8 == 0;
  if (eighth)
    if (auto* job = low_.pop()) return job;
  if (!eighth)
    if (auto* job = high_.pop()) return job;
  if (auto* job = pop_normal()) return job;
  if (auto* job = high_.pop()) return job;
  return low_.pop();
}

/// Pinned and free processes take turns.
slot* worker::pop_normal() noexcept {
  bool pinned_first = pops_ % 2 == 0;
  if (pinned_first)
    if (auto* job = pinned_.pop()) return job;
  // Thieves may have emptied the ring, so it is refilled whether or not it still had something.
  auto* job = ring_.pop();
  if (!overflow_.empty()) {
    while (!overflow_.empty() && ring_.push(overflow_.front())) overflow_.pop_front();
    publish_overflow();
  }
  if (job == nullptr) job = ring_.pop();
  return job != nullptr ? job : pinned_.pop();
}

bool worker::has_work() const noexcept {
  return ring_.size() > 0 || !overflow_.empty() || !pinned_.empty() || !max_.empty() ||
         !high_.empty() || !low_.empty();
}

void worker::take_inbox() noexcept {
  if (inbox_.load(std::memory_order_relaxed) == nullptr) return;
  auto* list = reversed(inbox_.exchange(nullptr, std::memory_order_seq_cst), &slot::run_next);
  while (list != nullptr) {
    auto* slot = std::exchange(list, list->run_next);
    push(*slot);
  }
}

void worker::take_posted() noexcept {
  while (posted_.load(std::memory_order_relaxed) != nullptr) {
    auto* list = reversed(posted_.exchange(nullptr, std::memory_order_seq_cst), &posted::next);
    while (list != nullptr) {
      std::unique_ptr<posted> job{std::exchange(list, list->next)};
      job->run();
    }
  }
}

void worker::unlink_cancelled() noexcept {
  if (cancelled_.load(std::memory_order_relaxed) == nullptr) return;
  auto* list = cancelled_.exchange(nullptr, std::memory_order_acq_rel);
  take_posted();  // a timer may have been started from outside and not be in the wheel yet
  while (list != nullptr) {
    auto* node = std::exchange(list, list->next_cancelled);
    if (node->position == timer_node::detached)
      node->release();
    else
      wheel_.remove(node);
  }
}

void worker::watch(int fd, std::uint32_t events, io_handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  ::epoll_ctl(set_of(handler), EPOLL_CTL_ADD, fd, &event);
  watched_.fetch_add(1, std::memory_order_relaxed);
}

void worker::rewatch(int fd, std::uint32_t events, io_handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  ::epoll_ctl(set_of(handler), EPOLL_CTL_MOD, fd, &event);
}

void worker::unwatch(int fd, const io_handler& handler) noexcept {
  ::epoll_ctl(set_of(handler), EPOLL_CTL_DEL, fd, nullptr);
  watched_.fetch_sub(1, std::memory_order_relaxed);
}

void worker::set_manner(
    int fd, std::uint32_t events, io_handler& handler, io_handler::manner how) noexcept {
  ::epoll_ctl(set_of(handler), EPOLL_CTL_DEL, fd, nullptr);
  handler.manner_ = how;
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  ::epoll_ctl(set_of(handler), EPOLL_CTL_ADD, fd, &event);
}

void worker::delete_after_poll(std::unique_ptr<io_handler> handler) {
  // The batch of events that is being served may still name it.
  dead_handlers_.push_back(std::move(handler));
}

void worker::poll(int timeout_ms) {
  std::array<epoll_event, 256> events;
  auto count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
  // In one order with what the watch does before it rests.
  if (sleeping_.load(std::memory_order_relaxed)) sleeping_.store(false, std::memory_order_seq_cst);
  auto woken = exact_now_ns();
  now_ = woken / 1'000'000;
  if (auto asleep = idle_.load(std::memory_order_relaxed); asleep < 0)
    idle_.store(asleep + static_cast<std::int64_t>(woken), std::memory_order_relaxed);
  for (int i = 0; i < count; ++i)
    if (auto* handler = static_cast<io_handler*>(events[static_cast<std::size_t>(i)].data.ptr))
      handler->on_io(events[static_cast<std::size_t>(i)].events);
  if (!dead_handlers_.empty()) std::exchange(dead_handlers_, {}).clear();
}

void worker::advance_timers() {
  wheel_.advance(now_, [](timer_node* node) {
    if (!node->finish(timer_node::state::fired)) {
      // Cancelled by another thread, whose notice will drop the wheel's reference.
      node->position = timer_node::detached;
      return;
    }
    detail::enqueue(node->to, std::move(node->message));
    node->release();
  });
}

bool worker::steal_inbox(worker& victim) noexcept {
  if (victim.inbox_.load(std::memory_order_relaxed) == nullptr) return false;
  auto* list =
      reversed(victim.inbox_.exchange(nullptr, std::memory_order_seq_cst), &slot::run_next);
  bool found = false;
  while (list != nullptr) {
    auto* slot = std::exchange(list, list->run_next);
    if (slot->home.load(std::memory_order_relaxed) == unpinned) {
      push(*slot);
      found = true;
    } else {
      victim.enqueue(*slot);
    }
  }
  return found;
}

bool worker::steal() noexcept {
  auto& all = *scheduler::instance();
  for (std::size_t i = 1; i < all.size(); ++i) {
    auto& victim = all.at((index_ + i) % all.size());
    if (victim.ring_.steal_into(ring_) > 0 || steal_inbox(victim)) return true;
  }
  return false;
}

bool worker::has_mail() const noexcept {
  return inbox_.load(std::memory_order_seq_cst) != nullptr ||
         posted_.load(std::memory_order_seq_cst) != nullptr ||
         foreign_count_.load(std::memory_order_seq_cst) != 0 || scheduler::instance()->has_posted();
}

void worker::sleep() {
  auto bit = index_ < 64 ? 1ULL << index_ : 0;
  auto& idle = scheduler::instance()->idle_;
  // In this order: who takes the bit away has to find somebody to wake, or the bit stays lost, and
  // nobody thinks of this worker any more.
  sleeping_.store(true, std::memory_order_seq_cst);
  idle.fetch_or(bit, std::memory_order_seq_cst);
  // Whoever gave us work before seeing us asleep did not wake us: look once more.
  if (has_mail() || steal() || others_have_foreign()) {
    idle.fetch_and(~bit, std::memory_order_relaxed);
    sleeping_.store(false, std::memory_order_relaxed);
    return;
  }
  int timeout = -1;
  auto now_ns = exact_now_ns();
  if (auto due = wheel_.next()) {
    auto now = now_ns / 1'000'000;
    timeout = *due <= now ? 0 : static_cast<int>(std::min<std::uint64_t>(*due - now, 60'000));
  }
  if (auto later = spare_memory_.let_go(now_ns / 1'000'000))
    timeout = std::min(timeout < 0 ? INT_MAX : timeout, static_cast<int>(*later));
  if (timeout != 0)
    idle_.store(
        idle_.load(std::memory_order_relaxed) - static_cast<std::int64_t>(now_ns),
        std::memory_order_relaxed);
  poll(timeout);
  idle.fetch_and(~bit, std::memory_order_relaxed);
  scheduler::instance()->watch_->unpark();
}

bool worker::turn() {
  take_inbox();
  take_posted();
  unlink_cancelled();
  // One by one: each may take long, and others may have time for the rest.
  for (unsigned i = 0; i < runs_per_turn; ++i) {
    auto job = scheduler::instance()->take_posted();
    if (job == nullptr) break;
    job->run();
  }
  unsigned runs = 0;
  while (runs < runs_per_turn) {
    auto* job = pop();
    if (job == nullptr) break;
    ++runs;
    if (run_process(*job, messages_per_run)) push(*job);
  }
  flushes_.flush();
  return runs > 0;
}

void* worker::next_foreign_job() {
  this_worker = this;
  for (;;) {
    bool worked = turn();
    now_ = exact_now();
    advance_timers();
    // What is dead goes with the next poll, which may not come for long.
    bool more = worked || has_mail() || has_work() || !flushes_.empty() || !dead_handlers_.empty();
    if (auto* job = take_foreign(*this)) {
      poll(0);  // sockets have their turn, however many CAF actors are busy
      return job;
    }
    if (more) {
      poll(0);
    } else if (!steal()) {
      if (auto* job = steal_foreign()) return job;
      sleep();
    }
  }
}

// --- the scheduler -------------------------------------------------------------------------------

scheduler::scheduler(std::size_t workers) {
  for (std::size_t i = 0; i < workers; ++i)
    workers_.push_back(std::make_unique<worker>(static_cast<std::uint32_t>(i)));
  watch_ = std::make_unique<schedule_watch>(*this);
  the_scheduler.store(this, std::memory_order_release);
}

scheduler::~scheduler() {
  watch_.reset();
  the_scheduler.store(nullptr, std::memory_order_release);
}

scheduler* scheduler::instance() noexcept { return the_scheduler.load(std::memory_order_acquire); }

worker& scheduler::pick() noexcept {
  if (auto idle = idle_.load(std::memory_order_relaxed); idle != 0)
    return *workers_[static_cast<std::size_t>(std::countr_zero(idle))];
  return *workers_[next_.fetch_add(1, std::memory_order_relaxed) % workers_.size()];
}

void scheduler::post(std::unique_ptr<posted> job) {
  {
    std::lock_guard guard{posted_mutex_};
    posted_.push_back(std::move(job));
    posted_count_.store(static_cast<std::uint32_t>(posted_.size()), std::memory_order_seq_cst);
  }
  wake_one_idle();
}

std::unique_ptr<posted> scheduler::take_posted() {
  if (posted_count_.load(std::memory_order_relaxed) == 0) return {};
  std::lock_guard guard{posted_mutex_};
  if (posted_.empty()) return {};
  auto job = std::move(posted_.front());
  posted_.pop_front();
  posted_count_.store(static_cast<std::uint32_t>(posted_.size()), std::memory_order_seq_cst);
  if (!posted_.empty()) wake_one_idle();
  return job;
}

void scheduler::wake_one_idle() noexcept {
  // In one order with sleep(), which sets its bit before it looks for what is posted.
  auto idle = idle_.load(std::memory_order_seq_cst);
  if (idle == 0) return;
  auto bit = idle & (~idle + 1);
  if ((idle_.fetch_and(~bit, std::memory_order_acq_rel) & bit) != 0)
    workers_[static_cast<std::size_t>(std::countr_zero(bit))]->wake();
}

void schedule(slot& slot) noexcept {
  if (slot.thread != nullptr) return slot.thread->notify();
  auto home = slot.home.load(std::memory_order_relaxed);
  auto* here = worker::current();
  auto* all = scheduler::instance();
  if (home != unpinned) {
    auto& target = all->at(home);
    if (&target == here)
      target.push(slot);
    else
      target.enqueue(slot);
  } else if (here != nullptr) {
    here->push(slot);
  } else {
    all->pick().enqueue(slot);
  }
}

}  // namespace roost::detail
