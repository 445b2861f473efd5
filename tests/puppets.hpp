// Servers that do what a test tells them to, and nothing else.
#pragma once
#include "tests/support.hpp"

namespace roost::test {

/// Never answers.
struct mute {
  struct ask { using reply = int; };
  using messages = roost::messages<ask>;
  std::vector<from<int>> callers = {};
  call_result<int> handle_call(ask, from<int> client) {
    callers.push_back(client);
    return noreply();
  }
};

/// Does in its own process what a test tells it to.
struct puppet {
  struct act { std::function<void()> what; };
  struct done { using reply = void; };
  using messages = roost::messages<act, done>;

  void handle_cast(const act& message) { message.what(); }
  void handle_call(done) {}
};

}  // namespace roost::test
