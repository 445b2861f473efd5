// System, Logger, Registry, ets and alarms: the node itself.
#include "operations/console/answers.hpp"
#include "operations/console/console_server.hpp"
#include "operations/console/log_tail.hpp"
#include "operations/health.hpp"
#include "runtime/alarms.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/ets.hpp"
#include "runtime/logger.hpp"
#include "runtime/registry.hpp"
#include "runtime/system_info.hpp"
#include "supervision/release/environment.hpp"
#include <mutex>

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

/// How busy the schedulers have been since somebody asked last, or for the last five seconds.
std::vector<double> utilization(const system_details& now) {
  static std::mutex mutex;
  static auto& before = *new system_details;
  static auto& last = *new std::vector<double>;
  std::lock_guard guard{mutex};
  auto since = now.taken - before.taken;
  if (last.size() == now.schedulers.size() && since < std::chrono::milliseconds(500)) return last;
  auto fresh = scheduler_utilization(before, now);
  if (fresh.size() == now.schedulers.size()) last = fresh;
  before = now;
  if (last.size() != now.schedulers.size()) last.assign(now.schedulers.size(), 0.0);
  return last;
}

json show_memory(const system_details& now) {
  return {
      {"total", now.memory.total},
      {"processes", now.memory.processes},
      {"used", now.memory.used},
      {"limit", now.memory.limit},
      {"of_a_cgroup", now.memory.of_a_cgroup}};
}

json show_schedulers(const system_details& now) {
  auto busy = utilization(now);
  auto list = json::array();
  for (std::size_t i = 0; i < now.schedulers.size(); ++i)
    list.push_back(
        {{"scheduler", i + 1},
         {"utilization", busy[i]},
         {"run_queue", now.schedulers[i].run_queue},
         {"reductions", now.schedulers[i].reductions}});
  return list;
}

json info(const arguments&) {
  auto now = system_info();
  return {
      {"node", node::self()},
      {"application", release().name},
      {"version", release().version},
      {"roost", now.version},
      {"os_pid", now.os_pid},
      {"uptime_ms", now.uptime.count()},
      {"processes", now.processes},
      {"process_limit", now.process_limit},
      {"run_queue", now.run_queue()},
      {"reductions", now.reductions()},
      {"open_files", now.open_files},
      {"file_limit", now.file_limit},
      {"blocking_jobs", now.blocking_jobs},
      {"nodes", node::list().size()},
      {"memory", show_memory(now)},
      {"schedulers", show_schedulers(now)},
      {"ready", node_readiness().ready}};
}

json counts(const arguments&) {
  auto now = system_info();
  return {{"processes", now.processes},   {"process_limit", now.process_limit},
          {"open_files", now.open_files}, {"file_limit", now.file_limit},
          {"nodes", node::list().size()}, {"ets_tables", ets::all().size()}};
}

json readiness_now(const arguments&) {
  auto now = node_readiness();
  return {{"ready", now.ready}, {"reasons", texts(now.reasons)}};
}

json tables(const arguments&) {
  static constexpr const char* kinds[] = {"set", "ordered_set", "bag", "duplicate_bag"};
  static constexpr const char* access[] = {"public", "protected", "private"};
  auto list = json::array();
  for (auto& one : ets::all())
    list.push_back(
        {{"name", one.name},
         {"type", kinds[static_cast<std::size_t>(one.kind)]},
         {"access", access[one.access]},
         {"owner", pid_json(one.owner)},
         {"heir", pid_json(one.heir)},
         {"size", one.size},
         {"memory", one.memory}});
  return list;
}

json registries(const arguments&) {
  auto list = json::array();
  for (auto& name : registry::names())
    list.push_back({{"name", name}, {"count", registry(name).count()}});
  return list;
}

json lookup(const arguments& given) {
  return pids_json(
      registry(given.text(0, "the name of a registry")).lookup(given.text(1, "a key")));
}

json show_alarms(const arguments&) {
  auto list = json::array();
  for (auto& one : alarms())
    list.push_back(
        {{"id", one.id}, {"description", one.description}, {"since", ms_since_1970(one.since)}});
  return list;
}

json functions(const arguments&) {
  auto list = json::array();
  for (auto& one : console::list())
    list.push_back(
        {{"name", one.name},
         {"usage", one.about.usage},
         {"needs", one.about.needs == role::admin ? "admin" : "read_only"}});
  return list;
}

json set_log_level(const arguments& given) {
  logger::set_level(to_log_level(given.text(0, "a level")));
  return json(std::string(to_string(logger::level())));
}

}  // namespace

void offer_system_functions() {
  console::offer("Console.functions", functions, {.usage = "() what may be asked"});
  start_log_tail();
  console::offer("System.info", info, {.usage = "() the node in numbers"});
  console::offer(
      "System.memory", [](const arguments&) { return show_memory(system_info()); },
      {.usage = "() bytes"});
  console::offer(
      "System.schedulers", [](const arguments&) { return show_schedulers(system_info()); },
      {.usage = "() how busy each has been since the last question"});
  console::offer("System.counts", counts, {.usage = "() processes, files, nodes, tables"});
  console::offer(
      "System.ready", readiness_now, {.usage = "() whether a balancer may send clients"});
  console::offer("ets.all", tables, {.usage = "() the tables that have a name"});
  console::offer("Registry.list", registries, {.usage = "() the registries"});
  console::offer("Registry.lookup", lookup, {.usage = "(registry, key) its processes"});
  console::offer("Alarms.list", show_alarms, {.usage = "() the alarms that are set"});
  console::offer(
      "Logger.level",
      [](const arguments&) { return json(std::string(to_string(logger::level()))); },
      {.usage = "() the least urgent level that is logged"});
  console::offer(
      "Logger.set_level", set_log_level,
      {.needs = role::admin, .usage = "(level) debug, info, notice, warning, error…"});
  console::offer(
      "Logger.tail",
      [](const arguments& given) {
        return log_tail(static_cast<std::uint64_t>(given.number(0, "the number of a line", 0)));
      },
      {.usage = "([after]) the latest lines, or those after one; numbered"});
}

}  // namespace roost::detail
