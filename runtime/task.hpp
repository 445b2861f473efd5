// runtime/task.hpp
//
// One function, run in a process of its own, whose result is awaited.
//
//   auto page = roost::async([url] { return roost::blocking([url] { return fetch(url); }); });
//   roost::await(page).then([this](std::string text) { … });      // in a process
//   std::string text = roost::await(page).get();                  // outside: blocks
//
//   roost::async_stream(urls, fetch_page, {.max_concurrency = 8}).each(
//       [this](roost::task_result<std::string> page) { if (page) add(*page); });
//
// A task's function may return its result, or something that has `.then` (a call, blocking(…), the
// await of another task), which is then waited for. With several steps, it takes a `from`:
//
//   roost::async<int>([a, b](roost::from<int> answer) {
//     roost::call(a, get{}).then([=](int x) { roost::call(b, get{}).then([=](int y) {
//       answer.reply(x + y); }); });
//   });
//
// Tasks are linked to the process that starts them: a task that crashes takes it along, and the
// other way round. For tasks that may fail, see supervision/task_supervisor.hpp. A thread outside
// the scheduler cannot be linked; it learns from await.
//
// Errors. await() crashes its caller with the reason of the task, or with `timeout`, unless `.then`
// was given a second function. A task belongs to the process (or thread) that has started it: any
// other that awaits it gets std::invalid_argument. Its result is taken once: after that, await
// answers `noproc`.
//
// Thread safety: a task is a handle; use it where it was made. Source: Elixir Task.
#pragma once
#include "runtime/gen_server.hpp"
#include "runtime/shutdown_time.hpp"
#include <map>

namespace roost {

/// How a task has ended: with a value, or with the reason of its exit.
template <class T>
class task_result {
 public:
  using value_type = detail::value_or_unit<T>;

  task_result(value_type value) : value_(std::move(value)) {}
  task_result(exit_reason reason) : reason_(std::move(reason)) {}

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }

  /// The value. Throws process_exit when there is none.
  value_type& value() {
    if (!value_) throw process_exit(reason_);
    return *value_;
  }
  const value_type& value() const { return const_cast<task_result&>(*this).value(); }
  value_type& operator*() { return value(); }
  const value_type& operator*() const { return value(); }
  value_type* operator->() { return &value(); }

  /// Why it did not end with a value.
  const exit_reason& reason() const noexcept { return reason_; }

 private:
  std::optional<value_type> value_;
  exit_reason reason_;
};

// --- what the library keeps of a task ------------------------------------------------------------

namespace detail {

/// Is told when a task has ended, or that it has not in time.
class task_listener {
 public:
  task_listener() = default;
  task_listener(const task_listener&) = delete;
  task_listener& operator=(const task_listener&) = delete;
  virtual ~task_listener() = default;
  virtual void ended() = 0;
  virtual void timed_out() = 0;
};

/// The owner's side of a task. Only the owner touches it.
class task_state : public std::enable_shared_from_this<task_state> {
 public:
  task_state() = default;
  task_state(const task_state&) = delete;
  task_state& operator=(const task_state&) = delete;
  virtual ~task_state() = default;
  virtual void take_value(message& reply) = 0;

  pid owner;
  pid process;
  reference ref;  // of the call that the task answers with its result
  bool ended = false;
  bool taken = false;  // somebody has had the result
  exit_reason reason;  // why there is no value
  std::unique_ptr<task_listener> listener;
  reference deadline;  // of the wait that is on
};

template <class T>
class task_state_of final : public task_state {
 public:
  void take_value(message& reply) override {
    if (auto* arrived = value_of<value_or_unit<T>>(reply)) value.emplace(std::move(*arrived));
  }
  task_result<T> take() {
    taken = true;
    auto last = std::exchange(value, std::nullopt);
    return last ? task_result<T>(std::move(*last)) : task_result<T>(reason);
  }

