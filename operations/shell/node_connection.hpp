// private: a program that asks the console of a running node, as a hidden node of its own.
//
//   node_connection chat{call};                    // throws, saying why it may not
//   chat.ask("Process.info", json::array({"rooms"}))
//   chat.ask("System.info", json::array(), "chat2@127.0.0.1")     // through the first one
//
// It brings a runtime with it, so there is one at a time, on a thread that is no process. What is
// logged meanwhile is not written out.
#pragma once
#include "channels/json.hpp"
#include "operations/console.hpp"
#include "supervision/application.hpp"
#include <functional>
#include <memory>
#include <string>

namespace roost::detail {

class node_connection {
 public:
  /// To the node of `call`, with its cookie, or as a guest with the guests'. Throws
  /// std::runtime_error.
  explicit node_connection(const command_call& call, console::role role = console::role::admin);
  node_connection(const node_connection&) = delete;
  node_connection& operator=(const node_connection&) = delete;
  ~node_connection();

  const std::string& node() const noexcept { return node_; }

  /// The answer; throws std::runtime_error with what was wrong. `given_up` is asked every few
  /// milliseconds: true ends the waiting, and throws.
  json ask(
      std::string function, json arguments, std::string node = {},
      const std::function<bool()>& given_up = {});

  /// What the node keeps for this session: see console/events.hpp.
  const std::string& session() const noexcept { return session_; }

 private:
  struct parts;

  std::string node_;
  std::string session_;
  std::string who_;
  console::role role_;
  std::unique_ptr<parts> parts_;
};

}  // namespace roost::detail
