// supervision/application.hpp
//
// A program that is one supervision tree: reads its configuration and command line, starts the node
// and the root supervisor, and stops everything in order on SIGTERM or SIGINT.
//
//   int main(int argc, char** argv) {
//     return roost::run_application({.name = "chat", .config = "conf/chat.yaml"},
//                                   chat_supervisor, argc, argv);
//   }
//
//   chat start [--name chat@127.0.0.1] [--config FILE] [--set endpoint.http.port=4001 …]
//   chat version
//
// The configuration file is looked for as given, then beside the program's own directory
// (`<dir of the program>/../conf/chat.yaml`), so that a build tree and a release work from
// anywhere. Every key must be read by somebody before the tree starts: an unknown key, a wrong type
// or a value out of range ends the program with a sentence that names file and line.
//
// Exit codes: 0 stopped in order; 1 the tree ended by itself, did not start or did not stop in
// time; 2 wrong command line or configuration.
//
// Source: OTP application and init:stop; Elixir releases (bin/app start).
#pragma once
#include "runtime/config.hpp"
#include "supervision/supervisor.hpp"

namespace roost {

struct application_options {
  std::string name;         // of the program, as in --help
  std::string config = {};  // default file; empty: none is needed
  std::string version = "0.1.0";
  std::chrono::milliseconds shutdown_timeout{30'000};  // for the whole tree, then it is killed
};

/// Runs until the tree ends; answers the exit code. The supervisor's function runs before anything
/// is started and may read application_config().
int run_application(
    application_options options, std::function<supervisor_spec()> root, int argc, char** argv);

}  // namespace roost
