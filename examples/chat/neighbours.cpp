#include "examples/chat/neighbours.hpp"
#include "channels/endpoint.hpp"
#include "runtime/config.hpp"
#include "runtime/distribution/rpc.hpp"
#include <map>
#include <mutex>

namespace chat {
namespace {

std::mutex known_mutex;
std::map<std::string, std::string> known;  // address by node

struct neighbours {
  using messages = roost::messages<>;
  using infos = roost::messages<roost::nodeup, roost::nodedown>;

  static roost::init_result<neighbours> init() {
    roost::rpc::offer("chat.url", [] { return own_url(); });
    roost::node::monitor_nodes(true);
    for (auto& node : roost::node::list()) ask(node);
    return neighbours{};
  }

  void handle_info(const roost::nodeup& up) { ask(up.node); }
  void handle_info(const roost::nodedown& down) {
    std::lock_guard guard{known_mutex};
    known.erase(down.node);
  }

 private:
  /// A node without a chat, or one that goes before it answers, is none of ours.
  static void ask(const std::string& node) {
    roost::rpc::call<std::string>({node, std::chrono::seconds(5)}, "chat.url")
        .then(
            [node](std::string url) {
              std::lock_guard guard{known_mutex};
              known[node] = std::move(url);
            },
            [](const roost::exit_reason&) {});
  }
};

}  // namespace

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
  return roost::child<neighbours>({.name = "neighbours"});
}

}  // namespace chat
