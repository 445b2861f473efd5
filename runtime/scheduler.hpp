// private: worker threads. Each owns a run queue, an inbox, a timing wheel and an epoll set.
//
// A worker's turn: take the inbox, run some processes, flush what they wrote to sockets, fire due
// timers, look at the sockets. With nothing to do it steals, and with nothing to steal it sleeps in
// epoll_wait until a socket, a timer or another thread (by eventfd) wakes it: an idle node costs
// nothing.
//
// Processes that are not pinned to a worker wait in a ring from which idle workers steal half, from
// the front, in O(1) per process (the shape of Go's run queue). Pinned processes, and those of high
// and low priority, wait in lists that nobody else touches. All are FIFO and take turns, so nobody
// starves: high goes first seven times in eight, low is asked one time in eight.
#pragma once
#include "runtime/allocator.hpp"
#include "runtime/flush_list.hpp"
#include "runtime/patient_set.hpp"
#include "runtime/process_core.hpp"
#include "runtime/run_queue.hpp"
#include "runtime/timer_wheel.hpp"
#include <array>
#include <condition_variable>
#include <deque>
#include <thread>

namespace roost::detail {

/// A function for a worker; deletes itself after it has run.
struct posted {
  virtual ~posted() = default;
  virtual void run() = 0;
  posted* next = nullptr;
};

class scheduler;

class worker {
 public:
  explicit worker(std::uint32_t index);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  /// The worker of this thread, or null outside the scheduler.
  static worker* current() noexcept;
  std::uint32_t index() const noexcept { return index_; }

  // Any thread.
  void enqueue(slot& slot) noexcept;  // a process to run here
  void post(std::unique_ptr<posted> job) noexcept;
  template <class F>
  void post_function(F function);
  void cancelled(timer_node* node) noexcept;  // unlink it; takes over the wheel's reference
  void enqueue_foreign(void* job);            // a caf::resumable
  void wake() noexcept;

  // The worker's own thread.
  void* next_foreign_job();  // runs the loop until CAF has something to run
  void* left_over_foreign_job() { return take_foreign(*this); }  // once nothing runs any more
  void push(slot& slot) noexcept;                                // at the back of the run queue
  timer_wheel& timers() noexcept { return wheel_; }
  void watch(int fd, std::uint32_t events, io_handler& handler);
  void rewatch(int fd, std::uint32_t events, io_handler& handler);
  void unwatch(int fd, const io_handler& handler) noexcept;
  void set_manner(
      int fd, std::uint32_t events, io_handler& handler, io_handler::manner how) noexcept;
  void flush_later(flushable& object) noexcept { flushes_.add(object); }
  send_batch& sends() noexcept { return flushes_.sends(); }
  void delete_after_poll(std::unique_ptr<io_handler> handler);
  void take_posted() noexcept;  // runs what other threads have posted so far

  /// Milliseconds of the scheduler's clock; `now` is read once per turn, `exact_now` each time.
  std::uint64_t now() const noexcept { return now_; }

  /// What the watch sees: the process that runs, the message that it handles, and how many there
  /// were.
  void running(slot* slot) noexcept {
    running_.store(slot, std::memory_order_release);
    add_one(runs_);  // many that end by a signal and handle nothing are no single one that holds us
  }
  void handling(const message_type* type) noexcept {
    handling_.store(type, std::memory_order_relaxed);
    add_one(reductions_);
  }

  void process_ended() noexcept { spare_memory_.process_ended(); }

  std::uint32_t load() const noexcept { return watched_.load(std::memory_order_relaxed); }

  // What system_info tells: any thread may ask.
  /// Nanoseconds spent asleep since the start, the present sleep included.
  std::uint64_t idle_ns(std::uint64_t now_ns) const noexcept {
    auto word = idle_.load(std::memory_order_relaxed);
    return static_cast<std::uint64_t>(word < 0 ? word + static_cast<std::int64_t>(now_ns) : word);
  }
  std::uint64_t started_ns() const noexcept { return started_ns_; }
  std::uint64_t reductions() const noexcept { return reductions_.load(std::memory_order_relaxed); }
  /// Processes that wait here for their turn, without those that others have sent here meanwhile.
  std::size_t run_queue() const noexcept {
    return std::size_t{ring_.size()} + pinned_.size() + max_.size() + high_.size() + low_.size() +
           overflowed_.load(std::memory_order_relaxed);
  }

 private:
  friend class scheduler;
  friend class schedule_watch;

  int set_of(const io_handler& handler) const noexcept {
    return handler.is_patient() ? patient_.fd() : epoll_;
  }

