// Node and rpc: the cluster as this node sees it.
#include "operations/console/answers.hpp"
#include "operations/console/console_server.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/pg.hpp"

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

json list_nodes(const arguments& given) {
  if (given[0].is_null()) return texts(node::list());
  auto which = given.text(0, "visible, hidden, connected or known");
  if (which == "visible") return texts(node::list(node::which::visible));
  if (which == "hidden") return texts(node::list(node::which::hidden));
  if (which == "connected") return texts(node::list(node::which::connected));
  if (which == "known") return texts(node::list(node::which::known));
  throw std::invalid_argument("expected visible, hidden, connected or known, got \"" + which + '"');
}

json ping(const arguments& given) {
  auto answer = node::ping(given.text(0, "the name of a node")).get();
  return json(answer == node::ping_result::pong ? "pong" : "pang");
}

json connect(const arguments& given) {
  auto answer = node::connect(given.text(0, "the name of a node")).get();
  if (answer == node::connect_result::ignored) return json("ignored");
  return json(answer == node::connect_result::connected);
}

json disconnect(const arguments& given) {
  return json(node::disconnect(given.text(0, "the name of a node")).get());
}

json links(const arguments&) {
  auto list = json::array();
  for (auto& link : distribution::instance().links())
    list.push_back(
        {{"node", link.node},
         {"hidden", link.hidden},
         {"queued", link.queued},
         {"bytes_in", link.bytes_in},
         {"bytes_out", link.bytes_out}});
  return list;
}

json groups(const arguments& given) {
  return texts(pg::which_groups(
      given[0].is_null() ? std::string(pg::default_scope) : given.text(0, "a scope")));
}

json members(const arguments& given) {
  auto group = given.text(0, "a group");
  return pids_json(
      given[1].is_null() ? pg::get_members(group)
                         : pg::get_members(group, given.text(1, "a group")));
}

}  // namespace

void offer_cluster_functions() {
  console::offer(
      "Node.self", [](const arguments&) { return json(node::self()); },
      {.usage = "() the name of the node"});
  console::offer(
      "Node.list", list_nodes,
      {.usage = "([which]) the other nodes: visible, hidden, connected or known"});
  console::offer("Node.ping", ping, {.usage = "(node) pong or pang"});
  console::offer("Node.links", links, {.usage = "() the links, and what waits for them"});
  console::offer(
      "Node.connect", connect,
      {.needs = role::admin, .usage = "(node) connects to a node: true, false or ignored"});
  console::offer(
      "Node.disconnect", disconnect,
      {.needs = role::admin, .usage = "(node) whether it was connected"});
  console::offer("pg.which_groups", groups, {.usage = "([scope]) the groups of processes"});
  console::offer("pg.get_members", members, {.usage = "([scope,] group) its processes"});
}

}  // namespace roost::detail
