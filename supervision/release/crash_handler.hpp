// supervision/release/crash_handler.hpp — private.
//
// What a dying node says: the signal, and a backtrace that addr2line understands, on stderr and in
// a file. Then the signal takes its course, so that there is a core dump and heart sees how it
// ended.
//
//   install_crash_handler("/opt/chat/tmp/chat.crash", "chat 1.2.3");
//
//   signal 11 (SIGSEGV) at address 0x0, in thread 4711 (roost worker 0) of process 4700, chat 1.2.3
//   #0 bin/chat+0x51234 (_ZN4chat4room5countEv+0x14)
//   build id of bin/chat: 7298baaa…; lines: addr2line -Cfe bin/chat 0x51234 …
//
// For SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT. An uncaught exception is named too.
// Limits: a thread whose stack has overflown gets no report unless it has a stack for signals;
// heart names the signal anyway.
#pragma once
#include <cstddef>
#include <string>

namespace roost::detail {

void install_crash_handler(const std::string& file, const std::string& program);

/// Gives each worker thread a stack for signal handlers, as handlers are where recursion runs away.
void use_signal_stacks(std::size_t workers);

}  // namespace roost::detail
