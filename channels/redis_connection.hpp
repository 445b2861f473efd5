// private: one connection to Redis, made again and again with a growing and jittered delay.
//
// All of it runs on the one thread of the adapter's io_context. Writing is pulled: whoever has
// something calls wake(), and is asked for it once the write before is done, so that what gathers
// meanwhile leaves in one piece. A Redis that has stopped to answer is found by PING.
#pragma once
#include "channels/redis_url.hpp"
#include "runtime/net/resp.hpp"
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <optional>
#include <random>

namespace roost::detail {

/// What the connections of an adapter share.
struct redis_shared {
  using clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;

  redis_url url;
  std::string ca_file;
  milliseconds connect_timeout;
  milliseconds ping_interval;
  milliseconds ping_timeout;
  milliseconds retry_first;
  milliseconds retry_last;

  boost::asio::io_context context{1};
  // While a name server is asked there may be nothing else to do, and run() is not to end.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      context.get_executor()};
  // Of the thread of `lookups`, hence before it: the connections of a pool want to know at the
  // same time.
  std::vector<std::string> addresses = {};
  std::string lookup_error = {};
  std::optional<clock::time_point> looked_up = {};

  boost::asio::thread_pool lookups{1};  // name servers are asked where waiting is no harm
  std::optional<boost::asio::ssl::context> tls = {};
  std::minstd_rand random{std::random_device{}()};

  /// Throws std::invalid_argument if there are no certificates to verify by.
  void prepare_tls();
  void look_up();
};

class redis_connection {
 public:
  using clock = redis_shared::clock;

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

  redis_connection(redis_shared& shared, user& user);

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

  redis_shared& shared_;
  user& user_;
  boost::asio::steady_timer timer_;
  session_ptr session_;  // handlers of another one have nothing to say any more
  std::chrono::milliseconds delay_;
};

}  // namespace roost::detail
