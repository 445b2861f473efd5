// private: the table of registered names.
#pragma once
#include "runtime/pid.hpp"
#include <string>
#include <string_view>
#include <vector>

namespace roost::detail::names {

/// Registers the name. Answers the present owner when it is taken, else nobody.
pid add(std::string_view name, pid process);

/// Removes the name if `process` still has it.
bool remove(std::string_view name, pid process) noexcept;

pid find(std::string_view name) noexcept;

/// Every name, in no order.
std::vector<std::string> all();

}  // namespace roost::detail::names
