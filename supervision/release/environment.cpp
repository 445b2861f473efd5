#include "supervision/release/environment.hpp"
#include <unistd.h>
#include <algorithm>
#include <filesystem>

namespace roost {
namespace {

namespace fs = std::filesystem;

/// A value and what to call it in a complaint.
struct given {
  std::string value;
  std::string source;
};

config_error wrong(const given& input, const std::string& expectation) {
  return config_error(
      "expected " + input.source + " to be " + expectation + ", got " + input.value);
}

given from_variable(const detail::release_inputs& inputs, const char* name) {
  const char* value = inputs.variable(name);
  return {value != nullptr ? value : "", name};
}

given from_key(const config& config, const std::string& key) {
  auto value = config.get<std::string>(key, "");
  return {value, value.empty() ? key : key + " (" + config.where(key) + ")"};
}

given first_of(const given& one, const given& other) { return one.value.empty() ? other : one; }

// A node's name is part of file names and of log lines.
bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
  });
}

struct parts {
  std::string name;
  std::string host;  // may be empty
};

std::optional<parts> split(const std::string& node) {
  auto at = node.find('@');
  parts result{node.substr(0, at), at == node.npos ? "" : node.substr(at + 1)};
  bool host_fits = at == node.npos || is_name(result.host);
  if (!is_name(result.name) || result.name[0] == '.' || !host_fits) return std::nullopt;
  return result;
}

std::string long_name(const given& input) {
  auto found = split(input.value);
  if (!found || found->host.empty()) throw wrong(input, "NAME@HOST");
  return input.value;
}

std::string short_name(const given& input, const std::string& machine) {
  auto found = split(input.value);
  if (!found || found->host.find('.') != std::string::npos)
    throw wrong(input, "NAME or NAME@HOST with a host without dots, as the node has a short name");
  if (!found->host.empty()) return input.value;
  return found->name + "@" + machine.substr(0, machine.find('.'));
}

node_distribution distribution_of(const given& input, const given& node) {
  if (input.value.empty()) {
    if (node.value.empty()) return node_distribution::none;
    bool has_host = node.value.find('@') != std::string::npos;
    return has_host ? node_distribution::name : node_distribution::sname;
  }
  if (input.value == "none") return node_distribution::none;
  if (input.value == "sname") return node_distribution::sname;
  if (input.value == "name") return node_distribution::name;
  throw wrong(input, "none, sname or name");
}

release_environment& current_release() {
  static release_environment current;
  return current;
}

bool is_writable(const std::string& directory) { return ::access(directory.c_str(), W_OK) == 0; }

}  // namespace

const release_environment& release() { return current_release(); }

void detail::set_release(release_environment environment) {
  current_release() = std::move(environment);
}

release_environment detail::read_environment(const release_inputs& inputs, const config& config) {
  release_environment result;
  auto name = first_of(from_variable(inputs, "RELEASE_NAME"), {inputs.name, "the program's name"});
  if (!is_name(name.value) || name.value[0] == '.')
    throw wrong(name, "letters, digits, _, - and dots");
  result.name = name.value;
  result.version = inputs.version;
  result.root = fs::path(inputs.program).parent_path().parent_path().string();

  // All keys are read, so that they are known whatever is given elsewhere.
  auto node = first_of(from_variable(inputs, "RELEASE_NODE"), from_key(config, "node.name"));
  auto kind = first_of(
      from_variable(inputs, "RELEASE_DISTRIBUTION"), from_key(config, "node.distribution"));
  result.cookie =
      first_of(from_variable(inputs, "RELEASE_COOKIE"), from_key(config, "node.cookie")).value;
  if (inputs.name_flag) {
    node = {*inputs.name_flag, "--name"};
    kind.value = "name";
  } else if (inputs.sname_flag) {
    node = {*inputs.sname_flag, "--sname"};
    kind.value = "sname";
  }
  result.distribution = distribution_of(kind, node);
  if (result.distribution == node_distribution::sname && node.value.empty())
    node = {result.name, "RELEASE_NAME"};
  if (result.distribution == node_distribution::name && node.value.empty())
    throw wrong({"nothing", "RELEASE_NODE"}, "NAME@HOST, as " + kind.source + " is name");
  if (result.distribution == node_distribution::name) result.node = long_name(node);
  if (result.distribution == node_distribution::sname) result.node = short_name(node, inputs.host);

  result.tmp = from_variable(inputs, "RELEASE_TMP").value;
  if (result.tmp.empty()) result.tmp = default_tmp(result, inputs.variable("XDG_RUNTIME_DIR"));
  return result;
}

std::string detail::default_tmp(const release_environment& release, const char* runtime_directory) {
  auto inside = release.root + "/tmp";
  std::error_code error;
  if (is_writable(inside) || (!fs::exists(inside, error) && is_writable(release.root)))
    return inside;
  if (runtime_directory != nullptr && is_writable(runtime_directory))
    return std::string(runtime_directory) + "/" + release.name;
  return "/tmp/" + release.name + "-" + std::to_string(::getuid());
}

}  // namespace roost
