#include "runtime/multi_call.hpp"

namespace roost::detail {

std::vector<std::string> known_nodes() { return {node_name()}; }

void require_outside_processes() {
  if (inside_process())
    throw std::logic_error(
        "expected .get() to be called outside processes, got a process, where it would stall "
        "others: use .then(…)");
}

}  // namespace roost::detail
