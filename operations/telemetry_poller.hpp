// private: executes the events of the node itself, every few seconds, as Erlang's telemetry_poller:
// vm.memory (total, processes, used, limit; bytes), vm.total_run_queue_lengths (total, cpu, io) and
// vm.system_counts (process_count, process_limit, file_count, file_limit), and whatever a program
// measures besides.
//
// `cpu` are processes that wait for a scheduler, `io` jobs that wait for a thread of
// roost::blocking, which does the work of the BEAM's dirty schedulers. A measurement that throws is
// reported once and left out from then on.
#pragma once
#include "runtime/gen_server.hpp"
#include <functional>

namespace roost::detail {

struct poller_settings {
  std::chrono::milliseconds period{5'000};  // 0: only the first measurement
  std::vector<std::function<void()>> measurements = {};
};

class telemetry_poller {
 public:
  using messages = roost::messages<>;
  struct poll_due {};
  using infos = roost::messages<poll_due>;

  static init_result<telemetry_poller> init(const poller_settings& settings);
  void handle_info(poll_due);

 private:
  explicit telemetry_poller(poller_settings settings) : settings_(std::move(settings)) {}

  poller_settings settings_;
};

}  // namespace roost::detail
