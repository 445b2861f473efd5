// private: HTTP/1.1 on one accepted connection, until it ends or becomes a WebSocket. Beast parses;
// reading, writing and deciding are done here.
//
// One request is answered at a time. What is answered later (a poll that waits) is an
// http_exchange, which outlives the connection if need be; meanwhile the next requests wait.
#pragma once
#include "channels/transport/connection.hpp"
#include "channels/transport/listening.hpp"

namespace roost::detail {

class http_session;

/// A request that is answered once, now or later. Belongs to the connection's worker.
class http_exchange {
 public:
  explicit http_exchange(http_session* session) noexcept : session_(session) {}
  http_exchange(const http_exchange&) = delete;
  http_exchange& operator=(const http_exchange&) = delete;

  /// Nothing happens when the client has gone.
  void respond(http_response response);
  bool is_open() const noexcept { return session_ != nullptr; }

  /// A process that is told (exit, shutdown) when the client goes before it has its answer.
  void set_waiter(pid process) noexcept { waiter_ = process; }

  void add_ref() noexcept { ++refs_; }
  void release() noexcept {
    if (--refs_ == 0) delete this;
  }

 private:
  friend class http_session;
  void client_gone();

  http_session* session_;
  pid waiter_;
  std::uint32_t refs_ = 0;
};

/// Takes over the descriptor of an accepted connection, on this worker.
void serve_http(
    new_connection connection, std::shared_ptr<const endpoint_context> endpoint, client_list& list);

}  // namespace roost::detail
