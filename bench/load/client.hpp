// private: one client: a socket with the topic that it has joined.
#pragma once
#include "channels/transport/frame_codec.hpp"
#include <openssl/ssl.h>
#include <sys/types.h>
#include <memory>
#include <string>

namespace roost::load {

struct free_ssl {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};

struct client {
  enum class state : std::uint8_t {
    absent,
    connecting,
    securing,
    upgrading,
    joining,
    joined,
    leaving
  };

  std::uint32_t index = 0;  // among the clients of all processes
  int fd = -1;
  client::state state = state::absent;
  bool waits_for_writing = false;
  bool is_pending = false;  // has output that this turn has not sent yet
  bool has_second = false;  // has joined a second topic (mixed)
  std::uint16_t tries = 0;  // since it was joined
  std::uint32_t unanswered = 0;
  std::uint64_t last_ref = 1;
  std::uint64_t began = 0;  // when it called connect()
  std::unique_ptr<SSL, free_ssl> ssl;
  frame_decoder decoder;
  std::string head;    // the answer to the upgrade, as far as it has come
  std::string output;  // not sent yet

  bool is_joined() const noexcept { return state == state::joined; }
};

/// What a socket call came to.
struct transfer {
  enum class outcome : std::uint8_t { done, again, ended };
  outcome what;
  std::size_t size = 0;
};
transfer receive(client& client, char* buffer, std::size_t size) noexcept;
transfer transmit(client& client, const char* bytes, std::size_t size) noexcept;

}  // namespace roost::load
