// private: epochs, for readers that take no lock and write nothing that another thread reads often.
//
// A reader pins itself: it notes the present epoch in a record of its own thread. What a writer has
// unlinked is retired with the epoch of that moment. The epoch moves on only when every pinned
// reader has seen the present one, so two steps later nobody can hold what was retired, and it may
// be freed.
//
// Why two. A reader that pins late may note an epoch that has just passed, and a thread that looked
// at its record before may still move the epoch once. It cannot do so twice: for the second step it
// looks again, and finds the reader pinned to an older epoch.
//
// Every access that this argument rests on is sequentially consistent: to pin and then to load a
// pointer, against to replace that pointer and then to look at the records. Fences would do as
// well, but the thread sanitizer does not see them.
//
// Source: Fraser, Practical lock-freedom (2004), section 5.2.3; crossbeam-epoch.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace roost::detail {

/// Each domain counts for itself, so that a slow reader of one holds up nothing in another.
template <class Domain>
class epoch {
 public:
  /// Pins this thread until leave(): nothing that is retired meanwhile is freed. May be nested.
  static void enter() noexcept {
    auto& here = mine();
    if (here.depth++ == 0)
      here.pinned.store(present_.load(std::memory_order_relaxed), std::memory_order_seq_cst);
  }
  static void leave() noexcept {
    auto& here = mine();
    if (--here.depth == 0) here.pinned.store(0, std::memory_order_release);
  }

  /// Pins as long as it lives.
  class pin {
   public:
    pin() noexcept { enter(); }
    pin(const pin&) = delete;
    pin& operator=(const pin&) = delete;
    ~pin() { leave(); }
  };

  /// Whether this thread is pinned; then it must not wait for readers, as it is one.
  static bool pinned() noexcept { return mine().depth != 0; }

  /// The epoch to retire with: read it after unlinking.
  static std::uint64_t present() noexcept { return present_.load(std::memory_order_seq_cst); }

  /// Whether what was retired in `then` can be freed, as of `now`.
  static bool is_over(std::uint64_t then, std::uint64_t now) noexcept { return then + 2 <= now; }

  /// Moves on if every pinned reader has seen the present epoch. Answers the present epoch.
  static std::uint64_t try_advance() noexcept {
    auto now = present_.load(std::memory_order_seq_cst);
    for (auto* at = records_.load(std::memory_order_seq_cst); at != nullptr; at = at->next) {
      auto seen = at->pinned.load(std::memory_order_seq_cst);
      if (seen != 0 && seen != now) return now;
    }
    return present_.compare_exchange_strong(now, now + 1, std::memory_order_seq_cst) ? now + 1
                                                                                     : now;
  }

  /// Waits until whatever was retired before can be freed. Answers whether that came true in time.
  static bool wait_for_readers(std::chrono::nanoseconds limit) noexcept {
    if (pinned()) return false;
    auto goal = present() + 2;
    auto deadline = std::chrono::steady_clock::now() + limit;
    while (try_advance() < goal) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

 private:
  struct alignas(64) record {
    std::atomic<std::uint64_t> pinned{0};  // the epoch that its thread reads in; 0: it does not
    std::atomic<bool> taken{true};
    unsigned depth = 0;  // of the owning thread
    record* next = nullptr;
  };

  /// Gives the record back when its thread ends. Records are never freed.
  struct tenancy {
    ~tenancy() {
      if (here_ != nullptr) here_->taken.store(false, std::memory_order_release);
      here_ = nullptr;
    }
    bool used = false;
  };

  static record& mine() noexcept {
    if (here_ == nullptr) [[unlikely]]
      here_ = take_record();
    return *here_;
  }

  static record* take_record() noexcept {
    tenancy_.used = true;  // or the compiler need not create it
    for (auto* at = records_.load(std::memory_order_seq_cst); at != nullptr; at = at->next)
      if (!at->taken.load(std::memory_order_relaxed) &&
          !at->taken.exchange(true, std::memory_order_acq_rel))
        return at;
    auto* fresh = new record;
    fresh->next = records_.load(std::memory_order_relaxed);
    while (!records_.compare_exchange_weak(fresh->next, fresh, std::memory_order_seq_cst)) {
    }
    return fresh;
  }

  alignas(64) static inline std::atomic<std::uint64_t> present_{1};
  static inline std::atomic<record*> records_{nullptr};
  static inline thread_local constinit record* here_ = nullptr;
  static inline thread_local tenancy tenancy_;
};

}  // namespace roost::detail
