// private: the inside of a process: its slot in the process table, its mailbox and its state.
//
// A *slot* is never freed, only reused, so a sender needs no lock, no reference count and no grace
// period: it pushes onto the slot's intake with one compare-and-swap, whatever has become of the
// process. Every message says whom it was meant for; a receiver that took over the slot in between
// treats it as mail for the dead. The process object itself is touched only by the worker that runs
// it.
//
// The intake word packs the newest message (a Treiber stack, reversed on fetch, so FIFO per
// sender), how many wait there, and whether somebody is already responsible for running the
// process:
//
//   63 … 48  count, saturating     47 … 4  message (16-byte aligned)     1  closed     0  claimed
//
// Whoever turns `claimed` on must schedule the process; only the process itself turns it off, and
// only by finding its intake empty. `closed` means that nobody lives here: senders answer for the
// dead themselves.
#pragma once
#include "runtime/compact_map.hpp"
#include "runtime/gen_server.hpp"
#include "runtime/link_set.hpp"
#include "runtime/node_table.hpp"
#include "runtime/process.hpp"
#include "runtime/sys.hpp"
#include "runtime/sys_debug.hpp"
#include <any>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace roost::detail {

struct process;
struct mailbox_thread;
class worker;

inline constexpr std::uint16_t unpinned = 0xFFFF;

struct alignas(16) slot {
  static constexpr std::uint64_t claimed = 1;
  static constexpr std::uint64_t closed = 2;
  static constexpr std::uint64_t pointer_mask = 0x0000'FFFF'FFFF'FFF0ULL;
  static constexpr std::uint64_t one_message = 1ULL << 48;
  static constexpr std::uint64_t count_mask = 0xFFFFULL << 48;

  static message* first(std::uint64_t word) noexcept {
    return reinterpret_cast<message*>(word & pointer_mask);
  }

  std::atomic<std::uint64_t> intake{claimed | closed};
  std::atomic<std::uint64_t> id{0};           // of the tenant; 0 when free or exiting
  process* tenant = nullptr;                  // owned by whoever holds the claim
  mailbox_thread* thread = nullptr;           // instead of a process: an outside thread's mailbox
  slot* run_next = nullptr;                   // in one run queue at most
  std::atomic<std::uint16_t> home{unpinned};  // the worker that it is pinned to
  std::atomic<bool> root{false};              // not started by a process
  std::atomic<bool> is_thread{false};
  std::atomic<process_priority> priority{process_priority::normal};
  std::atomic<std::uint8_t> visitors{0};  // threads that are taking a reference to the actor
  std::atomic<std::uint32_t> queued{0};   // sorted messages that wait; the tenant writes
  std::atomic<std::uint32_t> limit{0};    // of the mailbox; 0: none
  std::atomic<std::uint32_t> dropped{0};  // by the limit, not reported yet
  std::uint32_t index = 0;
  std::uint64_t generation = 0;
  std::atomic<void*> actor{nullptr};  // the tenant as CAF sees it, for to_caf
};

// --- the process table ---------------------------------------------------------------------------

inline constexpr unsigned index_bits = 28;
inline constexpr std::uint32_t index_mask = (1U << index_bits) - 1;

/// The slot of an id, whoever lives there now; null for an id that was never given out.
slot* find_slot(std::uint64_t id) noexcept;

/// Takes a free slot and gives it a new id. Throws std::length_error when the table is full.
slot& take_slot();

/// Gives the slot back. The caller holds the claim and has emptied the intake.
void free_slot(slot& slot) noexcept;

std::size_t process_count() noexcept;

/// Calls f(slot&) for every slot in use; a snapshot that may miss what starts meanwhile.
void for_each_slot(const std::function<void(slot&)>& f);

// --- sending -------------------------------------------------------------------------------------

/// Puts a message into the intake and schedules the process if it was idle. A message for nobody is
/// answered as the dead would answer it.
void deliver(std::uint64_t id, message_ptr message);

/// Sends a message without a value: a signal, mostly.
void signal(pid to, message_kind kind, reference ref);

