// private: the mailbox of a thread outside the scheduler, made on its first use of self() or a
// call.
//
// It has a slot in the process table like any process, so that answers and DOWNs reach it the same
// way; instead of being run, its owner waits on a condition variable.
#pragma once
#include "runtime/remote.hpp"
#include <condition_variable>
#include <functional>

namespace roost::detail {

struct mailbox_thread {
  mailbox_thread();
  mailbox_thread(const mailbox_thread&) = delete;
  mailbox_thread& operator=(const mailbox_thread&) = delete;
  ~mailbox_thread();

  static mailbox_thread& current();

  /// Waits for the first message that fits, in arrival order; others stay. Null at the deadline.
  message_ptr wait(
      const std::function<bool(message&)>& fits,
      std::optional<std::chrono::steady_clock::time_point> deadline);

  void notify() noexcept;  // any thread

  /// The question that this thread waits for next: it is told when the node of `to` is lost.
  void asks(pid to, reference ref);

  slot* home;
  pid id;
  std::vector<message_ptr> kept;

 private:
  void take_mail();
  void lost(const node_loss& loss);
  void tie_with(remote_nodes& nodes, std::uint32_t peer);

  std::mutex mutex_;
  std::condition_variable arrived_;
  bool signalled_ = false;
  pid asked_;
  reference question_;
  std::map<std::uint32_t, std::uint64_t> ties_;  // with other nodes, see remote.hpp
};

}  // namespace roost::detail
