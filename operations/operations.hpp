// operations/operations.hpp
//
// What somebody on call needs, in every program that asks for it: the commands `remote`, `rpc`,
// `eval` and `observe`, metrics, alarms, error tracking, and a dashboard.
//
//   return roost::run_application(
//       {.name = "chat", .config = "conf/chat.yaml", .extensions = {roost::operations()}},
//       chat_supervisor, argc, argv);
//
// It is an application of its own that starts before the program's and stops after them. Its
// endpoint, "operations", listens on 127.0.0.1 only, and only when `operations.http.enabled` says
// so: /health, /ready, and what is switched on besides. The section `operations` of the
// configuration has all keys; docs/operations.md explains them.
//
// Thread safety: call it once, in main. Source: Phoenix LiveDashboard, telemetry_metrics, SASL's
// os_mon, Elixir releases.
#pragma once
#include "operations/metrics.hpp"
#include "supervision/application.hpp"

namespace roost {

struct operations_options {
  std::vector<metrics::definition> metrics = {};  // your own; see operations/metrics.hpp
  /// Called every `operations.poller.period`, to execute telemetry events of states: the length of
  /// a queue, the age of a file. They must not block.
  std::vector<std::function<void()>> measurements = {};
};

extension operations(operations_options options = {});

}  // namespace roost
