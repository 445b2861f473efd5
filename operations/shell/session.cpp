#include "operations/shell/session.hpp"
#include "operations/console/dynamic.hpp"
#include "runtime/config.hpp"
#include "runtime/system_info.hpp"
#include <algorithm>
#include <cctype>
#include <cstdio>

namespace roost::detail {
namespace {

struct helper {
  const char* name;
  const char* usage;
};

constexpr helper helpers[] = {
    {"help", "([name]) this, or what one function or module does"},
    {"attach", "(node) from now on the functions are asked of that node, through this one"},
    {"rpc.call", "(node, name, arguments…) one function, asked of another node"},
    {"flush", "() what traced and monitored processes have done"},
    {"inspect", "(value) prints it, and answers it"},
    {"exit", "() leaves the shell; the node goes on"},
};

std::string text_at(const json& arguments, std::size_t at, const char* what) {
  if (!arguments[at].is_string())
    throw std::invalid_argument(
        std::string("expected ") + what + " as argument " + std::to_string(at + 1) + ", got " +
        (arguments[at].is_null() ? "nothing" : to_lua_text(arguments[at])));
  return arguments[at].as_string();
}

json rest_of(const json& arguments, std::size_t from) {
  auto list = json::array();
  for (std::size_t i = from; i < arguments.size(); ++i) list.push_back(arguments[i]);
  return list;
}

json config_value(const std::string& key) {
  auto& config = application_config();
  switch (config.kind(key)) {
    case config_kind::absent:
      return {};
    case config_kind::boolean:
      return json(config.get<bool>(key, false));
    default:
      break;
  }
  try {
    return json(config.get<std::string>(key, ""));
  } catch (const config_error&) {
    auto list = json::array();
    for (auto& one : config.get<std::vector<std::string>>(key, {})) list.push_back(json(one));
    return list;
  }
}

}  // namespace

shell_session::shell_session(lua_engine::limits limits, node_connection* node)
    : lua_(limits), node_(node), target_(node != nullptr ? node->node() : "") {
  lua_.define("Config.get", [](json given) { return config_value(text_at(given, 0, "a key")); });
  usage_.emplace_back("Config.get", "(key) a value of the configuration file");
  if (node_ != nullptr) {
    define_console();
    define_helpers();
  } else {
    lua_.define("System.version", [](json) { return json(system_info().version); });
    usage_.emplace_back("System.version", "() of roost");
  }
  lua_.define("help", [this](json given) {
    std::printf("%s", help(given[0].is_string() ? given[0].as_string() : "").c_str());
    return json();
  });
}

json shell_session::ask(const std::string& function, json arguments, const std::string& node) {
  auto to = node.empty() ? target_ : node;
  if (function == "sys.trace" || function == "Process.monitor") {
    auto of_pid = arguments[0].is_string() ? node_in_text(arguments[0].as_string()) : "";
    watching_.insert(of_pid.empty() ? to : of_pid);
  }
  return node_->ask(function, std::move(arguments), to, [this] { return lua_.has_to_end(); });
}

void shell_session::define_console() {
  auto functions = node_->ask("Console.functions", json::array());
  for (auto& one : functions.items()) {
    auto& name = one["name"].as_string();
    usage_.emplace_back(name, one["usage"].as_string());
    lua_.define(name, [this, name](json given) { return ask(name, std::move(given)); });
  }
}

void shell_session::define_helpers() {
  lua_.define("attach", [this](json given) {
    auto node = text_at(given, 0, "the name of a node");
    (void)ask("Node.self", json::array(), node);
    target_ = node;
    return json();
  });
  lua_.define("rpc.call", [this](json given) {
    auto node = text_at(given, 0, "the name of a node");
    auto name = text_at(given, 1, "the name of a function");
    bool of_console =
        std::any_of(usage_.begin(), usage_.end(), [&](auto& known) { return known.first == name; });
    // What the console does not know may be a function that the program offers to other nodes.
    return of_console ? ask(name, rest_of(given, 2), node)
                      : ask("rpc.run", rest_of(given, 1), node);
  });
  lua_.define("flush", [this](json) {
    for (auto& line : take_events()) std::printf("%s\n", line.c_str());
    return json();
  });
  lua_.define("exit", [this](json) {
    leaving_ = true;
    return json();
  });
}

std::vector<std::string> shell_session::take_events() {
  std::vector<std::string> lines;
  for (auto& node : watching_) {
    auto taken = node_->ask("Events.take", json::array(), node);
    for (auto& line : taken.items()) lines.push_back(line.as_string());
  }
  return lines;
}

std::vector<std::string> shell_session::completions(const std::string& line) {
  auto quote = line.find_last_of("\"'");
  bool in_quotes = quote != line.npos && std::count(line.begin(), line.end(), line[quote]) % 2 == 1;
  std::vector<std::string> found;
  if (!in_quotes) {
    auto at = line.size();
    while (at > 0 && (std::isalnum(static_cast<unsigned char>(line[at - 1])) != 0 ||
                      line[at - 1] == '_' || line[at - 1] == '.'))
      --at;
    return lua_.completions(line.substr(at));
  }
  if (node_ == nullptr) return found;
  auto start = line.substr(quote + 1);
  auto add = [&](const json& name) {
    if (name.is_string() && name.as_string().starts_with(start)) found.push_back(name.as_string());
  };
  if (start.starts_with('<')) {
    auto all = node_->ask("Process.list", json::array({json{{"limit", 200}}}), target_);
    for (auto& one : all.items()) add(one["pid"]);
  } else {
    for (auto* source : {"Process.registered", "Node.list"}) {
      auto all = node_->ask(source, json::array(), target_);
      for (auto& one : all.items()) add(one);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string shell_session::help(const std::string& about) const {
  std::string text;
  auto add = [&](const std::string& name, const std::string& usage) {
    text += "  " + name + usage + "\n";
  };
  for (auto& [name, usage] : usage_)
    if (name.starts_with(about)) add(name, usage);
  if (node_ != nullptr)
    for (auto& one : helpers)
      if (std::string_view(one.name).starts_with(about)) add(one.name, one.usage);
  if (text.empty()) return "nothing is called " + about + "\n";
  return text;
}

}  // namespace roost::detail
