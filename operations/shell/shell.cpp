#include "operations/shell/shell.hpp"
#include "operations/shell/line_editor.hpp"
#include "operations/shell/session.hpp"
#include "runtime/config.hpp"
#include <pwd.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>

namespace roost::detail {
namespace {

constexpr int in_order = 0;
constexpr int failed = 1;

// --- interrupting --------------------------------------------------------------------------------

lua_engine* running = nullptr;
volatile std::sig_atomic_t interrupts = 0;

/// Who does not get out by the first Ctrl-C, as a function of Lua's own may run for ages, gets out
/// by the third.
void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupts >= 3) ::_exit(130);
  if (running != nullptr) running->interrupt();
}

/// No SA_RESTART: a line that is being typed ends.
void hear_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
}

lua_engine::outcome run(shell_session& session, const std::string& code) {
  interrupts = 0;
  running = &session.lua();
  auto outcome = session.run(code);
  running = nullptr;
  interrupts = 0;
  return outcome;
}

// --- the prompt ----------------------------------------------------------------------------------

std::string history_file() {
  auto* entry = ::getpwuid(::geteuid());
  return entry != nullptr ? std::string(entry->pw_dir) + "/.roost_history" : "";
}

void print(const lua_engine::outcome& outcome) {
  if (!outcome.ok)
    std::printf("** %s\n", outcome.text.c_str());
  else if (!outcome.text.empty())
    std::printf("%s\n", outcome.text.c_str());
  std::fflush(stdout);
}

void print_events(shell_session& session) {
  try {
    for (auto& line : session.take_events()) std::printf("%s\n", line.c_str());
  } catch (const std::exception& error) {
    std::printf("** %s\n", error.what());
  }
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

using reader = std::function<std::optional<line_editor::line>(const std::string& prompt)>;

/// Reads pieces of code, of one line or several, until the end.
void converse(
    shell_session& session, const reader& read,
    const std::function<void(const std::string&)>& remember) {
  std::string code;
  for (int number = 1; !session.wants_to_leave();) {
    auto where = code.empty() ? session.target() : std::string(session.target().size(), '.');
    auto line = read(where + "(" + std::to_string(number) + ")> ");
    if (!line) break;
    if (line->interrupted) {
      code.clear();
      continue;
    }
    if (code.empty() && is_blank(line->text)) {
      print_events(session);
      continue;
    }
    code += (code.empty() ? "" : "\n") + line->text;
    auto outcome = run(session, code);
    // Two empty lines in a row give up, as somebody who has lost count of `end`s will type them.
    if (outcome.incomplete && !(is_blank(line->text) && code.ends_with("\n"))) continue;
    remember(code);
    print(outcome);
    print_events(session);
    code.clear();
    ++number;
  }
}

void talk_at_terminal(shell_session& session) {
  line_editor editor(
      history_file(), [&](const std::string& line) { return session.completions(line); });
  std::printf(
      "Attached to %s. help() lists the functions; Ctrl-C interrupts, Ctrl-D or exit() leaves.\n",
      session.target().c_str());
  converse(
      session, [&](const std::string& prompt) { return editor.read(prompt); },
      [&](const std::string& code) {
        auto one_line = code;
        std::replace(one_line.begin(), one_line.end(), '\n', ' ');
        editor.remember(one_line);
      });
  std::printf("\n");
}

/// From a file or a pipe: without prompts.
void read_script(shell_session& session) {
  converse(
      session,
      [](const std::string&) -> std::optional<line_editor::line> {
        std::string text;
        if (!std::getline(std::cin, text)) return std::nullopt;
        return line_editor::line{.text = std::move(text)};
      },
      [](const std::string&) {});
}

// --- the commands --------------------------------------------------------------------------------

template <class F>
int guarded(const command_call& call, F command) {
  try {
    return command();
  } catch (const std::exception& error) {
    std::cerr << call.program << ": " << error.what() << "\n";
    return failed;
  }
}

console::role role_of(const command_call& call) {
  return call.switches.empty() ? console::role::admin : console::role::read_only;
}

int remote(const command_call& call) {
  return guarded(call, [&] {
    auto limits = read_shell_limits();
    node_connection node(call, role_of(call));
    shell_session session(limits, &node);
    hear_interrupts();
    ::isatty(STDIN_FILENO) != 0 ? talk_at_terminal(session) : read_script(session);
    return in_order;
  });
}

int print_outcome(const command_call& call, const lua_engine::outcome& outcome) {
  if (outcome.ok) {
    print(outcome);
    return in_order;
  }
  std::fflush(stdout);
  std::cerr << call.program << ": " << outcome.text << "\n";
  return failed;
}

int rpc(const command_call& call) {
  return guarded(call, [&] {
    auto limits = read_shell_limits();
    node_connection node(call, role_of(call));
    shell_session session(limits, &node);
    hear_interrupts();
    return print_outcome(call, run(session, call.arguments.front()));
  });
}

int eval(const command_call& call) {
  return guarded(call, [&] {
    shell_session session(read_shell_limits(), nullptr);
    hear_interrupts();
    return print_outcome(call, run(session, call.arguments.front()));
  });
}

}  // namespace

lua_engine::limits read_shell_limits() {
  auto section = application_config().section("operations.shell");
  lua_engine::limits limits;
  limits.time = section.get<std::chrono::milliseconds>("time_limit", limits.time);
  limits.memory = static_cast<std::size_t>(
      section.get<byte_size>("memory_limit", byte_size{limits.memory}).bytes);
  return limits;
}

std::vector<program_command> shell_commands() {
  command_argument read_only{
      "--read-only", "As a guest: may look, but change nothing (distribution.guest_cookie_file)"};
  return {
      {.name = "remote",
       .description = "A shell on the running node, in Lua",
       .switches = {read_only},
       .run = remote},
      {.name = "rpc",
       .description = "Run Lua code on the running node and print what it answers",
       .arguments = {{"code", "Such as 'Process.info(\"rooms\").memory'"}},
       .switches = {read_only},
       .run = rpc},
      {.name = "eval",
       .description = "Run Lua code without a node and print what it answers",
       .arguments = {{"code", "Such as 'Config.get(\"endpoint.http.port\")'"}},
       .run = eval}};
}

}  // namespace roost::detail
