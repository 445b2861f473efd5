// private: the part of readiness that the configuration sets.
#pragma once
#include <cstddef>

namespace roost::detail {

/// As many other nodes are to be connected before this one is ready.
void require_nodes(std::size_t count);

}  // namespace roost::detail
