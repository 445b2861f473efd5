#include "operations/network_load.hpp"
#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

namespace roost::detail {

std::map<std::string, interface_bytes> parse_net_dev(std::string_view text) {
  std::map<std::string, interface_bytes> all;
  std::istringstream lines{std::string(text)};
  std::string line;
  while (std::getline(lines, line)) {
    auto colon = line.find(':');
    auto begin = line.find_first_not_of(' ');
    if (colon == line.npos || begin >= colon) continue;  // the two lines of the head
    std::istringstream numbers{line.substr(colon + 1)};
    std::uint64_t fields[9]{};
    for (auto& field : fields) numbers >> field;
    if (numbers) all[line.substr(begin, colon - begin)] = {fields[0], fields[8]};
  }
  return all;
}

std::map<std::string, interface_bytes> read_net_dev() {
  std::ifstream file{"/proc/net/dev"};
  return parse_net_dev(std::string(std::istreambuf_iterator<char>(file), {}));
}

std::uint64_t interface_speed(const std::string& name) {
  std::ifstream file{"/sys/class/net/" + name + "/speed"};
  std::int64_t megabits = 0;
  return file >> megabits && megabits > 0 ? static_cast<std::uint64_t>(megabits) * 1'000'000 : 0;
}

double network_load(
    const interface_bytes& before, const interface_bytes& now, std::chrono::nanoseconds passed,
    std::uint64_t bits_per_second) {
  auto grown = [](std::uint64_t from, std::uint64_t to) { return to - std::min(from, to); };
  auto bytes = std::max(grown(before.received, now.received), grown(before.sent, now.sent));
  auto seconds = std::chrono::duration<double>(passed).count();
  if (bits_per_second == 0 || seconds <= 0) return 0;
  return static_cast<double>(bytes) * 8 / seconds / static_cast<double>(bits_per_second);
}

}  // namespace roost::detail