  std::optional<value_or_unit<T>> value;
};

/// Whether a task that has answered is still linked to its owner, who sees its exit if it traps
/// exits.
enum class when_done : bool { stay_linked, unlink };

/// The task's side.
class task_process : public behavior {
 public:
  explicit task_process(when_done then) : then(then) {}
  std::shared_ptr<void> place = {};  // among those that may run at a time; given up with the answer
  when_done then;
};

/// Brings a task to life and answers its pid. Empty: linked to the caller, if that is a process.
using task_starter = std::function<pid(std::unique_ptr<task_process>)>;

void start_task(task_state& state, std::unique_ptr<task_process> task, const task_starter& starter);
/// Throws unless the calling process owns the task.
void require_owner(const task_state& task, std::string_view what);
/// Tells the listener, in this process: soon, when the task has ended already.
void listen(
    const std::shared_ptr<task_state>& task, std::chrono::milliseconds timeout,
    std::unique_ptr<task_listener> listener);
/// Waits outside a process. Answers whether the task has ended.
bool wait_for(task_state& task, std::chrono::milliseconds timeout);
/// Tells the task to end, without hurting the caller.
void stop_task(const task_state& task, const exit_reason& reason);
/// From now on nobody waits for the task.
void forget_task(task_state& task);
/// Ends who awaits a task that has no result.
[[noreturn]] void throw_no_result(const exit_reason& reason, std::string_view what);
std::size_t default_concurrency();

// Things that have a `.then`: a task's function may return one.
template <class P>
struct answer_of {
  using type = P;
  static constexpr bool comes_later = false;
};
template <class R>
struct answer_of<pending<R>> {
  using type = R;
  static constexpr bool comes_later = true;
};

template <class F>
using task_value = typename answer_of<std::invoke_result_t<F&>>::type;

/// Takes the result of a task's function to the owner. Who has it may start the next task at once.
template <class T>
struct task_answer {
  from<T> client;
  task_process* task;

  template <class... V>
  void operator()(V&&... value) const {
    task->place.reset();
    client.reply(std::forward<V>(value)...);
    if (task->then == when_done::unlink) unlink(client.caller());
  }
};

/// A parent's exit ends a task that traps exits, as it ends any server.
void handle_stray(const message& message, std::string_view task);

/// Runs the function for the one call that the process gets.
template <class T, class F>
class task_behavior final : public task_process {
 public:
  task_behavior(F function, when_done then) : task_process(then), function_(std::move(function)) {}
  std::string_view initial_call() const noexcept override { return type_name<F>(); }
  init_outcome init() override { return {}; }

  void handle(message& message) override {
    if (message.kind != message_kind::call) return handle_stray(message, initial_call());
    task_answer<T> answer{from<T>(message.from, message.ref), this};
    if constexpr (std::invocable<F&, from<T>>) {
      function_(answer.client);
    } else if constexpr (answer_of<std::invoke_result_t<F&>>::comes_later) {
      take_later(function_(), answer);
    } else if constexpr (std::is_void_v<T>) {
      function_();
      answer();
    } else {
      answer(function_());
    }
  }

 private:
  template <class P>
  static void take_later(P result, const task_answer<T>& answer) {
    if constexpr (std::is_void_v<T>)
      std::move(result).then([answer] { answer(); });
    else
      std::move(result).then([answer](T value) { answer(std::move(value)); });
  }

  F function_;
};

}  // namespace detail

/// A handle to a function that runs in a process of its own.
template <class T>
class task {
 public:
  task() = default;
  explicit task(std::shared_ptr<detail::task_state_of<T>> state) : state_(std::move(state)) {}

  pid process() const noexcept { return state_ ? state_->process : pid{}; }
  pid owner() const noexcept { return state_ ? state_->owner : pid{}; }
  explicit operator bool() const noexcept { return state_ != nullptr; }

  /// For the library.
  const std::shared_ptr<detail::task_state_of<T>>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<detail::task_state_of<T>> state_;
};

namespace detail {

template <class T, class F>
task<T> make_task(
    F function, when_done then = when_done::stay_linked, const task_starter& starter = {}) {
  auto state = std::make_shared<task_state_of<T>>();
  start_task(*state, std::make_unique<task_behavior<T, F>>(std::move(function), then), starter);
  return task<T>(std::move(state));
}

}  // namespace detail

/// Runs `function()` in a new process, linked to this one.
template <class F>
requires std::invocable<F&>
[[nodiscard("a task is awaited; to start a process and forget it, use spawn_link")]] auto async(
    F function) {
  return detail::make_task<detail::task_value<F>>(std::move(function));
}