  /// Only this worker writes.
  static void add_one(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  std::uint64_t progress() const noexcept {
    return reductions() + runs_.load(std::memory_order_relaxed);
  }
  void publish_overflow() noexcept {
    overflowed_.store(static_cast<std::uint32_t>(overflow_.size()), std::memory_order_relaxed);
  }
  bool turn();
  bool has_work() const noexcept;
  slot* pop_normal() noexcept;
  void take_inbox() noexcept;
  slot* pop() noexcept;
  void advance_timers();
  void poll(int timeout_ms);
  bool steal() noexcept;
  bool steal_inbox(worker& victim) noexcept;
  static void* take_foreign(worker& from);
  void* steal_foreign();
  bool others_have_foreign() const noexcept;
  void sleep();
  bool has_mail() const noexcept;
  void unlink_cancelled() noexcept;

  const std::uint32_t index_;
  int epoll_ = -1;
  int wakeup_ = -1;
  patient_set patient_;

  run_ring ring_;
  std::deque<slot*> overflow_;  // what the ring had no room for
  run_list pinned_;
  run_list max_;
  run_list high_;
  run_list low_;
  unsigned pops_ = 0;

  timer_wheel wheel_;
  spare_memory spare_memory_;
  std::uint64_t now_ = 0;
  flush_list flushes_;
  std::vector<std::unique_ptr<io_handler>> dead_handlers_;
  std::atomic<std::uint32_t> watched_{0};
  std::atomic<std::uint32_t> overflowed_{0};  // the size of overflow_, for others
  const std::uint64_t started_ns_;
  /// Awake: the nanoseconds spent asleep. Asleep: the same less the time at which it fell asleep,
  /// which is negative. One word, so that whoever looks never counts a sleep twice or not at all.
  std::atomic<std::int64_t> idle_{0};

  alignas(64) std::atomic<slot*> inbox_{nullptr};
  std::atomic<posted*> posted_{nullptr};
  std::atomic<timer_node*> cancelled_{nullptr};
  std::atomic<bool> sleeping_{false};
  std::atomic<slot*> running_{nullptr};
  std::atomic<const message_type*> handling_{nullptr};
  std::atomic<std::uint64_t> reductions_{0};  // messages handled
  std::atomic<std::uint64_t> runs_{0};        // turns of processes, at their begin and their end
  std::atomic<std::uint32_t> foreign_count_{0};
  std::mutex foreign_mutex_;
  std::deque<void*> foreign_;
};

/// A thread that looks at the workers a few times per `long_schedule` while any of them is awake,
/// finds handlers that hold theirs, and wakes idle workers to take what waits behind.
class schedule_watch {
 public:
  explicit schedule_watch(scheduler& workers);
  ~schedule_watch();

  /// A worker wakes: look again.
  void unpark() noexcept {
    if (parked_.load(std::memory_order_seq_cst)) notify();
  }

 private:
  struct seen {
    std::uint64_t progress = 0;
    std::uint64_t since = 0;  // ms
    bool told = false;
  };

  void run();
  void look(std::uint64_t now);
  bool all_sleep() const noexcept;
  void notify() noexcept;

  scheduler& workers_;
  std::vector<seen> seen_;
  std::atomic<bool> parked_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

/// All workers of the node. Created by the CAF module, lives as long as the runtime.
class scheduler {
 public:
  static scheduler* instance() noexcept;

  explicit scheduler(std::size_t workers);
  ~scheduler();

  std::size_t size() const noexcept { return workers_.size(); }
  worker& at(std::size_t index) noexcept { return *workers_[index]; }

  /// For work from outside: an idle worker if there is one.
  worker& pick() noexcept;
  /// For the first worker that has time: one may be held by a handler, and its inbox with it.
  void post(std::unique_ptr<posted> job);
  bool has_posted() const noexcept { return posted_count_.load(std::memory_order_seq_cst) != 0; }
  std::unique_ptr<posted> take_posted();  // null: none
  void wake_one_idle() noexcept;

 private:
  friend class worker;
  std::vector<std::unique_ptr<worker>> workers_;
  std::atomic<std::uint64_t> idle_{0};  // one bit per sleeping worker (of the first 64)
  std::atomic<std::uint32_t> next_{0};
  std::atomic<std::uint32_t> posted_count_{0};
  std::mutex posted_mutex_;
  std::deque<std::unique_ptr<posted>> posted_;
  std::unique_ptr<schedule_watch> watch_;
};

/// Makes a process that has just become runnable run. The caller has turned the claim on.
void schedule(slot& slot) noexcept;

/// Nanoseconds since the clock's start, read now.
std::uint64_t exact_now_ns() noexcept;

/// Milliseconds since the clock's start, read now.
std::uint64_t exact_now() noexcept;

template <class F>
std::unique_ptr<posted> make_posted(F function) {
  struct job final : posted {
    explicit job(F f) : f(std::move(f)) {}
    void run() override { f(); }
    F f;
  };
  return std::make_unique<job>(std::move(function));
}

template <class F>
void worker::post_function(F function) {
  post(make_posted(std::move(function)));
}

}  // namespace roost::detail
