// The supervisor as a process: it carries out what restart_plan decides, one step at a time, and
// answers questions in between. A step that has to wait (a child that takes its time to stop or to
// start) leaves the process free; the next message continues.
#include "supervision/supervisor.hpp"
#include "runtime/logger.hpp"
#include <algorithm>

namespace roost {
namespace {

using detail::start_outcome;
using detail::start_status;

enum class child_state { stopped, starting, running, stopping, failed };

struct child {
  child_spec spec;
  pid process;
  child_state state = child_state::stopped;
  timer kill_timer;
};

struct step {
  enum class kind { stop, start, finish } kind;
  std::string id = {};
};

// What a step came to: the next one may go, this one has to wait, or there are other steps now.
enum class progress { done, waits, replanned };

// What the step `finish` means.
enum class outcome { none, started, start_failed, shut_down };

std::string_view in_words(std::string_view context) {
  if (context == "start_error") return "child did not start";
  if (context == "shutdown_error") return "child did not stop as it should";
  if (context == "shutdown") return "too many restarts, shutting down";
  return "child terminated";
}

void supervisor_report(
    const std::string& name, const child& child, std::string_view context,
    const exit_reason& reason) {
  logger::report(
      log_level::error, "supervisor_report", in_words(context),
      {{"supervisor", name},
       {"context", context},
       {"child", child.spec.id},
       {"process", child.process ? to_string(child.process) : "none"},
       {"reason", reason.to_string()}});
}

class supervisor_process final : public detail::behavior {
 public:
  struct which {};
  struct count {};

  explicit supervisor_process(supervisor_spec spec)
      : name_(spec.name),
        strategy_(spec.strategy),
        auto_shutdown_(spec.auto_shutdown),
        intensity_(spec.max_restarts, spec.max_seconds) {
    for (auto& child_spec : spec.children) children_.push_back({std::move(child_spec), {}, {}, {}});
  }

  std::string_view initial_call() const noexcept override { return "roost::supervisor"; }

  detail::init_outcome init() override {
    trap_exit(true);
    detail::take_exits_while_initializing();
    if (name_.empty()) name_ = to_string(self());
    for (auto& child : children_) steps_.push_back({step::kind::start, child.spec.id});
    // Restarts that become necessary meanwhile come after this step, and do not hold it up.
    steps_.push_back({step::kind::finish});
    goal_ = outcome::started;
    inside_init_ = true;
    proceed();
    inside_init_ = false;
    return init_result_ ? *init_result_ : detail::init_outcome{detail::init_status::later, {}};
  }

  void handle(detail::message& message) override {
    if (auto* exit = detail::value_of<exited>(message))
      on_exit(*exit);
    else if (detail::value_of<which>(message) != nullptr)
      from<std::vector<child_info>>(message.from, message.ref).reply(list());
    else if (detail::value_of<count>(message) != nullptr)
      from<child_counts>(message.from, message.ref).reply(counts());
    else if (message.kind != detail::message_kind::down)
      logger::warning(
          "unexpected message dropped", {{"process", name_}, {"message", message.type->name}});
  }

 private:
  // --- questions -------------------------------------------------------------------------------

  std::vector<child_info> list() const {
    std::vector<child_info> result;
    for (auto& child : children_) {
      bool running = child.state == child_state::running;
      result.push_back(
          {child.spec.id, running ? child.process : pid{},
           !running && has_step(step::kind::start, child), child.spec.type});
    }
    return result;
  }

  child_counts counts() const {
    child_counts result;
    result.specs = children_.size();
    for (auto& child : children_) {
      result.active += child.state == child_state::running ? 1U : 0U;
      (child.spec.type == child_type::supervisor ? result.supervisors : result.workers) += 1;
    }
    return result;
  }

  // --- steps -----------------------------------------------------------------------------------

