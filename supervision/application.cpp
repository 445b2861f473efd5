#include "supervision/application.hpp"
#include "runtime/discovery/topologies.hpp"
#include "runtime/distribution/cookie.hpp"
#include "runtime/logger.hpp"
#include "runtime/node_table.hpp"
#include "supervision/release/command_line.hpp"
#include "supervision/release/commands.hpp"
#include "supervision/release/exit_codes.hpp"
#include "supervision/release/node_life.hpp"
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>

namespace roost {
namespace {

namespace fs = std::filesystem;
using namespace detail;

const char* variable(const char* name) { return std::getenv(name); }

std::string own_path() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

/// As given, else under the parent of the program's directory.
std::string find_file(const std::string& file) {
  std::error_code error;
  if (fs::exists(file, error) || fs::path(file).is_absolute()) return file;
  auto beside = fs::path(own_path()).parent_path().parent_path() / file;
  return fs::exists(beside, error) ? beside.string() : file;
}

std::string machine_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

class program {
 public:
  program(application_options options, std::vector<application_spec> applications)
      : options_(std::move(options)), applications_(std::move(applications)), path_(own_path()) {}

  int run(int argc, char** argv) {
    for (auto& one : options_.extensions)
      commands_.insert(commands_.end(), one.commands.begin(), one.commands.end());
    auto parsed = parse_command_line(
        {options_.name, options_.version, options_.config, commands_}, argc, argv);
    if (auto* code = std::get_if<int>(&parsed)) return *code;
    line_ = std::get<command_line>(parsed);
    int code = exit_code::failed;
    try {
      code = carry_out();
    } catch (const config_error& error) {
      code = complain(error, exit_code::wrong_usage);
    } catch (const std::invalid_argument& error) {
      code = complain(error, exit_code::wrong_usage);
    } catch (const already_running& error) {
      code = complain(error, exit_code::running);
    } catch (const std::exception& error) {
      code = complain(error, exit_code::failed);
    }
    launcher_.failed(code);
    return code;
  }

 private:
  int carry_out() {
    bool runs_here = line_.what == command::start || line_.what == command::daemon;
    load(runs_here ? config_variables::required : config_variables::optional);
    node_files files(release());
    if (line_.what == command::extension)
      return commands_[line_.extension].run(
          {.program = options_.name,
           .arguments = line_.arguments,
           .switches = line_.switches,
           .node = distribution_});
    if (!runs_here) return run_command(line_.what, options_.name, files);
    if (line_.what == command::daemon) {
      // A log file of the configuration's own stays.
      if (application_config().get<std::string>("logger.file", "").empty())
        line_.overrides.push_back("logger.file=\"" + files.log() + '"');
      if (auto code = become_daemon(options_.name, files, launcher_)) return *code;
    }
    take_over_heart_line();
    if (line_.heart) {
      if (auto code = run_heart(heart_options_, about_heart(files))) return *code;
      launcher_.close();  // heart tells it
    }
    // Once more: the node may have a log file now, and one that heart starts again a new file.
    load(config_variables::required);
    std::signal(SIGPIPE, SIG_IGN);
    return run_node(files);
  }

  void load(config_variables variables) {
    auto file = !line_.config.empty()      ? line_.config
                : !options_.config.empty() ? find_file(options_.config)
                                           : std::string();
    auto loaded = file.empty() ? config::from_text("", "no file", line_.overrides, variables)
                               : config::load_file(file, line_.overrides, variables);
    auto environment = read_environment(
        {.name = options_.name,
         .version = options_.version,
         .program = path_,
         .host = machine_name(),
         .name_flag = line_.name,
         .sname_flag = line_.sname,
         .variable = variable},
        loaded);
    distribution_ = read_distribution(loaded, environment);
    auto epmd_port = distribution_ ? distribution_->epmd_port : std::uint16_t{0};
    cluster_ = discovery::read_topologies(loaded, discovery::node_bindings(epmd_port));
    heart_options_ = read_heart_options(loaded, variable);
    set_release(std::move(environment));
    set_application_config(std::move(loaded));
  }

  heart_context about_heart(const node_files& files) {
    return {
        .node = release().instance(),
        .crash_report = files.crash_report(),
        .json = application_config().get<std::string>("logger.format", "text") == "json",
        .on_ready = [this] { launcher_.ready(); }};
  }

  int run_node(const node_files& files) {
    if (!release().node.empty()) name_this_node(release().node);
    block_node_signals();  // every thread that starts from here on leaves them to this one
    const auto& config = application_config();
    configure_logger(config);
    node_life node(
        {.name = options_.name,
         .version = options_.version,
         .shutdown_timeout = config.get("node.shutdown_timeout", options_.shutdown_timeout),
         .schedulers = config.get_in<std::size_t>("node.schedulers", 0, 0, 1024),
         .io_uring = config.get("node.io_uring", true),
         .beat_interval = std::min(
             std::chrono::milliseconds(5000),
             std::chrono::milliseconds(heart_options_.beat_timeout / 4)),
         .heart_check = options_.heart_check,
         .distribution = distribution_,
         .cluster = cluster_},
        files, launcher_);
    int code = node.run(all_applications());
    if (!node.wants_restart() || code != exit_code::in_order) return code;
    logger::info("starting again", {{"application", options_.name}, {"program", path_}});
    logger::flush();
    start_again(path_, start_arguments(line_));
    throw std::runtime_error("expected to start " + path_ + " again, got an error");
  }

  /// Those of extensions come first: the others may need them.
  std::vector<application_spec> all_applications() {
    std::vector<application_spec> all;
    for (auto& one : options_.extensions)
      all.insert(all.end(), one.applications.begin(), one.applications.end());
    std::vector<std::string> names;
    for (auto& one : all) names.push_back(one.name);
    for (auto& one : applications_) {
      one.depends_on.insert(one.depends_on.end(), names.begin(), names.end());
      all.push_back(std::move(one));
    }
    return all;
  }

  int complain(const std::exception& error, int code) const {
    logger::flush();
    std::cerr << options_.name << ": " << error.what() << "\n";
    return code;
  }

  application_options options_;
  std::vector<application_spec> applications_;
  std::vector<program_command> commands_;  // of extensions
  std::string path_;                       // now, as a newer program may take its place
  command_line line_;
  heart_options heart_options_;
  std::optional<node::options> distribution_;
  discovery::settings cluster_;
  daemon_line launcher_;
};

}  // namespace

int run_applications(
    application_options options, std::vector<application_spec> applications, int argc,
    char** argv) {
  return program(std::move(options), std::move(applications)).run(argc, argv);
}

int run_application(
    application_options options, std::function<supervisor_spec()> root, int argc, char** argv) {
  application_spec only{.name = options.name, .start = std::move(root)};
  return run_applications(std::move(options), {std::move(only)}, argc, argv);
}

}  // namespace roost
