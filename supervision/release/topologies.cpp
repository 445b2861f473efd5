#include "supervision/release/topologies.hpp"
#include "runtime/discovery/epmd.hpp"
#include "runtime/discovery/local.hpp"

namespace roost::detail {
namespace {

std::shared_ptr<discovery::strategy> fixed(const config& config, std::string_view key) {
  try {
    return discovery::epmd(config.get<std::vector<std::string>>(key, {}));
  } catch (const std::invalid_argument&) {
    throw config.error(key, "a list of nodes, each name@host");
  }
}

std::shared_ptr<discovery::strategy> read_strategy(
    const config& section, const std::string& self, std::uint16_t epmd_port) {
  auto name = section.get<std::string>("strategy", "");
  if (name == "epmd" || name == "static") return fixed(section, "hosts");
  if (name == "local") return discovery::local(self, epmd_port);
  throw section.error("strategy", "epmd or local");
}

}  // namespace

cluster_settings read_topologies(
    const config& whole, const std::string& self, std::uint16_t epmd_port) {
  auto config = whole.section("cluster");
  cluster_settings settings;
  settings.options.alarm_after =
      config.get("alarm_after", std::chrono::milliseconds(settings.options.alarm_after));
  auto hosts = fixed(config, "hosts");
  if (!hosts->look().empty()) settings.topologies.push_back({"static", hosts});
  for (auto& name : config.keys("topologies")) {
    auto section = config.section("topologies." + name);
    settings.topologies.push_back({name, read_strategy(section, self, epmd_port)});
  }
  return settings;
}

}  // namespace roost::detail
