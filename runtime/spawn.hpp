// runtime/spawn.hpp
//
// How a behavior becomes a process. The typed fronts (gen_server, supervisor, channel) use this;
// user code calls their start functions.
//
// Starting is synchronous as in OTP, and does not block: init runs at once, in place, as the new
// process, on the starter's thread (a thread outside the scheduler waits for a worker to do so). An
// init that answers `later` leaves the process initializing: it takes no message until
// `finish_init` is called from within it.
#pragma once
#include "runtime/via.hpp"
#include <functional>

namespace roost {

/// What happens to user messages (never to signals, replies or DOWNs) that find the mailbox full.
enum class mailbox_policy : std::uint8_t {
  drop_newest,  // the message that comes is dropped
  drop_oldest,  // the one that has waited longest is dropped
  crash,        // the process ends with the reason mailbox_full
};

struct mailbox_options {
  std::uint32_t limit = 0;  // messages; 0: none. While a handler runs, up to twice as many may wait
  mailbox_policy policy = mailbox_policy::drop_newest;
};

/// What watches a server from its beginning: see sys.hpp.
struct debug_options {
  bool trace = false;            // as sys::trace
  std::size_t log = 0;           // as sys::log: so many events
  bool statistics = false;       // as sys::statistics
  std::string log_to_file = {};  // as sys::log_to_file
};

}  // namespace roost

namespace roost::detail {

enum class start_status : std::uint8_t { ready, ignored, failed, already_started, later };

struct start_outcome {
  start_status status = start_status::ready;
  pid process;  // the new one; with already_started, the present owner of the name
  exit_reason reason;
};

struct start_request {
  process_name name = {};
  mailbox_options mailbox = {};
  debug_options debug = {};
  process_priority priority = process_priority::normal;
  std::chrono::milliseconds init_timeout{-1};  // for an init that answers `later`
  std::chrono::milliseconds hibernate_after{-1};
  attachment attach = attachment::none;
  /// Told once, on the new process's thread, when an init that answered `later` has finished.
  std::function<void(start_outcome)> on_started = {};
  /// The worker to stay on; -1: any.
  int worker = -1;
  bool pinned = false;     // stays on the worker that starts it, whichever that is
  bool owned = false;      // whoever started it also ends it, though it has no parent process
  reference monitor = {};  // the starter watches the process from its beginning
  pid watcher = {};
  bool has_work = false;  // its behavior is given `start` before any message
  bool run_once = false;  // ends when it has nothing left to do
};

start_outcome start_process(std::unique_ptr<behavior> behavior, start_request request);

/// From now on the calling process takes only messages that its behavior wants; others wait.
void receive_selectively();

/// Ends the initializing phase of the calling process.
void finish_init(init_outcome outcome);

/// Lets the calling process see trapped exits while its init goes on: a supervisor, which waits for
/// its children.
void take_exits_while_initializing();

/// Sends an exit signal after a while.
timer exit_after(std::chrono::milliseconds delay, pid process, exit_reason reason);

/// Tells a process that no other process has started to end, as its parent would.
void stop_root(pid process, exit_reason reason);

/// The process is told with a `timeout` message unless another message comes first. Negative:
/// never.
void set_receive_timeout(std::chrono::milliseconds delay);

/// Runs `run` in the process `to`, in order with its messages.
void run_in(pid to, std::function<void()> run);

}  // namespace roost::detail