  child* find(std::string_view id) {
    auto found = std::find_if(
        children_.begin(), children_.end(), [&](auto& child) { return child.spec.id == id; });
    return found == children_.end() ? nullptr : &*found;
  }
  child* find(pid process) {
    auto found = std::find_if(
        children_.begin(), children_.end(), [&](auto& child) { return child.process == process; });
    return found == children_.end() || !process ? nullptr : &*found;
  }

  bool has_step(enum step::kind kind, const child& child) const {
    return std::any_of(steps_.begin(), steps_.end(), [&](auto& step) {
      return step.kind == kind && step.id == child.spec.id;
    });
  }

  /// Carries out steps until one has to wait, or none is left.
  void proceed() {
    while (!steps_.empty()) {
      auto result = carry_out(steps_.front());
      if (result == progress::waits) return;
      if (result == progress::done) steps_.pop_front();
    }
  }

  progress carry_out(const step& step) {
    if (step.kind == step::kind::finish) return reach_goal();
    auto* child = find(step.id);
    if (child == nullptr) return progress::done;
    return step.kind == step::kind::stop ? stop(*child) : start(*child);
  }

  progress reach_goal() {
    switch (std::exchange(goal_, outcome::none)) {
      case outcome::none:
        break;
      case outcome::started:
        finish_init({});
        break;
      case outcome::start_failed:
        finish_init({detail::init_status::stop, goal_reason_});
        break;
      case outcome::shut_down:
        detail::stop_self(goal_reason_);
        break;
    }
    return progress::done;
  }

  void finish_init(detail::init_outcome result) {
    initializing_ = false;
    if (inside_init_)
      init_result_ = std::move(result);
    else
      detail::finish_init(std::move(result));
  }

  progress stop(child& child) {
    if (child.state == child_state::failed) child.state = child_state::stopped;
    if (child.state == child_state::stopped) return progress::done;
    if (child.state == child_state::stopping) return progress::waits;
    child.state = child_state::stopping;
    link(child.process);  // or a child that has unlinked itself would be waited for in vain
    auto& limit = child.spec.shutdown;
    exit(child.process, limit.is_brutal_kill() ? exit_reason::kill : exit_reason::shutdown);
    if (!limit.is_brutal_kill() && !limit.is_infinity())
      child.kill_timer = detail::exit_after(limit.limit(), child.process, exit_reason::kill);
    return progress::waits;
  }

  progress start(child& child) {
    if (child.state == child_state::running) return progress::done;
    if (child.state == child_state::starting) return progress::waits;
    child.state = child_state::starting;
    auto outcome = call_start(child.spec);
    if (outcome.status == start_status::later) {
      child.process = outcome.process;
      return progress::waits;
    }
    return on_started(child, outcome);
  }

  /// An exception in the start function is a child that did not start, not a crash of its
  /// supervisor.
  start_outcome call_start(const child_spec& spec) {
    try {
      return spec.start([me = self(), id = spec.id, this](start_outcome later) {
        detail::run_in(me, [this, id, later] { on_started_later(id, later); });
      });
    } catch (const start_error& error) {
      return {start_status::failed, {}, error.reason()};
    } catch (const process_exit& exit) {
      return {start_status::failed, {}, exit.reason()};
    } catch (const std::exception& error) {
      return {start_status::failed, {}, exit_reason(error.what())};
    }
  }

  void on_started_later(const std::string& id, const start_outcome& outcome) {
    auto* child = find(id);
    if (child == nullptr || child->state != child_state::starting) return;
    if (on_started(*child, outcome) != progress::waits) proceed();
  }

