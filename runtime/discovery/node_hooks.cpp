// Where discovery meets the node: nothing else of it knows the distribution.
#include "runtime/discovery/bindings.hpp"
#include "runtime/discovery/cluster.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/port_mapper.hpp"

namespace roost::discovery {
namespace {

constexpr std::chrono::milliseconds mapper_timeout{2000};

connect_result outcome_of(node::connect_result result) {
  if (result == node::connect_result::connected) return connect_result::connected;
  return result == node::connect_result::ignored ? connect_result::not_part_of_network
                                                 : connect_result::unreachable;
}

void connect(const std::string& node, std::function<void(connect_result)> done) {
  node::connect(node).then(
      [done](node::connect_result result) { done(outcome_of(result)); },
      [done](const exit_reason&) { done(connect_result::unreachable); });
}

void disconnect(const std::string& node, std::function<void(disconnect_result)> done) {
  if (!node::is_alive()) return done(disconnect_result::not_part_of_network);
  node::disconnect(node).then(
      [done](bool was_connected) {
        done(
            was_connected ? disconnect_result::disconnected
                          : disconnect_result::already_disconnected);
      },
      [done](const exit_reason&) { done(disconnect_result::already_disconnected); });
}

/// A port mapper lists Erlang's nodes as well, which speak another protocol.
bool is_ours(const std::string& host, std::uint16_t epmd_port, const std::string& name) {
  auto entry = detail::epmd_lookup(host, epmd_port, name, mapper_timeout);
  return entry && entry->extra == "roost";
}

std::vector<std::string> names_at(const std::string& host, std::uint16_t epmd_port) {
  std::vector<std::string> names;
  for (auto& entry : detail::epmd_names(host, epmd_port, mapper_timeout))
    if (is_ours(host, epmd_port, entry.name)) names.push_back(entry.name);
  return names;
}

}  // namespace

hooks node_hooks() {
  return {
      .connect = connect,
      .disconnect = disconnect,
      .list = [] { return node::list(node::which::connected); },
      .self = node::self};
}

bindings node_bindings(std::uint16_t epmd_port) {
  return {
      .self = node::self,
      .cookie = [] { return node::cookie(); },
      .names = [epmd_port](const std::string& host) { return names_at(host, epmd_port); }};
}

}  // namespace roost::discovery
