// private: the command `observe`: a node in a terminal, as top shows a machine.
//
//   chat observe --name chat@10.0.0.7
//   chat observe > picture.txt             # one picture as plain text
//
// Source: observer_cli.
#pragma once
#include "supervision/application.hpp"

namespace roost::detail {

program_command observe_command();

}  // namespace roost::detail
