// private: running user code as a process.
#pragma once
#include "runtime/process_core.hpp"
#include <cxxabi.h>

namespace roost::detail {

/// Makes `process` the one that self() means; answers the one before.
process* swap_running(process* process) noexcept;

/// … for as long as it lives.
class as_process {
 public:
  explicit as_process(process* process) noexcept : before_(swap_running(process)) {}
  as_process(const as_process&) = delete;
  as_process& operator=(const as_process&) = delete;
  ~as_process() { swap_running(before_); }

 private:
  process* before_;
};

/// The exit reason for the exception that is being handled.
exit_reason reason_of_exception(const process& process) noexcept;

/// Runs user code; an exception becomes the exit reason.
template <class F>
void guarded(process& process, F user_code) noexcept {
  try {
    user_code();
  } catch (...) {
    process.ending = std::make_unique<exit_reason>(reason_of_exception(process));
  }
}

/// Puts a message at the end of what waits.
void append(process& process, message* message) noexcept;

}  // namespace roost::detail
