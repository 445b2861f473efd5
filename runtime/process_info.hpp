// runtime/process_info.hpp
//
// Looking at processes: what process_info/1 tells on the BEAM, the process flags, the label and the
// dictionary.
//
//   roost::process_info(worker).then([](std::optional<roost::process_details> info) {
//     if (info) report(info->message_queue_len, info->current_handler);
//   });
//   roost::set_label("import of " + file);
//   roost::set_priority(roost::process_priority::high);
//
// The question is a signal: it does not wait behind queued messages, only for the end of the handler
// that runs. Nothing, when the process has gone.
//
// Thread safety: process_info may be asked from anywhere; the flags, the label and the dictionary are
// the calling process's own.
// Source: erlang:process_info/2, erlang:process_flag/2, proc_lib:set_label/1.
#pragma once
#include "runtime/gen_server.hpp"
#include <any>

namespace roost {

enum class process_status : std::uint8_t {
  waiting,       // nothing to do
  runnable,      // has messages
  running,       // asked by itself
  suspended,     // by sys::suspend
  initializing,  // its init finishes later
};
std::string to_string(process_status status);

struct process_details {
  pid process;
  std::string registered_name;
  std::string label;
  std::string initial_call;     // the type of the server
  std::string current_handler;  // the type of the message being handled; empty between two
  process_status status = process_status::waiting;
  std::size_t message_queue_len = 0;
  std::uint64_t messages_dropped = 0;  // by the limit of its mailbox
  std::uint64_t reductions = 0;  // messages and events handled
  std::size_t memory = 0;        // bytes of the process and its queue, without what its state owns
  bool trap_exit = false;
  process_priority priority = process_priority::normal;
  pid parent;
  std::vector<pid> ancestors;  // nearest first
  std::vector<pid> links;
  std::vector<pid> monitors;
  std::vector<pid> monitored_by;
  std::vector<std::string> dictionary;  // its keys
  std::chrono::milliseconds uptime{0};
};

/// What is known of a process; nothing if it has gone.
pending<std::optional<process_details>> process_info(pid process);

/// Every process of this node; a snapshot.
std::vector<pid> processes();

/// Of the calling process. `high` runs before `normal`, `low` one time in eight. Answers the old one.
process_priority set_priority(process_priority priority);

/// A text for tools, shown beside the pid.
void set_label(std::string label);

// --- the process dictionary ------------------------------------------------------------------------

/// Values that belong to the process rather than to its state; for tools and libraries.
void dictionary_put(std::string key, std::any value);
std::any dictionary_get(std::string_view key);  // empty if there is none
bool dictionary_erase(std::string_view key);

}  // namespace roost
