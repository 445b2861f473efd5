// supervision/task_supervisor.hpp
//
// A supervisor for tasks: they end with it, and a task that crashes hurts nobody but itself.
//
//   roost::child<roost::task_supervisor>({.name = "mails", .max_children = 100})
//
//   roost::task_supervisor mails{"mails"};                      // a handle
//   auto sent = mails.async_nolink([mail] { return send_now(mail); });
//   roost::await(sent).then([] { … }, [](const roost::exit_reason& reason) { … });
//   mails.start_child([mail] { deliver(mail); });               // nobody waits for it
//   mails.async_stream_nolink(list, deliver, {.max_concurrency = 8}).each([](auto result) { … });
//
// task.hpp says what a task's function may be, and how a task is awaited. A process that awaits a
// task that crashes crashes too, unless `.then` was given a second function: use that, or yield.
//
// Errors. One task more than max_children throws max_children_reached, in the caller. A name of no
// task supervisor throws std::invalid_argument.
//
// Thread safety: call from any process or thread. Starting does not wait for the supervisor.
// Source: Elixir Task.Supervisor.
#pragma once
#include "runtime/task.hpp"
#include "supervision/child_result.hpp"

namespace roost {

/// The supervisor has as many tasks as it may.
class max_children_reached : public std::runtime_error {
 public:
  explicit max_children_reached(std::size_t limit);
};

class task_supervisor {
 public:
  static constexpr std::size_t no_limit = static_cast<std::size_t>(-1);

  struct options {
    std::string name = {};  // required
    std::size_t max_children = no_limit;
    int max_restarts = 3;  // of children that start_child has made to come back
    std::chrono::milliseconds max_seconds{5000};
  };
  static roost::child_spec child_spec(options options);

  struct child_options {
    enum restart restart = temporary;
    shutdown_time shutdown = std::chrono::milliseconds(5000);
  };

  /// Starts one that is linked to the caller.
  static pid start_link(options options);

  /// A handle to the supervisor of this name, whether it runs or not.
  explicit task_supervisor(std::string name) : name_(std::move(name)) {}

  /// Runs `function()` as a task of this supervisor. Its crash is only an answer to the caller.
  template <class F>
  requires std::invocable<F&>
  [[nodiscard("a task is awaited; start_child is for what nobody waits for")]] auto async_nolink(
      F function) const {
    return detail::make_task<detail::task_value<F>>(
        std::move(function), detail::when_done::stay_linked, starter(false));
  }

  /// … linked to the caller as well.
  template <class F>
  requires std::invocable<F&>
  [[nodiscard("a task is awaited; start_child is for what nobody waits for")]] auto async(
      F function) const {
    return detail::make_task<detail::task_value<F>>(
        std::move(function), detail::when_done::stay_linked, starter(true));
  }

  /// Runs `function(element)` for each element of `range`; a crash is a result like others.
  template <class Range, class F>
  auto async_stream_nolink(Range range, F function, stream_options options = {}) const {
    return detail::make_stream(std::move(range), std::move(function), options, starter(false));
  }

  /// … with tasks that are linked to the caller as well.
  template <class Range, class F>
  auto async_stream(Range range, F function, stream_options options = {}) const {
    return detail::make_stream(std::move(range), std::move(function), options, starter(true));
  }

  /// Runs a function, and what it waits for, whose result nobody wants. It is copied, for it may
  /// run again: see `restart`.
  template <class F>
  pid start_child(F function) const {
    return start_child(std::move(function), child_options{});
  }
  template <class F>
  pid start_child(F function, child_options options) const {
    static_assert(
        std::copy_constructible<F>,
        "start_child copies its function, because a restart needs it again: make what it "
        "captures copyable, or capture a shared_ptr");
    auto run = [function]() mutable {
      if constexpr (detail::answer_of<std::invoke_result_t<F&>>::comes_later)
        function().then([](auto&&...) {});
      else
        (void)function();
    };
    return start_function([run] { return detail::run_once(run); }, options);
  }

  /// The tasks that run, in no particular order.
  pending<std::vector<pid>> children() const;

  /// Ends one of them as its `shutdown` says; not_found when it is none of this supervisor's.
  pending<child_result> terminate_child(pid child) const;

  pid process() const noexcept { return whereis(name_); }

 private:
  detail::task_starter starter(bool linked) const;
  pid start_function(
      std::function<std::unique_ptr<detail::behavior>()> make, const child_options& options) const;

  std::string name_;
};

}  // namespace roost
