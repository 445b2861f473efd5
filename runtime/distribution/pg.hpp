// runtime/distribution/pg.hpp
//
// Process groups: a name for many processes, on all nodes. Whoever joins is a member everywhere,
// and leaves with a `leave`, when it ends, or when its node is lost.
//
//   roost::pg::join("rooms", roost::self());              // a process of this node
//   for (auto member : roost::pg::get_members("rooms"))   // of every connected node
//     roost::send(member, news{"hello"});
//
//   roost::pg::monitor("rooms").then([this](roost::pg::group_monitor rooms) { … rooms.members … });
//   void handle_info(const roost::pg::joined& change);    // lists them in `infos`, and `left` too
//
// Scopes are separate worlds of groups: each has a process of its own on every node that starts it
// (`roost::pg::start_link("chat")`, or `roost::child<roost::pg::scope>({.name = "chat"})`), called
// like the scope, so no other process may have that name. The scope "pg" is there while the node
// has a name; functions that name no scope mean it.
//
// Guarantees. What a node reads of its own members is true at once. What it reads of another node's
// members is what that node has said, in order: while both are connected and nothing changes, it is
// soon equal. Nothing is passed on: a node sees the members of those nodes that it is connected to.
// A process that joins twice is in the group twice and has to leave twice. A scope that is started
// again after a crash keeps the members of its node; who monitors groups hears DOWN if it monitors
// the scope, and asks again.
//
// Errors. Processes of other nodes cannot be joined here, and scopes have to be started: both are
// std::invalid_argument. Leaving a group that one is not in is an answer. Reading a scope that does
// not exist finds nothing.
//
// Thread safety: any process or thread; reading and joining wait for no process.
// Source: OTP pg.
#pragma once
#include "runtime/gen_server.hpp"
#include <map>
#include <string>
#include <vector>

namespace roost::pg {

inline constexpr std::string_view default_scope = "pg";

// --- joining and leaving ------------------------------------------------------------------------

void join(std::string_view group, pid process);
void join(std::string_view group, const std::vector<pid>& processes);
void join(std::string_view scope, std::string_view group, pid process);
void join(std::string_view scope, std::string_view group, const std::vector<pid>& processes);

enum class leave_result { ok, not_joined };  // not_joined: none of the processes was a member

leave_result leave(std::string_view group, pid process);
leave_result leave(std::string_view group, const std::vector<pid>& processes);
leave_result leave(std::string_view scope, std::string_view group, pid process);
leave_result leave(
    std::string_view scope, std::string_view group, const std::vector<pid>& processes);

// --- reading ------------------------------------------------------------------------------------

/// In no particular order; a process that has joined twice comes twice.
std::vector<pid> get_members(std::string_view group);
std::vector<pid> get_members(std::string_view scope, std::string_view group);

/// … of this node.
std::vector<pid> get_local_members(std::string_view group);
std::vector<pid> get_local_members(std::string_view scope, std::string_view group);

/// Groups that have members.
std::vector<std::string> which_groups(std::string_view scope = default_scope);
std::vector<std::string> which_local_groups(std::string_view scope = default_scope);

// --- being told ---------------------------------------------------------------------------------

/// Processes have joined a group that is monitored.
struct joined {
  reference ref;
  std::string group;
  std::vector<pid> processes;
};

/// … have left it.
struct left {
  reference ref;
  std::string group;
  std::vector<pid> processes;
};

struct group_monitor {
  reference ref;
  std::vector<pid> members;
};
struct scope_monitor {
  reference ref;
  std::map<std::string, std::vector<pid>> groups;
};

/// Answers who is in the group; the calling process then hears of each change from there on.
pending<group_monitor> monitor(std::string_view group);
pending<group_monitor> monitor(std::string_view scope, std::string_view group);

/// … of all groups of a scope.
pending<scope_monitor> monitor_scope(std::string_view scope = default_scope);

/// Answers whether there was such a monitor. After the answer nothing comes from it any more.
pending<bool> demonitor(reference ref, std::string_view scope = default_scope);

// --- scopes -------------------------------------------------------------------------------------

/// Starts a scope on this node, linked to the calling process. Throws start_error (already_started)
/// when it is there.
pid start_link(std::string_view scope = default_scope);

/// A scope as a child: roost::child<roost::pg::scope>({.name = "chat"}).
struct scope {
  struct options { std::string name = std::string(default_scope); };
  static std::unique_ptr<detail::behavior> make_process(options options);
};

}  // namespace roost::pg

namespace roost::detail {

/// The default scope, which whoever starts it also stops, with stop_root.
pid start_pg();

}  // namespace roost::detail
