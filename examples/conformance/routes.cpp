#include "examples/conformance/routes.hpp"
#include "channels/endpoint.hpp"
#include "channels/pub_sub.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/runtime.hpp"
#include "supervision/application.hpp"
#include <unistd.h>
#include <algorithm>

namespace conformance {
namespace {

using roost::http_request;
using roost::http_response;

/// The names of the other nodes of the cluster.
roost::json other_nodes() {
  auto nodes = roost::json::array();
  for (auto& node : roost::node::list()) nodes.push_back(node);
  return nodes;
}

http_response health(const http_request& /*request*/) {
  return roost::json_response(
      200, {{"status", "ok"}, {"node", roost::node_name()}, {"nodes", other_nodes()}});
}

/// One range of an Accept header, "Text/HTML;q=0.8" → "text/html".
std::string media_range(std::string_view text) {
  text = text.substr(0, text.find(';'));
  std::string range;
  for (unsigned char c : text)
    if (!std::isspace(c)) range += static_cast<char>(std::tolower(c));
  return range;
}

bool takes_json(std::string_view accept) {
  if (accept.empty()) return true;
  while (!accept.empty()) {
    auto comma = accept.find(',');
    auto range = media_range(accept.substr(0, comma));
    if (range == "*/*" || range == "application/*" || range == "application/json") return true;
    accept.remove_prefix(comma == accept.npos ? accept.size() : comma + 1);
  }
  return false;
}

http_response hello(const http_request& request) {
  if (takes_json(request.header("accept")))
    return roost::json_response(200, {{"hello", roost::json::object()}});
  return roost::json_response(406, {{"errors", roost::json{{"detail", "Not Acceptable"}}}});
}

std::string_view required(const http_request& request, std::string_view name) {
  auto value = request.query[name];
  if (!value) throw std::invalid_argument("expected the parameter " + std::string(name));
  return *value;
}

http_response broadcast(const http_request& request) {
  roost::broadcast("conformance", required(request, "topic"), required(request, "event"), {});
  return {.body = "ok"};
}

/// Whom the node takes for the client, behind a balancer.
http_response peer(const http_request& request) {
  return roost::json_response(200, {{"peer", request.peer_address}, {"node", roost::node_name()}});
}

http_response stats(const http_request& /*request*/) {
  auto endpoint = roost::endpoint::statistics();
  return roost::json_response(
      200, {{"nodes", other_nodes()},
            {"os_pid", ::getpid()},
            {"processes", roost::runtime::process_count()},
            {"connections", endpoint.connections},
            {"sockets", endpoint.sockets},
            {"refused_by_rate", endpoint.refused_by_rate},
            {"slow_handshakes", endpoint.slow_handshakes},
            {"slow_consumers", endpoint.slow_consumers},
            {"too_many_channels", endpoint.too_many_channels},
            {"throttled", endpoint.throttled}});
}

}  // namespace

std::vector<roost::http_route> routes() {
  return {
      roost::any("/health", health),
      roost::get("/hello", hello),
      roost::any("/admin/broadcast", broadcast),
      roost::any("/admin/peer", peer),
      roost::get("/admin/stats", stats),
  };
}

}  // namespace conformance
