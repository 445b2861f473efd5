#include "runtime/process_core.hpp"
#include "runtime/scheduler.hpp"
#include <array>

namespace roost::detail {
namespace {

constexpr std::uint32_t segment_size = 4096;
constexpr std::uint32_t segment_count = (1U << index_bits) / segment_size;

// Segments are never freed, so a stale id always leads to a slot that can be looked at.
std::array<std::atomic<slot*>, segment_count> segments;

/// How many processes were started and have ended on a worker, which writes no line of another one.
struct alignas(64) tally {
  std::atomic<std::size_t> started{0};
  std::atomic<std::size_t> ended{0};
};
std::array<tally, 64> tallies;

tally& tally_here() noexcept {
  auto* here = worker::current();
  return tallies[here == nullptr ? 0 : here->index() % tallies.size()];
}

std::mutex free_mutex;
std::vector<slot*> free_slots;
std::uint32_t slots_made = 0;

void grow() {
  if (slots_made / segment_size == segment_count)
    throw std::length_error("expected fewer than 268435456 processes, got one more");
  auto* segment = new slot[segment_size];
  for (std::uint32_t i = 0; i < segment_size; ++i) segment[i].index = slots_made + i;
  segments[slots_made / segment_size].store(segment, std::memory_order_release);
  // Slot 0 stays unused: id 0 is nobody.
  for (auto i = segment_size; i-- > (slots_made == 0 ? 1U : 0U);) free_slots.push_back(&segment[i]);
  slots_made += segment_size;
}

// Each thread keeps a few free slots of its own, so that spawning and exiting take no lock.
struct slot_cache {
  static constexpr std::size_t batch = 64;

  ~slot_cache() { give_back(slots.size()); }

  slot& take() {
    if (slots.empty()) {
      std::lock_guard guard{free_mutex};
      while (free_slots.size() < batch) grow();
      for (std::size_t i = 0; i < batch; ++i) {
        slots.push_back(free_slots.back());
        free_slots.pop_back();
      }
    }
    auto* slot = slots.back();
    slots.pop_back();
    return *slot;
  }

  void put(slot& slot) {
    slots.push_back(&slot);
    if (slots.size() > 4 * batch) give_back(2 * batch);
  }

  void give_back(std::size_t count) {
    std::lock_guard guard{free_mutex};
    for (; count > 0; --count) {
      free_slots.push_back(slots.back());
      slots.pop_back();
    }
  }

