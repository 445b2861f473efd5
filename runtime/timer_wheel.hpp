// private: the hierarchical timing wheel of one worker.
//
// Four levels of 256 slots at 1 ms: start and cancel are O(1), a tick costs nothing when no timer
// is due, and the next deadline is found from bitmaps. A wheel belongs to one thread. A timer may
// be cancelled from any thread: the one that turns its state from armed to cancelled owns its
// message, and the wheel's owner unlinks the node when it hears of it.
//
// The wheel is pure: the caller says what time it is, in milliseconds of any monotonic clock.
#pragma once
#include "runtime/message.hpp"
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

namespace roost::detail {

class timer_node {
 public:
  enum class state : std::uint8_t { armed, fired, cancelled };
  static constexpr std::uint16_t detached = 0xFFFF;  // in no slot: not inserted yet, or fired
  static constexpr std::uint16_t unwanted = 0xFFFE;  // cancelled before it was inserted

  timer_node(std::uint64_t deadline, pid to, message_ptr message, std::uint32_t worker) noexcept
      : deadline(deadline), to(to), message(std::move(message)), worker(worker) {}

  void add_ref() noexcept { refs.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// Exactly one of fire and cancel wins; the winner owns the message.
  bool finish(state outcome) noexcept {
    auto expected = state::armed;
    return current.compare_exchange_strong(expected, outcome, std::memory_order_acq_rel);
  }

  timer_node* prev = nullptr;
  timer_node* next = nullptr;
  timer_node* next_cancelled = nullptr;  // in the inbox of its wheel's owner
  std::uint64_t deadline;                // ms of the scheduler's clock
  pid to;
  message_ptr message;
  std::uint32_t worker;
  std::atomic<std::uint32_t> refs{1};
  std::uint16_t position = detached;  // level and slot, so that its list can be found
  std::atomic<state> current{state::armed};
};

class timer_wheel {
 public:
  explicit timer_wheel(std::uint64_t now) noexcept : now_(now) {}
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;
  ~timer_wheel() {
    for (auto& level : levels_)
      for (auto*& head : level.slots)
        while (head != nullptr) {
          head->finish(timer_node::state::cancelled);  // a handle may outlive the wheel
          remove(head);
        }
  }

  /// Takes over one reference. Deadlines in the past fire at the next tick.
  void insert(timer_node* node) noexcept {
    if (node->position == timer_node::unwanted) return node->release();
    ++size_;
    place(node);
  }

  /// Unlinks a node and drops the wheel's reference. A node that another thread has started may
  /// still be on its way here; then insert drops it.
  void remove(timer_node* node) noexcept {
    if (node->position == timer_node::detached) {
      node->position = timer_node::unwanted;
      return;
    }
    unlink(node);
    --size_;
    node->release();
  }

  /// Calls `fire(timer_node*)` for everything due up to `now`, in order of deadline, and with equal
  /// deadlines and delays in order of insertion. The callee takes over the wheel's reference.
  template <class Fire>
  void advance(std::uint64_t now, Fire fire) {
    while (now_ < now) {
      if (size_ == 0) {
        now_ = now;
        return;
      }
      auto jump = next_event();
      if (jump > now) {
        now_ = now;
        return;
      }
      now_ = jump;
      cascade();
      // A callback may start timers, which never land in the slot that is being served, and cancel
      // those that still wait in it.
      auto& head = levels_[0].slots[now_ & mask];
      while (head != nullptr) {
        auto* due = head;
        unlink(due);
        --size_;
        fire(due);
      }
    }
  }

  /// A lower bound of the time of the next timer, or nothing when there is none.
  std::optional<std::uint64_t> next() const noexcept {
    if (size_ == 0) return std::nullopt;
    return next_event();
  }

  std::size_t size() const noexcept { return size_; }

