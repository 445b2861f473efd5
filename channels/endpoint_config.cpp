#include "channels/endpoint_config.hpp"
#include "channels/token.hpp"
#include "channels/transport/certificates.hpp"
#include "channels/transport/client_address.hpp"
#include "runtime/config.hpp"
#include <filesystem>

namespace roost::detail {
namespace {

/// As given, else beside the program's own directory, as the configuration file itself.
std::string find_directory(const std::string& directory) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (directory.empty() || fs::path(directory).is_absolute() || fs::is_directory(directory, error))
    return directory;
  auto program = fs::read_symlink("/proc/self/exe", error);
  auto beside = program.parent_path().parent_path() / directory;
  return fs::is_directory(beside, error) ? beside.string() : directory;
}

origin_check read_origins(const config& section, origin_check fallback) {
  switch (section.kind("check_origin")) {
    case config_kind::absent:
      return fallback;
    case config_kind::boolean:
      return section.get<bool>("check_origin", true);
    default: {
      auto listed = section.get<std::vector<std::string>>("check_origin", {});
      if (listed.size() == 1 && listed.front() == "conn") return same_origin;
      return listed;
    }
  }
}

void read_limits(const config& section, endpoint_limits& limits) {
  auto number = [&](std::string_view key, auto& value) {
    using number_type = std::remove_reference_t<decltype(value)>;
    value = section.get_in<number_type>(
        key, value, 0, static_cast<number_type>(std::numeric_limits<std::int32_t>::max()));
  };
  auto time = [&](std::string_view key, std::chrono::milliseconds& value) {
    value = section.get<std::chrono::milliseconds>(key, value);
  };
  auto size = [&](std::string_view key, std::size_t& value) {
    value = section.get<byte_size>(key, byte_size{value}).bytes;
  };
  number("max_connections", limits.max_connections);
  number("max_sockets", limits.max_sockets);
  number("max_sockets_per_address", limits.max_sockets_per_address);
  number("accept_rate", limits.accept_rate);
  number("accept_burst", limits.accept_burst);
  time("handshake_timeout", limits.handshake_timeout);
  time("request_timeout", limits.request_timeout);
  time("keep_alive_timeout", limits.keep_alive_timeout);
  size("max_header", limits.max_header);
  size("max_body", limits.max_body);
  limits.enforce = section.get<bool>("enforce", limits.enforce);
}

void validate(const socket_mount& mount) {
  auto expect = [&](bool good, std::string_view what) {
    if (!good)
      throw std::invalid_argument(
          "expected the socket at " + mount.path + " to have " + std::string(what));
  };
  if (!mount.path.starts_with('/'))
    throw std::invalid_argument("expected a socket's path to begin with /, got " + mount.path);
  auto& options = mount.options;
  expect(options.max_frame_size >= 125, "a .max_frame_size of 125 bytes or more");
  expect(options.max_joins > 0, "a .max_joins of 1 or more");
  expect(options.message_rate <= 1'000'000, "a .message_rate of at most 1,000,000");
  if (options.check_origin) (void)rules_of(*options.check_origin);  // throws on a bad one
  if (!options.longpoll) return;
  using namespace std::chrono_literals;
  auto window = options.longpoll->window;
  expect(window >= 100ms && window <= 10min, "a .longpoll window of 100 ms to 10 min");
}

}  // namespace

std::optional<origin_rules> rules_of(const origin_check& check) {
  switch (check.what) {
    case origin_check::kind::off:
      return origin_rules{.check = origin_rules::off};
    case origin_check::kind::url_host:
      return origin_rules{};
    case origin_check::kind::same_origin:
      return origin_rules{.check = origin_rules::same_origin};
    case origin_check::kind::listed:
      return allow_origins(check.allowed);
    case origin_check::kind::asked:
      return std::nullopt;
  }
  return std::nullopt;
}

void apply_configuration(endpoint_spec& spec) {
  auto section = application_config().section(spec.name);
  auto& http = spec.http;
  http.enabled = section.get<bool>("http.enabled", http.enabled);
  http.ip = section.get<std::string>("http.ip", http.ip);
  http.port = section.get_in<int>("http.port", http.port, 0, 65535);
  http.proxy_protocol = section.get<bool>("http.proxy_protocol", http.proxy_protocol);
  auto& https = spec.https;
  https.ip = section.get<std::string>("https.ip", https.ip);
  https.port = section.get_in<int>("https.port", https.port, 0, 65535);
  https.certfile = section.get<std::string>("https.certfile", https.certfile);
  https.keyfile = section.get<std::string>("https.keyfile", https.keyfile);
  https.proxy_protocol = section.get<bool>("https.proxy_protocol", https.proxy_protocol);
  https.reload_interval =
      section.get<std::chrono::milliseconds>("https.reload_interval", https.reload_interval);
  spec.url_host = section.get<std::string>("url.host", spec.url_host);
  spec.check_origin = read_origins(section, spec.check_origin);
  spec.secret_key_base = section.get<std::string>("secret_key_base", spec.secret_key_base);
  spec.trusted_proxies =
      section.get<std::vector<std::string>>("trusted_proxies", spec.trusted_proxies);
  spec.static_files = find_directory(section.get<std::string>("static", spec.static_files));
  read_limits(section.section("limits"), spec.limits);
  auto drainer = section.section("drainer");
  spec.drainer.batch_size =
      drainer.get_in<std::size_t>("batch_size", spec.drainer.batch_size, 1, 1'000'000);
  spec.drainer.batch_interval =
      drainer.get<std::chrono::milliseconds>("batch_interval", spec.drainer.batch_interval);
  spec.drainer.delay = drainer.get<std::chrono::milliseconds>("delay", spec.drainer.delay);
  spec.drainer.shutdown = drainer.get<std::chrono::milliseconds>("shutdown", spec.drainer.shutdown);
}

void validate(const endpoint_spec& spec) {
  if (spec.pub_sub.empty())
    throw std::invalid_argument(
        "expected endpoint's .pub_sub to be set, got an empty one: name the pub_sub that is "
        "started before it, as in .pub_sub = \"chat\"");
  for (auto& mount : spec.sockets) validate(mount);
  std::error_code error;
  if (!spec.static_files.empty() && !std::filesystem::is_directory(spec.static_files, error))
    throw std::invalid_argument(
        "expected " + spec.name + ".static to be a directory, got " + spec.static_files);
  if (!spec.http.enabled && spec.https.certfile.empty())
    throw std::invalid_argument(
        "expected " + spec.name + " to have http.enabled or an https.certfile, got neither");
  (void)rules_of(spec.check_origin);  // throws on a bad one
  (void)networks(spec.trusted_proxies);
  if (!spec.https.certfile.empty()) (void)certificates(spec.https);
  if (!spec.secret_key_base.empty()) (void)token_keys(spec.secret_key_base);
}

}  // namespace roost::detail
