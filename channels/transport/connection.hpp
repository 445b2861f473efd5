// private: one accepted TCP connection, and the list that a worker keeps of them.
#pragma once
#include "runtime/scheduler.hpp"
#include <unistd.h>

namespace roost::detail {

class connection_list;

class connection : public io_handler {
 public:
  explicit connection(int fd) noexcept : fd_(fd) {}
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() override { close_fd(); }

  int fd() const noexcept { return fd_; }

  /// The connection's worker looks in a few times per time-out: `now` is in ms.
  virtual void sweep(std::uint64_t now) = 0;
  /// The endpoint stops: say goodbye.
  virtual void drain() = 0;
  /// The endpoint has stopped: no more waiting.
  virtual void cut() = 0;

 protected:
  /// Gives the descriptor away, as when HTTP becomes a WebSocket.
  int release_fd() noexcept { return std::exchange(fd_, -1); }
  void close_fd() noexcept {
    if (fd_ < 0) return;
    worker::current()->unwatch(fd_);
    ::close(std::exchange(fd_, -1));
  }

 private:
  friend class connection_list;
  int fd_;
  std::uint32_t position_ = 0;
};

/// All connections of one endpoint on one worker. Knows them, does not own them.
class connection_list {
 public:
  void add(connection& connection) {
    connection.position_ = static_cast<std::uint32_t>(all_.size());
    all_.push_back(&connection);
  }
  void remove(connection& connection) {
    auto* last = all_.back();
    all_[connection.position_] = last;
    last->position_ = connection.position_;
    all_.pop_back();
  }
  std::size_t size() const noexcept { return all_.size(); }

  /// The function may remove the connection that it is given.
  template <class F>
  void for_each(F f) {
    for (std::size_t i = all_.size(); i-- > 0;)
      if (i < all_.size()) f(*all_[i]);
  }

 private:
  std::vector<connection*> all_;
};

}  // namespace roost::detail
