// What the tests share: waiting for conditions instead of sleeping, and one runtime per test
// binary.
#pragma once
#include "runtime/gen_server.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include <doctest/doctest.h>
#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace roost::test {

using namespace std::chrono_literals;

/// Polls until the condition holds. The limit is generous: a failing test waits for it, a passing
/// one does not.
template <class F>
bool eventually(F condition, std::chrono::milliseconds limit = 10s) {
  auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// Runs the function in a process and waits for what it answers; an exception travels back.
template <class F>
auto in_process(F function) -> decltype(function()) {
  auto promise = std::make_shared<std::promise<decltype(function())>>();
  auto result = promise->get_future();
  roost::spawn([promise, function] {
    try {
      if constexpr (std::is_void_v<decltype(function())>) {
        function();
        promise->set_value();
      } else {
        promise->set_value(function());
      }
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  });
  return result.get();
}

/// A node with two schedulers, for TEST_CASE_FIXTURE.
struct node {
  roost::runtime runtime{{.schedulers = 2}};
};

/// Collects the log events that pass while it lives; quiet on the terminal.
class log_capture {
 public:
  log_capture();
  ~log_capture();
  bool saw(std::string_view kind, std::string_view text) const;
  std::size_t count(std::string_view kind) const;

 private:
  struct entry {
    std::string kind;
    std::string text;
  };
  mutable std::mutex mutex_;
  std::vector<entry> entries_;
  logger::handler_id handler_ = 0;
};

}  // namespace roost::test
