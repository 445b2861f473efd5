// private: the latest lines of the log, for those who look at a node from elsewhere.
#pragma once
#include "channels/json.hpp"
#include <cstdint>

namespace roost::detail {

/// From now on the latest 500 lines are kept. Once for a program.
void start_log_tail();

/// Those after the line with this number, oldest first: number, time (ms since 1970), level, kind,
/// message, fields (as text).
json log_tail(std::uint64_t after);

}  // namespace roost::detail
