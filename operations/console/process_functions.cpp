// Process: looking at processes and ending them.
#include "operations/console/answers.hpp"
#include "operations/console/console_server.hpp"
#include "operations/console/events.hpp"
#include "operations/console/process_list.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

constexpr std::int64_t most_listed = 10'000;

json summary(const process_details& info) {
  return {
      {"pid", pid_json(info.process)},
      {"name", info.registered_name.empty() ? json() : json(info.registered_name)},
      {"label", info.label.empty() ? json() : json(info.label)},
      {"initial_call", info.initial_call},
      {"status", to_string(info.status)},
      {"current_handler", info.current_handler.empty() ? json() : json(info.current_handler)},
      {"message_queue_len", info.message_queue_len},
      {"reductions", info.reductions},
      {"memory", info.memory},
      {"uptime_ms", info.uptime.count()}};
}

json whole(const process_details& info) {
  auto all = summary(info);
  all.append("messages_dropped", info.messages_dropped);
  all.append("priority", json(to_string(info.priority)));
  all.append("trap_exit", info.trap_exit);
  all.append("parent", pid_json(info.parent));
  all.append("ancestors", pids_json(info.ancestors));
  all.append("links", pids_json(info.links));
  all.append("monitors", pids_json(info.monitors));
  all.append("monitored_by", pids_json(info.monitored_by));
  all.append("dictionary", texts(info.dictionary));
  all.append("group_leader", pid_json(info.group_leader));
  return all;
}

using key = std::size_t (*)(const process_details&);
key key_of(const std::string& name) {
  if (name == "memory") return [](const process_details& one) { return one.memory; };
  if (name == "message_queue_len" || name == "mailbox")
    return [](const process_details& one) { return one.message_queue_len; };
  if (name == "reductions")
    return [](const process_details& one) { return static_cast<std::size_t>(one.reductions); };
  if (name == "uptime")
    return [](const process_details& one) { return static_cast<std::size_t>(one.uptime.count()); };
  throw std::invalid_argument(
      "expected sort to be memory, mailbox, reductions or uptime, got \"" + name + '"');
}

bool matches(const process_details& one, const std::string& text) {
  auto has = [&](const std::string& where) { return where.find(text) != std::string::npos; };
  return has(one.registered_name) || has(one.label) || has(one.initial_call) ||
         has(one.current_handler) || pid_text(one.process) == text;
}

/// Process.list{sort = "memory", limit = 50, find = "room"}
json list(const arguments& given) {
  auto all = details_of_all(processes());
  if (auto& find = given.option(0, "find"); find.is_string())
    std::erase_if(all, [&](auto& one) { return !matches(one, find.as_string()); });
  auto& sort = given.option(0, "sort");
  auto by = key_of(sort.is_string() ? sort.as_string() : "memory");
  auto& limit = given.option(0, "limit");
  auto wanted = static_cast<std::size_t>(
      limit.is_int() ? std::clamp<std::int64_t>(limit.as_int(), 1, most_listed) : 50);
  auto shown = std::min(wanted, all.size());
  std::partial_sort(
      all.begin(), all.begin() + static_cast<std::ptrdiff_t>(shown), all.end(),
      [by](auto& left, auto& right) {
        return by(left) != by(right) ? by(left) > by(right) : left.process < right.process;
      });
  all.resize(shown);
  auto result = json::array();
  for (auto& one : all) result.push_back(summary(one));
  return result;
}

json info(const arguments& given) {
  auto found = process_info(given.process(0)).get();
  return found ? whole(*found) : json();
}

exit_reason reason_of(const std::string& text) {
  if (text == "normal") return exit_reason::normal;
  if (text == "shutdown") return exit_reason::shutdown;
  if (text == "kill") return exit_reason::kill;
  return exit_reason(text);
}

json end(const arguments& given) {
  auto process = given.process(0);
  exit(process, reason_of(given.text(1, "a reason")));
  return json(true);
}

json watch(const arguments& given) {
  monitor_for(given.session(), given.process(0));
  return json(true);
}

}  // namespace

void offer_process_functions() {
  console::offer(
      "Process.list", list,
      {.usage = "{sort = memory|mailbox|reductions|uptime, limit = 50, find = text} the largest "
                "first"});
  console::offer(
      "Process.info", info, {.usage = "(pid) all that is known of it; nil: it has gone"});
  console::offer(
      "Process.registered", [](const arguments&) { return texts(registered()); },
      {.usage = "() the registered names"});
  console::offer(
      "Process.whereis",
      [](const arguments& given) { return pid_json(whereis(given.text(0, "a name"))); },
      {.usage = "(name) who has registered it"});
  console::offer(
      "Process.alive", [](const arguments& given) { return json(is_alive(given.process(0))); },
      {.usage = "(pid) whether it runs"});
  console::offer(
      "Process.monitor", watch, {.usage = "(pid) flush() will tell when and why it has ended"});
  console::offer(
      "Process.exit", end,
      {.needs = role::admin,
       .usage = "(pid, reason) sends an exit signal; \"normal\" ends nobody, \"kill\" everybody"});
}

}  // namespace roost::detail
