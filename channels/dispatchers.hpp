// private: the dispatchers that programs have offered by name; see pub_sub.hpp. Any thread.
#pragma once
#include "channels/pub_sub.hpp"
#include <memory>

namespace roost::detail {

/// Null: there is none of this name.
std::shared_ptr<const pub_sub_dispatcher> find_dispatcher(std::string_view name);

}  // namespace roost::detail
