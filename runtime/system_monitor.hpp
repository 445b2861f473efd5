// runtime/system_monitor.hpp
//
// Tells one process what is unusual on this node: a handler that holds its worker, a mailbox that
// grows, a process that is large. As erlang:system_monitor/2.
//
//   roost::system_monitor(self(), {.long_schedule = 100ms, .long_message_queue = {.enable =
//   10'000}}); void handle_info(const roost::long_schedule& event) { … }      // in its `infos`
//
// A handler that runs for longer than `long_schedule` is told of while it still runs, once; without
// a subscriber it is logged. The same watch lets idle workers take what waits behind such a
// handler.
//
// Thread safety: any thread. One subscriber at a time; it ends with its process.
#pragma once
#include "runtime/gen_server.hpp"

namespace roost {

struct long_schedule {
  pid process;
  std::string message;                    // the type of the message that it handles
  std::chrono::milliseconds duration{0};  // so far
};

struct long_message_queue {
  pid process;
  std::size_t length = 0;
  bool is_long = true;  // false: it has shrunk below `disable`
};

struct large_process {
  pid process;
  std::size_t bytes = 0;
};

/// A process was made to wait, or would have been, because too much waits for a node.
struct busy_dist_port {
  pid process;
  std::string node;
};

struct queue_thresholds {
  std::uint32_t enable = 0;   // told above this; 0: never
  std::uint32_t disable = 0;  // … and again when it is below this
};

struct system_monitor_options {
  std::chrono::milliseconds long_schedule{50};  // 10 ms or more
  queue_thresholds long_message_queue = {};
  std::size_t large_process = 0;  // bytes, as process_info's memory; 0: never
  bool busy_dist_port = false;
};

/// Replaces the subscriber.
void system_monitor(pid subscriber, system_monitor_options options = {});
void system_monitor_off();

}  // namespace roost
