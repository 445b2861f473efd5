// private: what many processes say of themselves, asked all at once.
#pragma once
#include "runtime/process_info.hpp"

namespace roost::detail {

/// Of those that answer within two seconds; a node whose workers are all held by handlers answers
/// for none. Only for threads outside processes.
std::vector<process_details> details_of_all(const std::vector<pid>& processes);

}  // namespace roost::detail
