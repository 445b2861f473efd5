#include "runtime/memory_limit.hpp"
#include <charconv>
#include <fstream>
#include <optional>
#include <string_view>

namespace roost::detail {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  auto digit = text.find_first_not_of(" \t");
  if (digit == text.npos) return std::nullopt;
  std::uint64_t value = 0;
  auto result = std::from_chars(text.data() + digit, text.data() + text.size(), value);
  return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

/// The number in the file; nothing for "max" and for a file that is not there.
std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream file{path};
  std::string line;
  return std::getline(file, line) ? number(line) : std::nullopt;
}

/// The number after a word, as in "inactive_file 4096" and "MemTotal:  16303112 kB".
std::optional<std::uint64_t> number_after(const std::string& path, std::string_view word) {
  std::ifstream file{path};
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with(word)) return number(std::string_view(line).substr(word.size()));
  return std::nullopt;
}

/// Of the line "N:controllers:path" of /proc/self/cgroup.
std::optional<std::string> path_of_cgroup(const std::string& root, std::string_view controller) {
  std::ifstream file{root + "/proc/self/cgroup"};
  std::string line;
  while (std::getline(file, line)) {
    auto first = line.find(':');
    auto second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    auto names = "," + line.substr(first + 1, second - first - 1) + ",";
    bool wanted = controller.empty()
                      ? names == ",,"
                      : names.find("," + std::string(controller) + ",") != names.npos;
    if (wanted) return line.substr(second + 1);
  }
  return std::nullopt;
}

struct cgroup_files {
  std::string_view controller;  // empty: version 2
  std::string mount;
  std::string_view limit;
  std::string_view usage;
  std::string_view inactive;  // in memory.stat
};

/// The limit of this directory or of the nearest one above it that has one; the lowest of all.
std::optional<memory_limit> read_cgroup(
    const std::string& root, const cgroup_files& files, std::uint64_t host) {
  auto path = path_of_cgroup(root, files.controller);
  if (!path) return std::nullopt;
  // A container without a namespace of its own is told the host's path, and sees its own at the
  // top.
  auto own = root + files.mount + *path;
  if (!std::ifstream(own + "/" + std::string(files.usage))) *path = "/";
  std::optional<memory_limit> found;
  for (;;) {
    auto directory = root + files.mount + (*path == "/" ? "" : *path) + "/";
    auto limit = number_in(directory + std::string(files.limit));
    // "No limit" of version 1 is a number near 2^63.
    if (limit && *limit < host && (!found || *limit < found->limit)) {
      auto used = number_in(directory + std::string(files.usage)).value_or(0);
      auto inactive = number_after(directory + "memory.stat", files.inactive).value_or(0);
      found = memory_limit{used - std::min(used, inactive), *limit, true};
    }
    if (*path == "/" || path->empty()) return found;
    path->erase(std::max<std::size_t>(1, path->rfind('/')));
  }
}

}  // namespace

memory_limit read_memory_limit(const std::string& root) {
  auto meminfo = root + "/proc/meminfo";
  auto total = number_after(meminfo, "MemTotal:").value_or(0) * 1024;
  auto available = number_after(meminfo, "MemAvailable:").value_or(0) * 1024;
  const cgroup_files second{"", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};
  if (auto found = read_cgroup(root, second, total)) return *found;
  const cgroup_files first{
      "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
      "total_inactive_file"};
  if (auto found = read_cgroup(root, first, total)) return *found;
  return {total - std::min(total, available), total, false};
}

}  // namespace roost::detail
