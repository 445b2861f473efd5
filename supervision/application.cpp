#include "supervision/application.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <future>
#include <iostream>
#include <thread>

namespace roost {
namespace {

constexpr int stopped_in_order = 0;
constexpr int failed = 1;
constexpr int wrong_usage = 2;

struct command_line {
  bool start = false;
  std::string config;
  std::string name;
  std::vector<std::string> overrides;
};

/// Answers the exit code of a run that ends here (help, version, a wrong flag).
std::optional<int> parse(
    const application_options& options, command_line& line, int argc, char** argv) {
  CLI::App app{options.name};
  app.set_help_flag("-h,--help", "Print this and exit");
  app.require_subcommand(1);
  auto* start = app.add_subcommand("start", "Run the node in the foreground");
  start->add_option(
      "--config", line.config,
      "Configuration file" + (options.config.empty() ? "" : " (default " + options.config + ")"));
  start->add_option("--name", line.name, "Node name, such as " + options.name + "@127.0.0.1");
  start->add_option("--set", line.overrides, "Overrides one key: --set endpoint.http.port=4001")
      ->allow_extra_args(false)
      ->take_all();
  auto* version = app.add_subcommand("version", "Print the version");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? stopped_in_order : wrong_usage;
  }
  if (version->parsed()) {
    std::cout << options.name << " " << options.version << "\n";
    return stopped_in_order;
  }
  line.start = true;
  return std::nullopt;
}

/// As given, else under the parent of the program's directory.
std::string find_file(const std::string& file) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::exists(file, error) || fs::path(file).is_absolute()) return file;
  auto program = fs::read_symlink("/proc/self/exe", error);
  auto beside = program.parent_path().parent_path() / file;
  return !error && fs::exists(beside, error) ? beside.string() : file;
}

void check_node_name(const std::string& name) {
  auto at = name.find('@');
  if (at == name.npos || at == 0 || at + 1 == name.size() || name.find('@', at + 1) != name.npos)
    throw config_error("expected --name to be NAME@HOST, got " + name);
}

config load_config(const application_options& options, const command_line& line) {
  auto file = !line.config.empty()      ? line.config
              : !options.config.empty() ? find_file(options.config)
                                        : std::string();
  auto loaded = file.empty() ? config::from_text("", "no file", line.overrides)
                             : config::load_file(file, line.overrides);
  auto name = loaded.get<std::string>("node.name", "");  // a known key even if --name is given
  if (!line.name.empty()) name = line.name;
  if (!name.empty()) {
    check_node_name(name);
    detail::set_node_name(name);
  }
  return loaded;
}

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

/// Waits for a signal or for the end of the tree. Answers the signal, or 0.
int wait_for_end(pid root) {
  auto signals = stop_signals();
  timespec pause{0, 200'000'000};
  while (is_alive(root)) {
    auto signal = sigtimedwait(&signals, nullptr, &pause);
    if (signal > 0) return signal;
  }
  return 0;
}

bool wait_until_gone(pid process, std::chrono::milliseconds limit) {
  auto deadline = std::chrono::steady_clock::now() + limit;
  while (is_alive(process)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

struct started_tree {
  pid top;
  int signal = 0;  // came meanwhile; 0: none
};

/// Starts the tree in a thread of its own, so that a signal is heard meanwhile. A tree that takes too
/// long after that has no order to stop in, and ends with the program.
started_tree start_tree(const application_options& options, supervisor_spec root) {
  auto result = std::make_shared<std::promise<pid>>();
  auto top = result->get_future();
  std::thread([result, root = std::move(root)]() mutable {
    try {
      result->set_value(start_link(std::move(root)));
    } catch (...) {
      result->set_exception(std::current_exception());
    }
  }).detach();
  auto signals = stop_signals();
  timespec pause{0, 5'000'000};
  int signal = 0;
  auto deadline = std::chrono::steady_clock::time_point::max();
  while (top.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    if (auto caught = sigtimedwait(&signals, nullptr, &pause); caught > 0 && signal == 0) {
      signal = caught;
      deadline = std::chrono::steady_clock::now() + options.shutdown_timeout;
    }
    if (std::chrono::steady_clock::now() < deadline) continue;
    logger::error("told to stop, but the tree is still starting",
                  {{"limit_ms", options.shutdown_timeout.count()}});
    logger::flush();
    std::_Exit(failed);
  }
  return {top.get(), signal};
}

int run(const application_options& options, supervisor_spec root) {
  runtime runtime{
      {.schedulers = application_config().get_in<std::size_t>("node.schedulers", 0, 0, 1024),
       .shutdown_timeout = std::chrono::seconds(1)}};
  application_config().check_unknown();
  auto [top, early_signal] = start_tree(options, std::move(root));
  logger::info("started", {{"application", options.name}, {"node", node_name()}});
  auto signal = early_signal != 0 ? early_signal : wait_for_end(top);
  if (signal == 0) {
    logger::error("the supervision tree has ended", {{"application", options.name}});
    return failed;
  }
  logger::info("stopping", {{"application", options.name}, {"signal", strsignal(signal)}});
  detail::stop_root(top, exit_reason::shutdown);
  if (!wait_until_gone(top, options.shutdown_timeout)) {
    logger::error(
        "the tree did not stop in time", {{"limit_ms", options.shutdown_timeout.count()}});
    return failed;
  }
  logger::info("stopped", {{"application", options.name}});
  return stopped_in_order;
}

int complain(const application_options& options, const std::exception& error, int code) {
  logger::flush();
  std::cerr << options.name << ": " << error.what() << "\n";
  return code;
}

}  // namespace

int run_application(
    application_options options, std::function<supervisor_spec()> root, int argc, char** argv) {
  command_line line;
  if (auto code = parse(options, line, argc, argv)) return *code;
  // Every thread that starts from here on leaves these signals to this one.
  auto signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    set_application_config(load_config(options, line));
    configure_logger(application_config());
    return run(options, root());
  } catch (const config_error& error) {
    return complain(options, error, wrong_usage);
  } catch (const std::invalid_argument& error) {
    return complain(options, error, wrong_usage);
  } catch (const std::exception& error) {
    return complain(options, error, failed);
  }
}

}  // namespace roost
