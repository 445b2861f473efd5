#include "tests/distribution/sample_shared.hpp"
#include "runtime/distribution/global.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/pg.hpp"
#include "tests/distribution/sample_tables.hpp"
#include <algorithm>
#include <optional>

namespace roost::test {
namespace {

/// In a group, or under a global name; tells when it had to give the name back.
struct member {
  using messages = roost::messages<>;
  using infos = roost::messages<global_name_conflict>;

  void (*lost)(const std::string&);

  void handle_info(const global_name_conflict& conflict) { lost(conflict.name); }
};

std::string nodes_of(const std::vector<pid>& processes) {
  std::vector<std::string> nodes;
  for (auto process : processes)
    nodes.push_back(process.is_local() ? node::self() : node_of(process));
  std::sort(nodes.begin(), nodes.end());
  std::string text;
  for (auto& node : nodes) text += (text.empty() ? "" : " ") + node;
  return text;
}

std::optional<decltype(open_notes())> notes;

std::string rows() {
  auto all = notes->foldl(
      [](const note& row, std::vector<std::string> found) {
        found.push_back(std::to_string(row.id) + "=" + row.text);
        return found;
      },
      std::vector<std::string>{});
  std::sort(all.begin(), all.end());
  std::string text = "-";
  for (auto& one : all) text += " " + one;
  return text;
}

}  // namespace

std::string obey_shared(const std::vector<std::string>& words, void (*lost)(const std::string&)) {
  auto& what = words[0];
  if (what == "join") {
    pg::join(words.at(1), start<member>(lost).process());
    return "joined";
  }
  if (what == "members") return "- " + nodes_of(pg::get_members(words.at(1)));
  if (what == "register") {
    auto answer = global_names::register_name(
        words.at(1), start<member>(lost).process(), global_names::random_notify_name);
    return std::move(answer).get() ? "yes" : "no";
  }
  if (what == "owner") {
    auto owner = global_names::whereis_name(words.at(1));
    return owner ? nodes_of({owner}) : "nobody";
  }
  if (what == "open") {
    notes.emplace(open_notes());
    return "opened";
  }
  if (what == "put") {
    notes->insert({std::stoi(words.at(1)), words.at(2)});
    return "written";
  }
  if (what == "rows") return rows();
  return "";
}

}  // namespace roost::test
