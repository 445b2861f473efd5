// private: what the functions of the console answer with.
#pragma once
#include "channels/json.hpp"
#include "runtime/pid.hpp"
#include <chrono>
#include <string>
#include <vector>

namespace roost::detail {

/// A list of texts.
json texts(const std::vector<std::string>& all);

std::int64_t ms_since_1970(std::chrono::system_clock::time_point time) noexcept;

/// The answer as JSON text. What is no UTF-8, as messages of exceptions and states may hold any
/// bytes, reads as question marks.
std::string to_text(json answer);

}  // namespace roost::detail
