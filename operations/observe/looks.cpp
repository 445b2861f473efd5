#include "operations/observe/looks.hpp"
#include "operations/observe/text.hpp"
#include <algorithm>
#include <limits>

namespace roost::detail {
namespace {

constexpr int most_processes = 1'000;  // among which the busiest of the moment are found
constexpr int most_children = 200;
constexpr int most_listed = 300;

const char* name_of(order by) {
  switch (by) {
    case order::memory:
      return "memory";
    case order::mailbox:
      return "mailbox";
    case order::uptime:
      return "uptime";
    case order::reductions:
    case order::rate:
      break;
  }
  return "reductions";
}

double sum_of(const json& list, std::string_view key) {
  double sum = 0;
  for (auto& one : list.items()) sum += number_in(one, key);
  return sum;
}

}  // namespace

double number_in(const json& from, std::string_view key) {
  auto& value = from[key];
  return value.is_number() ? value.as_double() : 0;
}

std::string text_in(const json& from, std::string_view key) {
  auto& value = from[key];
  return value.is_string() ? clean(value.as_string()) : std::string();
}

double look::rate(const std::string& key) const {
  auto found = rates.find(key);
  return found != rates.end() ? found->second : std::numeric_limits<double>::quiet_NaN();
}

json looks::ask(look& into, const char* function, json arguments) {
  try {
    return asked_.ask(function, arguments, into.node);
  } catch (const std::runtime_error& error) {
    if (into.trouble.empty()) into.trouble = std::string(function) + ": " + clean(error.what());
    return {};
  }
}

void looks::ask_for_page(look& into, const choice& chosen) {
  auto none = [] { return json::array(); };
  auto limited = [](int limit) { return json::array({json{{"limit", limit}}}); };
  switch (chosen.shown) {
    case page::system:
      into.endpoints = ask(into, "Endpoint.list", none());
      into.pub_subs = ask(into, "PubSub.list", none());
      break;
    case page::processes:
      into.processes =
          ask(into, "Process.list",
              json::array({json{
                  {"sort", name_of(chosen.by)},
                  {"limit", chosen.by == order::rate ? most_processes : most_listed}}}));
      break;
    case page::tree:
      into.tree =
          ask(into, "Supervisor.tree", json::array({json(), json{{"children", most_children}}}));
      break;
    case page::sockets:
      into.endpoints = ask(into, "Endpoint.list", none());
      into.sockets = ask(into, "Endpoint.sockets", limited(most_listed));
      into.pub_subs = ask(into, "PubSub.list", none());
      into.topics = json::object();
      for (auto& one : into.pub_subs.items())
        into.topics[text_in(one, "name")] =
            ask(into, "PubSub.topics", json::array({one["name"], json{{"limit", most_listed}}}));
      break;
    case page::nodes:
      into.links = ask(into, "Node.links", none());
      for (auto& node : into.nodes) {
        json info;
        try {
          info = asked_.ask("System.info", none(), node);
        } catch (const std::runtime_error& error) {
          info = json{{"trouble", clean(error.what())}};
        }
        into.others.emplace_back(node, std::move(info));
      }
      break;
  }
}

void looks::count(const look& into, numbers& sums) const {
  sums["messages"] = number_in(into.info, "reductions");
  for (auto& one : into.processes.items())
    sums["process " + text_in(one, "pid")] = number_in(one, "reductions");
  for (auto& one : into.links.items()) {
    sums["in " + text_in(one, "node")] = number_in(one, "bytes_in");
    sums["out " + text_in(one, "node")] = number_in(one, "bytes_out");
  }
  if (!into.pub_subs.is_null()) sums["broadcasts"] = sum_of(into.pub_subs, "sent");
  for (auto& [node, info] : into.others) sums["of " + node] = number_in(info, "reductions");
}

look looks::take(const choice& chosen, std::chrono::steady_clock::time_point now) {
  look fresh;
  fresh.at = now;
  // The only question that must be answered: else there is nobody.
  auto self = asked_.ask("Node.self", json::array(), {});
  fresh.nodes.push_back(self.is_string() ? self.as_string() : std::string());
  auto others = ask(fresh, "Node.list", json::array());
  for (auto& one : others.items())
    if (one.is_string()) fresh.nodes.push_back(one.as_string());
  std::sort(fresh.nodes.begin() + 1, fresh.nodes.end());
  bool there = std::find(fresh.nodes.begin(), fresh.nodes.end(), chosen.node) != fresh.nodes.end();
  fresh.node = there ? chosen.node : fresh.nodes.front();
  if (!there && !chosen.node.empty()) fresh.trouble = clean(chosen.node) + " is gone";
  fresh.info = ask(fresh, "System.info", json::array());
  fresh.alarms = ask(fresh, "Alarms.list", json::array());
  ask_for_page(fresh, chosen);

  numbers sums;
  count(fresh, sums);
  auto seconds = std::chrono::duration<double>(now - before_at_).count();
  if (node_ == fresh.node && seconds > 0.05)
    for (auto& [key, value] : sums)
      if (auto then = before_.find(key); then != before_.end())
        fresh.rates[key] = std::max(0.0, value - then->second) / seconds;
  node_ = fresh.node;
  before_ = std::move(sums);
  before_at_ = now;
  return fresh;
}

}  // namespace roost::detail
