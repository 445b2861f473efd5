// supervision/release/commands.hpp — private.
//
// The commands that talk to a running node, as people call them from a shell. Each prints what it
// has to say and answers the exit code.
#pragma once
#include "supervision/release/command_line.hpp"
#include "supervision/release/node_files.hpp"

namespace roost::detail {

/// stop, restart, ping or pid.
int run_command(command what, const std::string& program, const node_files& files);

}  // namespace roost::detail
