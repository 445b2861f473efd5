// private: the clients of one endpoint on one worker: connections, and sessions of long polling.
#pragma once
#include "channels/transport/stream.hpp"
#include "runtime/scheduler.hpp"

namespace roost::detail {

class admission;
class client_list;

/// What the endpoint keeps an eye on.
class attended {
 public:
  attended() = default;
  attended(const attended&) = delete;
  attended& operator=(const attended&) = delete;
  virtual ~attended() = default;

  /// The worker looks in every now and then, at least every two seconds: `now` is in ms.
  virtual void sweep(std::uint64_t now) = 0;
  /// The endpoint drains: say goodbye.
  virtual void drain() = 0;
  /// The endpoint has stopped: no more waiting.
  virtual void cut() = 0;
  /// Whether it is a socket, which a drain closes in batches.
  virtual bool is_socket() const noexcept = 0;

  bool says_goodbye = false;  // a drain has told it

 private:
  friend class client_list;
  std::uint32_t position_ = 0;
};

/// Knows them, does not own them.
class client_list {
 public:
  explicit client_list(detail::admission& admission) noexcept : admission_(admission) {}

  detail::admission& admission() const noexcept { return admission_; }
  void add(attended& client) {
    client.position_ = static_cast<std::uint32_t>(all_.size());
    all_.push_back(&client);
  }
  void remove(attended& client) {
    auto* last = all_.back();
    all_[client.position_] = last;
    last->position_ = client.position_;
    all_.pop_back();
  }
  std::size_t size() const noexcept { return all_.size(); }

  /// The next `count` of them; those that come and go meanwhile may be skipped or met again. The
  /// function may remove the client that it is given.
  template <class F>
  void for_some(std::size_t count, F f) {
    for (; count > 0 && !all_.empty(); --count) {
      if (next_ == 0 || next_ > all_.size()) next_ = all_.size();
      f(*all_[--next_]);
    }
  }

  /// The function may remove the client that it is given.
  template <class F>
  void for_each(F f) {
    for (std::size_t i = all_.size(); i-- > 0;)
      if (i < all_.size()) f(*all_[i]);
  }

 private:
  detail::admission& admission_;
  std::vector<attended*> all_;
  std::size_t next_ = 0;  // for_some goes on below it
};

/// One accepted connection.
class connection : public io_handler, public attended {
 public:
  explicit connection(byte_stream stream, manner how = manner::prompt) noexcept
      : io_handler(how), stream_(std::move(stream)) {}
  ~connection() override { close_stream(); }

 protected:
  int fd() const noexcept { return stream_.fd(); }
  byte_stream& stream() noexcept { return stream_; }
  /// Gives the stream away, as when HTTP becomes a WebSocket.
  byte_stream release_stream() noexcept { return std::move(stream_); }
  void close_stream() noexcept {
    if (!stream_.is_open()) return;
    worker::current()->unwatch(fd(), *this);
    stream_.close();
  }

 private:
  byte_stream stream_;
};

}  // namespace roost::detail
