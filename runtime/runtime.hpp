// runtime/runtime.hpp
//
// The running node: its worker threads and everything that lives on them. One at a time per
// operating-system process; start it before the first process and keep it until the last.
// run_application does this for you.
//
//   int main() {
//     roost::runtime runtime;
//     auto c = roost::start_link<counter>({.name = "counter"}, 10);
//   }  // every process is told to shut down, then killed after `shutdown_timeout`
//
// Thread safety: construct and destroy on one thread, which must not be a process.
#pragma once
#include <chrono>
#include <cstddef>
#include <memory>

namespace roost {

struct runtime_options {
  std::size_t schedulers = 0;  // worker threads; 0: one per processor, as the BEAM
  std::chrono::milliseconds shutdown_timeout{5000};  // from `shutdown` to `kill` at the end
  /// Send to many sockets in one system call, where the kernel allows it (Linux 6.1 and later).
  bool io_uring = true;
};

class runtime {
 public:
  explicit runtime(runtime_options options = {});
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;
  ~runtime();

  std::size_t schedulers() const noexcept;

  /// How many processes there are, outside threads with a mailbox included.
  static std::size_t process_count() noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace roost
