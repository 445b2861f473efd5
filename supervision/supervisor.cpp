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
  enum class kind { stop, start } kind;
  std::string id;
};

// What ends the present run of steps.
enum class outcome { none, started, start_failed, shut_down };

void supervisor_report(const std::string& name, const child& child, std::string_view context,
                       const exit_reason& reason) {
  logger::report(log_level::error, "supervisor_report", "child terminated",
                 {{"supervisor", name},
                  {"context", context},
                  {"child", child.spec.id},
                  {"process", to_string(child.process)},
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
      logger::warning("unexpected message dropped",
                      {{"process", name_}, {"message", message.type->name}});
  }

 private:
  // --- questions -------------------------------------------------------------------------------

  std::vector<child_info> list() const {
    std::vector<child_info> result;
    for (auto& child : children_)
      result.push_back({child.spec.id, child.state == child_state::running ? child.process : pid{},
                        child.state == child_state::failed || child.state == child_state::starting,
                        child.spec.type});
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
    auto found = std::find_if(children_.begin(), children_.end(),
                              [&](auto& child) { return child.spec.id == id; });
    return found == children_.end() ? nullptr : &*found;
  }
  child* find(pid process) {
    auto found = std::find_if(children_.begin(), children_.end(),
                              [&](auto& child) { return child.process == process; });
    return found == children_.end() || !process ? nullptr : &*found;
  }

  /// Carries out steps until one has to wait, or none is left.
  void proceed() {
    while (!steps_.empty()) {
      auto* child = find(steps_.front().id);
      bool stopping = steps_.front().kind == step::kind::stop;
      bool done = child == nullptr || (stopping ? stop(*child) : start(*child));
      if (!done) return;
      steps_.pop_front();
    }
    reach_goal();
  }

  void reach_goal() {
    switch (std::exchange(goal_, outcome::none)) {
      case outcome::none: break;
      case outcome::started: finish_init({}); break;
      case outcome::start_failed: finish_init({detail::init_status::stop, goal_reason_}); break;
      case outcome::shut_down: detail::stop_self(goal_reason_); break;
    }
  }

  void finish_init(detail::init_outcome result) {
    initializing_ = false;
    if (inside_init_)
      init_result_ = std::move(result);
    else
      detail::finish_init(std::move(result));
  }

  /// Answers whether the child is gone already.
  bool stop(child& child) {
    if (child.state == child_state::failed) child.state = child_state::stopped;
    if (child.state == child_state::stopped) return true;
    if (child.state == child_state::stopping) return false;
    child.state = child_state::stopping;
    auto& limit = child.spec.shutdown;
    if (limit.is_brutal_kill()) {
      exit(child.process, exit_reason::kill);
      return false;
    }
    exit(child.process, exit_reason::shutdown);
    if (!limit.is_infinity())
      child.kill_timer = detail::exit_after(limit.limit(), child.process, exit_reason::kill);
    return false;
  }

  /// Answers whether the child runs, or need not.
  bool start(child& child) {
    if (child.state == child_state::running) return true;
    if (child.state == child_state::starting) return false;
    child.state = child_state::starting;
    auto outcome = child.spec.start([me = self(), id = child.spec.id, this](start_outcome later) {
      detail::run_in(me, [this, id, later] { on_started_later(id, later); });
    });
    if (outcome.status == start_status::later) {
      child.process = outcome.process;
      return false;
    }
    return on_started(child, outcome);
  }

  void on_started_later(const std::string& id, const start_outcome& outcome) {
    auto* child = find(id);
    if (child == nullptr || child->state != child_state::starting) return;
    if (on_started(*child, outcome)) proceed();
  }

  bool on_started(child& child, const start_outcome& outcome) {
    if (outcome.status == start_status::ready) {
      child.process = outcome.process;
      child.state = child_state::running;
      logger::report(log_level::debug, "progress_report", "child started",
                     {{"supervisor", name_},
                      {"child", child.spec.id},
                      {"process", to_string(child.process)}});
      return true;
    }
    child.process = {};
    child.state = child_state::stopped;
    if (outcome.status == start_status::ignored) return true;
    auto reason = outcome.status == start_status::already_started
                      ? exit_reason("{already_started, " + to_string(outcome.process) + "}")
                      : outcome.reason;
    supervisor_report(name_, child, "start_error", reason);
    if (initializing_)
      give_up(outcome::start_failed,
              exit_reason::shutdown_with("{failed_to_start_child, " + child.spec.id + ", " +
                                         reason.to_string() + "}"));
    else
      try_again(child);
    return false;
  }

  /// A child that fails to restart is tried again, until there were too many restarts. The next try
  /// waits for its turn behind the messages that are there, so that they are answered.
  void try_again(child& child) {
    child.state = child_state::failed;
    if (!intensity_.allow(restart_intensity::clock::now())) return too_many(child);
    detail::run_in(self(), [this, id = child.spec.id] {
      auto* failed = find(id);
      if (failed != nullptr && failed->state == child_state::failed && !steps_.empty()) proceed();
    });
  }

  void too_many(const child& child) {
    supervisor_report(name_, child, "shutdown",
                      exit_reason("reached_max_restart_intensity"));
    give_up(outcome::shut_down, exit_reason::shutdown);
  }

  /// Stops all children in reverse order, then ends.
  void give_up(outcome goal, exit_reason reason) {
    goal_ = goal;
    goal_reason_ = std::move(reason);
    steps_.clear();
    for (auto child = children_.rbegin(); child != children_.rend(); ++child)
      steps_.push_back({step::kind::stop, child->spec.id});
    // Whoever is in the middle of proceed() goes on with the new steps.
    detail::run_in(self(), [this] { proceed(); });
  }

  // --- exits -----------------------------------------------------------------------------------

  void on_exit(const exited& exit) {
    auto* child = find(exit.from);
    if (child == nullptr) {
      if (detail::is_parent_exit(exit)) give_up(outcome::shut_down, exit.reason);
      return;
    }
    bool expected = child->state == child_state::stopping;
    child->kill_timer.cancel();
    child->state = child_state::stopped;
    if (expected) {
      report_bad_stop(*child, exit.reason);
      child->process = {};
      return proceed();
    }
    if (goal_ == outcome::shut_down || goal_ == outcome::start_failed) {
      child->process = {};
      return proceed();
    }
    on_crash(*child, exit.reason);
  }

  void report_bad_stop(const child& child, const exit_reason& reason) {
    bool as_wished = reason.is_orderly() ||
                     (child.spec.shutdown.is_brutal_kill() && reason == exit_reason::killed);
    if (!as_wished) supervisor_report(name_, child, "shutdown_error", reason);
  }

  void on_crash(child& child, const exit_reason& reason) {
    if (!reason.is_orderly() || child.spec.restart == permanent)
      supervisor_report(name_, child, "child_terminated", reason);
    child.process = {};
    auto id = child.spec.id;
    if (comes_back(child.spec.restart, reason)) {
      if (!intensity_.allow(restart_intensity::clock::now())) return too_many(child);
      auto index = static_cast<std::size_t>(&child - children_.data());
      auto plan = plan_restart(strategy_, children_.size(), index);
      for (auto i : plan.stop) steps_.push_back({step::kind::stop, children_[i].spec.id});
      for (auto i : plan.start) steps_.push_back({step::kind::start, children_[i].spec.id});
      return proceed();
    }
    bool ends_us = child.spec.significant && auto_shutdown_applies(child);
    if (child.spec.restart == temporary)
      children_.erase(children_.begin() + (&child - children_.data()));
    if (ends_us) give_up(outcome::shut_down, exit_reason::shutdown);
  }

  bool auto_shutdown_applies(const child& ended) const {
    if (auto_shutdown_ == auto_shutdown::never) return false;
    if (auto_shutdown_ == auto_shutdown::any_significant) return true;
    return std::none_of(children_.begin(), children_.end(), [&](auto& other) {
      return &other != &ended && other.spec.significant && other.state == child_state::running;
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
  bool initializing_ = true;   // not every child has started yet
  bool inside_init_ = false;   // … and init() has not returned yet
  std::optional<detail::init_outcome> init_result_;
};

void check_child(const child_spec& spec) {
  auto fail = [&](std::string_view what, std::string_view got) {
    throw std::invalid_argument(std::string(what) + ", got " + std::string(got) + " for child " +
                                spec.id);
  };
  if (spec.id.empty()) fail("missing_id: expected a child's id to be set", "an empty one");
  if (!spec.start) fail("missing_start: expected a child's start function to be set", "none");
  if (spec.significant && spec.restart == permanent)
    fail("bad_combination: expected a significant child to be transient or temporary",
         "permanent");
  if (!spec.shutdown.is_brutal_kill() && !spec.shutdown.is_infinity() &&
      spec.shutdown.limit().count() < 0)
    fail("invalid_shutdown: expected shutdown to be 0 ms or more, infinity or brutal_kill",
         std::to_string(spec.shutdown.limit().count()) + " ms");
}

}  // namespace

void validate(const supervisor_spec& spec) {
  if (spec.max_restarts < 0)
    throw std::invalid_argument("invalid_intensity: expected max_restarts to be 0 or more, got " +
                                std::to_string(spec.max_restarts));
  if (spec.max_seconds.count() <= 0)
    throw std::invalid_argument("invalid_period: expected max_seconds to be more than 0, got " +
                                std::to_string(spec.max_seconds.count()) + " ms");
  std::vector<std::string_view> ids;
  for (auto& child : spec.children) {
    check_child(child);
    if (std::find(ids.begin(), ids.end(), child.id) != ids.end())
      throw std::invalid_argument("duplicate_child_id: expected ids to be different, got " +
                                  child.id + " twice");
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
  return {.id = name.empty() ? std::string("supervisor") : name,
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
  return detail::start_server(std::make_unique<supervisor_process>(std::move(spec)), {name},
                              detail::attachment::link, "supervisor " + name);
}

}  // namespace roost
