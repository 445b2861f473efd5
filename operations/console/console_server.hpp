// private: the process that answers what is asked of a node's console, by its name "console" from
// any node.
//
//   call(server<console_server>("console", "chat@10.0.0.7"),
//        ask_console{.function = "Process.info", .arguments = R"(["rooms"])"})
//
// A question for another node is passed on, so that whoever reaches one node reaches all.
#pragma once
#include "operations/console.hpp"
#include "runtime/gen_server.hpp"
#include "supervision/child_spec.hpp"

namespace roost::detail {

struct console_answer {
  bool ok = false;
  std::string text;  // JSON, or what was wrong
};

struct ask_console {
  using reply = console_answer;
  static constexpr std::string_view wire_name = "roost.ask_console";

  std::string function;
  std::string arguments = "[]";               // JSON, a list
  std::string node = {};                      // empty: the one that is asked
  std::string who = {};                       // for the audit log
  console::role role = console::role::admin;  // at most
  std::string session = {};
  std::vector<std::string> via = {};  // the nodes that have passed it on
};

struct console_server {
  using messages = roost::messages<ask_console>;
  static constexpr auto name = "console";

  static init_result<console_server> init();
  call_result<console_answer> handle_call(ask_console question, from<console_answer> asker);

 private:
  int under_way_ = 0;  // questions
};

child_spec console_child();

/// For a thread of the same node, such as a page's channel: answers as `call` does.
console_answer ask_here(ask_console question);

/// The pid as whoever asks can use it again: with its node when the question came from another one.
std::string pid_text(pid process);
json pid_json(pid process);  // null: nobody
json pids_json(const std::vector<pid>& processes);

// What each file offers.
void offer_cluster_functions();
void offer_process_functions();
void offer_server_functions();
void offer_supervision_functions();
void offer_channel_functions();
void offer_error_functions();
void offer_system_functions();

}  // namespace roost::detail
