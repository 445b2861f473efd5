// private: what a worker sends to sockets at the end of its turn, many in one system call.
//
// The way into the kernel and back is a third of the cost of a small send, so a broadcast to many
// goes through io_uring in pieces of 64. Nothing stays under way: submit() comes back when every
// send has been tried, as if each had been made on its own with MSG_DONTWAIT. A single one is sent
// so, and so are all where the kernel has no io_uring, or the container does not allow it.
//
// Thread safety: one worker.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string_view>

namespace roost::detail {

class flushable;

/// Sends at once what the socket takes; answers how much, or a negative errno.
int send_now(int fd, std::string_view bytes) noexcept;

class send_batch {
 public:
  send_batch() noexcept;
  send_batch(const send_batch&) = delete;
  send_batch& operator=(const send_batch&) = delete;
  ~send_batch();

  /// From now on, for workers that have sent nothing yet.
  static void allow_io_uring(bool allowed) noexcept;

  /// The bytes are sent at the next submit(), or before it when there are many.
  void add(int fd, std::string_view bytes, flushable& sender);
  /// Afterwards all have been told. May be called while they are.
  void submit();

 private:
  struct entry {
    int fd;
    int result;
    std::string_view bytes;
    flushable* sender;
  };
  class ring;

  /// Null where there is no io_uring.
  ring* open_ring();
  void send_all();

  static constexpr std::size_t capacity = 64;
  static inline std::atomic<bool> allowed_{true};

  std::array<entry, capacity> entries_;
  std::size_t count_ = 0;
  std::size_t sent_ = 0;  // of them
  std::size_t told_ = 0;  // of those
  bool may_have_ring_ = true;
  std::unique_ptr<ring> ring_;
};

}  // namespace roost::detail
