// private: where the last exception of this thread was thrown, for crash reports.
//
// By the time a crash is reported, the stack has been unwound. So __cxa_throw, which every throw
// calls, is replaced by one that first remembers the return addresses and then goes on to the
// library's own. That doubles what a throw costs (some microseconds), so it happens only while
// somebody wants it.
//
// Thread safety: any thread; the stack is the calling thread's own.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace roost::detail {

void capture_stacks(bool on) noexcept;

/// The exception that has just been caught is the one that ends this process.
void keep_thrown_stack(std::uint64_t process) noexcept;

/// Frames as "chat::room::join(int)+0x1f", the innermost first, without those of the runtime below
/// the process. Empty when none was kept for this process.
std::vector<std::string> take_thrown_stack(std::uint64_t process);

}  // namespace roost::detail
