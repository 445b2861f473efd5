#include "runtime/send_batch.hpp"
#include "runtime/flush_list.hpp"
#include "runtime/logger.hpp"
#include <liburing.h>
#include <sys/socket.h>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

namespace roost::detail {
namespace {

constexpr int send_flags = MSG_NOSIGNAL | MSG_DONTWAIT;

}  // namespace

int send_now(int fd, std::string_view bytes) noexcept {
  for (;;) {
    auto count = ::send(fd, bytes.data(), bytes.size(), send_flags);
    if (count >= 0) return static_cast<int>(count);
    if (errno != EINTR) return -errno;
  }
}

class send_batch::ring {
 public:
  ring() {
    // Only this thread uses it, and it comes for the results itself. Kernels before 6.1 know
    // neither, and those before 5.6 could not send.
    auto error = ::io_uring_queue_init(
        capacity, &ring_, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error < 0) throw std::system_error(-error, std::generic_category());
  }
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;
  ~ring() { ::io_uring_queue_exit(&ring_); }

  /// Answers how many of them, from the first on, have a result.
  std::size_t send(std::span<entry> entries) {
    for (auto& one : entries) {
      auto* request = ::io_uring_get_sqe(&ring_);
      ::io_uring_prep_send(request, one.fd, one.bytes.data(), one.bytes.size(), send_flags);
      ::io_uring_sqe_set_data(request, &one);
    }
    std::size_t submitted = 0, finished = 0;
    while (finished < entries.size()) {
      auto left = static_cast<unsigned>(entries.size() - finished);
      auto result = ::io_uring_submit_and_wait(&ring_, left);
      if (result > 0) submitted += static_cast<std::size_t>(result);
      finished += take_results();
      // What the kernel has accepted names our memory until it is finished.
      if (result < 0 && result != -EINTR && finished == submitted) return submitted;
    }
    return finished;
  }

 private:
  unsigned take_results() noexcept {
    io_uring_cqe* result;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring_, head, result) {
      static_cast<entry*>(::io_uring_cqe_get_data(result))->result = result->res;
      ++count;
    }
    ::io_uring_cq_advance(&ring_, count);
    return count;
  }

  io_uring ring_;
};

send_batch::send_batch() noexcept = default;
send_batch::~send_batch() = default;

void send_batch::allow_io_uring(bool allowed) noexcept { allowed_ = allowed; }

void send_batch::add(int fd, std::string_view bytes, flushable& sender) {
  if (count_ == capacity) submit();
  entries_[count_++] = {.fd = fd, .result = 0, .bytes = bytes, .sender = &sender};
  sender.in_batch = true;
}

void send_batch::submit() {
  send_all();
  while (told_ < sent_) {
    auto& one = entries_[told_++];
    one.sender->in_batch = false;
    one.sender->on_sent(one.result);
  }
  if (told_ == count_) count_ = sent_ = told_ = 0;
}

send_batch::ring* send_batch::open_ring() {
  if (ring_ == nullptr && std::exchange(may_have_ring_, false) && allowed_) {
    try {
      ring_ = std::make_unique<ring>();
    } catch (const std::system_error& error) {
      logger::debug("no io_uring, so each send is a system call", {{"reason", error.what()}});
    }
  }
  return ring_.get();
}

void send_batch::send_all() {
  std::span all(entries_.data() + sent_, count_ - sent_);
  sent_ = count_;
  if (all.size() > 1 && open_ring() != nullptr) {
    auto done = ring_->send(all);
    all = all.subspan(done);
    if (!all.empty()) ring_.reset();
  }
  for (auto& one : all) one.result = send_now(one.fd, one.bytes);
}

}  // namespace roost::detail
