// Node and rpc: the cluster as this node sees it.
#include "operations/console/answers.hpp"
#include "operations/console/console_server.hpp"
#include "operations/console/dynamic.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/pg.hpp"
#include "runtime/distribution/rpc.hpp"
#include <algorithm>

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

json offered(const arguments&) {
  auto list = json::array();
  for (auto& one : offered_functions())
    list.push_back(
        {{"name", one.name},
         {"arguments", one.arguments != nullptr ? json(describe_shape(*one.arguments)) : json()}});
  return list;
}

/// A function that was offered with rpc::offer, in a process of its own as for other nodes.
json call_offered(const arguments& given) {
  auto name = given.text(0, "the name of a function");
  auto all = offered_functions();
  auto found = std::find_if(all.begin(), all.end(), [&](auto& one) { return one.name == name; });
  if (found == all.end()) throw std::invalid_argument("undefined function " + name);
  if (found->arguments == nullptr)
    throw std::invalid_argument("expected arguments that can be typed, got those of " + name);
  auto list = json::array();
  for (std::size_t at = 1; at < given.size(); ++at) list.push_back(given[at]);
  wire_buffer bytes;
  wire_writer out{bytes};
  write_value(out, *found->arguments, list);
  auto reply = wait_for_answer(
      {whereis("rex"),
       make_message<rpc_request>(message_kind::call, name, std::string(bytes.view())), call_timeout,
       "rpc"});
  return show_message(*reply);
}

}  // namespace

void offer_cluster_functions() {
  console::offer("rpc.offered", offered, {.usage = "() the functions that other nodes may call"});
  console::offer(
      "rpc.run", call_offered, {.needs = role::admin, .usage = "(name, arguments…) one of them"});
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
