#include "operations/operations.hpp"
#include "channels/endpoint_config.hpp"
#include "channels/pub_sub.hpp"
#include "operations/console/console_server.hpp"
#include "operations/dashboard/dashboard.hpp"
#include "operations/health.hpp"
#include "operations/observe/observe.hpp"
#include "operations/readiness.hpp"
#include "operations/shell/shell.hpp"

namespace roost {
namespace {

constexpr auto own_name = "operations";  // of the application, its section and its endpoint
constexpr auto own_pub_sub = "operations.pub_sub";

endpoint_spec own_endpoint() {
  endpoint_spec spec{
      .name = own_name, .pub_sub = own_pub_sub, .http = {.port = 4100, .enabled = false}};
  for (auto& route : health_routes()) spec.routes.push_back(route);
  detail::apply_configuration(spec);
  detail::add_dashboard(spec);
  return spec;
}

supervisor_spec own_tree() {
  auto section = application_env(own_name);
  detail::require_nodes(section.get_in<std::size_t>("ready.min_nodes", 0, 0, 10'000));
  supervisor_spec tree{.name = "operations.supervisor", .strategy = rest_for_one};
  tree.children.push_back(detail::console_child());
  (void)detail::read_shell_limits();  // for the commands, which are other programs
  auto endpoint = own_endpoint();
  if (endpoint.http.enabled || !endpoint.https.certfile.empty()) {
    tree.children.push_back(child<pub_sub>({.name = own_pub_sub}));
    tree.children.push_back(child<roost::endpoint>(endpoint));
  }
  return tree;
}

}  // namespace

extension operations() {
  auto commands = detail::shell_commands();
  commands.push_back(detail::observe_command());
  return {
      .commands = std::move(commands),
      .applications = {{.name = own_name, .start = own_tree}}};
}

}  // namespace roost