/// … which answers through the `from<T>` that it is given, from itself or from a continuation.
template <class T, class F>
requires std::invocable<F&, from<T>>
[[nodiscard("a task is awaited; to start a process and forget it, use spawn_link")]] task<T> async(
    F function) {
  return detail::make_task<T>(std::move(function));
}

// --- waiting for a task --------------------------------------------------------------------------

namespace detail {

template <class T, class F, class G>
class await_listener final : public task_listener {
 public:
  await_listener(std::shared_ptr<task_state_of<T>> task, F on_value, G on_failure)
      : task_(std::move(task)),
        on_value_(std::move(on_value)),
        on_failure_(std::move(on_failure)) {}
  void ended() override {
    auto result = task_->take();
    if (!result) return fail(result.reason());
    if constexpr (std::is_void_v<T>)
      on_value_();
    else
      on_value_(std::move(*result));
  }
  void timed_out() override {
    forget_task(*task_);
    fail(exit_reason::timeout);
  }

 private:
  void fail(const exit_reason& reason) {
    if constexpr (std::same_as<G, std::monostate>)
      throw_no_result(reason, type_name<task<T>>());
    else
      on_failure_(reason);
  }

  std::shared_ptr<task_state_of<T>> task_;
  F on_value_;
  [[no_unique_address]] G on_failure_;
};

/// yield, shutdown: both answer a result, if there is one.
template <class T, class F>
class result_listener : public task_listener {
 public:
  result_listener(std::shared_ptr<task_state_of<T>> task, F on_result)
      : task_(std::move(task)), on_result_(std::move(on_result)) {}
  void ended() override { on_result_(std::optional<task_result<T>>(task_->take())); }
  void timed_out() override { on_result_(std::optional<task_result<T>>()); }

 protected:
  std::shared_ptr<task_state_of<T>> task_;
  F on_result_;
};

/// What `shutdown` makes of the end of a task that was told to end.
template <class T>
std::optional<task_result<T>> after_stop(task_state_of<T>& task, const exit_reason& wished) {
  auto result = task.take();
  if (!result && result.reason() == wished) return std::nullopt;
  return result;
}

template <class T, class F>
class stop_listener final : public task_listener {
 public:
  stop_listener(std::shared_ptr<task_state_of<T>> task, exit_reason wished, F on_result)
      : task_(std::move(task)), wished_(std::move(wished)), on_result_(std::move(on_result)) {}
  void ended() override { on_result_(after_stop(*task_, wished_)); }
  void timed_out() override {
    stop_task(*task_, exit_reason::kill);
    listen(task_, infinity, std::make_unique<stop_listener>(task_, wished_, std::move(on_result_)));
  }

 private:
  std::shared_ptr<task_state_of<T>> task_;
  exit_reason wished_;
  F on_result_;
};

}  // namespace detail

/// The result of a task that is awaited. Nothing happens until one of its functions is called.
template <class T>
class [[nodiscard(
    "say how to take the result: .then(...) in a process, .get() outside")]] awaiting {
 public:
  awaiting(std::shared_ptr<detail::task_state_of<T>> task, std::chrono::milliseconds timeout)
      : task_(std::move(task)), timeout_(timeout) {}

  /// Runs `on_value(T)` in this process. If the task fails or takes too long, this process crashes.
  template <class F>
  void then(F on_value)&& {
    then_or(std::move(on_value), std::monostate{});
  }
  /// As above, and runs `on_failure(const exit_reason&)` when there is no value.
  template <class F, class G>
  void then(F on_value, G on_failure)&& {
    then_or(std::move(on_value), std::move(on_failure));
  }

  /// Waits; only outside processes. Throws process_exit when there is no value.
  T get()&& {
    constexpr auto what = detail::type_name<task<T>>();
    if (!detail::wait_for(*task_, timeout_)) {
      detail::forget_task(*task_);
      detail::throw_no_result(exit_reason::timeout, what);
    }
    auto result = task_->take();
    if (!result) detail::throw_no_result(result.reason(), what);
    if constexpr (!std::is_void_v<T>) return std::move(*result);
  }

 private:
  template <class F, class G>
  void then_or(F on_value, G on_failure) {
    static_assert(
        detail::takes_answer<F, T>,
        "then() needs a function that takes the task's result: .then([](T result) { ... "
        "}), or .then([] { ... }) when the task's function returns nothing");
    static_assert(
        detail::takes_failure<G>, "the second function of then() takes  const roost::exit_reason&");
    detail::listen(
        task_, timeout_,
        std::make_unique<detail::await_listener<T, F, G>>(
            task_, std::move(on_value), std::move(on_failure)));
  }

  std::shared_ptr<detail::task_state_of<T>> task_;
  std::chrono::milliseconds timeout_;
};

