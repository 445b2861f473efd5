// private: the worker that all clients of the tests share, and waiting until nothing is left to do
// there.
#pragma once
#include "channels/testing/inbox.hpp"
#include "runtime/scheduler.hpp"
#include <future>

namespace roost::detail {

/// How long a handler may take before the test is told that it seems to be stuck.
inline constexpr std::chrono::milliseconds stuck_after{5000};

/// Throws std::logic_error in a process and where no runtime runs.
void check_outside();

/// What the clients of the tests do to each other happens in order, since they share this one.
worker& testing_worker();

/// Runs the function there, between two processes, and waits for it.
template <class F>
void on_worker(F function) {
  auto done = std::make_shared<std::promise<void>>();
  auto future = done->get_future();
  testing_worker().post_function([done, &function] {
    try {
      function();
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  future.get();
}

/// From now on `settle` waits for this client as well.
void settle_with(const std::shared_ptr<test_inbox>& inbox);

/// Comes back when the sockets, channels and witnesses of all clients have nothing to do.
void settle();

}  // namespace roost::detail
