#include "supervision/release/command_line.hpp"
#include "supervision/release/exit_codes.hpp"
#include <CLI/CLI.hpp>
#include <iostream>

namespace roost::detail {
namespace {

void add_node_options(CLI::App& command, const program_info& program, command_line& line) {
  auto by_default =
      program.default_config.empty() ? "" : " (default " + program.default_config + ")";
  command.add_option("--config", line.config, "Configuration file" + by_default);
  auto* name =
      command.add_option("--name", line.name, "Node name, such as " + program.name + "@127.0.0.1");
  command.add_option("--sname", line.sname, "Short node name, such as " + program.name)
      ->excludes(name);
  command.add_option("--set", line.overrides, "Overrides one key: --set endpoint.http.port=4001")
      ->allow_extra_args(false)
      ->take_all();
}

struct entry {
  command what;
  const char* name;
  const char* description;
};

constexpr entry entries[] = {
    {command::start, "start", "Run the node in the foreground"},
    {command::daemon, "daemon", "Run the node in the background"},
    {command::stop, "stop", "Stop the running node in order, and wait"},
    {command::restart, "restart",
     "Stop the running node in order and start it in the same process"},
    {command::drain, "drain",
     "Refuse new sockets, send the clients elsewhere, and wait until they have gone"},
    {command::ping, "ping", "Ask whether the node runs: pong or pang"},
    {command::pid, "pid", "Print the process id of the running node"},
};

}  // namespace

std::variant<command_line, int> parse_command_line(
    const program_info& program, int argc, const char* const* argv) {
  command_line line;
  CLI::App app{program.name};
  app.set_help_flag("-h,--help", "Print this and exit");
  app.require_subcommand(1);
  for (const auto& entry : entries) {
    auto* command = app.add_subcommand(entry.name, entry.description);
    add_node_options(*command, program, line);
    if (entry.what == command::start || entry.what == command::daemon)
      command->add_flag("--heart", line.heart, "Start the node again when it dies or hangs");
    command->callback([&line, what = entry.what] { line.what = what; });
  }
  for (std::size_t i = 0; i < program.commands.size(); ++i) {
    auto& extra = program.commands[i];
    auto* command = app.add_subcommand(extra.name, extra.description);
    add_node_options(*command, program, line);
    for (auto& argument : extra.arguments)
      command
          ->add_option_function<std::string>(
              argument.name, [&line](const std::string& word) { line.arguments.push_back(word); },
              argument.description)
          ->required();
    for (auto& one : extra.switches)
      command->add_flag_callback(
          one.name, [&line, name = one.name] { line.switches.push_back(name); }, one.description);
    command->callback([&line, i] {
      line.what = command::extension;
      line.extension = i;
    });
  }
  auto* version = app.add_subcommand("version", "Print the version");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_code::in_order : exit_code::wrong_usage;
  }
  if (version->parsed()) {
    std::cout << program.name << " " << program.version << "\n";
    return exit_code::in_order;
  }
  return line;
}

std::vector<std::string> start_arguments(const command_line& line) {
  std::vector<std::string> arguments{"start"};
  auto add = [&](const char* flag, const std::string& value) {
    arguments.emplace_back(flag);
    arguments.push_back(value);
  };
  if (!line.config.empty()) add("--config", line.config);
  if (line.name) add("--name", *line.name);
  if (line.sname) add("--sname", *line.sname);
  for (const auto& assignment : line.overrides) add("--set", assignment);
  return arguments;
}

}  // namespace roost::detail
