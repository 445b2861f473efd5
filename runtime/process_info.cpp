#include "runtime/process_info.hpp"
#include "runtime/names.hpp"
#include "runtime/process_core.hpp"
#include "runtime/scheduler.hpp"
#include <malloc.h>
#include <algorithm>
#include <cstdio>

namespace roost {
namespace {

using detail::current_process;
using detail::process;

process& me(const char* what) {
  auto* running = current_process();
  if (running == nullptr)
    throw std::logic_error(
        std::string("expected ") + what +
        " to be called in a process, got a thread outside the scheduler");
  return *running;
}

process_status status_of(const process& process) {
  if (process.initializing) return process_status::initializing;
  if (process.suspended) return process_status::suspended;
  if (process.handling != nullptr) return process_status::running;
  return process.oldest != nullptr ? process_status::runnable : process_status::waiting;
}

process_details details_of(process& process) {
  process_details info;
  info.process = process.self();
  info.initial_call = process.does ? process.does->initial_call() : std::string_view{};
  if (process.handling != nullptr) info.current_handler = process.handling->type->name;
  info.status = status_of(process);
  info.message_queue_len = detail::queue_length(*process.home);
  info.reductions = process.reductions;
  info.memory = detail::memory_of(process);
  info.trap_exit = process.trap_exit;
  info.priority = process.home->priority.load(std::memory_order_relaxed);
  info.parent = process.parent;
  info.uptime = std::chrono::milliseconds(detail::exact_now() - process.started);
  process.links.for_each([&](pid other) { info.links.push_back(other); });
  if (!process.extra) return info;
  auto& extra = *process.extra;
  info.registered_name = extra.name;
  info.label = extra.label;
  info.messages_dropped = extra.messages_dropped;
  info.ancestors = extra.ancestors;
  extra.monitors.for_each([&](reference, pid other) { info.monitors.push_back(other); });
  extra.monitored_by.for_each([&](reference, pid other) { info.monitored_by.push_back(other); });
  info.group_leader = extra.group_leader;
  if (!process.sensitive)
    for (auto& [key, value] : extra.dictionary) info.dictionary.push_back(key);
  return info;
}

}  // namespace

namespace detail {

std::size_t memory_of(const process& process) {
  auto bytes = process_size() + sizeof(slot);
  if (process.does) bytes += ::malloc_usable_size(process.does.get());
  if (process.extra) bytes += ::malloc_usable_size(process.extra.get());
  for (auto* message = process.oldest; message != nullptr; message = message->next)
    bytes += ::malloc_usable_size(message);
  return bytes;
}

}  // namespace detail

std::string to_string(process_status status) {
  switch (status) {
    case process_status::waiting:
      return "waiting";
    case process_status::runnable:
      return "runnable";
    case process_status::running:
      return "running";
    case process_status::suspended:
      return "suspended";
    case process_status::initializing:
      return "initializing";
  }
  return "unknown";
}

std::string to_string(process_priority priority) {
  switch (priority) {
    case process_priority::low:
      return "low";
    case process_priority::normal:
      return "normal";
    case process_priority::high:
      return "high";
    case process_priority::max:
      return "max";
  }
  return "unknown";
}

pending<std::optional<process_details>> process_info(pid process) {
  using answer = std::optional<process_details>;
  return detail::inspect<answer>(process, [](detail::process* found) {
    return detail::make_message<answer>(
        detail::message_kind::reply, found == nullptr ? answer{} : answer{details_of(*found)});
  });
}

std::vector<pid> processes() {
  std::vector<pid> all;
  detail::for_each_slot([&](detail::slot& slot) {
    auto id = slot.id.load(std::memory_order_acquire);
    if (id != 0 && !slot.is_thread.load(std::memory_order_relaxed)) all.push_back(pid{id, 0});
  });
  return all;
}

std::vector<std::string> registered() {
  auto all = detail::names::all();
  std::sort(all.begin(), all.end());
  return all;
}

process_priority set_priority(process_priority priority) {
  return me("set_priority").home->priority.exchange(priority, std::memory_order_relaxed);
}

bool set_async_dist(bool on) {
  auto& process = me("set_async_dist");
  bool before = process.async_dist;
  process.async_dist = on;
  return before;
}

bool set_sensitive(bool on) {
  auto& process = me("set_sensitive");
  bool before = process.sensitive;
  process.sensitive = on;
  return before;
}

pid group_leader() noexcept {
  auto* running = current_process();
  return running != nullptr && running->extra ? running->extra->group_leader : pid{};
}

pid set_group_leader(pid leader) {
  return std::exchange(me("set_group_leader").more().group_leader, leader);
}

void puts(std::string_view line) {
  if (auto leader = group_leader())
    return send(leader, io_output{self(), std::string(line) + "\n"});
  auto text = std::string(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);  // one call: lines do not mix
  std::fflush(stdout);
}

void set_label(std::string label) { me("set_label").more().label = std::move(label); }

void dictionary_put(std::string key, std::any value) {
  me("dictionary_put").more().dictionary.insert_or_assign(std::move(key), std::move(value));
}

std::any dictionary_get(std::string_view key) {
  auto& process = me("dictionary_get");
  if (!process.extra) return {};
  auto found = process.extra->dictionary.find(key);
  return found == process.extra->dictionary.end() ? std::any{} : found->second;
}

bool dictionary_erase(std::string_view key) {
  auto& process = me("dictionary_erase");
  if (!process.extra) return false;
  auto found = process.extra->dictionary.find(key);
  if (found == process.extra->dictionary.end()) return false;
  process.extra->dictionary.erase(found);
  return true;
}

}  // namespace roost
