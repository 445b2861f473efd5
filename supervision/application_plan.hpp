// supervision/application_plan.hpp — private.
//
// In which order applications start, and what the end of one means for the others. Pure.
//
//   auto order = start_order({{"chat", {"metrics"}}, {"metrics", {}}});   // 1, 0
//
// Source: OTP application controller; systools (the order in a boot script).
#pragma once
#include "supervision/restart_plan.hpp"
#include <string>
#include <vector>

namespace roost::detail {

struct application_node {
  std::string name;
  std::vector<std::string> depends_on;
};

/// Indexes in an order in which each application comes after those that it depends on, and
/// otherwise as listed. Throws std::invalid_argument for a name that is empty or given twice, an
/// unknown dependency, or a cycle.
std::vector<std::size_t> start_order(const std::vector<application_node>& applications);

/// Whether the node goes down with an application of this type that ended by itself. OTP: permanent
/// always, transient unless it ended with `normal`, temporary never.
bool ends_node(enum restart type, bool ended_normally);

}  // namespace roost::detail
