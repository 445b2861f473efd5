// private: what a report of the logger says of an error. Pure.
#pragma once
#include "operations/error_tracking.hpp"
#include "runtime/telemetry.hpp"
#include <optional>

namespace roost::detail {

/// The error that the event roost.report is about. Nothing: it is about none, or about one that
/// another report tells already: a supervisor reports the crash of a child as well.
std::optional<tracked_error> error_of_report(const telemetry::values& metadata);

}  // namespace roost::detail
