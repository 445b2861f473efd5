// private: a page about the cluster, served by the node itself over its own channels.
//
//   operations:
//     http: {enabled: true}
//     dashboard: {enabled: true, user: ann, password: "${DASHBOARD_PASSWORD}"}
//
//   GET  /dashboard                   the page
//   GET  /dashboard/assets/:file      what it consists of
//   GET  /dashboard/token             a token for its socket
//   POST /dashboard/sign_in           token=…
//   POST /dashboard/sign_out
//   /dashboard/socket                 the topic "console", see dashboard_channel.hpp
//
// Errors: what is wrong in the configuration throws config_error before anything starts.
// Source: Phoenix.LiveDashboard.
#pragma once
#include "channels/endpoint.hpp"

namespace roost::detail {

/// Adds the routes and the socket when `operations.dashboard.enabled` says so.
void add_dashboard(endpoint_spec& spec);

}  // namespace roost::detail
