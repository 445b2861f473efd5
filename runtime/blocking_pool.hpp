// private: the threads behind roost::blocking.
#pragma once
#include "runtime/message.hpp"

namespace roost::detail::blocking_pool {

/// Runs the job inside `request` on a thread of the pool, and answers request->from.
void run(message_ptr request);

/// Jobs that wait for a thread.
std::size_t waiting();

/// Lets the running jobs end, drops the waiting ones and joins the threads.
void stop();

}  // namespace roost::detail::blocking_pool
