// private: Lua, as a shell needs it: a piece of code at a time, with limits, whose results are
// printed, and modules whose functions are answered elsewhere.
//
//   lua_engine lua{{.memory = 64 << 20, .time = 30s}};
//   lua.define("Process.info", [](json given) { return node.ask("Process.info", given); });
//   auto outcome = lua.run("Process.info('rooms').memory");     // .text is "504"
//
// A piece of code is an expression or a block. Its results are printed as Lua would write them.
// Memory and time are limited; interrupt() ends what runs, from a signal handler too. An error is
// text and leaves everything as it was. Files, programs and C libraries are out of reach: io, os
// (but for clock, date and time), package, require, load of bytecode, debug.
//
// One thread at a time, but for interrupt().
#pragma once
#include "channels/json.hpp"
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace roost::detail {

class lua_engine {
 public:
  struct limits {
    std::size_t memory = std::size_t{64} << 20U;  // bytes
    std::chrono::milliseconds time{30'000};       // of one piece of code
  };
  struct outcome {
    bool ok = true;
    bool incomplete = false;  // more has to be typed
    std::string text = {};    // the results as text, or what was wrong; empty: there are none
  };
  /// Gets the arguments as a list; what it throws is an error in Lua.
  using function = std::function<json(json arguments)>;

  struct state;  // of the .cpp file

  explicit lua_engine(limits limits);
  lua_engine(const lua_engine&) = delete;
  lua_engine& operator=(const lua_engine&) = delete;
  ~lua_engine();

  /// A function of a module, "Process.info", or a global one, "help".
  void define(const std::string& name, function function);

  /// What is printed with print() goes here; standard output at first.
  void on_print(std::function<void(const std::string& line)> print);

  outcome run(const std::string& code);

  /// Ends what runs, with the error "interrupted".
  void interrupt() noexcept { interrupted_.store(true, std::memory_order_relaxed); }
  /// Whether what runs has to end: for functions that wait.
  bool has_to_end() const noexcept;

  /// What may follow `start`, the name or path before the cursor: "Pro" → "Process".
  std::vector<std::string> completions(const std::string& start);

 private:
  std::unique_ptr<state> state_;
  std::atomic<bool> interrupted_{false};
  friend struct state;
};

/// As a table of Lua would be written, in several lines when it is long. A pid stands without
/// quotes, a list of records of the same fields as a table with columns.
std::string to_lua_text(const json& value);

}  // namespace roost::detail
