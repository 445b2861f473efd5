// supervision/process_dump.hpp — private.
//
// A file about everything that runs, for reading after the fact: the applications and all processes
// with their names, queues, handlers and links.
//
//   write_process_dump("/run/chat/chat.dump");   // from a thread that is no process
//
// Processes answer at the end of the handler that runs; those that do not within 5 s are listed as
// such. The file appears complete or not at all, readable by its owner only.
// Source: erl_crash.dump. There, SIGUSR1 also ends the node; here it goes on.
#pragma once
#include <string>

namespace roost::detail {

/// Answers how many processes it names. Throws std::runtime_error if the file cannot be written.
std::size_t write_process_dump(const std::string& file);

}  // namespace roost::detail
