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

/// Something that wants to be called once at the end of the worker's turn.
class flushable {
 public:
  virtual ~flushable() = default;
  virtual void flush() = 0;
  /// The kernel has taken so many of the bytes that were put into the worker's batch, or, when
  /// negative, refused with an errno.
  virtual void on_sent(int /*result*/) {}

  flushable* next_flush = nullptr;
  bool flush_queued = false;
  bool in_batch = false;  // its bytes must stay as they are
};

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

  void send_all();
  void tell();

  static constexpr std::size_t capacity = 64;
  static inline std::atomic<bool> allowed_{true};

  std::array<entry, capacity> entries_;
  std::size_t count_ = 0;
  std::size_t told_ = 0;
  bool telling_ = false;
  bool has_tried_ = false;
  std::unique_ptr<ring> ring_;
};

}  // namespace roost::detail
