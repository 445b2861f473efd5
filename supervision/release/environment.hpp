// supervision/release/environment.hpp
//
// Who this node is and where it keeps its things, from the command line, environment variables and
// the configuration, in this order of precedence.
//
//   auto& release = roost::release();
//   open(release.root + "/share/words.txt");
//   logger::info("hello", {{"node", release.node}, {"version", release.version}});
//
//   variable              key                 default
//   RELEASE_NAME                              the program's name
//   RELEASE_NODE          node.name           unnamed
//   RELEASE_DISTRIBUTION  node.distribution   name for NAME@HOST, sname for NAME, none without a
//   name RELEASE_COOKIE        node.cookie         the content of <root>/releases/COOKIE, if there
//   is one RELEASE_TMP                               <root>/tmp; where that cannot be written,
//                                             $XDG_RUNTIME_DIR/NAME, else /tmp/NAME-<user id>
//
// With RELEASE_DISTRIBUTION=none a node has no name. `sname` completes NAME with the machine's name
// up to the first dot, and NAME defaults to RELEASE_NAME; `name` wants all of NAME@HOST. Errors:
// config_error, with the variable, flag or key that is wrong. Thread safety: any thread, once
// run_application has read it. Source: Elixir releases, "Environment variables".
#pragma once
#include "runtime/config.hpp"
#include <functional>
#include <optional>
#include <string>

namespace roost {

enum class node_distribution { none, sname, name };

struct release_environment {
  std::string name;     // of the release
  std::string version;  // of the application
  std::string root;     // the directory above the program's
  std::string tmp;      // pid file, control socket, logs and dumps
  std::string node;     // "chat@127.0.0.1"; empty: unnamed
  node_distribution distribution = node_distribution::none;
  std::string cookie;  // empty: none was given

  /// What files of this node are called: the node's name, else the release's.
  const std::string& instance() const { return node.empty() ? name : node; }
};

/// Empty until run_application has read it.
const release_environment& release();

namespace detail {

struct release_inputs {
  std::string name;
  std::string version;
  std::string program;  // its path
  std::string host;     // of the machine
  std::optional<std::string> name_flag = {};
  std::optional<std::string> sname_flag = {};
  std::function<const char*(const char*)> variable;  // getenv
};

/// Does not look at files.
release_environment read_environment(const release_inputs& inputs, const config& config);

/// The directory that RELEASE_TMP stands for when it is not set.
std::string default_tmp(const release_environment& release, const char* runtime_directory);

void set_release(release_environment environment);

}  // namespace detail
}  // namespace roost
