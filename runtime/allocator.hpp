// private: the allocator of the program, which gives memory back to the system.
//
// Thread safety: each worker has a spare_memory of its own.
#pragma once
#include <cstdint>
#include <optional>

namespace roost::detail {

/// From now on a thread of the allocator gives freed memory back to the system, within about ten
/// seconds. Otherwise that is done by whoever frees something, who then holds up his worker for
/// milliseconds, and by nobody once a node has nothing to do: one that ten thousand clients have
/// left would stay as large as it was. Any thread, any number of times.
void give_memory_back_in_background() noexcept;

/// What the allocator keeps for this thread so that it gets memory without a lock. Much of that is
/// of no use any more when many processes have ended.
class spare_memory {
 public:
  void process_ended() noexcept { ++ended_; }

  /// The thread has nothing to do at the moment `now` (ms). Lets go of it if that is worth it and
  /// was not done within the last second. Answers after how many milliseconds to ask again;
  /// nothing: not before more have ended.
  std::optional<std::uint64_t> let_go(std::uint64_t now) noexcept;

 private:
  std::uint64_t let_go_ = 0;  // ms
  std::uint32_t ended_ = 0;   // since then
};

}  // namespace roost::detail
