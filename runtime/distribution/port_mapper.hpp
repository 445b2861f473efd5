// private: names this node at its host's port mapper, so that others find the port it listens at.
//
// A node registers with the port mapper that runs on its host: Erlang's epmd, or another roost
// node. Where none runs it serves the protocol itself, so `epmd -names` lists roost nodes and
// Erlang nodes may register at a roost node. When the one that serves goes away the others register
// again or take over, after a random moment of 20 to 200 ms.
//
//   port_mapper mapper({.node = "chat@10.0.0.7", .port = 40123, .addresses = {"10.0.0.7"}});
//   epmd_lookup("10.0.0.7", 0, "chat", 2s)->port      // 40123
//
// Roost nodes register as hidden, with `roost` as their extra, so Erlang nodes leave them alone.
//
// Only nodes of the same host may register; whoever reaches one of the addresses may ask. A node
// that does not serve itself still answers at its own addresses where the port mapper of the host
// does not, and passes on there what it does not know: a port mapper that was started for 127.0.0.1
// does not hide a node that is to be reached from elsewhere.
//
// A process that serves and is stopped by a debugger or SIGSTOP keeps its place and answers nobody,
// as Erlang's epmd would; where that matters, run an epmd of its own on the host.
//
// A silent client is cut off after 5 s, the oldest one earlier when there are more than 256. No
// client is waited for.
//
// Thread safety: any thread. Source: Erlang's distribution protocol, chapter "EPMD Protocol"; OTP's
// erl_epmd and epmd.
#pragma once
#include "runtime/distribution/epmd_protocol.hpp"
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace roost::detail {

class port_mapper {
 public:
  struct options {
    std::string node;             // name@host; only the part before @ is told
    std::uint16_t port = 0;       // where the node listens
    std::uint16_t epmd_port = 0;  // 0: $ERL_EPMD_PORT, else 4369
    /// Where to serve, besides 127.0.0.1: numbers or names; 0.0.0.0 is everywhere.
    std::vector<std::string> addresses = {};
    /// Hears `registered`, `serving`, `not_served` (one of the addresses), `lost`, `unreachable`
    /// and `name_taken`, with a sentence or an address. Called by the constructor's thread, then by
    /// the port mapper's own; must neither throw nor wait.
    std::function<void(std::string_view event, std::string_view detail)> on_event = {};
  };

  /// Registers or serves, which takes 5 s at most. Throws std::runtime_error when the name is taken
  /// or no port mapper can be had, std::invalid_argument when the name cannot be one.
  explicit port_mapper(options options);
  port_mapper(const port_mapper&) = delete;
  port_mapper& operator=(const port_mapper&) = delete;
  /// Gives the name back.
  ~port_mapper();

  /// Whether this node is the port mapper of its host.
  bool serves() const;

  /// Tells this node from earlier ones of its name; never 0. It stays when a new port mapper gives
  /// another, as in Erlang.
  std::uint32_t creation() const;

 private:
  class loop;
  std::unique_ptr<loop> loop_;
};

/// Asks the port mapper of a host for one node. Blocks until the deadline at most. Nothing: not
/// registered. Throws std::runtime_error when the port mapper cannot be reached.
std::optional<port_entry> epmd_lookup(
    const std::string& host, std::uint16_t epmd_port, std::string_view short_name,
    std::chrono::milliseconds timeout);

/// The names and ports of all nodes at the port mapper of a host; as above.
std::vector<port_entry> epmd_names(
    const std::string& host, std::uint16_t epmd_port, std::chrono::milliseconds timeout);

/// The port of port mappers: the argument, or for 0 $ERL_EPMD_PORT, else 4369.
std::uint16_t epmd_port_or_default(std::uint16_t port);

}  // namespace roost::detail
