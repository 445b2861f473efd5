#include "operations/operations.hpp"
#include "channels/endpoint_config.hpp"
#include "channels/pub_sub.hpp"
#include "operations/alarm_watch.hpp"
#include "operations/console/console_server.hpp"
#include "operations/dashboard/dashboard.hpp"
#include "operations/error_server.hpp"
#include "operations/health.hpp"
#include "operations/metrics_server.hpp"
#include "operations/observe/observe.hpp"
#include "operations/readiness.hpp"
#include "operations/shell/shell.hpp"
#include "operations/telemetry_poller.hpp"

namespace roost {
namespace {

constexpr auto own_name = "operations";  // of the application, its section and its endpoint
constexpr auto own_pub_sub = "operations.pub_sub";

/// Whatever is switched off is read nevertheless, so that its keys are no unknown ones.
struct own_settings {
  detail::notice_settings notices;
  detail::error_settings errors;
  detail::metrics_settings metrics;
  detail::alarm_settings alarms;
  detail::poller_settings poller;
};

own_settings read_settings(const config& section, const operations_options& options) {
  auto notices = detail::read_notice_settings(section);
  return {
      .notices = notices,
      .errors = detail::read_error_settings(section.section("errors"), notices.webhook),
      .metrics = detail::read_metrics_settings(section.section("metrics"), options.metrics),
      .alarms = detail::read_alarm_settings(section.section("alarms")),
      .poller = {
          .period = section.get<std::chrono::milliseconds>(
              "poller.period", detail::poller_settings().period),
          .measurements = options.measurements}};
}

void add_watchers(supervisor_spec& tree, const own_settings& settings) {
  auto add = [&](child_spec child) { tree.children.push_back(std::move(child)); };
  bool delivers = !settings.notices.webhook.url.empty() || settings.errors.sentry;
  if (delivers)
    add(child<detail::notice_server>({.name = detail::notice_server::name}, settings.notices));
  if (settings.errors.enabled)
    add(child<detail::error_server>({.name = detail::error_server::name}, settings.errors));
  if (settings.metrics.enabled)
    add(child<detail::metrics_server>({.name = detail::metrics_server::name}, settings.metrics));
  if (settings.alarms.enabled)
    add(child<detail::alarm_watch>({.name = detail::alarm_watch::name}, settings.alarms));
  add(child<detail::telemetry_poller>({.name = "operations.poller"}, settings.poller));
}

endpoint_spec own_endpoint(bool with_metrics) {
  endpoint_spec spec{
      .name = own_name, .pub_sub = own_pub_sub, .http = {.port = 4100, .enabled = false}};
  for (auto& route : health_routes()) spec.routes.push_back(route);
  if (with_metrics) spec.routes.push_back(metrics_route());
  detail::apply_configuration(spec);
  detail::add_dashboard(spec);
  return spec;
}

supervisor_spec own_tree(const operations_options& options) {
  auto section = application_env(own_name);
  detail::require_nodes(section.get_in<std::size_t>("ready.min_nodes", 0, 0, 10'000));
  supervisor_spec tree{.name = "operations.supervisor", .strategy = one_for_one};
  tree.children.push_back(detail::console_child());
  (void)detail::read_shell_limits();  // for the commands, which are other programs
  auto settings = read_settings(section, options);
  add_watchers(tree, settings);
  auto endpoint = own_endpoint(settings.metrics.enabled);
  if (endpoint.http.enabled || !endpoint.https.certfile.empty()) {
    tree.children.push_back(child<pub_sub>({.name = own_pub_sub}));
    tree.children.push_back(child<roost::endpoint>(endpoint));
  }
  return tree;
}

}  // namespace

extension operations(operations_options options) {
  detail::validate(options.metrics);
  auto commands = detail::shell_commands();
  commands.push_back(detail::observe_command());
  return {
      .commands = std::move(commands),
      .applications = {{.name = own_name, .start = [options] { return own_tree(options); }}}};
}

}  // namespace roost
