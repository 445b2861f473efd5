#include "runtime/distribution/node.hpp"
#include "runtime/blocking.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/net_kernel.hpp"
#include "runtime/node_table.hpp"

namespace roost::node {
namespace {

auto& nodes() { return detail::distribution::instance(); }

server<detail::net_kernel> kernel() { return server<detail::net_kernel>("net_kernel"); }

/// Connecting takes net_setuptime at most, and the question that follows 5 s.
std::chrono::milliseconds patience() { return 2 * nodes().options().net_setuptime + call_timeout; }

}  // namespace

void start(options options) { nodes().start(std::move(options)); }

void stop() { nodes().stop(); }

bool is_alive() noexcept { return nodes().is_alive(); }

std::string self() { return node_name(); }

std::vector<std::string> list(which which) { return nodes().list(which); }

pending<ping_result> ping(std::string node) {
  if (!is_alive()) return blocking([] { return ping_result::pang; });
  return call(kernel(), detail::net_kernel::ping{std::move(node)}, patience());
}

pending<connect_result> connect(std::string node) {
  if (!is_alive()) return blocking([] { return connect_result::ignored; });
  return call(kernel(), detail::net_kernel::connect{std::move(node)}, patience());
}

pending<bool> disconnect(std::string node) {
  return blocking([node = std::move(node)] { return nodes().disconnect(node); });
}

void monitor_nodes(bool on, monitor_nodes_options options) {
  nodes().monitor_nodes(roost::self(), on, options);
}

void monitor(std::string node) { nodes().monitor(roost::self(), node); }

void demonitor(std::string node) { nodes().demonitor(roost::self(), node); }

std::string cookie() { return nodes().cookie(); }

void set_cookie(std::string cookie) { nodes().set_cookie(std::move(cookie)); }

void set_cookie(std::string node, std::string cookie) {
  nodes().set_cookie(std::move(node), std::move(cookie));
}

void allow(std::vector<std::string> names) { nodes().allow(std::move(names)); }

}  // namespace roost::node
