// supervision/supervisor.hpp
//
// A process that starts other processes in order, restarts those that crash, and stops them in
// reverse. More than `max_restarts` restarts within `max_seconds` mean that restarting does not
// help: the supervisor stops its children and ends with `shutdown`, and its own supervisor decides.
//
//   roost::supervisor_spec chat_supervisor() {
//     return {
//         .strategy = roost::rest_for_one,
//         .children = {
//             roost::child<roost::pub_sub>({.name = "chat"}),
//             roost::child<counter>(0),
//             roost::child<roost::supervisor>({.name = "rooms", .children = {…}}),
//         }};
//   }
//   auto pid = roost::start_link(chat_supervisor());
//
// Errors. A wrong spec throws std::invalid_argument with one reason: duplicate_child_id,
// invalid_intensity, bad_combination… A child that fails to start stops the ones before it, and
// start_error says which: {shutdown, {failed_to_start_child, id, reason}}. A child whose init says
// ignore() is kept without a process.
//
// Thread safety: call from any process (`.then`) or thread (`.get()`).
// Source: OTP supervisor; defaults of Elixir's Supervisor.
#pragma once
#include "supervision/child_spec.hpp"

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
  std::vector<child_spec> children = {};
};

/// One line of which_children.
struct child_info {
  std::string id;
  pid process;  // nobody: not running
  bool restarting = false;
  child_type type = child_type::worker;
};

struct child_counts {
  std::size_t specs = 0;
  std::size_t active = 0;
  std::size_t supervisors = 0;
  std::size_t workers = 0;
};

class supervisor {
 public:
  using options = supervisor_spec;
  static roost::child_spec child_spec(options options);

  explicit supervisor(pid process) : process_(process) {}
  explicit supervisor(std::string_view name) : process_(whereis(name)) {}

  pid process() const noexcept { return process_; }

  /// In the order of the spec.
  pending<std::vector<child_info>> which_children() const;
  pending<child_counts> count_children() const;

 private:
  pid process_;
};

/// Throws std::invalid_argument if the spec cannot work.
void validate(const supervisor_spec& spec);

/// Starts the supervisor and all its children; throws start_error if one of them fails. A process
/// that calls this does not wait for children that finish their init later, nor for the stopping of
/// those that had started: should the start fail after that, its link says so.
pid start_link(supervisor_spec spec);

}  // namespace roost
