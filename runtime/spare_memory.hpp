// private: gives freed memory back to the system. Allocators keep it, and look at what they keep
// only when somebody allocates: a node that ten thousand clients have left would stay as large as
// it was.
//
// Thread safety: one of these for each thread; it gives back what that thread has freed.
#pragma once
#include <cstdint>
#include <optional>

namespace roost::detail {

class spare_memory {
 public:
  /// Something has been freed whose memory is worth looking for: a process.
  void freed() noexcept { ++freed_; }

  /// The thread has nothing to do at the moment `now` (ms). Gives back if that is worth it and was
  /// not done within the last second. Answers after how many milliseconds to ask again; nothing:
  /// not before more is freed.
  std::optional<std::uint64_t> give_back(std::uint64_t now) noexcept;

 private:
  std::uint64_t given_back_ = 0;  // ms
  std::uint32_t freed_ = 0;       // since then
};

}  // namespace roost::detail
