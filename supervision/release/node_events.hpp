// supervision/release/node_events.hpp — private.
//
// What the main thread of a node waits for: signals, commands, and news of its applications.
//
//   node_events events;                        // before the first thread: it blocks the signals
//   events.push({.what = node_event::kind::stop});            // from any thread
//   auto event = events.wait_until(deadline);                 // main thread
#pragma once
#include "supervision/application_controller.hpp"
#include <csignal>

namespace roost::detail {

struct node_event {
  enum class kind { timeout, signal, stop, restart, application } what = kind::timeout;
  int signal = 0;
  application_event application = {};
};

/// Blocks the signals that a node hears in the calling thread and those that it starts.
void block_node_signals();

class node_events {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  node_events();
  node_events(const node_events&) = delete;
  node_events& operator=(const node_events&) = delete;
  ~node_events();

  void push(node_event event);

  /// The next event, signals first; `timeout` when the time has come.
  node_event wait_until(time_point deadline);

 private:
  std::optional<node_event> next();

  int signals_ = -1;
  int wake_ = -1;
  std::mutex mutex_;
  std::deque<node_event> queue_;
};

}  // namespace roost::detail
