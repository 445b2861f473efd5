#include "supervision/release/node_life.hpp"
#include "runtime/discovery/cluster.hpp"
#include "runtime/logger.hpp"
#include "runtime/process_info.hpp"
#include "runtime/runtime.hpp"
#include "supervision/application_plan.hpp"
#include "supervision/process_dump.hpp"
#include "supervision/release/crash_handler.hpp"
#include "supervision/release/exit_codes.hpp"
#include "supervision/release/sd_notify.hpp"
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace roost::detail {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using kind = node_event::kind;

constexpr const char* heart_variable = "ROOST_HEART_LINE";

/// Shows that the node's processes are served: beats from a process, not from a thread of its own,
/// which would go on while all the workers hang.
struct pulse {
  struct tick {};
  using messages = roost::messages<>;
  using infos = roost::messages<tick>;

  std::chrono::milliseconds interval;
  std::function<void()> beat;

  static init_result<pulse> init(std::chrono::milliseconds interval, std::function<void()> beat) {
    set_priority(process_priority::high);
    set_label("pulse");
    pulse self{interval, std::move(beat)};
    self.handle_info(tick{});
    return self;
  }
  void handle_info(tick) {
    beat();
    send_after(interval, self(), tick{});
  }
};

bool passes(const std::function<bool()>& check) {
  try {
    return !check || check();
  } catch (const std::exception& error) {
    logger::error("the heart check failed, no beat", {{"reason", error.what()}});
    return false;
  }
}

}  // namespace

node_life::node_life(settings settings, node_files files, daemon_line& launcher)
    : settings_(std::move(settings)), files_(std::move(files)), launcher_(launcher) {}

node_life::~node_life() {
  set_current_controller(nullptr);
  if (dump_.joinable()) dump_.join();
}

int node_life::run(std::vector<application_spec> applications) {
  line_to_heart().starting();
  files_.prepare();
  lock_.emplace(files_.pid_file());
  install_crash_handler(files_.crash_report(), settings_.name + " " + settings_.version);
  // Before the runtime, as it must outlive the processes that tell it of trees that have ended.
  application_controller controller(std::move(applications), [this](application_event event) {
    events_.push({.what = kind::application, .application = std::move(event)});
  });
  int code = exit_code::failed;
  {
    runtime runtime{
        {.schedulers = settings_.schedulers,
         .shutdown_timeout = std::chrono::seconds(1),
         .io_uring = settings_.io_uring}};
    application_config().check_unknown();
    use_signal_stacks(runtime.schedulers());
    if (settings_.distribution) {
      roost::node::start(*settings_.distribution);
      auto& cluster = settings_.cluster;
      for (auto& topology : cluster.topologies) discovery::start_link(topology);
      if (!cluster.topologies.empty()) discovery::start_watch(cluster.alarm_after);
    }
    set_current_controller(&controller);
    control_.emplace(files_.control_socket(), commands());
    start_pulse();
    if (auto& history = history_from_heart(); history.crashes > 0)
      logger::warning(
          "started again by heart", {{"crashes", history.crashes},
                                     {"reason", history.last},
                                     {"backtrace", history.backtrace}});
    controller.start();
    code = handle_events(controller);
    if (dump_.joinable()) dump_.join();
    set_current_controller(nullptr);
    roost::node::stop();
  }
  if (error_) {
    control_->finish(exit_code::failed);
    std::rethrow_exception(error_);
  }
  logger::flush();
  control_->finish(code);
  lock_->release();
  return code;
}

std::map<std::string, control_command> node_life::commands() {
  return {
      {"ping", [](auto&) { return control_reply{"pong"}; }},
      {"pid", [](auto&) { return control_reply{std::to_string(::getpid())}; }},
      {"ready", [this](auto&) { return control_reply{ready_ ? "true" : "false"}; }},
      {"stop", [this](auto&) { return request(kind::stop); }},
      {"restart", [this](auto&) { return request(kind::restart); }},
  };
}

/// Answers how long that may take.
control_reply node_life::request(kind what) {
  events_.push({.what = what});
  auto limit = std::min(settings_.shutdown_timeout, std::chrono::milliseconds(24h));
  return {.text = std::to_string(limit.count()), .waits_for_end = true};
}

void node_life::start_pulse() {
  auto start = [this](std::chrono::milliseconds interval, std::function<void()> beat) {
    std::function<void()> checked = [check = settings_.heart_check, beat = std::move(beat)] {
      if (passes(check)) beat();
    };
    start_link<pulse>(interval, checked);
  };
  if (line_to_heart().is_open()) start(settings_.beat_interval, [] { line_to_heart().beat(); });
  auto variable = [](const char* name) -> const char* { return std::getenv(name); };
  if (auto limit = watchdog_limit(variable, ::getpid()))
    start(
        std::max(
            std::chrono::floor<std::chrono::milliseconds>(*limit / 2),
            std::chrono::milliseconds(1)),
        [] { sd_notify("WATCHDOG=1"); });
}