/// What yield and shutdown answer: `std::optional<task_result<T>>`, nothing when there is no
/// result.
template <class T>
class [[nodiscard(
    "say how to take the result: .then(...) in a process, .get() outside")]] yielding {
 public:
  using result = std::optional<task_result<T>>;

  yielding(std::shared_ptr<detail::task_state_of<T>> task, std::chrono::milliseconds timeout)
      : task_(std::move(task)), timeout_(timeout) {}
  yielding(std::shared_ptr<detail::task_state_of<T>> task, shutdown_time limit)
      : task_(std::move(task)),
        timeout_(limit.is_brutal_kill() ? infinity : limit.limit()),
        stop_with_(limit.is_brutal_kill() ? exit_reason::kill : exit_reason::shutdown) {}

  /// Runs `on_result(std::optional<task_result<T>>)` in this process.
  template <class F>
  void then(F on_result)&& {
    static_assert(
        std::invocable<F&, result>,
        "then() needs a function that takes  std::optional<roost::task_result<T>>");
    detail::require_owner(*task_, "then");
    if (!stop_with_) {
      return detail::listen(
          task_, timeout_,
          std::make_unique<detail::result_listener<T, F>>(task_, std::move(on_result)));
    }
    if (task_->ended)
      return detail::listen(
          task_, infinity,
          std::make_unique<detail::result_listener<T, F>>(task_, std::move(on_result)));
    detail::stop_task(*task_, *stop_with_);
    detail::listen(
        task_, timeout_,
        std::make_unique<detail::stop_listener<T, F>>(task_, wished(), std::move(on_result)));
  }

  /// Waits; only outside processes.
  result get()&& {
    if (!stop_with_) {
      if (!detail::wait_for(*task_, timeout_)) return std::nullopt;
      return task_->take();
    }
    if (detail::wait_for(*task_, std::chrono::milliseconds(0))) return task_->take();
    detail::stop_task(*task_, *stop_with_);
    if (!detail::wait_for(*task_, timeout_)) {
      detail::stop_task(*task_, exit_reason::kill);
      detail::wait_for(*task_, infinity);
    }
    return detail::after_stop(*task_, wished());
  }

 private:
  /// With this reason, the task has ended as it should.
  exit_reason wished() const {
    return *stop_with_ == exit_reason::kill ? exit_reason::killed : exit_reason::shutdown;
  }

  std::shared_ptr<detail::task_state_of<T>> task_;
  std::chrono::milliseconds timeout_;
  std::optional<exit_reason> stop_with_;
};

namespace detail {
template <class T>
struct answer_of<awaiting<T>> {
  using type = T;
  static constexpr bool comes_later = true;
};
template <class T>
struct answer_of<yielding<T>> {
  using type = std::optional<task_result<T>>;
  static constexpr bool comes_later = true;
};
}  // namespace detail

/// Takes the result of a task. Without one after the timeout, the caller crashes; a linked task
/// then ends with it.
template <class T>
awaiting<T> await(const task<T>& task, std::chrono::milliseconds timeout = call_timeout) {
  return {task.state(), timeout};
}

/// Asks for the result of a task: nothing when it has none within the time; it may be asked again.
template <class T>
yielding<T> yield(const task<T>& task, std::chrono::milliseconds timeout = call_timeout) {
  return {task.state(), timeout};
}

/// Ends a task that is not needed any more, without hurting the caller: asks it to `shutdown`,
/// kills it after `limit`. Answers nothing when it has ended as told, the result if there was one
/// already, and the reason if the task had another one.
template <class T>
yielding<T> shutdown(const task<T>& task, shutdown_time limit = call_timeout) {
  return {task.state(), limit};
}

