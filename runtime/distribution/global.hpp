// runtime/distribution/global.hpp
//
// Names for processes that are unique among all connected nodes, and locks across nodes.
//
//   roost::start_link<room>({.name = roost::global("lobby")});  // one of them in the cluster
//   roost::call(roost::server<room>{roost::global("lobby")}, room::members{}).then(…);
//
//   roost::global_names::register_name("lobby", roost::self()).then([](bool yes) { … });
//   roost::pid lobby = roost::global_names::whereis_name("lobby");       // read here, at once
//   roost::global_names::send("lobby", tick{});
//
// (`roost::global` is the function that makes such a name, so the rest is in
// `roost::global_names`.)
//
// Guarantees. While nodes are connected, a name has one owner: whoever registers it has locked it
// on all of them first. Every node knows all names of the nodes that it is connected to; a name
// ends with its process and with the connection to its node. Nothing waits for ever: a node that is
// lost counts as having released its locks, and a registration that is not agreed on within 10 s (a
// node hangs and has not been noticed yet) fails with `timeout`.
//
// After a split both sides may have given away the same name. When they meet again the node whose
// own name comes first in the alphabet decides, by the function that its process was registered
// with; every node then has the same owner, or none:
//   random_exit_name    one keeps the name, the other is killed (`kill`): the default
//   random_notify_name  one keeps the name, the other gets a global_name_conflict
//   notify_all_name     both get a global_name_conflict, and nobody has the name
//   your own            offered on all nodes by offer_resolver; answers whose the name is
// The random ones are random in that they favour nobody; with the same claims they choose the same.
// Processes that want the same name should be registered with the same function.
//
// A server that starts with a global name runs its `init` when the name is its own. Asking the
// others takes a moment, for which nothing may block here: the start goes on as one whose init
// answers `later`. Supervisors and threads outside wait for it; start_link in a process answers at
// once, and if the name turns out to be taken, the new process ends with {already_started, Pid}.
//
// Thread safety: any process or thread; locks are for processes. Source: OTP global.
#pragma once
#include "runtime/gen_server.hpp"
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace roost {

/// A name for .name of a server's options, and for server<S>.
via_name global(std::string name);

/// This process has lost its name to another one, or both have.
struct global_name_conflict {
  std::string name;
  pid other;
};

namespace global_names {

// --- names ---------------------------------------------------------------------------------------

inline constexpr std::string_view random_exit_name = "random_exit_name";
inline constexpr std::string_view random_notify_name = "random_notify_name";
inline constexpr std::string_view notify_all_name = "notify_all_name";

/// Answers whether the name belongs to the process now; not if anybody had it, or if the process
/// has ended. A process may have several names, and may be of another node, which then does it.
/// Throws std::invalid_argument for nobody, an empty name, and a function that this node does not
/// offer.
pending<bool> register_name(
    std::string_view name, pid process, std::string_view resolver = random_exit_name);

/// … whoever had it. The one before is told nothing.
pending<bool> re_register_name(
    std::string_view name, pid process, std::string_view resolver = random_exit_name);

/// Afterwards no node knows the name.
pending<void> unregister_name(std::string_view name);

/// The owner, or nobody.
pid whereis_name(std::string_view name) noexcept;

std::vector<std::string> registered_names();

/// Sends to the owner. Throws std::invalid_argument (badarg) when there is none.
template <class M>
void send(std::string_view name, M message) {
  auto process = whereis_name(name);
  if (!process) detail::throw_nobody(name);
  roost::send(process, std::move(message));
}

/// Answers which of the two keeps the name; any other answer, or an exception: neither. It tells
/// them itself, if they are to know. Runs in the name server, so it should be quick.
using resolver_function = std::function<pid(const std::string& name, pid one, pid other)>;

/// Makes the function known by its name. Offer it on every node, before its name is used. A node
/// that does not know it does as random_notify_name.
void offer_resolver(std::string name, resolver_function function);

/// Answers when the names of all nodes that are connected by now are known here.
pending<void> sync();

// --- locks ---------------------------------------------------------------------------------------

inline constexpr unsigned forever = std::numeric_limits<unsigned>::max();

struct lock_id {
  std::string resource;
  std::string requester =
      {};  // who holds it: processes of one requester share it; empty: this process
};

struct lock_options {
  std::vector<std::string> nodes = {};  // empty: this node and all that are connected
  unsigned retries = forever;           // with a random pause of up to half a second before each
};

/// Locks the resource on the nodes for the calling process; answers whether it has it. A lock that
/// was set twice has to be deleted twice. It ends with its process, and on nodes that lose its
/// node. Nodes that are not connected are left out. In a process only: std::logic_error.
pending<bool> set_lock(lock_id id, lock_options options = {});

/// Gives it back, on the same nodes.
void del_lock(lock_id id, std::vector<std::string> nodes = {});

/// A lock that is given back when this is destroyed.
class held_lock {
 public:
  held_lock(lock_id id, std::vector<std::string> nodes);
  held_lock(held_lock&& other) noexcept;
  held_lock& operator=(held_lock&& other) noexcept;
  ~held_lock();

 private:
  void release() noexcept;

  lock_id id_;
  std::vector<std::string> nodes_;
  pid holder_;
};

/// Runs the function in this process while it has the lock; `on_aborted` when it does not get it. A
/// function that takes a held_lock keeps the lock for as long as that lives: hand it to the last
/// `.then`.
///
///   roost::global_names::trans({"printer"}, [this](roost::global_names::held_lock lock) {
///     roost::call(printer, print{}).then([lock = std::move(lock)] {});
///   });
template <class F>
void trans(
    lock_id id, F function, lock_options options = {}, std::function<void()> on_aborted = {}) {
  auto nodes = options.nodes;
  set_lock(id, std::move(options))
      .then([id, nodes, function = std::move(function),
             on_aborted = std::move(on_aborted)](bool has_it) mutable {
        if (!has_it) {
          if (on_aborted) on_aborted();
          return;
        }
        held_lock lock{id, nodes};
        if constexpr (std::invocable<F&, held_lock>)
          function(std::move(lock));
        else
          function();
      });
}

// --- the name server -----------------------------------------------------------------------------

/// Starts this node's name server, linked to the calling process. It is there while the node has a
/// name; without one, whoever wants it starts it. Throws start_error (already_started).
pid start_link();

}  // namespace global_names

namespace detail {

/// The name server, which whoever starts it also stops, with stop_root.
pid start_global();

}  // namespace detail
}  // namespace roost
