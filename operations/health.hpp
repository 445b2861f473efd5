// operations/health.hpp
//
// What a balancer asks a node: whether it is alive, and whether it should get clients.
//
//   roost::child<roost::endpoint>({.pub_sub = "chat", .sockets = {…},
//                                  .routes  = roost::health_routes()})
//
//   GET /health    200 "ok" as long as the node answers at all
//   GET /ready     200 {"ready":true}, or 503 {"ready":false,"reasons":["endpoint is draining"]}
//
// A node is ready when its applications have started and none is stopping, all of its endpoints
// take sockets, it is connected to as many other nodes as `operations.ready.min_nodes` says
// (default 0), and every check of its own agrees:
//
//   roost::add_readiness_check("database", [] { return pool_is_up(); });
//
// Take a node out of the pool by /ready, and restart it by /health: a node that drains is healthy.
//
// Thread safety: any thread. A check runs on a worker at every question and must not block; one
// that throws says no. Source: Kubernetes' readiness and liveness probes.
#pragma once
#include "channels/http.hpp"
#include <functional>
#include <string>
#include <vector>

namespace roost {

/// GET /health and GET /ready, for any endpoint.
std::vector<http_route> health_routes();

struct readiness {
  bool ready = true;
  std::vector<std::string> reasons = {};  // why not
};
readiness node_readiness();

/// Asked from now on. The same name again replaces the check.
void add_readiness_check(std::string name, std::function<bool()> check);
void remove_readiness_check(std::string_view name);

}  // namespace roost