  progress on_started(child& child, const start_outcome& outcome) {
    if (outcome.status == start_status::ready) {
      child.process = outcome.process;
      child.state = child_state::running;
      logger::report(
          log_level::debug, "progress_report", "child started",
          {{"supervisor", name_}, {"child", child.spec.id}, {"process", to_string(child.process)}});
      return progress::done;
    }
    child.process = {};
    child.state = child_state::stopped;
    if (outcome.status == start_status::ignored) {
      forget_if_temporary(child);
      return progress::done;
    }
    auto reason = outcome.status == start_status::already_started
                      ? exit_reason("{already_started, " + to_string(outcome.process) + "}")
                      : outcome.reason;
    supervisor_report(name_, child, "start_error", reason);
    // It is about to be stopped anyway, so there is nothing to try again.
    if (has_step(step::kind::stop, child)) return progress::done;
    if (!initializing_) return try_again(child);
    return give_up(
        outcome::start_failed,
        exit_reason::shutdown_with(
            "{failed_to_start_child, " + child.spec.id + ", " + reason.to_string() + "}"));
  }

  /// A child that fails to restart is tried again, until there were too many restarts. The next try
  /// waits for its turn behind the messages that are there, so that they are answered.
  progress try_again(child& child) {
    child.state = child_state::failed;
    if (!intensity_.allow(restart_intensity::clock::now())) return too_many(child);
    if (strategy_ == one_for_all) {  // with those that have come back already
      steps_.clear();
      plan(child);
    }
    detail::run_in(self(), [this, id = child.spec.id] {
      auto* failed = find(id);
      if (failed != nullptr && failed->state == child_state::failed) proceed();
    });
    return progress::waits;
  }

  progress too_many(const child& child) {
    supervisor_report(name_, child, "shutdown", exit_reason("reached_max_restart_intensity"));
    return give_up(outcome::shut_down, exit_reason::shutdown);
  }

  /// From now on: stop all children in reverse order, then end.
  progress give_up(outcome goal, exit_reason reason) {
    goal_ = goal;
    goal_reason_ = std::move(reason);
    steps_.clear();
    for (auto child = children_.rbegin(); child != children_.rend(); ++child)
      steps_.push_back({step::kind::stop, child->spec.id});
    steps_.push_back({step::kind::finish});
    return progress::replanned;
  }

  void plan(const child& ended) {
    auto index = static_cast<std::size_t>(&ended - children_.data());
    auto plan = plan_restart(strategy_, children_.size(), index);
    for (auto i : plan.stop) steps_.push_back({step::kind::stop, children_[i].spec.id});
    for (auto i : plan.start) steps_.push_back({step::kind::start, children_[i].spec.id});
  }

  // --- exits -----------------------------------------------------------------------------------

  void on_exit(const exited& exit) {
    auto* child = find(exit.from);
    if (child == nullptr) {
      if (!detail::is_parent_exit(exit)) return;
      give_up(outcome::shut_down, exit.reason);
      return proceed();
    }
    child->kill_timer.cancel();
    // A child may end by itself before the stop that it waits for comes to it: that is a stop too.
    bool expected = child->state == child_state::stopping || has_step(step::kind::stop, *child);
    child->state = child_state::stopped;
    if (expected)
      report_bad_stop(*child, exit.reason);
    else if (!exit.reason.is_orderly() || child->spec.restart == permanent)
      supervisor_report(name_, *child, "child_terminated", exit.reason);
    child->process = {};
    if (expected)
      forget_if_temporary(*child);
    else
      on_end(*child, exit.reason);
    proceed();
  }

  void report_bad_stop(const child& child, const exit_reason& reason) {
    bool as_wished = reason.is_orderly() ||
                     (child.spec.shutdown.is_brutal_kill() && reason == exit_reason::killed);
    if (!as_wished) supervisor_report(name_, child, "shutdown_error", reason);
  }

  /// A child has ended by itself.
  void on_end(child& child, const exit_reason& reason) {
    if (comes_back(child.spec.restart, reason)) {
      if (intensity_.allow(restart_intensity::clock::now()))
        plan(child);
      else
        too_many(child);
      return;
    }
    bool ends_us = child.spec.significant && auto_shutdown_applies();
    forget_if_temporary(child);
    if (ends_us) give_up(outcome::shut_down, exit_reason::shutdown);
  }

  void forget_if_temporary(const child& child) {
    if (child.spec.restart == temporary)
      children_.erase(children_.begin() + (&child - children_.data()));
  }

