#include "supervision/release/distribution_options.hpp"
#include "runtime/distribution/cookie.hpp"
#include <filesystem>

namespace roost::detail {
namespace {

using std::chrono::milliseconds;

enum node::tls read_tls(const config& config) {
  auto text = config.get<std::string>("tls", "psk");
  if (text == "psk") return node::tls::psk;
  if (text == "certificates") return node::tls::certificates;
  if (text == "off" || text == "false") return node::tls::off;
  throw config.error("tls", "psk, certificates or off");
}

std::size_t bytes(const config& config, std::string_view key, std::size_t fallback) {
  return static_cast<std::size_t>(config.get<byte_size>(key, byte_size{fallback}).bytes);
}

/// A file that belongs to the release comes before the one of the user.
std::string cookie_file(const config& config, const release_environment& release) {
  auto given = config.get<std::string>("node.cookie_file", "");
  auto inside = release.root + "/releases/COOKIE";
  std::error_code error;
  return given.empty() && std::filesystem::exists(inside, error) ? inside : given;
}

std::string guest_cookie(const config& config, const std::string& file) {
  auto cookie = read_cookie(file);
  if (cookie.empty()) throw config.error("guest_cookie_file", "a file with a cookie");
  return cookie;
}

}  // namespace

std::optional<node::options> read_distribution(
    const config& whole, const release_environment& release) {
  auto config = whole.section("distribution");
  node::options options;
  options.name = release.node;
  options.cookie = release.cookie;
  options.cookie_file = cookie_file(whole, release);
  if (auto file = config.get<std::string>("guest_cookie_file", ""); !file.empty())
    options.guest_cookie = guest_cookie(config, file);
  options.hidden = config.get("hidden", options.hidden);
  options.address = config.get<std::string>("address", "127.0.0.1");
  options.port = config.get_in<std::uint16_t>("port", 0, 0, 65535);
  options.epmd_port = config.get_in<std::uint16_t>("epmd_port", 0, 0, 65535);
  options.listen = config.get("listen", options.listen);
  options.tls = read_tls(config);
  options.certificate = config.get<std::string>("certificate", "");
  options.key = config.get<std::string>("key", "");
  options.authority = config.get<std::string>("authority", "");
  options.net_ticktime = config.get<milliseconds>("net_ticktime", options.net_ticktime);
  options.net_setuptime = config.get<milliseconds>("net_setuptime", options.net_setuptime);
  options.buffer = bytes(config, "buffer", options.buffer);
  options.hard_limit = bytes(config, "hard_limit", options.hard_limit);
  options.max_message = bytes(config, "max_message", options.max_message);
  options.auto_connect = config.get("auto_connect", options.auto_connect);
  options.connect_all = config.get("connect_all", options.connect_all);
  options.prevent_overlapping_partitions =
      config.get("prevent_overlapping_partitions", options.prevent_overlapping_partitions);
  options.allowed = config.get<std::vector<std::string>>("allowed", {});
  if (release.node.empty()) return std::nullopt;
  return options;
}

}  // namespace roost::detail
