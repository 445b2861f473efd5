// runtime/distribution/node.hpp
//
// This node and the others: who is there, how to reach them, how to hear of their coming and going.
// Processes on other nodes need no functions of their own: send, call, cast, link, monitor and exit
// take any pid, and name_on("rooms", "b@host") addresses a registered name.
//
//   roost::runtime runtime;
//   roost::node::start({.name = "a@127.0.0.1", .cookie = secret});  // run_application does this
//   roost::node::ping("b@127.0.0.1").get()                          // ping_result::pong
//   roost::node::list()                                             // {"b@127.0.0.1"}
//   roost::call(roost::server<rooms>("rooms", "b@127.0.0.1"), rooms::count{}).then(…)
//
//   roost::node::monitor_nodes(true);      // in a process, which then hears of each change:
//   cast_result handle_info(const roost::nodeup& up);
//   cast_result handle_info(const roost::nodedown& down);
//
// Guarantees. Messages and signals between two processes keep their order. A process hears nodeup
// before anything from that node, and nodedown after everything from it, the DOWN and EXIT of its
// processes included; a nodedown always comes before the next nodeup. When a link is lost, monitors
// fire and links break with `noconnection`, unanswered calls fail with it, and nothing that was
// sent before arrives later. Whether what was sent just before the loss has arrived is unknown.
//
// Sending to a node that is not connected connects first; what cannot be delivered is dropped,
// monitors fire with `noconnection`. A node without a name has no links: ping answers pang.
//
// Thread safety: any process or thread. Functions that answer `pending` are for `.then` in a
// process and `.get()` outside. Source: OTP net_kernel, erlang:nodes/1, Elixir Node.
#pragma once
#include "runtime/gen_server.hpp"
#include <string>
#include <vector>

namespace roost {

/// A node has been connected, for those who asked with monitor_nodes.
struct nodeup {
  std::string node;
  bool hidden = false;
};

/// A node has been lost, for those who asked with monitor_nodes or node::monitor.
struct nodedown {
  std::string node;
  std::string reason;  // connection_closed, net_tick_timeout, disconnect, connection_refused, …
  bool hidden = false;
};

namespace node {

// --- starting ------------------------------------------------------------------------------------

enum class tls { psk, certificates, off };

struct options {
  std::string name;               // name@host
  std::string cookie = {};        // at least 128 bits; empty: that of cookie_file
  std::string cookie_file = {};   // made with a random cookie when missing; empty: ~/.roost.cookie
  std::string guest_cookie = {};  // of nodes that may only ask the console; empty: there are none
  bool hidden = false;            // not listed by others, and not connected to by them on their own
  std::string address = {};     // where to listen; empty: 127.0.0.1. 0.0.0.0 lets other machines in
  std::uint16_t port = 0;       // 0: any, told by the port mapper
  std::uint16_t epmd_port = 0;  // of the port mapper; 0: $ERL_EPMD_PORT, else 4369
  bool listen = true;           // false: connects to others only
  enum tls tls = tls::psk;
  std::string certificate = {};  // PEM files, with tls::certificates
  std::string key = {};
  std::string authority = {};
  std::chrono::milliseconds net_ticktime{60'000};  // a silent node is lost after 0.75 to 1.25 of it
  std::chrono::milliseconds net_setuptime{7'000};  // for a connection to be set up
  std::size_t buffer = 1'048'576;        // bytes that wait for a node before senders do (+zdbbl)
  std::size_t hard_limit = 0;            // bytes before sends throw; 0: 8 times `buffer`
  std::size_t max_message = 512u << 20;  // bytes; a node that sends a larger one loses its link
  bool auto_connect = true;              // sending to a node connects to it (dist_auto_connect)
  bool connect_all = true;               // nodes that others know are connected to as well
  bool prevent_overlapping_partitions = false;
  std::vector<std::string> allowed = {};  // nodes, or host patterns `*@10.0.0.7`; empty: all
};

/// Names this node and opens it to others. Throws std::invalid_argument for options that are wrong
/// and std::runtime_error when the name or the port is taken.
void start(options options);

/// Leaves the cluster: the node is nonode@nohost again.
void stop();

/// Whether the node has a name.
bool is_alive() noexcept;

/// "chat@127.0.0.1", or "nonode@nohost".
std::string self();

// --- who is there --------------------------------------------------------------------------------

enum class which {
  visible,    // connected, as Node.list/0
  hidden,     // connected, and hidden at either end
  connected,  // both
  known,      // connected now or before, and this one
  this_node,
};
std::vector<std::string> list(which nodes = which::visible);

enum class ping_result { pong, pang };
pending<ping_result> ping(std::string node);

enum class connect_result { connected, failed, ignored };  // ignored: this node has no name
pending<connect_result> connect(std::string node);

/// Answers whether it was connected. Pending messages are lost.
pending<bool> disconnect(std::string node);

struct monitor_nodes_options {
  enum class types { visible, hidden, all };
  types node_type = types::visible;
};

/// From now on (or no longer) the calling process hears of nodes that come and go. Calls count: a
/// process that asks twice is told twice.
void monitor_nodes(bool on, monitor_nodes_options options = {});

/// One nodedown for the calling process when the node is lost; at once when it cannot be reached.
void monitor(std::string node);
void demonitor(std::string node);

// --- who may come --------------------------------------------------------------------------------

std::string cookie();
void set_cookie(std::string cookie);                    // for links that are made from now on
void set_cookie(std::string node, std::string cookie);  // with one node only
void allow(std::vector<std::string> nodes);             // besides those allowed already

}  // namespace node
}  // namespace roost
