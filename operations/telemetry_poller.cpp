#include "operations/telemetry_poller.hpp"
#include "runtime/logger.hpp"
#include "runtime/system_info.hpp"
#include "runtime/telemetry.hpp"

namespace roost::detail {
namespace {

void measure_node() {
  static const telemetry::event memory{"vm.memory"};
  static const telemetry::event queues{"vm.total_run_queue_lengths"};
  static const telemetry::event counts{"vm.system_counts"};
  if (!memory.enabled() && !queues.enabled() && !counts.enabled()) return;
  auto now = system_info();
  telemetry::execute(
      memory, {{"total", now.memory.total},
               {"processes", now.memory.processes},
               {"used", now.memory.used},
               {"limit", now.memory.limit}});
  auto cpu = now.run_queue();
  telemetry::execute(
      queues, {{"total", cpu + now.blocking_jobs}, {"cpu", cpu}, {"io", now.blocking_jobs}});
  telemetry::execute(
      counts, {{"process_count", now.processes},
               {"process_limit", now.process_limit},
               {"file_count", now.open_files},
               {"file_limit", now.file_limit}});
}

bool works(const std::function<void()>& measurement) {
  try {
    measurement();
    return true;
  } catch (const std::exception& error) {
    logger::error("a measurement failed and is left out", {{"reason", error.what()}});
  } catch (...) {
    logger::error("a measurement failed and is left out", {{"reason", "not an exception"}});
  }
  return false;
}

}  // namespace

init_result<telemetry_poller> telemetry_poller::init(const poller_settings& settings) {
  send_after(std::chrono::milliseconds(0), self(), poll_due{});
  return telemetry_poller(settings);
}

void telemetry_poller::handle_info(poll_due) {
  measure_node();
  std::erase_if(settings_.measurements, [](auto& one) { return !works(one); });
  if (settings_.period.count() > 0) send_after(settings_.period, self(), poll_due{});
}

}  // namespace roost::detail