  std::vector<slot*> slots;
};

slot_cache& cache() {
  static thread_local slot_cache cache;
  return cache;
}

}  // namespace

slot* find_slot(std::uint64_t id) noexcept {
  auto index = static_cast<std::uint32_t>(id) & index_mask;
  auto* segment = segments[index / segment_size].load(std::memory_order_acquire);
  return segment == nullptr ? nullptr : &segment[index % segment_size];
}

slot& take_slot() {
  auto& slot = cache().take();
  ++slot.generation;
  slot.home.store(unpinned, std::memory_order_relaxed);
  slot.queued.store(0, std::memory_order_relaxed);
  slot.limit.store(0, std::memory_order_relaxed);
  slot.dropped.store(0, std::memory_order_relaxed);
  slot.priority.store(process_priority::normal, std::memory_order_relaxed);
  slot.thread = nullptr;
  slot.is_thread.store(false, std::memory_order_relaxed);
  slot.intake.store(slot::claimed, std::memory_order_release);
  slot.id.store(slot.generation << index_bits | slot.index, std::memory_order_release);
  tally_here().started.fetch_add(1, std::memory_order_relaxed);
  return slot;
}

void free_slot(slot& slot) noexcept {
  slot.tenant = nullptr;
  slot.thread = nullptr;
  tally_here().ended.fetch_add(1, std::memory_order_release);
  if (auto* here = worker::current()) here->process_ended();
  cache().put(slot);
}

std::size_t process_count() noexcept {
  // What has ended is read first: so the answer may be too large, but not 0 while somebody lives.
  std::size_t ended = 0;
  for (auto& one : tallies) ended += one.ended.load(std::memory_order_acquire);
  std::size_t started = 0;
  for (auto& one : tallies) started += one.started.load(std::memory_order_acquire);
  return started - ended;
}

void for_each_slot(const std::function<void(slot&)>& f) {
  std::uint32_t made;
  {
    std::lock_guard guard{free_mutex};
    made = slots_made;
  }
  for (std::uint32_t i = 0; i < made / segment_size; ++i) {
    auto* segment = segments[i].load(std::memory_order_acquire);
    for (std::uint32_t j = 0; j < segment_size; ++j)
      if (segment[j].id.load(std::memory_order_acquire) != 0) f(segment[j]);
  }
}

// --- the intake ----------------------------------------------------------------------------------

namespace {

/// Twice the limit: what the receiver's own policy (which may drop the oldest) leaves to the
/// senders, so that a receiver that is busy does not fill the memory.
bool is_over_limit(const slot& slot, const message& message) noexcept {
  bool from_a_user = message.kind == message_kind::info || message.kind == message_kind::cast ||
                     message.kind == message_kind::call || message.kind == message_kind::foreign;
  return from_a_user && queue_length(slot) >= 2ULL * slot.limit.load(std::memory_order_relaxed);
}

void refuse(slot& slot, message_ptr message) {
  slot.dropped.fetch_add(1, std::memory_order_relaxed);
  pid to{message->to, 0};
  answer_for_the_dead(to, std::move(message), exit_reason("mailbox_full"));
}

}  // namespace

void deliver(std::uint64_t id, message_ptr message) {
  auto* slot = find_slot(id);
  if (slot == nullptr || slot->id.load(std::memory_order_acquire) != id)
    return answer_for_the_dead(pid{id, 0}, std::move(message), exit_reason::noproc);
  message->to = id;
  if (slot->limit.load(std::memory_order_relaxed) != 0 && is_over_limit(*slot, *message))
    return refuse(*slot, std::move(message));
  auto word = slot->intake.load(std::memory_order_relaxed);
  std::uint64_t next;
  do {
    if ((word & slot::closed) != 0)
      return answer_for_the_dead(pid{id, 0}, std::move(message), exit_reason::noproc);
    message->next = slot::first(word);
    auto count = (word & slot::count_mask) == slot::count_mask
                     ? slot::count_mask
                     : (word & slot::count_mask) + slot::one_message;
    next = count | reinterpret_cast<std::uint64_t>(message.get()) | slot::claimed;
  } while (!slot->intake.compare_exchange_weak(
      word, next, std::memory_order_acq_rel, std::memory_order_relaxed));
  (void)message.release();
  if ((word & slot::claimed) == 0) schedule(*slot);
}

namespace {

message* oldest_first(message* newest) noexcept {
  message* list = nullptr;
  while (newest != nullptr) {
    auto* next = newest->next;
    newest->next = list;
    list = newest;
    newest = next;
  }
  return list;
}

}  // namespace

message* fetch(slot& slot) noexcept {
  auto word = slot.intake.exchange(slot::claimed, std::memory_order_acq_rel);
  // What runs as the process outside of its turn (run_as) does not hold the claim. The mailbox of
  // an outside thread is not scheduled.
  if ((word & slot::claimed) == 0 && !slot.is_thread.load(std::memory_order_relaxed))
    schedule(slot);
  return oldest_first(slot::first(word));
}

message* close(slot& slot) noexcept {
  return oldest_first(
      slot::first(slot.intake.exchange(slot::claimed | slot::closed, std::memory_order_acq_rel)));
}

std::size_t queue_length(const slot& slot) noexcept {
  return slot.queued.load(std::memory_order_relaxed) +
         (slot.intake.load(std::memory_order_relaxed) >> 48);
}

bool try_idle(slot& slot) noexcept {
  auto expected = slot::claimed;
  return slot.intake.compare_exchange_strong(
      expected, 0, std::memory_order_acq_rel, std::memory_order_relaxed);
}

}  // namespace roost::detail