/// What happens to mail for a process that has gone: callers, linkers and monitors are told noproc.
void answer_for_the_dead(pid gone, message_ptr message, const exit_reason& reason);

/// Takes everything out of the intake, oldest first; the slot stays claimed.
message* fetch(slot& slot) noexcept;

/// As fetch, and closes the intake for good.
message* close(slot& slot) noexcept;

/// Messages that wait, sorted or not; a moment old.
std::size_t queue_length(const slot& slot) noexcept;

/// Gives up the claim if the intake is empty.
bool try_idle(slot& slot) noexcept;

// --- signals -------------------------------------------------------------------------------------

struct exit_signal {
  exit_reason reason;
  bool linked = false;  // from a link rather than from exit/2
};

struct death_notice { exit_reason reason; };

struct task { std::function<void()> run; };

/// For the kind `inspect`: called with the process, or with null when there is none. What it
/// answers goes to the sender.
struct inspection { std::function<message_ptr(process*)> answer; };

/// For the kind `sys`: runs in the process between two messages.
struct sys_request { std::function<message_ptr(process&)> answer; };

/// The caller's side of an unanswered request.
struct open_request {
  std::unique_ptr<call_waiter> waiter;
  pid server;
  timer deadline;
};

// --- CAF actors ----------------------------------------------------------------------------------

/// What is sent to such a pid: requests to the actor, and the end of links and monitors.
void tell_caf(pid to, message_ptr message);

/// What a process keeps of the CAF actors that it links and monitors; lets go of them when it ends.
struct foreign_ties { virtual ~foreign_ties() = default; };

// --- the process ---------------------------------------------------------------------------------

/// What only some processes have: kept apart so that the others stay small.
struct process_extra {
  std::string name;
  compact_map<pid, reference> unlinking;          // taken back, and the other does not know yet
  compact_map<reference, pid> monitors;           // mine
  compact_map<reference, pid> monitored_by;       // of me
  compact_map<reference, open_request> requests;  // my unanswered calls
  compact_map<reference, pid> open_calls;         // calls that I have taken and not answered
  std::function<void(start_outcome)> on_started;  // while init is not finished
  compact_map<reference, bool> aliases;           // active ones; true: until the first message
  std::map<std::string, std::any, std::less<>> dictionary;
  std::string label;
  std::vector<pid> ancestors;
  std::uint64_t messages_dropped = 0;  // by the limit of the mailbox
  std::unique_ptr<foreign_ties> foreign;
  std::unique_ptr<sys_debug> debug;  // while somebody watches
  std::chrono::milliseconds hibernate_after{-1};
  std::uint64_t asleep_at = ~0ULL;  // the reductions at the last hibernation
  bool falls_asleep = false;        // a timer runs that may end in hibernation
  pid group_leader;
  compact_map<std::uint32_t, std::uint64_t> ties;  // with other nodes, see remote.hpp
  std::vector<std::uint32_t> waits_for;            // links that have to drain first
};

/// How a process waits: for a message within a time, or for one that it wants.
struct process_wait {
  timer receive_timeout;
  reference timeout_ref;         // of the running receive timeout
  message* looked_at = nullptr;  // selective: nothing up to here is wanted
};

/// A pid without the bytes that fill it up, for a member beside which something else fits.
class short_pid {
 public:
  short_pid& operator=(pid process) noexcept {
    low_ = static_cast<std::uint32_t>(process.id);
    high_ = static_cast<std::uint32_t>(process.id >> 32);
    node_ = process.node;
    return *this;
  }
  operator pid() const noexcept { return {std::uint64_t{high_} << 32 | low_, node_}; }
  explicit operator bool() const noexcept { return static_cast<bool>(pid(*this)); }
  friend bool operator==(const short_pid& left, pid right) noexcept { return pid(left) == right; }

 private:
  std::uint32_t low_ = 0, high_ = 0, node_ = 0;
};

/// There may be millions, so every byte counts: with its CAF part it fits into 320 of them.
struct process {
  explicit process(slot& slot) noexcept
      : home(&slot), id(slot.id.load(std::memory_order_relaxed)) {}

