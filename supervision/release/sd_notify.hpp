// supervision/release/sd_notify.hpp — private.
//
// Tells systemd how the node is: ready, stopping, alive. Does nothing without systemd.
//
//   sd_notify("READY=1");
//   if (auto limit = watchdog_limit(getenv)) beat_every(*limit / 2);   // sd_notify("WATCHDOG=1")
//
// The protocol is a datagram of lines to the socket that NOTIFY_SOCKET names, and stable by
// contract; libsystemd would bring seven libraries for these lines.
//
// Errors: answers whether it was sent; nobody should fail because nobody listens.
// Thread safety: any thread.
// Source: sd_notify(3), sd_watchdog_enabled(3).
#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

bool sd_notify(std::string_view state);

/// RELOADING=1 with the time that systemd asks for along with it.
bool sd_notify_reloading();

using variable_reader = std::function<const char*(const char*)>;

/// How long systemd waits for a sign of life; nothing if it does not wait for this process.
std::optional<std::chrono::microseconds> watchdog_limit(const variable_reader& variable, long pid);

}  // namespace roost::detail