/// Lets a task run on, unlinked, without anybody who waits for it. Answers its result if that is
/// here.
template <class T>
std::optional<task_result<T>> ignore(const task<T>& task) {
  auto& state = *task.state();
  if (!inside_process()) detail::wait_for(state, std::chrono::milliseconds(0));
  detail::require_owner(state, "ignore");
  if (state.ended && !state.taken) return state.take();
  if (inside_process()) unlink(state.process);
  detail::forget_task(state);
  return std::nullopt;
}

// --- many tasks ----------------------------------------------------------------------------------

enum class on_timeout {
  exit,       // the caller crashes with `timeout`
  kill_task,  // the result of the task is the reason `timeout`
};

struct stream_options {
  std::size_t max_concurrency = 0;  // tasks at a time; 0: one for each scheduler
  bool ordered = true;              // results in the order of the input, not as they come
  std::chrono::milliseconds timeout = call_timeout;  // for each task
  enum on_timeout on_timeout = on_timeout::exit;
};

namespace detail {

/// Starts the tasks of a stream, one after the other.
template <class T>
class stream_source {
 public:
  stream_source() = default;
  stream_source(const stream_source&) = delete;
  stream_source& operator=(const stream_source&) = delete;
  virtual ~stream_source() = default;
  virtual task<T> next() = 0;  // empty: that was all
};

template <class T, class Range, class F>
class stream_source_of final : public stream_source<T> {
 public:
  stream_source_of(Range range, F function, task_starter starter)
      : range_(std::move(range)),
        function_(std::move(function)),
        starter_(std::move(starter)),
        at_(std::begin(range_)) {}

  task<T> next() override {
    if (at_ == std::end(range_)) return {};
    auto run = [function = function_, element = *at_]() mutable { return function(element); };
    ++at_;
    return make_task<T>(std::move(run), when_done::unlink, starter_);
  }

 private:
  Range range_;
  F function_;
  task_starter starter_;
  decltype(std::begin(std::declval<Range&>())) at_;
};

template <class T>
class stream_sink {
 public:
  stream_sink() = default;
  stream_sink(const stream_sink&) = delete;
  stream_sink& operator=(const stream_sink&) = delete;
  virtual ~stream_sink() = default;
  virtual void take(task_result<T> result) = 0;
  virtual void finish() = 0;
};

/// A stream under way, in the process that wants its results.
template <class T>
class stream_run : public std::enable_shared_from_this<stream_run<T>> {
 public:
  stream_run(
      std::unique_ptr<stream_source<T>> source, stream_options options,
      std::unique_ptr<stream_sink<T>> sink)
      : source_(std::move(source)), options_(options), sink_(std::move(sink)) {
    if (options_.max_concurrency == 0) options_.max_concurrency = default_concurrency();
  }

  void fill() {
    while (!exhausted_ && running_ < options_.max_concurrency) {
      auto task = source_->next();
      if (!task) {
        exhausted_ = true;
        break;
      }
      ++running_;
      auto position = started_++;
      yield(task, options_.timeout)
          .then([run = this->shared_from_this(), task,
                 position](std::optional<task_result<T>> result) {
            run->on_result(task, position, std::move(result));
          });
    }
    if (exhausted_ && running_ == 0 && !finished_) {
      finished_ = true;
      sink_->finish();
    }
  }

 private:
  void on_result(const task<T>& task, std::size_t position, std::optional<task_result<T>> result) {
    if (result) return deliver(position, std::move(*result));
    if (options_.on_timeout == on_timeout::exit) throw process_exit(exit_reason::timeout);
    // The next task starts when this one has gone, or there would be too many.
    shutdown(task, brutal_kill)
        .then([run = this->shared_from_this(), position](std::optional<task_result<T>> last) {
          run->deliver(position, last ? std::move(*last) : task_result<T>(exit_reason::timeout));
        });
  }

  void deliver(std::size_t position, task_result<T> result) {
    --running_;
    if (options_.ordered)
      deliver_in_order(position, std::move(result));
    else
      sink_->take(std::move(result));
    fill();
  }

