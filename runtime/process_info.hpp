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
// The question is a signal: it does not wait behind queued messages, only for the end of the
// handler that runs. Nothing, when the process has gone.
//
// Each process has a group leader, which it inherits from its parent: a process that takes what it
// prints with puts(), such as a shell. Without one, puts() writes to the standard output.
//
// Thread safety: process_info and puts may be used anywhere; the flags, the label, the group leader
// and the dictionary are the calling process's own. Source: erlang:process_info/2,
// erlang:process_flag/2, erlang:group_leader/0, proc_lib:set_label/1.
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
  std::uint64_t reductions = 0;        // messages and events handled
  std::size_t memory = 0;  // bytes of the process and its queue, without what its state owns
  bool trap_exit = false;
  process_priority priority = process_priority::normal;
  pid parent;
  std::vector<pid> ancestors;  // nearest first
  std::vector<pid> links;
  std::vector<pid> monitors;
  std::vector<pid> monitored_by;
  std::vector<std::string> dictionary;  // its keys; none of a sensitive process
  std::chrono::milliseconds uptime{0};
  pid group_leader;
};

/// What is known of a process; nothing if it has gone.
pending<std::optional<process_details>> process_info(pid process);

/// Every process of this node; a snapshot.
std::vector<pid> processes();

/// The names that processes of this node have registered, sorted; a snapshot.
std::vector<std::string> registered();

/// Of the calling process. `high` runs before `normal`, `low` one time in eight. `max` runs before
/// all others and starves them while it has work: it is for the short work of a runtime. Answers
/// the old one.
process_priority set_priority(process_priority priority);

/// The messages and the state of a sensitive process stay out of crash reports, traces and logs.
/// Answers the old setting.
bool set_sensitive(bool on);

/// The calling process is never made to wait for a node that takes what it sends too slowly; sends
/// still throw `busy` past the hard limit. Answers the old setting.
bool set_async_dist(bool on);

/// A text for tools, shown beside the pid.
void set_label(std::string label);

// --- the group leader
// ------------------------------------------------------------------------------

/// What a group leader gets: text that a process has printed.
struct io_output {
  pid from;
  std::string text;
};

/// Who takes what the calling process prints; nobody: the standard output.
pid group_leader() noexcept;

/// For the calling process, and for those that it starts from now on. Answers the old one.
pid set_group_leader(pid leader);

/// Prints a line. Lines of one process keep their order; a group leader that has gone hears
/// nothing.
void puts(std::string_view line);

// --- the process dictionary
// ------------------------------------------------------------------------

/// Values that belong to the process rather than to its state; for tools and libraries.
void dictionary_put(std::string key, std::any value);
std::any dictionary_get(std::string_view key);  // empty if there is none
bool dictionary_erase(std::string_view key);

}  // namespace roost
