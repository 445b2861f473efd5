// supervision/supervisor.hpp
//
// A process that starts other processes in order, restarts those that crash, and stops them in
// reverse. More than `max_restarts` restarts within `max_seconds` mean that restarting does not
// help: the supervisor stops its children and ends with `shutdown`, and its own supervisor decides.
//
//   roost::supervisor_spec chat_supervisor() {
//     return {
//         .name = "chat",
//         .strategy = roost::rest_for_one,
//         .children = {
//             roost::child<roost::pub_sub>({.name = "chat_pub_sub"}),
//             roost::child<counter>(0),
//             roost::child<roost::supervisor>({.name = "rooms", .children = {…}}),
//         }};
//   }
//   auto pid = roost::start_link(chat_supervisor());
//
//   roost::supervisor chat{"chat"};                        // a handle: a name, a via name or a pid
//   chat.start_child(roost::child<clock>({.name = "clock"}))
//       .then([](roost::child_result started) { … });       // in a process
//   auto stopped = chat.terminate_child("clock").get();    // in a thread
//
// For children that come and go in numbers there is dynamic_supervisor.hpp, for copies of one child
// partition_supervisor.hpp, for a picture of the whole tree supervision_tree.hpp.
//
// Errors. A wrong spec throws std::invalid_argument with one reason: duplicate_child_id,
// invalid_intensity, bad_combination… A child that fails to start stops the ones before it, and
// start_error says which: {shutdown, {failed_to_start_child, id, reason}}. A child whose init says
// ignore() is kept without a process. What cannot be done with a child is an answer: see
// child_result.
//
// A supervisor answers questions at any time, while a child takes long to start or stop as well.
// Operations on children act in the order in which they come; with one_for_one only those on the
// same child wait for each other, with the other strategies all do.
//
// Thread safety: call from any process (`.then`) or thread (`.get()`).
// Source: OTP supervisor; defaults of Elixir's Supervisor.
#pragma once
#include "supervision/child_result.hpp"

namespace roost {

enum class auto_shutdown {
  never,
  any_significant,  // end with `shutdown` when a significant child has ended by itself
  all_significant,
};

struct supervisor_spec {
  std::string name = {};  // registered name
  enum strategy strategy = one_for_one;
  int max_restarts = 3;
  std::chrono::milliseconds max_seconds{5000};
  enum auto_shutdown auto_shutdown = auto_shutdown::never;
  std::optional<struct backoff> backoff = {};  // a pause before each restart; none, as in OTP
  std::vector<child_spec> children = {};
};

class supervisor {
 public:
  using options = supervisor_spec;
  static roost::child_spec child_spec(options options);

  explicit supervisor(pid process) : process_(process) {}
  explicit supervisor(process_name name) : name_(std::move(name)) {}

  /// Nobody, if the name is not registered.
  pid process() const noexcept { return name_.empty() ? process_ : name_.process(); }

  /// Adds a child behind the others and starts it. already_started, already_present, start_failed
  /// (the child is not kept then), invalid_spec. Throws std::invalid_argument if no supervisor
  /// could use it.
  pending<child_result> start_child(roost::child_spec spec) const;

  /// Stops a child as its `shutdown` says, or gives up its restart; its spec stays, unless it is
  /// temporary. not_found.
  pending<child_result> terminate_child(std::string id) const;

  /// Starts a child that has no process. not_found, running, restarting, start_failed.
  pending<child_result> restart_child(std::string id) const;

  /// Forgets a child that has no process. not_found, running, restarting.
  pending<child_result> delete_child(std::string id) const;

  /// Nothing: there is no such child.
  pending<std::optional<roost::child_spec>> get_childspec(std::string id) const;
  pending<std::optional<roost::child_spec>> get_childspec(pid child) const;
  pending<std::optional<child_info>> which_child(std::string id) const;

  /// In the order of the spec.
  pending<std::vector<child_info>> which_children() const;
  pending<child_counts> count_children() const;

 private:
  pid process_;
  process_name name_;
};

/// Throws std::invalid_argument if the spec cannot work.
void validate(const supervisor_spec& spec);

/// Starts the supervisor and all its children; throws start_error if one of them fails. A process
/// that calls this does not wait for children that finish their init later, nor for the stopping of
/// those that had started: should the start fail after that, its link says so.
pid start_link(supervisor_spec spec);

}  // namespace roost
