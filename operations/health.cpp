#include "operations/health.hpp"
#include "channels/endpoint.hpp"
#include "operations/readiness.hpp"
#include "runtime/distribution/node.hpp"
#include "supervision/application.hpp"
#include <atomic>
#include <map>
#include <mutex>

namespace roost {
namespace {

std::atomic<std::size_t> min_nodes{0};

std::mutex checks_mutex;
std::map<std::string, std::function<bool()>, std::less<>>& checks() {
  static auto& all = *new std::map<std::string, std::function<bool()>, std::less<>>;
  return all;
}

bool passes(const std::function<bool()>& check) {
  try {
    return check();
  } catch (const std::exception&) {
    return false;
  }
}

http_response answer_ready(const http_request& /*request*/) {
  auto now = node_readiness();
  json body{{"ready", now.ready}};
  if (!now.ready) {
    auto reasons = json::array();
    for (auto& reason : now.reasons) reasons.push_back(reason);
    body["reasons"] = std::move(reasons);
  }
  auto response = json_response(now.ready ? 200 : 503, body);
  response.headers.emplace_back("cache-control", "no-store");
  return response;
}

}  // namespace

void detail::require_nodes(std::size_t count) { min_nodes = count; }

readiness node_readiness() {
  readiness result;
  auto no = [&](std::string reason) {
    result.ready = false;
    result.reasons.push_back(std::move(reason));
  };
  if (!applications_started()) no("the applications are starting or stopping");
  for (auto& name : endpoint::names())
    if (!endpoint::ready(name)) no(name + " is draining");
  if (auto wanted = min_nodes.load(); wanted > 0) {
    auto others = node::list().size();
    if (others < wanted)
      no("expected " + std::to_string(wanted) + " other nodes, got " + std::to_string(others));
  }
  // Not under the lock, as a check may take its time or add another one.
  std::unique_lock guard{checks_mutex};
  auto asked = checks();
  guard.unlock();
  for (auto& [name, check] : asked)
    if (!passes(check)) no(name + " says no");
  return result;
}

std::vector<http_route> health_routes() {
  return {
      get("/health", [](const http_request&) { return http_response{.body = "ok\n"}; }),
      get("/ready", answer_ready)};
}

void add_readiness_check(std::string name, std::function<bool()> check) {
  std::lock_guard guard{checks_mutex};
  checks()[std::move(name)] = std::move(check);
}

void remove_readiness_check(std::string_view name) {
  std::lock_guard guard{checks_mutex};
  if (auto found = checks().find(name); found != checks().end()) checks().erase(found);
}

}  // namespace roost
