// supervision/application.hpp
//
// A program: one application or several, each a supervision tree, with a configuration file and a
// command line. Reads the configuration, starts the node and the trees in the order of their
// dependencies, and stops everything in reverse on SIGTERM or SIGINT.
//
//   int main(int argc, char** argv) {
//     return roost::run_application({.name = "chat", .config = "conf/chat.yaml"},
//                                   chat_supervisor, argc, argv);
//   }
//
// With several applications, or with callbacks, an application is a struct. Only `start` is
// required:
//
//   struct chat {
//     roost::supervisor_spec start();          // the tree
//     void start_phase(std::string_view);      // each of .start_phases, once the tree has started
//     void prep_stop();                        // before the tree is stopped
//     void stop();                             // after it
//   };
//   return roost::run_applications(
//       {.name = "chat", .config = "conf/chat.yaml"},
//       {roost::application<metrics>(),
//        roost::application<chat>({.depends_on = {"metrics"}, .start_phases = {"warm_up"}})},
//       argc, argv);
//
// Commands: start, daemon, stop, restart, drain, ping, pid, version; docs/releases.md has them all.
//
// The configuration file is looked for as given, then beside the program's own directory
// (`<dir of the program>/../conf/chat.yaml`), so that a build tree and a release work from
// anywhere. Every key must be read by somebody before the trees start: an unknown key, a wrong type
// or a value out of range ends the program with a sentence that names file and line.
//
// Budget: stopping takes at most `shutdown_timeout` for all trees and callbacks together; what is
// left then is killed. A second SIGTERM or SIGINT does not wait for it. SIGUSR1 writes a file about
// the running processes.
//
// Exit codes: 0 stopped in order; 1 an application ended by itself or did not start (ping, stop,
// …: nobody is there); 2 wrong command line or configuration; 3 killed before everything had
// stopped in order; 4 a node of this name runs already; 5 heart has given up.
//
// Thread safety: callbacks run one after the other on a thread of their own, where they may block.
// Source: OTP application and init:stop; Elixir releases (bin/app start).
#pragma once
#include "runtime/config.hpp"
#include "runtime/distribution/node.hpp"
#include "supervision/supervisor.hpp"

namespace roost {

/// One application of a program, with its callbacks erased.
struct application_spec {
  std::string name;
  std::vector<std::string> depends_on = {};    // start before, stop after
  enum restart type = permanent;               // what its end means for the node
  std::vector<std::string> start_phases = {};  // in order, before the next application starts
  std::function<supervisor_spec()> start = {};
  std::function<void(std::string_view)> start_phase = {};
  std::function<void()> prep_stop = {};
  std::function<void()> stop = {};
};

/// A word that a command takes on the command line.
struct command_argument {
  std::string name;         // "code"; of a switch "--read-only"
  std::string description;  // a line for --help
};

/// What the user has typed.
struct command_call {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> switches;       // those that were given
  std::optional<node::options> node = {};  // of the node that is meant; nothing: it has no name
};

/// A command that an extension adds to every program. It runs in a process of its own, where no
/// node runs; release() and application_config() are those of the node that is meant.
struct program_command {
  std::string name;
  std::string description;
  std::vector<command_argument> arguments = {};  // all are required
  std::vector<command_argument> switches = {};
  std::function<int(const command_call&)> run = {};  // answers the exit code
};

/// What a layer above brings to a program: commands, and applications that start before its own and
/// stop after them.
struct extension {
  std::vector<program_command> commands = {};
  std::vector<application_spec> applications = {};
};

struct application_options {
  std::string name;         // of the program, as in --help
  std::string config = {};  // default file; empty: none is needed
  std::string version = "0.1.0";
  std::chrono::milliseconds shutdown_timeout{30'000};  // key node.shutdown_timeout
  /// Asked before each sign of life to heart or systemd; false or an exception: none is given.
  std::function<bool()> heart_check = {};
  std::vector<extension> extensions = {};
};

struct application_settings {
  std::string name = {};  // default: the name of the struct
  std::vector<std::string> depends_on = {};
  /// A permanent application that ends takes the node with it; a transient one does unless it ended
  /// with `normal`; a temporary one is only reported.
  enum restart type = permanent;
  std::vector<std::string> start_phases = {};
};

/// The application whose callbacks are members of A, which lives until the program ends.
template <class A, class... Args>
application_spec application(application_settings settings = {}, Args&&... args) {
  static_assert(
      requires(A a) { supervisor_spec{a.start()}; },
      "expected an application to have a member `roost::supervisor_spec start()`");
  auto self = std::make_shared<A>(std::forward<Args>(args)...);
  if (settings.name.empty()) settings.name = detail::short_name(detail::type_name<A>());
  application_spec spec{
      .name = std::move(settings.name),
      .depends_on = std::move(settings.depends_on),
      .type = settings.type,
      .start_phases = std::move(settings.start_phases),
      .start = [self] { return self->start(); }};
  if constexpr (requires { self->start_phase(std::string_view()); })
    spec.start_phase = [self](std::string_view phase) { self->start_phase(phase); };
  if constexpr (requires { self->prep_stop(); }) spec.prep_stop = [self] { self->prep_stop(); };
  if constexpr (requires { self->stop(); }) spec.stop = [self] { self->stop(); };
  return spec;
}

/// Runs until the tree ends; answers the exit code. The supervisor's function runs before anything
/// is started and may read application_config().
int run_application(
    application_options options, std::function<supervisor_spec()> root, int argc, char** argv);

/// The same for several applications. All `start` functions run before anything is started, so that
/// a wrong configuration is found first.
int run_applications(
    application_options options, std::vector<application_spec> applications, int argc, char** argv);

/// The section of the configuration that has the application's name: application:get_env.
config application_env(std::string_view application);

struct application_info {
  std::string name;
  enum restart type = permanent;
  pid root;
};

/// The applications that run, in the order of their start.
std::vector<application_info> which_applications();

/// Whether all applications have started, and none has been told to stop.
bool applications_started() noexcept;

}  // namespace roost
