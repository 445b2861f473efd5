// private: what a webhook is told, as JSON; docs/errors.md and docs/alarms.md describe it to those
// who read it. Pure.
#pragma once
#include "operations/error_table.hpp"
#include <chrono>
#include <string>

namespace roost::detail {

/// "2026-01-31T12:00:00.123Z"
std::string rfc3339(std::chrono::system_clock::time_point time);

/// The text with what is no UTF-8 replaced: an exception may say anything.
std::string valid_utf8(std::string_view text);

/// {"event": "error", "reason": "first" or "frequency", …}. `rule`: null for the first.
std::string error_notice(const error_group& group, const error_rule* rule, const std::string& node);

/// {"event": "alarm", "state": "set" or "clear", …}
std::string alarm_notice(
    std::string_view state, std::string_view alarm, std::string_view description,
    const std::string& node);

}  // namespace roost::detail
