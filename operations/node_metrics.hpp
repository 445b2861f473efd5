// private: the metrics that roost keeps of itself: read from what the layers count anyway, and from
// a few rare events, for which handlers are attached.
//
// Thread safety: any thread.
#pragma once
#include "operations/exposition.hpp"

namespace roost::detail {

/// Everything known of this node.
void show_node(exposition& page);

/// Begins and ends to count the rare events.
void count_events();
void stop_counting_events();

}  // namespace roost::detail
