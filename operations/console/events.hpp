// private: what a session of the shell has asked to be told of: events of traced processes and the
// ends of monitored ones, kept until it asks for them.
//
// Each session has a process on every node where it watches something. It keeps the latest 1,000
// events and counts those that it drops, and it ends, with all that it watches, when nobody has
// asked it for ten minutes.
#pragma once
#include "channels/json.hpp"
#include "runtime/pid.hpp"

namespace roost::detail {

// For threads outside processes. All throw std::invalid_argument when there is no session.
void monitor_for(const std::string& session, pid process);
void trace_for(const std::string& session, pid process);
void no_trace_for(const std::string& session, pid process);

/// The events since the last time, as lines; empty for a session that watches nothing.
json take_events(const std::string& session);

}  // namespace roost::detail
