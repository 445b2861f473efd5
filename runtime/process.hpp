// runtime/process.hpp
//
// Processes and what they do to each other: send, link, monitor, exit, names and timers, with the
// guarantees of Erlang's. A process handles one message at a time, owns its state, and ends alone:
// a throwing handler ends its process with a crash report and tells its links and monitors.
//
//   auto worker = roost::spawn_link([] { do_work(); });
//   auto ref = roost::monitor(worker);            // handle_info(const roost::down&) later
//   roost::send(worker, job{42});                 // never blocks, never fails
//   roost::exit(worker, roost::exit_reason::shutdown);
//
// Guarantees. Messages and signals between the same two processes arrive in the order of sending. A
// DOWN comes after the last message of its process. `kill` cannot be trapped and never waits behind
// queued messages. A message to a process that has gone is dropped.
//
// Thread safety: every function may be called from any process and from any thread. A thread
// outside the scheduler is given a mailbox of its own on first use, so that self() and calls work
// there too; such a thread cannot be linked and ignores exit signals.
//
// Source: Erlang reference manual, Processes; erlang(3).
#pragma once
#include "runtime/message.hpp"
#include <chrono>
#include <optional>
#include <stdexcept>

namespace roost {

// --- what a process may be told ------------------------------------------------------------------

/// A monitor fired: sent once per monitor, after the last message of the process.
struct down {
  reference ref;
  pid process;
  exit_reason reason;
};

/// A trapped exit signal ('EXIT' in Erlang).
struct exited {
  pid from;
  exit_reason reason;
};

/// No message came within the time that the last handler asked for, as in `noreply(5s)`.
struct timeout {};

/// What exit(reason) throws, and what an unanswered call throws in its caller.
class process_exit : public std::exception {
 public:
  explicit process_exit(exit_reason reason, std::string text = {});
  const exit_reason& reason() const noexcept { return reason_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  exit_reason reason_;
  std::string text_;
};

// --- identity ------------------------------------------------------------------------------------

/// This process; on an outside thread, the mailbox of that thread.
pid self();

/// Whether the caller runs inside a process, where nothing may block.
bool inside_process() noexcept;

/// Whether the process exists and is not exiting. Old news by the time that it is read.
bool is_alive(pid process) noexcept;

/// The name of this node, "chat@127.0.0.1", or "nonode@nohost" without one.
const std::string& node_name() noexcept;

// --- names ---------------------------------------------------------------------------------------

/// A local name for a process; it goes away with the process. One name per process and one process
/// per name: throws std::invalid_argument otherwise, or when the process is not alive.
void register_name(std::string_view name, pid process);

/// Throws std::invalid_argument when nobody has this name.
void unregister_name(std::string_view name);

/// The process with this name, or nobody (`pid{}`).
pid whereis(std::string_view name) noexcept;

// --- links, monitors, exits ----------------------------------------------------------------------

/// Links the caller and `other`: when one crashes, the other gets an exit signal. Linking to a
/// process that has gone sends the caller the exit signal `noproc`. Linking twice is linking once.
void link(pid other);
void unlink(pid other);

/// Asks for one `down` when `other` ends; at once, with `noproc`, when it already has. Stackable:
/// each call has its own reference.
reference monitor(pid other);
reference monitor(std::string_view name);

struct demonitor_options {
  bool flush = false;  // also drop a `down` that is already in the mailbox
};

/// Takes a monitor back. Answers whether it was still armed.
bool demonitor(reference ref, demonitor_options options = {});

/// Sends an exit signal. `normal` is ignored by others; `kill` cannot be trapped and is seen as
/// `killed`; any other reason ends the process unless it traps exits.
void exit(pid other, exit_reason reason);

/// Ends the calling process.
[[noreturn]] void exit(exit_reason reason);

/// Exit signals become `exited` messages while this is on. Answers the previous setting.
bool trap_exit(bool on);

// --- starting ------------------------------------------------------------------------------------

enum class send_status : std::uint8_t;
struct send_options;

namespace detail {
class behavior;
class timer_node;
enum class attachment : std::uint8_t { none, link, monitor };
struct spawned {
  pid process;
  reference monitor;
};
spawned spawn_behavior(std::unique_ptr<behavior> behavior, attachment attach);
void enqueue(pid to, message_ptr message);
send_status enqueue_if(pid to, message_ptr message, send_options options);
template <class F>
std::unique_ptr<behavior> run_once(F function);
timer_node* arm_timer(std::chrono::milliseconds delay, pid to, message_ptr message);
}  // namespace detail

/// Gives back what memory the calling process can spare; for one that expects a long silence.
void hibernate();

/// Runs `function` in a new process, which ends with `normal` when the function has returned and
/// every answer that it waits for (`.then`) has come.
template <class F>
pid spawn(F function);
template <class F>
pid spawn_link(F function);

struct monitored {
  pid process;
  reference ref;
};
template <class F>
monitored spawn_monitor(F function);

// --- messages ------------------------------------------------------------------------------------

/// Sends a message to a process, which takes it in handle_info.
template <class M>
void send(pid to, M message) {
  detail::enqueue(to, detail::make_message<M>(detail::message_kind::info, std::move(message)));
}

/// Sends to a registered name. Throws std::invalid_argument (badarg) when nobody has it.
template <class M>
void send(std::string_view name, M message);

/// How send(pid, message, options) ended.
enum class send_status : std::uint8_t {
  ok,
  nosuspend,  // not sent: the sender would have had to wait
  noconnect,  // not sent: the node is not connected
};

struct send_options {
  bool nosuspend = false;  // rather not send than wait for a node that takes too slowly
  bool noconnect = false;  // rather not send than connect to a node
};

/// As erlang:send/3: says when it did not send. Where nothing would be waited for, it is send().
template <class M>
send_status send(pid to, M message, send_options options) {
  return detail::enqueue_if(
      to, detail::make_message<M>(detail::message_kind::info, std::move(message)), options);
}

/// Thrown by whatever sends, when far more waits for a node than its link takes
/// (`distribution.hard_limit`). A process that sends that much between two messages should send
/// less in one handler, or send with `nosuspend`.
class busy : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// --- aliases
// ---------------------------------------------------------------------------------------

/// A temporary address of the calling process: what is sent to it after unalias is dropped, even if
/// the process lives on. Source: erlang:alias/1.
struct process_alias {
  pid process;
  reference ref;
};

struct alias_options {
  bool once = false;  // ends with the first message (`reply`)
};
process_alias alias(alias_options options = {});

/// Answers whether it was still active.
bool unalias(const process_alias& alias);

template <class M>
void send(const process_alias& to, M message) {
  auto wrapped = detail::make_message<M>(detail::message_kind::info, std::move(message));
  wrapped->ref = to.ref;
  wrapped->flag = detail::through_alias;
  detail::enqueue(to.process, std::move(wrapped));
}

// --- timers --------------------------------------------------------------------------------------

/// A running timer. Copies name the same timer; dropping the handle does not cancel it.
class timer {
 public:
  timer() noexcept = default;
  timer(const timer& other) noexcept;
  timer(timer&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  timer& operator=(timer other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~timer();

  /// Stops it. Answers how long it had left, or nothing when it has fired or was cancelled before.
  std::optional<std::chrono::milliseconds> cancel() noexcept;

  /// How long it has left, or nothing when it has fired or was cancelled.
  std::optional<std::chrono::milliseconds> remaining() const noexcept;

  /// For the library: takes over one reference to the node.
  explicit timer(detail::timer_node* node) noexcept : node_(node) {}

 private:
  detail::timer_node* node_ = nullptr;
};

/// Sends `message` to `to` after `delay` (resolution 1 ms, never early).
template <class M>
timer send_after(std::chrono::milliseconds delay, pid to, M message) {
  return timer(detail::arm_timer(
      delay, to, detail::make_message<M>(detail::message_kind::info, std::move(message))));
}

/// … at a point in time.
template <class M>
timer send_at(std::chrono::steady_clock::time_point when, pid to, M message) {
  auto delay =
      std::chrono::ceil<std::chrono::milliseconds>(when - std::chrono::steady_clock::now());
  return send_after(delay, to, std::move(message));
}

/// What start_timer delivers: {timeout, Ref, Msg} in Erlang, so that a late one can be told apart.
template <class M>
struct timer_fired {
  reference ref;
  M message;
};

struct started_timer {
  timer handle;
  reference ref;
};

/// As send_after, wrapped in a timer_fired with a reference of its own.
template <class M>
started_timer start_timer(std::chrono::milliseconds delay, pid to, M message) {
  auto ref = make_ref();
  return {send_after(delay, to, timer_fired<M>{ref, std::move(message)}), ref};
}

// --- behind the templates ------------------------------------------------------------------------

namespace detail {

enum class init_status : std::uint8_t { ready, ignore, stop, later };
struct init_outcome {
  init_status status = init_status::ready;
  exit_reason reason = exit_reason::normal;
};

/// What a kind of process does. The process core owns it and calls it on one thread at a time.
/// A message that a server lists.
struct understood_message {
  const message_type* type;
  bool is_call;
};

class behavior {
 public:
  behavior() = default;
  behavior(const behavior&) = delete;
  behavior& operator=(const behavior&) = delete;
  virtual ~behavior() = default;

  virtual init_outcome init() = 0;
  virtual void handle(message& message) = 0;
  virtual void terminate(const exit_reason&) {}
  /// Told to end, by roost::stop or sys::terminate: after this handler, unless it has to wait for
  /// others.
  virtual void stop(const exit_reason& reason);
  virtual std::string_view initial_call() const noexcept = 0;
  /// Where the state is, as std::optional<S>*, if it is of the type with this name.
  virtual void* state_place(std::string_view) noexcept { return nullptr; }
  /// The fields of that state, for tools; none when it is no aggregate.
  virtual std::span<const state_field> state_fields() const noexcept { return {}; }
  /// The address of the state itself; null while there is none.
  virtual void* state_address() noexcept { return nullptr; }
  /// The calls and casts that it takes.
  virtual std::span<const understood_message> understands() const noexcept { return {}; }
  /// The state as text, for sys::get_status and crash reports.
  virtual std::string state_text() const { return {}; }
  /// For a process that receives selectively: whether it takes this message now.
  virtual bool wants(const message&) const { return true; }
  /// Gives back what memory it can before a long sleep.
  virtual void hibernate() {}
};

/// The name on that node, found when a message arrives there; on this one, whoever has it now.
pid whereis_on(std::string_view node, std::string_view name) noexcept;
void set_node_name(std::string name);  // as name_this_node

/// Ends the running process with `reason` after the current handler.
void stop_self(exit_reason reason);
inline void behavior::stop(const exit_reason& reason) { stop_self(reason); }

pid name_or_throw(std::string_view name);
[[noreturn]] void throw_nobody(std::string_view name);

template <class F>
class function_behavior final : public behavior {
 public:
  explicit function_behavior(F function) : function_(std::move(function)) {}
  init_outcome init() override { return {}; }
  void handle(message& message) override {
    if (message.kind == message_kind::start) function_();
  }
  std::string_view initial_call() const noexcept override { return type_name<F>(); }

 private:
  F function_;
};

template <class F>
std::unique_ptr<behavior> run_once(F function) {
  return std::make_unique<function_behavior<F>>(std::move(function));
}

}  // namespace detail

template <class F>
pid spawn(F function) {
  return detail::spawn_behavior(detail::run_once(std::move(function)), detail::attachment::none)
      .process;
}
template <class F>
pid spawn_link(F function) {
  return detail::spawn_behavior(detail::run_once(std::move(function)), detail::attachment::link)
      .process;
}
template <class F>
monitored spawn_monitor(F function) {
  auto [process, ref] =
      detail::spawn_behavior(detail::run_once(std::move(function)), detail::attachment::monitor);
  return {process, ref};
}

template <class M>
void send(std::string_view name, M message) {
  send(detail::name_or_throw(name), std::move(message));
}

}  // namespace roost
