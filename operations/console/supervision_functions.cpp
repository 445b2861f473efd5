// Supervisor and Application: the trees.
#include "operations/console/console_server.hpp"
#include "operations/console/dynamic.hpp"
#include "supervision/application.hpp"
#include "supervision/reports.hpp"
#include "supervision/supervision_tree.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

json show_tree(const supervision_tree& tree) {
  json result{
      {"id", tree.id},
      {"name", tree.name.empty() ? json() : json(tree.name)},
      {"pid", pid_json(tree.process)},
      {"type", json(std::string(to_string(tree.type)))}};
  if (tree.restarting) result.append("restarting", true);
  if (!tree.answered) result.append("answered", false);
  if (!tree.strategy.empty()) result.append("strategy", json(tree.strategy));
  if (tree.type == child_type::supervisor) {
    auto children = json::array();
    for (auto& child : tree.children) children.push_back(show_tree(child));
    result.append("children", std::move(children));
    if (tree.omitted != 0) result.append("omitted", tree.omitted);
  }
  return result;
}

json tree(const arguments& given) {
  tree_options options;
  auto& most = given.option(1, "children");
  if (most.is_int())
    options.children =
        static_cast<std::size_t>(std::clamp<std::int64_t>(most.as_int(), 1, 100'000));
  if (!given[0].is_null()) {
    auto process = given.process(0);
    auto found = supervision_tree_of(process, options).get();
    if (found.id.empty()) found.id = given.text(0, "a supervisor");
    return show_tree(found);
  }
  auto all = json::array();
  for (auto& application : which_applications()) {
    auto found = supervision_tree_of(application.root, options).get();
    found.id = application.name;
    all.push_back(show_tree(found));
  }
  return all;
}

json which_children(const arguments& given) {
  auto list = json::array();
  for (auto& child : supervisor(given.process(0)).which_children().get())
    list.push_back(
        {{"id", child.id},
         {"pid", child.restarting ? json("restarting") : pid_json(child.process)},
         {"type", json(std::string(to_string(child.type)))}});
  return list;
}

json count_children(const arguments& given) {
  auto counts = supervisor(given.process(0)).count_children().get();
  return {
      {"specs", counts.specs},
      {"active", counts.active},
      {"supervisors", counts.supervisors},
      {"workers", counts.workers}};
}

json outcome(const child_result& result) {
  if (!result) throw std::runtime_error(result.to_string());
  return result.process() ? pid_json(result.process()) : json(true);
}

json restart_child(const arguments& given) {
  return outcome(
      supervisor(given.process(0)).restart_child(given.text(1, "the id of a child")).get());
}

json terminate_child(const arguments& given) {
  return outcome(
      supervisor(given.process(0)).terminate_child(given.text(1, "the id of a child")).get());
}

json applications(const arguments&) {
  auto list = json::array();
  for (auto& one : which_applications())
    list.push_back({{"name", one.name}, {"root", pid_json(one.root)}});
  return list;
}

}  // namespace

void offer_supervision_functions() {
  console::offer(
      "Application.which_applications", applications, {.usage = "() what runs on the node"});
  console::offer(
      "Supervisor.which_children", which_children, {.usage = "(supervisor) its children"});
  console::offer(
      "Supervisor.count_children", count_children,
      {.usage = "(supervisor) specs, active, supervisors, workers"});
  console::offer(
      "Supervisor.tree", tree,
      {.usage = "([supervisor [, {children = 100}]]) the tree below it, or those of all "
                "applications"});
  console::offer(
      "Supervisor.restart_child", restart_child,
      {.needs = role::admin,
       .usage = "(supervisor, id) starts a child that has no process",
       .timeout = std::chrono::milliseconds(60'000)});
  console::offer(
      "Supervisor.terminate_child", terminate_child,
      {.needs = role::admin,
       .usage = "(supervisor, id) stops a child; restart_child starts it again",
       .timeout = std::chrono::milliseconds(60'000)});
}

}  // namespace roost::detail