  void deliver_in_order(std::size_t position, task_result<T> result) {
    waiting_.emplace(position, std::move(result));
    while (!waiting_.empty() && waiting_.begin()->first == delivered_) {
      auto next = waiting_.extract(waiting_.begin());
      ++delivered_;
      sink_->take(std::move(next.mapped()));
    }
  }

  std::unique_ptr<stream_source<T>> source_;
  stream_options options_;
  std::unique_ptr<stream_sink<T>> sink_;
  std::map<std::size_t, task_result<T>> waiting_;  // for those before them
  std::size_t started_ = 0;
  std::size_t delivered_ = 0;
  std::size_t running_ = 0;
  bool exhausted_ = false;
  bool finished_ = false;
};

template <class T, class F, class G>
class each_sink final : public stream_sink<T> {
 public:
  each_sink(F on_result, G on_end) : on_result_(std::move(on_result)), on_end_(std::move(on_end)) {}
  void take(task_result<T> result) override { on_result_(std::move(result)); }
  void finish() override { on_end_(); }

 private:
  F on_result_;
  G on_end_;
};

template <class T, class F>
class all_sink final : public stream_sink<T> {
 public:
  explicit all_sink(F on_results) : on_results_(std::move(on_results)) {}
  void take(task_result<T> result) override { results_.push_back(std::move(result)); }
  void finish() override { on_results_(std::move(results_)); }

 private:
  F on_results_;
  std::vector<task_result<T>> results_;
};

}  // namespace detail

/// Results that come from many tasks. Nothing is started until one of its functions is called.
template <class T>
class [[nodiscard(
    "say how to take the results: .each(...), .then(...), or .get() outside")]] task_stream {
 public:
  using results = std::vector<task_result<T>>;

  task_stream(std::unique_ptr<detail::stream_source<T>> source, stream_options options)
      : source_(std::move(source)), options_(options) {}

  /// Runs `on_result(task_result<T>)` in this process for each result as it comes.
  template <class F>
  void each(F on_result)&& {
    std::move(*this).each(std::move(on_result), [] {});
  }
  /// … and `on_end()` after the last.
  template <class F, class G>
  void each(F on_result, G on_end)&& {
    static_assert(
        std::invocable<F&, task_result<T>>,
        "each() needs a function that takes  roost::task_result<T>");
    run(std::make_unique<detail::each_sink<T, F, G>>(std::move(on_result), std::move(on_end)));
  }

  /// Runs `on_results(std::vector<task_result<T>>)` in this process when all have come.
  template <class F>
  void then(F on_results)&& {
    static_assert(
        std::invocable<F&, results>,
        "then() needs a function that takes  std::vector<roost::task_result<T>>");
    run(std::make_unique<detail::all_sink<T, F>>(std::move(on_results)));
  }

  /// Waits for all results; only outside processes.
  results get()&& {
    auto driver = async<results>([stream = std::move(*this)](from<results> answer) mutable {
      std::move(stream).then([answer](results all) { answer.reply(std::move(all)); });
    });
    return await(driver, infinity).get();
  }

 private:
  void run(std::unique_ptr<detail::stream_sink<T>> sink) {
    std::make_shared<detail::stream_run<T>>(std::move(source_), options_, std::move(sink))->fill();
  }

  std::unique_ptr<detail::stream_source<T>> source_;
  stream_options options_;
};

namespace detail {

template <class Range, class F>
auto make_stream(Range range, F function, stream_options options, task_starter starter = {}) {
  using element = std::decay_t<decltype(*std::begin(range))>;
  constexpr bool fits = std::invocable<F&, element&>;
  static_assert(fits, "async_stream needs a function that takes an element of the range");
  if constexpr (fits) {
    using T = typename answer_of<std::invoke_result_t<F&, element&>>::type;
    return task_stream<T>(
        std::make_unique<stream_source_of<T, Range, F>>(
            std::move(range), std::move(function), std::move(starter)),
        options);
  }
}

}  // namespace detail

/// Runs `function(element)` as a task for each element of `range`, some at a time.
template <class Range, class F>
auto async_stream(Range range, F function, stream_options options = {}) {
  return detail::make_stream(std::move(range), std::move(function), options);
}

}  // namespace roost
