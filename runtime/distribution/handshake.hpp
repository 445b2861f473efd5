// private: how two nodes agree to be connected, after each has proved that it may be. Pure: no
// sockets, no clocks.
//
//   client                          server
//   hello{versions, name, …}   →
//                              ←    verdict{taken or why not, hello}
//   ready                      →    … and both are up
//
// Two nodes may dial each other at the same moment. Then the connection that the node with the
// greater name has dialled is the one that lives: it refuses the other's (`simultaneous`), and that
// one waits for it. A node that is up already is asked again by a node that has lost the connection
// and knows it, or by one that has been started again: the old connection goes when the new one is
// ready.
//
// Versions: each end says which it speaks, oldest and newest; the newest that both speak is used.
#pragma once
#include "runtime/distribution/frames.hpp"

namespace roost::detail {

inline constexpr std::uint16_t newest_version = 1;
inline constexpr std::uint16_t oldest_version = 1;

struct hello {
  std::uint16_t oldest = oldest_version;
  std::uint16_t newest = newest_version;
  std::string node;
  std::uint64_t incarnation = 0;
  bool hidden = false;
  std::uint32_t ticktime_ms = 60'000;
  std::uint64_t max_message = 0;
};

std::string encode_hello(const hello& hello);
hello decode_hello(std::string_view body);  // throws decode_error

enum class verdict_code : std::uint8_t {
  taken = 0,
  simultaneous = 1,  // mine to you goes on: wait for it
  refused = 2,       // with a reason
};

struct verdict {
  verdict_code code = verdict_code::taken;
  std::string reason;
};

/// What a node has with another when that one dials it.
struct standing {
  std::string_view own_name;
  std::string_view peer_name;
  bool dialling = false;  // it dials that node itself
  bool leaving = false;   // it is taking back a connection with it
};

/// Whether to take a connection.
verdict_code arbitrate(const standing& standing) noexcept;

class handshake {
 public:
  enum class side { client, server };
  enum class step {
    more,    // wait for the next frame
    decide,  // server: peer() is known, call answer()
    up,
    waits,    // client: the other node's own connection comes
    refused,  // see error()
  };

  /// A client expects a node of this name.
  handshake(side side, hello mine, std::string expected = {});

  /// What a client sends first.
  void start(std::string& out);

  /// Takes a frame. Throws decode_error for one that does not belong here.
  step received(const frame& frame, std::string& out);

  /// The server's answer.
  step answer(const verdict& verdict, std::string& out);

  const hello& peer() const noexcept { return peer_; }
  std::uint16_t version() const noexcept { return version_; }
  const std::string& error() const noexcept { return error_; }

 private:
  step take_hello(std::string_view body);
  step take_verdict(std::string_view body, std::string& out);
  step refuse(std::string why);
  bool agree();

  side side_;
  hello mine_;
  hello peer_;
  std::string expected_;
  std::string error_;
  std::uint16_t version_ = 0;
  bool has_peer_ = false;
  bool taken_ = false;
};

}  // namespace roost::detail
