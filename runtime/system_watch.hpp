// private: what the system monitor looks at while processes run.
#pragma once
#include "runtime/process_core.hpp"

namespace roost::detail {

/// Whether anybody wants to know of long mailboxes or large processes.
bool monitor_watches_mailboxes() noexcept;

/// Tells the subscriber when the process crosses one of its thresholds.
void watch_mailbox(process& process);

/// How long a handler may hold its worker, in ms.
std::uint64_t long_schedule_ms() noexcept;

void tell_long_schedule(pid process, const message_type* message, std::uint64_t ms);

/// A link has more waiting than senders may leave there.
void tell_busy_link(pid sender, std::string_view node);

}  // namespace roost::detail
