// private: one connection to Redis, made again and again with a growing and jittered delay.
//
// All of it runs on the one thread of its loop. Writing is pulled: whoever has
// something calls wake(), and is asked for it once the write before is done, so that what gathers
// meanwhile leaves in one piece. A Redis that has stopped to answer is found by PING.
#pragma once
#include "runtime/net/redis_url.hpp"
#include "runtime/net/resp.hpp"
#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace roost::net {

struct redis_settings {
  using milliseconds = std::chrono::milliseconds;

  redis_url url;
  std::string ca_file;
  milliseconds connect_timeout;
  milliseconds ping_interval;
  milliseconds ping_timeout;
  milliseconds retry_first;
  milliseconds retry_last;
};

/// What connections to one Redis share: the settings, the addresses, and the loop that they run on.
class redis_loop {
 public:
  /// Throws std::invalid_argument if there are no certificates to verify by.
  explicit redis_loop(redis_settings settings);
  ~redis_loop();

  const redis_url& url() const noexcept { return settings_.url; }

  void run();  // until stop()
  // From any thread.
  void stop();
  void post(std::function<void()> what);

 private:
  friend class redis_connection;
  struct asio_parts;

  void look_up();

  redis_settings settings_;
  std::unique_ptr<asio_parts> parts_;
};

class redis_connection {
 public:
  using clock = std::chrono::steady_clock;

  class user {
   public:
    virtual ~user() = default;
    /// It is logged in.
    virtual void connected() = 0;
    /// What it wants to send next, appended.
    virtual void take_output(std::string& out) = 0;
    /// A value that no PING and no login has asked for. What it throws ends the connection.
    virtual void received(net::resp_value& value) = 0;
    /// Also after an attempt to connect. `heard`: when the last byte came, if any has.
    virtual void disconnected(
        const std::string& reason, std::optional<clock::time_point> heard) = 0;
  };

  redis_connection(redis_loop& loop, user& user);
  ~redis_connection();

  void open();
  void wake();

 private:
  struct session;
  using session_ptr = std::shared_ptr<session>;

  void resolve(const session_ptr& one);
  void connect(const session_ptr& one, std::vector<std::string> addresses);
  void shake_hands(const session_ptr& one);
  void log_in(const session_ptr& one);
  void read(const session_ptr& one);
  void take(const session_ptr& one, net::resp_value& value);
  void write(const session_ptr& one);
  void ping(const session_ptr& one);
  void fail(const session_ptr& one, const std::string& reason);
  void retry();
  template <class Do>
  void after(std::chrono::milliseconds delay, Do what);

  struct timer;

  redis_loop& loop_;
  user& user_;
  std::unique_ptr<timer> timer_;
  session_ptr session_;  // handlers of another one have nothing to say any more
  std::chrono::milliseconds delay_;
};

}  // namespace roost::net
