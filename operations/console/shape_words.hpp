// private: shapes (runtime/shape.hpp) in words.
#pragma once
#include "runtime/message.hpp"

namespace roost::detail {

/// Whether a list is a map with texts as keys.
bool is_map(const shape& list);

/// "say{name: text, colour: optional integer}"
std::string signature(const message_type& type);
std::string describe_shape(const shape& what);

}  // namespace roost::detail
