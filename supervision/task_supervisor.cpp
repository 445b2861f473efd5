// A task is started by its caller, as the supervisor's child: the new process links itself to the
// supervisor and introduces itself, so that nobody has to wait. What both sides need at once, whether
// there is room, is a counter that they share.
#include "supervision/task_supervisor.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_core.hpp"
#include <algorithm>
#include <atomic>
#include <map>
#include <shared_mutex>

namespace roost {
namespace {

using make_function = std::function<std::unique_ptr<detail::behavior>()>;

/// What a running supervisor shares with those who start tasks.
struct entrance : std::enable_shared_from_this<entrance> {
  pid supervisor;
  std::size_t max_children = 0;
  std::atomic<std::size_t> children{0};

  /// A place among the children, for as long as it is kept.
  std::shared_ptr<void> enter() {
    auto present = children.load(std::memory_order_relaxed);
    do {
      if (present >= max_children) throw max_children_reached(max_children);
    } while (!children.compare_exchange_weak(present, present + 1, std::memory_order_relaxed));
    return place();
  }
  /// … of a child that comes back: it was there before the others.
  std::shared_ptr<void> enter_again() {
    children.fetch_add(1, std::memory_order_relaxed);
    return place();
  }

 private:
  std::shared_ptr<void> place() {
    return {this, [self = shared_from_this()](void*) {
              self->children.fetch_sub(1, std::memory_order_relaxed);
            }};
  }
};

struct all_entrances {
  std::shared_mutex mutex;
  std::map<std::string, std::shared_ptr<entrance>, std::less<>> by_name;
};
all_entrances& entrances() {
  static auto& entrances = *new all_entrances;  // outlives every thread
  return entrances;
}

std::shared_ptr<entrance> find_or_throw(std::string_view name) {
  auto& all = entrances();
  std::shared_lock guard{all.mutex};
  if (auto found = all.by_name.find(name); found != all.by_name.end()) return found->second;
  throw std::invalid_argument("expected a task_supervisor named \"" + std::string(name) +
                              "\", got none: add roost::child<roost::task_supervisor>({.name = \"" +
                              std::string(name) + "\"}) to the supervisor, before its users");
}

/// What a new child tells its supervisor, as its first message after the link.
struct introduction {
  shutdown_time shutdown;
  restart type;
  make_function make;  // empty: never restarted
  pid child = {};
};

/// A task on its way to its supervisor.
class supervised_task final : public detail::behavior {
 public:
  supervised_task(std::unique_ptr<behavior> task, pid supervisor, introduction words,
                  std::shared_ptr<void> place)
      : task_(std::move(task)),
        supervisor_(supervisor),
        words_(std::move(words)),
        place_(std::move(place)) {}

  detail::init_outcome init() override {
    link(supervisor_);
    detail::current_process()->parent = supervisor_;
    words_.child = self();
    send(supervisor_, std::move(words_));
    return task_->init();
  }
  void handle(detail::message& message) override { task_->handle(message); }
  void terminate(const exit_reason& reason) override { task_->terminate(reason); }
  std::string_view initial_call() const noexcept override { return task_->initial_call(); }

 private:
  std::unique_ptr<behavior> task_;
  pid supervisor_;
  introduction words_;
  std::shared_ptr<void> place_;
};

pid start(const entrance& entrance, std::unique_ptr<detail::behavior> task, introduction words,
          std::shared_ptr<void> place) {
  detail::start_request request;
  request.run_once = true;
  request.owned = true;
  auto outcome = detail::start_process(
      std::make_unique<supervised_task>(std::move(task), entrance.supervisor, std::move(words),
                                        std::move(place)),
      std::move(request));
  if (outcome.status != detail::start_status::ready) throw process_exit(outcome.reason);
  return outcome.process;
}

class task_supervisor_process final : public detail::behavior {
 public:
  struct list {};
  struct end_child { pid child; };

  explicit task_supervisor_process(task_supervisor::options options)
      : name_(options.name),
        max_children_(options.max_children),
        intensity_(options.max_restarts, options.max_seconds) {}
  task_supervisor_process(const task_supervisor_process&) = delete;
  task_supervisor_process& operator=(const task_supervisor_process&) = delete;
  ~task_supervisor_process() override {
    auto& all = entrances();
    std::unique_lock guard{all.mutex};
    auto found = all.by_name.find(name_);
    if (found != all.by_name.end() && found->second == entrance_) all.by_name.erase(found);
  }

  std::string_view initial_call() const noexcept override { return "roost::task_supervisor"; }

  detail::init_outcome init() override {
    trap_exit(true);
    entrance_ = std::make_shared<entrance>();
    entrance_->supervisor = self();
    entrance_->max_children = max_children_;
    auto& all = entrances();
    std::unique_lock guard{all.mutex};
    all.by_name.insert_or_assign(name_, entrance_);
    return {};
  }

  void handle(detail::message& message) override {
    if (auto* words = detail::value_of<introduction>(message))
      on_introduction(std::move(*words));
    else if (auto* exit = detail::value_of<exited>(message))
      on_exit(*exit);
    else if (detail::value_of<list>(message) != nullptr)
      from<std::vector<pid>>(message.from, message.ref).reply(pids());
    else if (auto* request = detail::value_of<end_child>(message))
      on_end_child(from<bool>(message.from, message.ref), request->child);
    else
      detail::unexpected(message, name_);
  }

