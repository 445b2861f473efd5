// private: what a worker writes to sockets at the end of its turn, however often and by whom it was
// asked for in the turn: each object once, in the order of the first wish.
//
// Thread safety: one worker.
#pragma once
#include "runtime/send_batch.hpp"

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

class flush_list {
 public:
  void add(flushable& object) noexcept;
  bool empty() const noexcept { return first_ == nullptr; }
  /// Those that are added meanwhile as well.
  void flush();
  /// What is put into it during a flush is sent before the flush ends.
  send_batch& sends() noexcept { return sends_; }

 private:
  flushable* first_ = nullptr;
  flushable** end_ = &first_;
  send_batch sends_;
};

}  // namespace roost::detail
