// private: what the process core asks of distribution, which installs itself here when the node
// gets a name. Without it nothing leaves this node.
//
// A *tie* is anything that a process keeps about a process of another node, and must let go of when
// that node is lost: a link, a monitor in either direction, a call in either direction. A process
// that makes its first tie with a peer has itself written down there, once; when the link is lost,
// everybody on the list gets a `node_lost` signal and looks through its own tables. So ties cost
// nothing per call, and losing a node costs nothing to those who had none.
//
// Each connection (and each attempt to connect) has a serial number. A process remembers with which
// one it was written down, so that it knows when it has to be written down again; and before it is,
// it handles the node_lost of the connection before, which waits in its intake, so that an old loss
// cannot hit a new tie.
#pragma once
#include "runtime/process_core.hpp"

namespace roost::detail {

/// The value of a `node_lost` signal.
struct node_loss {
  std::uint32_t peer = 0;
  std::uint64_t serial = 0;
};

class remote_nodes {
 public:
  remote_nodes() = default;
  remote_nodes(const remote_nodes&) = delete;
  remote_nodes& operator=(const remote_nodes&) = delete;
  virtual ~remote_nodes() = default;

  /// Sends to a process or a name on another node, connecting to it if need be. What cannot be
  /// delivered is answered as by the dead, with noconnection. Throws `busy` for a user's message
  /// past the hard limit, std::invalid_argument for a value that cannot travel.
  virtual send_status deliver(pid to, message_ptr message, send_options options) = 0;

  /// A small number for the node's name, whatever the incarnation.
  virtual std::uint32_t peer_of(std::uint32_t node) = 0;

  /// The serial number of the present connection or attempt; 0: there is none.
  virtual std::uint64_t serial_of(std::uint32_t peer) noexcept = 0;

  /// Writes a process down. Answers the serial number, or 0 when there is no connection; with
  /// `connect`, one is tried.
  virtual std::uint64_t tie(std::uint32_t peer, pid process, bool connect) = 0;
  virtual void untie(std::uint32_t peer, pid process) noexcept = 0;
};

inline std::atomic<remote_nodes*> remote{nullptr};

/// Before the running process keeps something about `other`, a process of another node. Answers
/// whether there is a connection, or one is tried.
bool tie(process& process, pid other, bool connect);

/// As monitor, but a node that is not connected is not connected to for this: `down` comes with
/// noconnection.
reference monitor_connected(pid other);

/// Lets go of everything that the process has with a node that was lost.
void let_go(process& process, const node_loss& loss);

/// The process ends: it is written down nowhere any more.
void untie_all(process_extra& extra, pid process) noexcept;

}  // namespace roost::detail
