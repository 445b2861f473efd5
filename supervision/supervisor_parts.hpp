// private: what supervisors of every kind do alike: answer questions, and start a child.
#pragma once
#include "runtime/gen_server.hpp"

namespace roost::detail {

/// As in OTP without a time limit: a supervisor may have good reasons to take long.
template <class R, class Question, class... Args>
pending<R> ask_supervisor(pid process, Args... args) {
  return pending<R>(request{
      process, make_message<Question>(message_kind::call, std::move(args)...), infinity,
      type_name<Question>()});
}

/// An exception in the start function is a child that did not start, not a crash of its supervisor.
template <class F>
start_outcome outcome_of_start(F start) {
  try {
    return start();
  } catch (const start_error& error) {
    if (auto owner = error.already_started())
      return {start_status::already_started, owner, error.reason()};
    return {start_status::failed, {}, error.reason()};
  } catch (const process_exit& exit) {
    return {start_status::failed, {}, exit.reason()};
  } catch (const std::exception& error) {
    return {start_status::failed, {}, exit_reason(error.what())};
  }
}

}  // namespace roost::detail