 private:
  struct child {
    introduction words;
    timer kill_timer = {};
    bool stopping = false;
    std::vector<from<bool>> waiting = {};  // for its end
  };

  std::vector<pid> pids() const {
    std::vector<pid> result;
    for (auto& [process, child] : children_) result.push_back(process);
    return result;
  }

  void on_introduction(introduction words) {
    auto process = words.child;
    auto [at, is_new] = children_.emplace(process, child{std::move(words)});
    if (ending_) stop(process, at->second);
  }

  void on_end_child(from<bool> client, pid process) {
    auto found = children_.find(process);
    if (found == children_.end()) return client.reply(false);
    found->second.waiting.push_back(client);
    stop(process, found->second);
  }

  void stop(pid process, child& child) {
    if (child.stopping) return;
    child.stopping = true;
    auto& limit = child.words.shutdown;
    exit(process, limit.is_brutal_kill() ? exit_reason::kill : exit_reason::shutdown);
    if (!limit.is_brutal_kill() && !limit.is_infinity())
      child.kill_timer = detail::exit_after(limit.limit(), process, exit_reason::kill);
  }

  void on_exit(const exited& exit) {
    auto found = children_.find(exit.from);
    if (found == children_.end()) {
      if (detail::is_parent_exit(exit)) end_with(exit.reason);
      return;
    }
    auto child = std::move(found->second);
    children_.erase(found);
    child.kill_timer.cancel();
    for (auto& client : child.waiting) client.reply(true);
    if (!child.stopping) report(exit);
    if (!child.stopping) come_back(child, exit.reason);
    end_if_done();
  }

  void report(const exited& exit) const {
    if (exit.reason.is_orderly()) return;
    logger::report(log_level::error, "supervisor_report", "child terminated",
                   {{"supervisor", name_},
                    {"context", "child_terminated"},
                    {"process", to_string(exit.from)},
                    {"reason", exit.reason.to_string()}});
  }

  /// Restarts a child that is to come back.
  void come_back(child& child, const exit_reason& reason) {
    if (ending_ || !child.words.make || !comes_back(child.words.type, reason)) return;
    if (!intensity_.allow(restart_intensity::clock::now()))
      return end_with(exit_reason::shutdown);
    auto task = child.words.make();
    auto process =
        start(*entrance_, std::move(task), std::move(child.words), entrance_->enter_again());
    detail::signal(process, detail::message_kind::start, {});
  }

  /// Stops all tasks, then ends.
  void end_with(const exit_reason& reason) {
    if (!ending_) ending_ = reason;
    for (auto& [process, child] : children_) stop(process, child);
    end_if_done();
  }
  void end_if_done() {
    if (ending_ && children_.empty()) detail::stop_self(*ending_);
  }

  std::string name_;
  std::size_t max_children_;
  restart_intensity intensity_;
  std::shared_ptr<entrance> entrance_;
  std::map<pid, child> children_;
  std::optional<exit_reason> ending_;
};

void validate(const task_supervisor::options& options) {
  if (options.name.empty())
    throw std::invalid_argument("expected a task_supervisor's .name to be set, got an empty one");
}

}  // namespace

max_children_reached::max_children_reached(std::size_t limit)
    : std::runtime_error("expected at most " + std::to_string(limit) +
                         " tasks at a time, got one more: raise .max_children of the "
                         "task_supervisor, or lower .max_concurrency") {}

child_spec task_supervisor::child_spec(options options) {
  validate(options);
  return {.id = options.name,
          .start = detail::starter(
              [options] { return std::make_unique<task_supervisor_process>(options); },
              options.name),
          .shutdown = infinity,
          .type = child_type::supervisor};
}

pid task_supervisor::start_link(options options) {
  validate(options);
  auto name = options.name;
  return detail::start_server(std::make_unique<task_supervisor_process>(std::move(options)), {name},
                              detail::attachment::link, "task_supervisor " + name);
}

detail::task_starter task_supervisor::starter(bool linked) const {
  return [name = name_, linked](std::unique_ptr<detail::task_process> task) {
    auto entrance = find_or_throw(name);
    task->place = entrance->enter();
    auto process = start(*entrance, std::move(task),
                         {std::chrono::milliseconds(5000), temporary, {}, {}}, nullptr);
    if (linked && inside_process()) link(process);
    return process;
  };
}

pid task_supervisor::start_function(make_function make, const child_options& options) const {
  auto entrance = find_or_throw(name_);
  auto place = entrance->enter();
  auto task = make();
  auto process = start(*entrance, std::move(task),
                       {options.shutdown, options.restart, std::move(make), {}}, std::move(place));
  detail::signal(process, detail::message_kind::start, {});
  return process;
}

pending<std::vector<pid>> task_supervisor::children() const {
  using list = task_supervisor_process::list;
  return pending<std::vector<pid>>(
      detail::request{process(), detail::make_message<list>(detail::message_kind::call),
                      call_timeout, "task_supervisor children"});
}

pending<bool> task_supervisor::terminate_child(pid child) const {
  using end_child = task_supervisor_process::end_child;
  return pending<bool>(
      detail::request{process(), detail::make_message<end_child>(detail::message_kind::call, child),
                      infinity, "task_supervisor terminate_child"});
}

}  // namespace roost