  /// A significant child that is being restarted has not ended.
  bool auto_shutdown_applies() const {
    if (auto_shutdown_ == auto_shutdown::never) return false;
    if (auto_shutdown_ == auto_shutdown::any_significant) return true;
    return std::none_of(children_.begin(), children_.end(), [&](auto& child) {
      return child.spec.significant &&
             (child.state == child_state::running || has_step(step::kind::start, child));
    });
  }

  std::string name_;
  enum strategy strategy_;
  enum auto_shutdown auto_shutdown_;
  restart_intensity intensity_;
  std::vector<child> children_;
  std::deque<step> steps_;
  outcome goal_ = outcome::none;  // when no step is left
  exit_reason goal_reason_;
  bool initializing_ = true;  // not every child has started yet
  bool inside_init_ = false;  // … and init() has not returned yet
  std::optional<detail::init_outcome> init_result_;
};

void check_child(const child_spec& spec) {
  auto fail = [&](std::string_view what, std::string_view got) {
    throw std::invalid_argument(
        std::string(what) + ", got " + std::string(got) + " for child " + spec.id);
  };
  if (spec.id.empty()) fail("missing_id: expected a child's id to be set", "an empty one");
  if (!spec.start) fail("missing_start: expected a child's start function to be set", "none");
  if (spec.significant && spec.restart == permanent)
    fail("bad_combination: expected a significant child to be transient or temporary", "permanent");
  if (!spec.shutdown.is_brutal_kill() && !spec.shutdown.is_infinity() &&
      spec.shutdown.limit().count() < 0)
    fail(
        "invalid_shutdown: expected shutdown to be 0 ms or more, infinity or brutal_kill",
        std::to_string(spec.shutdown.limit().count()) + " ms");
}

}  // namespace

void validate(const supervisor_spec& spec) {
  if (spec.max_restarts < 0)
    throw std::invalid_argument(
        "invalid_intensity: expected max_restarts to be 0 or more, got " +
        std::to_string(spec.max_restarts));
  if (spec.max_seconds.count() <= 0)
    throw std::invalid_argument(
        "invalid_period: expected max_seconds to be more than 0, got " +
        std::to_string(spec.max_seconds.count()) + " ms");
  std::vector<std::string_view> ids;
  for (auto& child : spec.children) {
    check_child(child);
    if (std::find(ids.begin(), ids.end(), child.id) != ids.end())
      throw std::invalid_argument(
          "duplicate_child_id: expected ids to be different, got " + child.id + " twice");
    if (child.significant && spec.auto_shutdown == auto_shutdown::never)
      throw std::invalid_argument(
          "bad_combination: expected auto_shutdown to be set for a significant child, got never "
          "with child " +
          child.id);
    ids.push_back(child.id);
  }
}

child_spec supervisor::child_spec(options options) {
  validate(options);
  auto name = options.name;
  return {
      .id = name.empty() ? std::string("supervisor") : name,
      .start = detail::starter(
          [options] { return std::make_unique<supervisor_process>(options); }, name),
      .shutdown = infinity,
      .type = child_type::supervisor};
}

namespace {

template <class R, class Question>
pending<R> ask(pid process) {
  return pending<R>(detail::request{
      process, detail::make_message<Question>(detail::message_kind::call), call_timeout,
      detail::type_name<Question>()});
}

}  // namespace

pending<std::vector<child_info>> supervisor::which_children() const {
  return ask<std::vector<child_info>, supervisor_process::which>(process_);
}

pending<child_counts> supervisor::count_children() const {
  return ask<child_counts, supervisor_process::count>(process_);
}

pid start_link(supervisor_spec spec) {
  validate(spec);
  auto name = spec.name;
  return detail::start_server(
      std::make_unique<supervisor_process>(std::move(spec)), {name}, detail::attachment::link,
      name.empty() ? "a supervisor" : "supervisor " + name);
}

}  // namespace roost
