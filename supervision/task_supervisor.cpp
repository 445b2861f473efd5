// A task is started by its caller, as the supervisor's child: the new process links itself to the
// supervisor and introduces itself, so that nobody has to wait. What both sides need at once,
// whether there is room, is a counter that they share.
#include "supervision/task_supervisor.hpp"
#include "runtime/process_core.hpp"
#include "supervision/dynamic_supervisor_process.hpp"
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
  throw std::invalid_argument(
      "expected a task_supervisor named \"" + std::string(name) +
      "\", got none: add roost::child<roost::task_supervisor>({.name = \"" + std::string(name) +
      "\"}) to the supervisor, before its users");
}

/// What a new child tells its supervisor, as its first message after the link.
struct introduction {
  detail::child_request words;
  pid child = {};
};

/// A task with its place among the children.
class placed_task : public detail::behavior {
 public:
  placed_task(std::unique_ptr<behavior> task, std::shared_ptr<void> place)
      : task_(std::move(task)), place_(std::move(place)) {}

  detail::init_outcome init() override { return task_->init(); }
  void handle(detail::message& message) override { task_->handle(message); }
  void terminate(const exit_reason& reason) override { task_->terminate(reason); }
  std::string_view initial_call() const noexcept override { return task_->initial_call(); }

 private:
  std::unique_ptr<behavior> task_;
  std::shared_ptr<void> place_;
};

/// … on its way to its supervisor.
class introduced_task final : public placed_task {
 public:
  introduced_task(
      std::unique_ptr<behavior> task, std::shared_ptr<void> place, pid supervisor,
      detail::child_request words)
      : placed_task(std::move(task), std::move(place)),
        supervisor_(supervisor),
        words_(std::move(words)) {}

  detail::init_outcome init() override {
    link(supervisor_);
    detail::current_process()->parent = supervisor_;
    send(supervisor_, introduction{std::move(words_), self()});
    return placed_task::init();
  }

 private:
  pid supervisor_;
  detail::child_request words_;
};

pid start(std::unique_ptr<detail::behavior> task) {
  detail::start_request request;
  request.run_once = true;
  request.owned = true;
  auto outcome = detail::start_process(std::move(task), std::move(request));
  if (outcome.status != detail::start_status::ready) throw process_exit(outcome.reason);
  return outcome.process;
}

/// Runs a function again, as a child of the supervisor that calls this.
class task_maker final : public detail::child_maker {
 public:
  task_maker(make_function make, std::shared_ptr<entrance> entrance)
      : make_(std::move(make)), entrance_(std::move(entrance)) {}

  detail::start_outcome start(std::function<void(detail::start_outcome)>) override {
    detail::start_request request;
    request.run_once = true;
    request.attach = detail::attachment::link;
    auto task = std::make_unique<placed_task>(make_(), entrance_->enter_again());
    auto outcome = detail::start_process(std::move(task), std::move(request));
    if (outcome.process) detail::signal(outcome.process, detail::message_kind::start, {});
    return outcome;
  }

 private:
  make_function make_;
  std::shared_ptr<entrance> entrance_;
};

/// A dynamic supervisor whose children come to it.
class task_supervisor_process final : public detail::dynamic_supervisor_process {
 public:
  struct list {};

  explicit task_supervisor_process(const task_supervisor::options& options)
      : dynamic_supervisor_process(
            {.name = options.name,
             .max_restarts = options.max_restarts,
             .max_seconds = options.max_seconds}),
        name_(options.name),
        max_children_(options.max_children) {}
  ~task_supervisor_process() override {
    auto& all = entrances();
    std::unique_lock guard{all.mutex};
    auto found = all.by_name.find(name_);
    if (found != all.by_name.end() && found->second == entrance_) all.by_name.erase(found);
  }

  std::string_view initial_call() const noexcept override { return "roost::task_supervisor"; }

  detail::init_outcome init() override {
    entrance_ = std::make_shared<entrance>();
    entrance_->supervisor = self();
    entrance_->max_children = max_children_;
    {
      auto& all = entrances();
      std::unique_lock guard{all.mutex};
      all.by_name.insert_or_assign(name_, entrance_);
    }
    return dynamic_supervisor_process::init();
  }

 private:
  bool handle_other(detail::message& message) override {
    if (auto* words = detail::value_of<introduction>(message)) {
      adopt(words->child, std::move(words->words));
    } else if (detail::value_of<list>(message) != nullptr) {
      std::vector<pid> processes;
      for_each_process([&](pid process) { processes.push_back(process); });
      from<std::vector<pid>>(message.from, message.ref).reply(std::move(processes));
    } else {
      return false;
    }
    return true;
  }

  std::string name_;
  std::size_t max_children_;
  std::shared_ptr<entrance> entrance_;
};

void validate(const task_supervisor::options& options) {
  if (options.name.empty())
    throw std::invalid_argument("expected a task_supervisor's .name to be set, got an empty one");
  detail::check_intensity(options.max_restarts, options.max_seconds);
}

}  // namespace

max_children_reached::max_children_reached(std::size_t limit)
    : std::runtime_error(
          "expected at most " + std::to_string(limit) +
          " tasks at a time, got one more: raise .max_children of the "
          "task_supervisor, or lower .max_concurrency") {}

child_spec task_supervisor::child_spec(options options) {
  validate(options);
  return {
      .id = options.name,
      .start = detail::starter(
          [options] { return std::make_unique<task_supervisor_process>(options); }, options.name),
      .shutdown = infinity,
      .type = child_type::supervisor};
}

pid task_supervisor::start_link(options options) {
  validate(options);
  auto name = options.name;
  return detail::start_server(
      std::make_unique<task_supervisor_process>(std::move(options)), {name},
      detail::attachment::link, "task_supervisor " + name);
}

detail::task_starter task_supervisor::starter(bool linked) const {
  return [name = name_, linked](std::unique_ptr<detail::task_process> task) {
    auto entrance = find_or_throw(name);
    task->place = entrance->enter();
    auto process = start(std::make_unique<introduced_task>(
        std::move(task), nullptr, entrance->supervisor,
        detail::child_request{.maker = nullptr, .restart = temporary}));
    if (linked && inside_process()) link(process);
    return process;
  };
}

pid task_supervisor::start_function(make_function make, const child_options& options) const {
  auto entrance = find_or_throw(name_);
  auto place = entrance->enter();
  auto task = make();
  std::unique_ptr<detail::child_maker> again;
  if (options.restart != temporary) again = std::make_unique<task_maker>(std::move(make), entrance);
  auto process = start(std::make_unique<introduced_task>(
      std::move(task), std::move(place), entrance->supervisor,
      detail::child_request{std::move(again), options.shutdown, options.restart}));
  detail::signal(process, detail::message_kind::start, {});
  return process;
}

pending<std::vector<pid>> task_supervisor::children() const {
  using list = task_supervisor_process::list;
  return pending<std::vector<pid>>(detail::request{
      process(), detail::make_message<list>(detail::message_kind::call), call_timeout,
      "task_supervisor children"});
}

pending<child_result> task_supervisor::terminate_child(pid child) const {
  return dynamic_supervisor(process_name(name_)).terminate_child(child);
}

}  // namespace roost
