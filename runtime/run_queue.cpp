#include "runtime/run_queue.hpp"

namespace roost::detail {

// --- the ring ------------------------------------------------------------------------------------

bool run_ring::push(slot* job) noexcept {
  auto tail = tail_.load(std::memory_order_relaxed);
  if (tail - head_.load(std::memory_order_acquire) == capacity) return false;
  jobs_[tail % capacity].store(job, std::memory_order_relaxed);
  tail_.store(tail + 1, std::memory_order_release);
  return true;
}

slot* run_ring::pop() noexcept {
  auto head = head_.load(std::memory_order_acquire);
  while (head != tail_.load(std::memory_order_relaxed)) {
    auto* job = jobs_[head % capacity].load(std::memory_order_relaxed);
    if (head_.compare_exchange_weak(
            head, head + 1, std::memory_order_acq_rel, std::memory_order_acquire))
      return job;
  }
  return nullptr;
}

std::uint32_t run_ring::steal_into(run_ring& thief) {
  auto to = thief.tail_.load(std::memory_order_relaxed);
  auto head = head_.load(std::memory_order_acquire);
  for (;;) {
    auto available = tail_.load(std::memory_order_acquire) - head;
    auto count = available - available / 2;
    if (count == 0) return 0;
    if (count > capacity / 2) {  // head and tail were read at different times
      head = head_.load(std::memory_order_acquire);
      continue;
    }
    for (std::uint32_t i = 0; i < count; ++i)
      thief.jobs_[(to + i) % capacity].store(
          jobs_[(head + i) % capacity].load(std::memory_order_relaxed), std::memory_order_relaxed);
    if (head_.compare_exchange_weak(
            head, head + count, std::memory_order_acq_rel, std::memory_order_acquire)) {
      thief.tail_.store(to + count, std::memory_order_release);
      return count;
    }
  }
}

std::uint32_t run_ring::size() const noexcept {
  return tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_relaxed);
}

// --- the list ------------------------------------------------------------------------------------

void run_list::push(slot& job) noexcept {
  job.run_next = nullptr;
  (newest_ != nullptr ? newest_->run_next : oldest_) = &job;
  newest_ = &job;
  size_.store(size() + 1, std::memory_order_relaxed);
}

slot* run_list::pop() noexcept {
  auto* job = oldest_;
  if (job == nullptr) return nullptr;
  oldest_ = job->run_next;
  if (oldest_ == nullptr) newest_ = nullptr;
  size_.store(size() - 1, std::memory_order_relaxed);
  return job;
}

}  // namespace roost::detail
