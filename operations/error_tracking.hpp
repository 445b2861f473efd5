// operations/error_tracking.hpp
//
// The errors of this node, grouped: each crash of a process, each complaint of a supervisor, and
// what a program reports itself. Equal errors make one group, however often they come.
//
//   for (auto& group : roost::error_groups())           // the newest first
//     print(group.fingerprint, group.count, group.type, group.message);
//   roost::clear_error(fingerprint);                    // it is solved; when it comes again, it is
//   new
//
//   roost::track_error({.type = "db_timeout", .message = "no answer within 5 s",
//                       .where = "orders", .severity = roost::log_level::warning});
//
// Errors are equal when their type, the place, the functions of the stack and the message are, with
// pids, numbers and addresses replaced. At most `operations.errors.max_groups` are kept; the one
// that was seen longest ago goes. Of more than `max_per_second` the rest is only counted. Secrets
// (passwords, tokens, …: `operations.errors.filter`) are taken out of messages before they are
// kept.
//
// Rules say of which errors a webhook is told, and a Sentry-compatible server gets them too:
// docs/errors.md.
//
// Thread safety: any process or thread; tracking takes a lock for microseconds.
// Source: AppSignal, Sentry, SASL's reports.
#pragma once
#include "runtime/logger.hpp"
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace roost {

/// What has happened once.
struct tracked_error {
  std::string type;  // "std::runtime_error", "exit", "supervisor", or your own word
  std::string message = {};
  std::string where = {};  // "chat::room, chat::room::post": the server and the message's type
  log_level severity = log_level::error;
  std::vector<std::string> stack = {};  // the innermost first
  /// What else may help: process, name, message_type, …
  std::vector<std::pair<std::string, std::string>> context = {};
};

struct error_group {
  std::string fingerprint;  // 16 hexadecimal digits
  tracked_error last;       // the latest of them
  std::uint64_t count = 0;
  std::chrono::system_clock::time_point first_seen;
  std::chrono::system_clock::time_point last_seen;
};

/// Those that are kept, the latest seen first.
std::vector<error_group> error_groups();

/// Forgets a group. Answers whether there was one.
bool clear_error(std::string_view fingerprint);

/// Adds an error. Does nothing while no error tracking runs.
void track_error(tracked_error error);

struct error_counts {
  std::uint64_t groups = 0;  // now
  std::uint64_t errors = 0;
  std::uint64_t uncounted = 0;  // past max_per_second: in no group
  std::uint64_t delivered = 0;  // notices to the webhook or Sentry, of alarms too
  std::uint64_t failed = 0;     // … that were refused, or tried too often
  std::uint64_t dropped = 0;    // … for which the queue had no room
};
error_counts error_totals();

}  // namespace roost
