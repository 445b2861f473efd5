// private: the commands `remote`, `rpc` and `eval`.
#pragma once
#include "operations/shell/lua_engine.hpp"
#include "supervision/application.hpp"

namespace roost::detail {

std::vector<program_command> shell_commands();

/// Of the section operations.shell: time_limit and memory_limit of one piece of code.
lua_engine::limits read_shell_limits();

}  // namespace roost::detail
