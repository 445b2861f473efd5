#include "runtime/discovery/dns_nodes.hpp"
#include "runtime/logger.hpp"
#include <algorithm>
#include <optional>

namespace roost::discovery {

std::vector<net::dns_type> to_dns_types(const std::vector<std::string>& names) {
  std::vector<net::dns_type> types;
  for (auto& name : names) {
    if (name == "a")
      types.push_back(net::dns_type::a);
    else if (name == "aaaa")
      types.push_back(net::dns_type::aaaa);
    else if (name == "srv")
      types.push_back(net::dns_type::srv);
    else
      throw std::invalid_argument("expected resource types to be a, aaaa or srv, got " + name);
  }
  if (types.empty()) throw std::invalid_argument("expected at least one resource type, got none");
  return types;
}

dns_nodes::dns_nodes(std::string_view strategy, options options)
    : strategy_(strategy), options_(std::move(options)) {}

std::vector<std::string> dns_nodes::look() {
  std::optional<net::dns_error> failure;
  bool found = false;
  for (auto& name : options_.names) {
    bool missing = true;
    bool known = true;
    for (auto type : options_.types) {
      try {
        auto answer = ask({name, type});
        missing = missing && !answer.name_exists;
        found = found || !answer.records.empty();
      } catch (const net::dns_error& error) {
        known = false;
        if (!failure) failure = error;
      }
    }
    // A question without an answer changes nothing of what has been told.
    if (known) tell_missing(name, missing);
  }
  if (failure && !found) throw *failure;
  tell_partial(failure ? failure->what() : "");
  return nodes();
}

net::dns_answer dns_nodes::ask(const question& question) {
  auto& [name, type] = question;
  auto answer = net::ask_dns(
      {.name = name, .type = type, .server = options_.server, .timeout = options_.timeout});
  auto& nodes = last_[question];
  nodes.clear();
  for (auto& record : answer.records) nodes.push_back(options_.basename + "@" + record.host);
  return answer;
}

std::vector<std::string> dns_nodes::nodes() const {
  std::vector<std::string> all;
  for (auto& [question, nodes] : last_) all.insert(all.end(), nodes.begin(), nodes.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

/// Nobody runs, or the name is misspelt: the log should say so once.
void dns_nodes::tell_missing(const std::string& name, bool missing) {
  auto& told = missing_[name];
  if (missing && !told)
    logger::warning("no such name in DNS, so no nodes", {{"strategy", strategy_}, {"name", name}});
  told = missing;
}

void dns_nodes::tell_partial(std::string error) {
  if (!error.empty() && error != partial_)
    logger::warning(
        "some nodes are those of an earlier answer of DNS",
        {{"strategy", strategy_}, {"error", error}});
  partial_ = std::move(error);
}

}  // namespace roost::discovery
