// What a balancer is told of a node.
#include "operations/health.hpp"
#include "operations/readiness.hpp"
#include "tests/channels/endpoint_fixtures.hpp"

using namespace roost;
using namespace roost::test;

namespace {

bool says(const readiness& now, std::string_view reason) {
  return std::any_of(now.reasons.begin(), now.reasons.end(), [&](auto& one) {
    return one.find(reason) != std::string::npos;
  });
}

}  // namespace

TEST_CASE_FIXTURE(
    endpoint_server, "a node is healthy while it answers, and says why it is not ready") {
  start({.routes = health_routes()});
  http_connection connection(port);
  auto alive = connection.get("/health");
  CHECK(alive.status == 200);
  CHECK(alive.body == "ok\n");

  // Started by hand, without applications.
  auto answer = connection.get("/ready");
  CHECK(answer.status == 503);
  CHECK(answer.headers["cache-control"] == "no-store");
  CHECK(
      answer.body == R"({"ready":false,"reasons":["the applications are starting or stopping"]})");
  CHECK(endpoint::drain());
  CHECK(eventually([&] { return says(node_readiness(), "endpoint is draining"); }));
  CHECK(connection.get("/health").status == 200);
}

TEST_CASE_FIXTURE(
    endpoint_server, "checks of one's own and a number of nodes belong to readiness") {
  start({.routes = health_routes()});
  add_readiness_check("database", [] { return false; });
  add_readiness_check("disk", []() -> bool { throw std::runtime_error("unreadable"); });
  detail::require_nodes(2);
  auto now = node_readiness();
  CHECK(says(now, "database says no"));
  CHECK(says(now, "disk says no"));
  CHECK(says(now, "expected 2 other nodes, got 0"));
  remove_readiness_check("database");
  remove_readiness_check("disk");
  detail::require_nodes(0);
  CHECK(node_readiness().reasons.size() == 1);
}
