// private: where processes wait for their turn. Both are FIFO.
#pragma once
#include "runtime/process_core.hpp"
#include <array>

namespace roost::detail {

/// Those that any worker may run: its own worker takes from the front, and so do thieves, half of
/// them at a time, in O(1) per process (the shape of Go's run queue).
class run_ring {
 public:
  static constexpr std::uint32_t capacity = 256;

  bool push(slot* job) noexcept;              // owner
  slot* pop() noexcept;                       // owner
  std::uint32_t steal_into(run_ring& thief);  // any other thread; the thief owns its ring
  std::uint32_t size() const noexcept;

 private:
  std::atomic<std::uint32_t> head_{0};
  std::atomic<std::uint32_t> tail_{0};
  std::array<std::atomic<slot*>, capacity> jobs_{};
};

/// A FIFO of processes that only its worker touches; others may ask how long it is.
class run_list {
 public:
  bool empty() const noexcept { return oldest_ == nullptr; }
  std::uint32_t size() const noexcept { return size_.load(std::memory_order_relaxed); }
  void push(slot& job) noexcept;
  slot* pop() noexcept;

 private:
  slot* oldest_ = nullptr;
  slot* newest_ = nullptr;
  std::atomic<std::uint32_t> size_{0};
};

}  // namespace roost::detail