// ---------------------------------------------------------------------------------------- events

int node_life::handle_events(application_controller& controller) {
  while (!done_) {
    auto event = events_.wait_until(deadline_);
    if (event.what == kind::timeout) {
      logger::error(
          "the tree did not stop in time", {{"limit_ms", settings_.shutdown_timeout.count()},
                                            {"busy_with", controller.busy_with()},
                                            {"processes", processes().size()}});
      cut_short();
    }
    handle(event, controller);
  }
  return code_;
}

void node_life::handle(const node_event& event, application_controller& controller) {
  switch (event.what) {
    case kind::signal:
      return on_signal(event.signal, controller);
    case kind::application:
      return on_application(event.application, controller);
    case kind::stop:
    case kind::restart: {
      if (stopping_) return;
      restarting_ = event.what == kind::restart;
      logger::info(
          "stopping",
          {{"application", settings_.name}, {"command", restarting_ ? "restart" : "stop"}});
      if (!restarting_) line_to_heart().stopping();
      return begin_stop(controller);
    }
    case kind::timeout:
      return;
  }
}

void node_life::on_signal(int number, application_controller& controller) {
  if (number == SIGUSR1) return dump();
  if (stopping_) {
    logger::error(
        "told to stop once more, leaving at once",
        {{"signal", strsignal(number)}, {"busy_with", controller.busy_with()}});
    cut_short();
  }
  logger::info("stopping", {{"application", settings_.name}, {"signal", strsignal(number)}});
  line_to_heart().stopping();
  begin_stop(controller);
}

void node_life::on_application(const application_event& event, application_controller& controller) {
  using what = application_event::kind;
  switch (event.what) {
    case what::started:
      if (!stopping_) on_started();
      return;
    case what::failed:
      // Those before it stop in order; then the program says why.
      error_ = event.error;
      code_ = exit_code::failed;
      if (!stopping_) begin_stop(controller);
      return;
    case what::ended:
      return on_ended(event, controller);
    case what::stopped:
      done_ = true;
      if (code_ == exit_code::in_order) logger::info("stopped", {{"application", settings_.name}});
  }
}

void node_life::on_started() {
  ready_ = true;
  logger::info("started", {{"application", settings_.name}, {"node", node_name()}});
  sd_notify("READY=1");
  line_to_heart().ready();
  launcher_.ready();
}

void node_life::on_ended(const application_event& event, application_controller& controller) {
  controller.clean_up(event.application);
  bool orderly = event.reason == exit_reason::normal;
  bool last = controller.ends_node(event.application, orderly);
  logger::report(
      last ? log_level::error : log_level::notice, "application_report",
      last ? "the supervision tree has ended" : "an application has ended, the others go on",
      {{"application", event.application}, {"reason", event.reason.to_string()}});
  if (!last || stopping_) return;
  code_ = exit_code::failed;
  begin_stop(controller);
}

void node_life::begin_stop(application_controller& controller) {
  stopping_ = true;
  ready_ = false;
  auto limit = settings_.shutdown_timeout;
  if (limit < std::chrono::hours(24 * 365)) deadline_ = clock::now() + limit;
  restarting_ ? sd_notify_reloading() : sd_notify("STOPPING=1");
  controller.stop();
}

/// Writes in a thread of its own: processes may take their time to answer.
void node_life::dump() {
  if (dumping_.exchange(true)) return;
  if (dump_.joinable()) dump_.join();
  dump_ = std::thread([this] {
    try {
      auto file = files_.dump();
      auto count = write_process_dump(file);
      logger::notice("wrote a process dump", {{"file", file}, {"processes", count}});
    } catch (const std::exception& error) {
      logger::error("no process dump", {{"reason", error.what()}});
    }
    dumping_ = false;
  });
}

/// What still runs ends with the process.
void node_life::cut_short() {
  logger::flush();
  control_->finish(exit_code::cut_short);
  lock_->release();
  launcher_.failed(exit_code::cut_short);
  std::_Exit(exit_code::cut_short);
}

// --------------------------------------------------------------------------------------- restart

void start_again(const std::string& path, const std::vector<std::string>& arguments) {
  // Everything that is still open belonged to the node before.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (int line = line_to_heart().descriptor(); line >= 0) {
    ::fcntl(line, F_SETFD, 0);
    ::setenv(heart_variable, std::to_string(line).c_str(), 1);
  }
  std::vector<char*> argv{const_cast<char*>(path.c_str())};
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(path.c_str(), argv.data());
}

void take_over_heart_line() {
  const char* given = std::getenv(heart_variable);
  if (given == nullptr) return;
  int line = -1;
  std::from_chars(given, given + std::strlen(given), line);
  ::unsetenv(heart_variable);
  if (line > STDERR_FILENO && ::fcntl(line, F_SETFD, FD_CLOEXEC) == 0) line_to_heart().open(line);
}

}  // namespace roost::detail