 private:
  static constexpr unsigned bits = 8;
  static constexpr std::uint64_t slots_per_level = 1U << bits;
  static constexpr std::uint64_t mask = slots_per_level - 1;
  static constexpr unsigned level_count = 4;

  struct level {
    std::array<timer_node*, slots_per_level> slots{};  // heads of rings, the oldest node first
    std::array<std::uint64_t, slots_per_level / 64> occupied{};

    void set(std::uint64_t slot) noexcept { occupied[slot / 64] |= 1ULL << (slot % 64); }
    void clear(std::uint64_t slot) noexcept { occupied[slot / 64] &= ~(1ULL << (slot % 64)); }

    /// How many slots from `from` (exclusive, wrapping) to the first occupied one; 0 when none.
    std::uint64_t distance(std::uint64_t from) const noexcept {
      for (std::uint64_t step = 1; step <= slots_per_level;) {
        auto slot = (from + step) & mask;
        auto word = occupied[slot / 64] >> (slot % 64);
        if (word != 0) {
          auto found = step + static_cast<std::uint64_t>(std::countr_zero(word));
          return found <= slots_per_level ? found : 0;
        }
        step += 64 - slot % 64;
      }
      return 0;
    }
  };

  void place(timer_node* node) noexcept {
    // A timer may not land in the slot that is being served: it would wait for a whole turn.
    auto at = node->deadline > now_ ? node->deadline : now_ + 1;
    auto delta = at - now_;
    unsigned which = 0;
    while (which + 1 < level_count && delta >= 1ULL << (bits * (which + 1))) ++which;
    // Beyond the last level (49 days) a timer waits in the farthest slot and is placed again.
    auto limit = 1ULL << (bits * level_count);
    if (delta >= limit) at = now_ + limit - 1;
    push(node, which, (at >> (bits * which)) & mask);
  }

  void push(timer_node* node, unsigned which, std::uint64_t slot) noexcept {
    auto*& head = levels_[which].slots[slot];
    if (head == nullptr) {
      head = node->prev = node->next = node;
      levels_[which].set(slot);
    } else {
      node->next = head;
      node->prev = head->prev;
      head->prev->next = node;
      head->prev = node;
    }
    node->position = static_cast<std::uint16_t>((which << bits) | slot);
  }

  void unlink(timer_node* node) noexcept {
    auto which = node->position >> bits;
    auto slot = node->position & mask;
    auto*& head = levels_[which].slots[slot];
    if (node->next == node) {
      head = nullptr;
      levels_[which].clear(slot);
    } else {
      node->prev->next = node->next;
      node->next->prev = node->prev;
      if (head == node) head = node->next;
    }
    node->prev = node->next = nullptr;
    node->position = timer_node::detached;
  }

  /// The next time at which a slot of any level has to be looked at.
  std::uint64_t next_event() const noexcept {
    std::uint64_t best = ~0ULL;
    for (unsigned which = 0; which < level_count; ++which) {
      auto turn = now_ >> (bits * which);
      auto steps = levels_[which].distance(turn & mask);
      if (steps == 0) continue;
      auto at = (turn + steps) << (bits * which);
      if (at < best) best = at;
    }
    return best;
  }

  /// Moves the timers of the higher levels that begin at `now_` down.
  void cascade() noexcept {
    for (unsigned which = level_count - 1; which > 0; --which) {
      if ((now_ & ((1ULL << (bits * which)) - 1)) != 0) continue;
      auto& head = levels_[which].slots[(now_ >> (bits * which)) & mask];
      // Ends, because a node never goes back to the slot that begins at `now_`.
      while (head != nullptr) {
        auto* moved = head;
        unlink(moved);
        if (moved->deadline <= now_)
          push(moved, 0, now_ & mask);  // due in the very slot that is served next
        else
          place(moved);
      }
    }
  }

  std::uint64_t now_;
  std::size_t size_ = 0;
  std::array<level, level_count> levels_;
};

}  // namespace roost::detail
