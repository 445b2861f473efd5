// supervision/release/command_line.hpp — private.
//
// The arguments of a program, as data. The only file that knows CLI11.
//
//   auto parsed = parse_command_line({.name = "chat", .version = "1.0.0"}, argc, argv);
//   if (auto* code = std::get_if<int>(&parsed)) return *code;   // help, version, a wrong flag
//   auto& line = std::get<command_line>(parsed);
#pragma once
#include "supervision/application.hpp"
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace roost::detail {

enum class command { start, daemon, stop, restart, drain, ping, pid, extension };

struct command_line {
  command what = command::start;
  std::string config = {};  // empty: the default file
  std::optional<std::string> name = {};
  std::optional<std::string> sname = {};
  std::vector<std::string> overrides = {};  // of --set
  bool heart = false;

  // Of a command of an extension.
  std::size_t extension = 0;  // its place in program_info::commands
  std::vector<std::string> arguments = {};
  std::vector<std::string> switches = {};

  friend bool operator==(const command_line&, const command_line&) = default;
};

struct program_info {
  std::string name;
  std::string version;
  std::string default_config = {};
  std::vector<program_command> commands = {};  // of extensions
};

/// Answers the exit code instead when there is nothing left to do, after printing why.
std::variant<command_line, int> parse_command_line(
    const program_info& program, int argc, const char* const* argv);

/// The arguments that start a node in the foreground just so, for a program that replaces itself.
std::vector<std::string> start_arguments(const command_line& line);

}  // namespace roost::detail
