// private: one socket to another node: its bytes in and out, its way from a stranger to a peer.
//
// The socket is watched by one worker, its home, but nothing is tied to that thread: whoever has
// put something into the peer's lanes may write it out, at the end of its own turn, and the ticker
// reads on behalf of a home whose worker is held by a long handler. So a handler that computes for
// a minute costs no node its connection. Two mutexes keep the order: one for whoever reads, one for
// whoever writes.
//
// Writing combines: a thread that finds another one writing marks the connection dirty and leaves,
// and the other one looks again before it goes.
#pragma once
#include "runtime/distribution/handshake.hpp"
#include "runtime/distribution/lanes.hpp"
#include "runtime/distribution/secure_channel.hpp"
#include "runtime/scheduler.hpp"

namespace roost::detail {

class distribution;
struct peer;

class node_link final : public io_handler, public std::enable_shared_from_this<node_link> {
 public:
  struct parts {
    int fd = -1;
    worker* home = nullptr;
    std::unique_ptr<secure_channel> channel;
    handshake::side side = handshake::side::server;
    hello mine;
    std::string expected;  // client: the node that was dialled
    std::string address;   // of the other end, for the log
  };

  node_link(distribution& nodes, parts parts);
  ~node_link() override;

  /// Begins, on the home worker.
  void start();

  // Any thread.
  void on_io(std::uint32_t events) override;
  void flush();       // writes what waits in the lanes, now
  void flush_soon();  // … at the end of this worker's turn; outside workers, the home's
  void close(std::string reason, bool quiet = false);

  /// Called by the ticker, a few times per net_ticktime: sends a sign of life if nothing else was
  /// sent, and answers how often in a row nothing has come.
  unsigned tick();

  bool is_up() const noexcept { return up_.load(std::memory_order_acquire); }
  detail::peer* its_peer() const noexcept { return peer_.load(std::memory_order_acquire); }
  bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }
  worker& home() const noexcept { return home_; }
  handshake::side side() const noexcept { return side_; }
  const std::string& address() const noexcept { return address_; }
  const std::string& expected() const noexcept { return expected_; }
  std::chrono::steady_clock::time_point began() const noexcept { return began_; }
  std::uint64_t bytes_in() const noexcept { return received_.load(std::memory_order_relaxed); }
  std::uint64_t bytes_out() const noexcept { return sent_.load(std::memory_order_relaxed); }

 private:
  struct flush_node final : flushable {
    void flush() override;
    std::shared_ptr<node_link> keeps;  // while it is queued
  };

  bool read_some();  // holds read_mutex_; answers false at the end of the stream
  void take_bytes(std::string_view bytes);
  void take_plain(std::string_view plain);
  void take_frame_before_up(const frame& frame);
  void take_frame_of_peer(const frame& frame);
  void proceed(handshake::step step, const std::string& out);
  void decide();
  void send_raw(std::string_view bytes);
  bool write_some();  // holds write_mutex_
  bool fill();
  void ended(std::string reason);
  std::string why_channel_failed() const;

  distribution& nodes_;
  const int fd_;
  worker& home_;
  const handshake::side side_;
  const std::string expected_;
  const std::string address_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();

  std::unique_ptr<secure_channel> channel_;
  bool established_ = false;  // readers only
  handshake handshake_;

  std::mutex read_mutex_;
  std::string in_;  // what is left of an incomplete frame
  incoming_streams streams_;
  std::string ending_;  // why the stream has ended

  std::mutex write_mutex_;
  std::atomic<bool> dirty_{false};
  std::atomic<bool> stalled_{false};  // the socket takes no more for now
  bool write_failed_ = false;
  std::string wire_;
  std::size_t wire_sent_ = 0;
  std::size_t in_flight_ = 0;  // bytes of the lanes that wire_ stands for
  std::string plain_;

  std::atomic<peer*> peer_{nullptr};
  std::uint32_t number_ = 0;  // of the peer's node; readers only
  std::atomic<bool> up_{false};
  std::atomic<bool> closed_{false};
  std::atomic<bool> posted_{false};
  bool watched_ = false;  // the home worker only
  std::atomic<std::uint64_t> received_{0};
  std::atomic<std::uint64_t> sent_{0};
  std::uint64_t received_before_ = 0;  // ticker only
  std::uint64_t sent_before_ = 0;
  unsigned silent_ = 0;
  std::vector<flush_node> flush_nodes_;  // one for each worker
};

}  // namespace roost::detail
