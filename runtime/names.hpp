// private: the table of registered names.
#pragma once
#include "runtime/pid.hpp"
#include <string_view>

namespace roost::detail::names {

/// Registers the name. Answers the present owner when it is taken, else nobody.
pid add(std::string_view name, pid process);

/// Removes the name if `process` still has it.
bool remove(std::string_view name, pid process) noexcept;

pid find(std::string_view name) noexcept;

}  // namespace roost::detail::names
