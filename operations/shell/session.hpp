// private: what somebody who sits before a shell, or a script, has: Lua, with the functions of a
// node's console in it.
#pragma once
#include "operations/shell/lua_engine.hpp"
#include "operations/shell/node_connection.hpp"
#include <set>

namespace roost::detail {

class shell_session {
 public:
  /// Without a node: only Lua itself, Config and System.version.
  shell_session(lua_engine::limits limits, node_connection* node);

  lua_engine& lua() noexcept { return lua_; }

  /// The node that functions are asked of.
  const std::string& target() const noexcept { return target_; }

  /// A piece of code; its results are what `v()` answers.
  lua_engine::outcome run(const std::string& code) { return lua_.run(code); }

  /// What traced and monitored processes have done since the last time.
  std::vector<std::string> take_events();

  /// What may stand at the end of a line: names of Lua, and in quotes names and pids of processes.
  std::vector<std::string> completions(const std::string& line);

  /// Set by exit().
  bool wants_to_leave() const noexcept { return leaving_; }

 private:
  json ask(const std::string& function, json arguments, const std::string& node = {});
  void define_console();
  void define_helpers();
  std::string help(const std::string& about) const;

  lua_engine lua_;
  node_connection* node_;
  std::string target_;
  std::set<std::string> watching_;  // the nodes that keep events for this session
  std::vector<std::pair<std::string, std::string>> usage_;  // by name, with what each does
  bool leaving_ = false;
};

}  // namespace roost::detail
