#include "supervision/application_controller.hpp"
#include "runtime/logger.hpp"
#include "supervision/application_plan.hpp"
#include <algorithm>
#include <atomic>

namespace roost {
namespace detail {
namespace {

/// Tells how a tree ended. A process of its own, since only processes get DOWN messages.
struct application_watcher {
  using messages = roost::messages<>;
  std::function<void(exit_reason)> tell;

  static init_result<application_watcher> init(pid root, std::function<void(exit_reason)> tell) {
    monitor(root);
    return application_watcher{std::move(tell)};
  }
  cast_result handle_info(const down& down) {
    tell(down.reason);
    return roost::stop(exit_reason::normal);
  }
};

std::atomic<const application_controller*> current{nullptr};

/// A callback that throws while everything is being stopped must not keep the rest from stopping.
void call_safely(
    const std::function<void()>& callback, std::string_view name, const std::string& application) {
  if (!callback) return;
  try {
    callback();
  } catch (const std::exception& error) {
    logger::error(
        "a callback failed, stopping goes on",
        {{"application", application}, {"callback", name}, {"reason", error.what()}});
  }
}

}  // namespace

application_controller::application_controller(
    std::vector<application_spec> applications, listener listener)
    : tell_(std::move(listener)) {
  std::vector<application_node> nodes;
  for (const auto& one : applications) nodes.push_back({one.name, one.depends_on});
  for (auto index : start_order(nodes)) {
    auto& spec = applications[index];
    if (!spec.start)
      throw std::invalid_argument(
          "expected application " + spec.name + " to have a start function, got none");
    if (!spec.start_phases.empty() && !spec.start_phase)
      throw std::invalid_argument(
          "expected application " + spec.name +
          " to have a member start_phase(std::string_view), since it lists start_phases, got none");
    auto tree = spec.start();
    validate(tree);
    entries_.push_back({std::move(spec), std::move(tree)});
  }
  thread_ = std::thread([this] { work(); });
}

application_controller::~application_controller() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void application_controller::start() {
  post([this] { start_all(); });
}

void application_controller::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  post([this] { stop_all(); });
}

void application_controller::clean_up(std::string application) {
  post([this, application = std::move(application)] {
    call_safely(spec_of(application).stop, "stop", application);
  });
}

bool application_controller::ends_node(const std::string& application, bool ended_normally) const {
  return detail::ends_node(spec_of(application).type, ended_normally);
}

std::string application_controller::busy_with() const {
  std::lock_guard lock(mutex_);
  return busy_;
}

std::vector<application_info> application_controller::running() const {
  std::lock_guard lock(mutex_);
  std::vector<application_info> result;
  for (const auto& one : running_) result.push_back(one.info);
  return result;
}

bool application_controller::all_started() const {
  std::lock_guard lock(mutex_);
  return started_ && !stopping_;
}

// ------------------------------------------------------------------------------------ its thread

void application_controller::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void application_controller::work() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return closing_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
    set_busy("");
  }
}

void application_controller::start_all() {
  for (const auto& entry : entries_) {
    if (is_stopping()) break;
    try {
      start_one(entry);
    } catch (...) {
      tell_(
          {.what = application_event::kind::failed,
           .application = entry.spec.name,
           .error = std::current_exception()});
      return;
    }
  }
  {
    std::lock_guard lock(mutex_);
    started_ = true;
  }
  tell_({.what = application_event::kind::started});
}

void application_controller::start_one(const entry& entry) {
  const auto& spec = entry.spec;
  set_busy("starting " + spec.name);
  application_info info{spec.name, spec.type, start_link(entry.tree)};
  {
    std::lock_guard lock(mutex_);
    running_.push_back({info, {}});
  }
  // Only now, as it may have ended by now and says so at once.
  auto gone = watch(info);
  {
    std::lock_guard lock(mutex_);
    for (auto& one : running_)
      if (one.info.name == spec.name) one.gone = gone;
  }
  for (const auto& phase : spec.start_phases) {
    set_busy("start phase " + phase + " of " + spec.name);
    spec.start_phase(phase);
  }
  logger::report(
      log_level::debug, "progress_report", "application started",
      {{"application", spec.name}, {"root", to_string(info.root)}, {"node", node_name()}});
}

void application_controller::stop_all() {
  while (auto application = take_last()) stop_one(*application);
  tell_({.what = application_event::kind::stopped});
}

void application_controller::stop_one(const running_application& application) {
  const auto& spec = spec_of(application.info.name);
  set_busy("prep_stop of " + spec.name);
  call_safely(spec.prep_stop, "prep_stop", spec.name);
  set_busy("stopping " + spec.name);
  stop_root(application.info.root, exit_reason::shutdown);
  application.gone.wait();
  set_busy("stop of " + spec.name);
  call_safely(spec.stop, "stop", spec.name);
}

std::shared_future<exit_reason> application_controller::watch(const application_info& info) {
  auto promise = std::make_shared<std::promise<exit_reason>>();
  auto gone = promise->get_future().share();
  std::function<void(exit_reason)> tell = [this, promise, name = info.name](exit_reason reason) {
    // Whoever takes it from the list deals with its end: this, or the orderly stop, which waits for
    // the promise.
    bool by_itself = take(name).has_value();
    promise->set_value(reason);
    if (by_itself)
      tell_({.what = application_event::kind::ended, .application = name, .reason = reason});
  };
  start_link<application_watcher>(info.root, tell);
  return gone;
}

const application_spec& application_controller::spec_of(const std::string& name) const {
  return std::ranges::find_if(entries_, [&](auto& entry) { return entry.spec.name == name; })->spec;
}

void application_controller::set_busy(std::string text) {
  std::lock_guard lock(mutex_);
  busy_ = std::move(text);
}

std::optional<application_controller::running_application> application_controller::take(
    const std::string& name) {
  std::lock_guard lock(mutex_);
  auto found = std::ranges::find_if(running_, [&](auto& one) { return one.info.name == name; });
  if (found == running_.end()) return std::nullopt;
  auto taken = std::move(*found);
  running_.erase(found);
  return taken;
}

std::optional<application_controller::running_application> application_controller::take_last() {
  std::lock_guard lock(mutex_);
  if (running_.empty()) return std::nullopt;
  auto taken = std::move(running_.back());
  running_.pop_back();
  return taken;
}

bool application_controller::is_stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

void set_current_controller(const application_controller* controller) { current = controller; }

}  // namespace detail

std::vector<application_info> which_applications() {
  auto* controller = detail::current.load();
  return controller != nullptr ? controller->running() : std::vector<application_info>();
}

bool applications_started() noexcept {
  auto* controller = detail::current.load();
  return controller != nullptr && controller->all_started();
}

config application_env(std::string_view application) {
  return application_config().section(application);
}

}  // namespace roost
