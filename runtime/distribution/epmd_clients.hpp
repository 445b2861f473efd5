// private: the sockets of a port mapper that serves: listeners, registrations, and those who ask.
//
// Nothing here waits. The owner polls what watch() names, hands the events to handle() and calls
// cut_off() when due() has come.
//
//   clients.listen(loopback(4369), false);
//   clients.watch(polled);  ::poll(…);  clients.handle(polled);  clients.cut_off(clock::now());
//
// Who asks is cut off `patience` after connecting, whether silent, slow to ask or slow to read;
// when there are more than `most` of them the oldest goes. Registrations stay until their end.
//
// Thread safety: one thread at a time.
#pragma once
#include "runtime/distribution/epmd_protocol.hpp"
#include "runtime/distribution/epmd_sockets.hpp"
#include <poll.h>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace roost::detail::epmd {

class clients {
 public:
  static constexpr std::chrono::seconds patience{5};
  static constexpr std::size_t most = 256;

  /// `primary` is where the port mapper of the host listens, for what is relayed.
  clients(server& server, const socket_address& primary) : server_(server), primary_(primary) {}

  /// Answers 0 or an error number.
  int listen(const socket_address& at, bool shared);
  bool listens_at(const socket_address& at) const;
  std::string addresses() const;  // "127.0.0.1:4369, 10.0.0.7:4369"

  /// Appends what is to be polled.
  void watch(std::vector<pollfd>& polled);

  /// Takes what watch() has appended, after polling.
  void handle(std::span<const pollfd> polled);

  /// When cut_off() has something to do, if nothing happens before.
  std::optional<clock::time_point> due() const;
  void cut_off(clock::time_point now);

 private:
  using id = server::connection_id;

  struct listener {
    socket_address at;
    unique_fd socket;
  };

  struct client {
    unique_fd socket;
    bool is_local;
    clock::time_point until;
    std::string received = {};
    std::string answer = {};   // what is left of it
    bool is_answered = false;  // it is complete
    unique_fd upstream = {};   // while a request is relayed
    std::string relayed = {};  // what is left of that request
    bool is_asking() const { return !is_answered && !upstream; }
  };

  enum class kind { listener, registration, client, upstream };
  struct watched {
    kind what;
    id which;
  };

  using client_place = std::map<id, client>::iterator;

  void accept_some(const listener& from);
  void make_room();
  void make_do();
  void handle_registration(id which);
  void handle_client(client_place place, short events);
  void handle_upstream(client_place place);
  bool take_request(client_place place);
  void relay(client& one);
  void proceed(client_place place);

  server& server_;
  socket_address primary_;
  std::vector<listener> listeners_;
  std::map<id, unique_fd> registrations_;
  std::map<id, client> clients_;  // the oldest first
  std::vector<watched> watched_;
  id last_id_ = 0;
  std::optional<clock::time_point> accepting_again_;  // set while there are no descriptors left
};

}  // namespace roost::detail::epmd
