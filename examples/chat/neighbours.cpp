#include "examples/chat/neighbours.hpp"
#include "channels/endpoint.hpp"
#include "runtime/config.hpp"
#include "runtime/distribution/node.hpp"
#include <map>
#include <mutex>

namespace chat {

/// What the neighbours of one node tell those of another. Who was there first may have told it
/// before anybody listened here, so whoever comes asks for the same in return.
struct address {
  std::string node;
  std::string url;
  bool asks = false;
};

namespace {

std::mutex known_mutex;
std::map<std::string, std::string> known;  // address by node

}  // namespace

struct neighbours {
  using messages = roost::messages<address>;
  using infos = roost::messages<roost::nodeup, roost::nodedown>;

  static constexpr auto name = "neighbours";

  static roost::init_result<neighbours> init() {
    roost::node::monitor_nodes(true);
    for (auto& node : roost::node::list()) tell(node, true);
    return neighbours{};
  }

  void handle_cast(const address& other) {
    {
      std::lock_guard guard{known_mutex};
      known[other.node] = other.url;
    }
    if (other.asks) tell(other.node, false);
  }

  void handle_info(const roost::nodeup& up) { tell(up.node, true); }
  void handle_info(const roost::nodedown& down) {
    std::lock_guard guard{known_mutex};
    known.erase(down.node);
  }

 private:
  static void tell(const std::string& node, bool asks) {
    roost::cast(
        roost::server<neighbours>(name, node), address{roost::node::self(), own_url(), asks});
  }
};

std::vector<neighbour> current_neighbours() {
  std::lock_guard guard{known_mutex};
  std::vector<neighbour> all;
  for (auto& [node, url] : known) all.push_back({node, url});
  return all;
}

std::string own_url() {
  auto port = std::to_string(roost::endpoint_port());
  return roost::application_config().get<std::string>("chat.url", "http://127.0.0.1:" + port);
}

roost::child_spec neighbours_child() {
  // A wrong key is found before anything starts.
  roost::application_config().get<std::string>("chat.url", "");
  return roost::child<neighbours>({.name = neighbours::name});
}

}  // namespace chat