  pid self() const noexcept { return pid{id, 0}; }
  process_extra& more() {
    if (!extra) extra = std::make_unique<process_extra>();
    return *extra;
  }

  slot* home;
  std::uint64_t id;
  std::unique_ptr<behavior> does;
  message* oldest = nullptr;  // the sorted queue
  message* newest = nullptr;
  message* handling = nullptr;
  std::uint64_t reductions = 0;
  reference answering;                  // the call that is being handled, until it is answered
  std::unique_ptr<exit_reason> ending;  // set: ends after the current handler
  std::unique_ptr<process_wait> waits;
  std::unique_ptr<process_extra> extra;
  link_set links;
  std::uint64_t started = 0;  // ms of the scheduler's clock
  short_pid parent;
  mailbox_policy policy = mailbox_policy::drop_newest;

  bool trap_exit : 1 = false;
  /// The parent's exit cannot be trapped: linked to it from the start.
  bool ends_with_parent : 1 = false;
  bool starts : 1 = false;             // has not had its first turn, and has something to do in it
  bool finished : 1 = false;           // has run once and has nothing left to do
  bool initializing : 1 = false;       // init has returned `later`
  bool takes_exits_early : 1 = false;  // … but sees trapped exits
  bool suspended : 1 = false;
  bool selective : 1 = false;       // asks its behavior which messages it wants
  bool hibernates : 1 = false;      // after a silence: see hibernate_after
  bool sensitive : 1 = false;       // its messages and state are shown to nobody
  bool run_once : 1 = false;        // ends when nothing is left to wait for
  bool waits_for_link : 1 = false;  // handles no message until a busy link has drained
  bool async_dist : 1 = false;      // is never made to wait for a busy link
  bool of_the_runtime : 1 = false;  // … nor refused past its hard limit
  bool by_signal : 1 = false;       // ends without terminate(): an exit signal, not trapped
  bool told_long : 1 = false;       // the system monitor knows that the mailbox is long
  bool told_large : 1 = false;
};

/// A question that a process answers as a signal.
template <class R, class F>
pending<R> inspect(pid to, F answer) {
  return pending<R>(request{
      to,
      make_message<inspection>(message_kind::inspect, std::function<message_ptr(process*)>(answer)),
      call_timeout, type_name<R>()});
}

/// Bytes of a process, its queue included, without what its state owns.
std::size_t memory_of(const process& process);

/// Bytes of a process object, its CAF part included.
std::size_t process_size() noexcept;

/// Creates the object of a process, which is a CAF actor; destroy releases the table's reference.
process* make_process(slot& slot);
void destroy_process(process* process, const exit_reason& reason) noexcept;

/// Runs a process for a bounded number of messages. The caller holds the claim. Answers whether the
/// process still has work, so that the caller puts it at the back of the run queue.
bool run_process(slot& slot, unsigned budget);

/// Puts a message in front of everything that waits.
void push_front(process& process, message_ptr message) noexcept;

/// Tells those who watch what the process does; it has a sys_debug.
void trace(process& process, trace_event::kind_of_event what, const message& message, pid peer);

/// Sorts the intake: signals act now, the rest joins the queue.
void sort_intake(process& process);

void on_exit_signal(process& process, message_ptr message);

/// A process of the library itself, which must get through to other nodes for the node to work.
void never_wait_for_links();

/// Drops a DOWN for `ref` that waits in the queue.
void flush_down(process& process, reference ref) noexcept;

/// The process that runs on this thread, or null.
process* current_process() noexcept;

/// Runs code as a process that does not run at the moment, on the worker that it is pinned to: what
/// a socket's event does is done by the socket's process. An exception ends the process.
void run_as(process& process, const std::function<void()>& code);

/// The process has nothing to do: it hibernates when that lasts.
void hibernate_later(process& process);

/// Ends `process` now. Only for the one who runs it.
void end_process(process& process, const exit_reason& reason) noexcept;

}  // namespace roost::detail
