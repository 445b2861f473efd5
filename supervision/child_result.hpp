// supervision/child_result.hpp
//
// What supervisors answer: how an operation on a child went, and what they say of their children.
//
//   roost::supervisor("shop").start_child(roost::child<clerk>({.name = "ann"}))
//       .then([](roost::child_result started) {
//         if (!started) roost::logger::warning(started.to_string());   // {error, already_present}
//       });
//
// Thread safety: plain values. Source: OTP supervisor, start_child/2, restart_child/2 and the rest.
#pragma once
#include "supervision/child_spec.hpp"

namespace roost {

/// Why an operation on a child was not done.
enum class child_error : std::uint8_t {
  none,
  already_started,  // the id, or the child's name, belongs to process()
  already_present,  // the id is there, without a process: see restart_child
  not_found,
  running,       // a child that runs is not restarted or deleted
  restarting,    // nor is one that its supervisor is about to start
  max_children,  // a dynamic supervisor has as many children as it may
  start_failed,  // reason() says why
  invalid_spec,  // reason() says why: the spec does not go with this supervisor
};
std::string_view to_string(child_error error) noexcept;

class [[nodiscard("look at it: the operation may have failed")]] child_result {
 public:
  /// ok: it is done.
  static child_result ok() { return {child_error::none, {}, {}}; }
  /// {ok, process}; nobody: {ok, undefined}, the child's init said ignore().
  static child_result started(pid process) {
    child_result result{child_error::none, process, {}};
    result.starts_ = true;
    return result;
  }
  static child_result failed(child_error error, pid process = {}) { return {error, process, {}}; }
  static child_result failed(child_error error, exit_reason reason) {
    return {error, {}, std::move(reason)};
  }

  explicit operator bool() const noexcept { return error_ == child_error::none; }
  child_error error() const noexcept { return error_; }

  /// The child that was started, or with already_started the one that was there.
  pid process() const noexcept { return process_; }

  /// Of start_failed and invalid_spec.
  const exit_reason& reason() const noexcept { return reason_; }

  /// As Erlang prints it: `{ok, <0.42.0>}`, `ok`, `{error, not_found}`, `{error, {already_started,
  /// …}}`.
  std::string to_string() const;

 private:
  child_result(child_error error, pid process, exit_reason reason)
      : error_(error), process_(process), reason_(std::move(reason)) {}

  child_error error_;
  bool starts_ = false;
  pid process_;
  exit_reason reason_;
};

/// One line of which_children.
struct child_info {
  std::string id;  // empty: a child of a dynamic supervisor
  pid process;     // nobody: not running
  bool restarting = false;
  child_type type = child_type::worker;
};

struct child_counts {
  std::size_t specs = 0;
  std::size_t active = 0;
  std::size_t supervisors = 0;
  std::size_t workers = 0;
};

}  // namespace roost
