#include "operations/sentry.hpp"
#include "channels/json.hpp"
#include "operations/notice_body.hpp"
#include "runtime/net/http_client.hpp"
#include <openssl/rand.h>
#include <algorithm>
#include <array>

namespace roost::detail {
namespace {

std::string new_event_id() {
  std::array<unsigned char, 16> bytes{};
  if (::RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    throw std::runtime_error("expected random bytes for an event id, got none");
  static constexpr auto digits = "0123456789abcdef";
  std::string id;
  for (auto byte : bytes) {
    id += digits[byte >> 4];
    id += digits[byte & 15];
  }
  return id;
}

std::string_view sentry_level(log_level level) {
  if (level <= log_level::critical) return "fatal";
  if (level == log_level::error) return "error";
  if (level == log_level::warning) return "warning";
  return level <= log_level::info ? "info" : "debug";
}

/// Sentry wants the outermost frame first.
json stack_of(const tracked_error& error) {
  auto frames = json::array();
  for (auto frame = error.stack.rbegin(); frame != error.stack.rend(); ++frame)
    frames.push_back(json{{"function", valid_utf8(*frame)}});
  return json{{"frames", std::move(frames)}};
}

json exception_of(const tracked_error& error) {
  json value{{"type", valid_utf8(error.type)}, {"value", valid_utf8(error.message)}};
  if (!error.where.empty()) value["module"] = valid_utf8(error.where);
  if (!error.stack.empty()) value["stacktrace"] = stack_of(error);
  return value;
}

}  // namespace

sentry_dsn parse_sentry_dsn(std::string_view text) {
  auto expect = [](bool good) {
    if (!good)
      throw std::invalid_argument(
          "https://KEY@HOST/PROJECT, as Sentry's settings of the project show it");
  };
  auto scheme = text.find("://");
  expect(scheme != text.npos);
  auto sign = text.find('@', scheme);
  expect(sign != text.npos);
  auto user = text.substr(scheme + 3, sign - scheme - 3);
  auto rest = text.substr(sign + 1);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  auto slash = rest.rfind('/');
  expect(!user.empty() && slash != rest.npos && slash > 0 && slash + 1 < rest.size());
  sentry_dsn dsn;
  auto colon = user.find(':');
  dsn.key = user.substr(0, colon);
  if (colon != user.npos) dsn.secret = user.substr(colon + 1);
  dsn.envelope_url = std::string(text.substr(0, scheme + 3)) + std::string(rest.substr(0, slash)) +
                     "/api/" + std::string(rest.substr(slash + 1)) + "/envelope/";
  try {
    (void)net::parse_http_url(dsn.envelope_url);
  } catch (const net::http_error&) {
    expect(false);
  }
  return dsn;
}

std::string sentry_auth(const sentry_dsn& dsn) {
  auto text = "Sentry sentry_version=7, sentry_client=roost/0.1.0, sentry_key=" + dsn.key;
  if (!dsn.secret.empty()) text += ", sentry_secret=" + dsn.secret;
  return text;
}

std::string sentry_envelope(const error_group& group, const sentry_origin& origin) {
  auto& error = group.last;
  auto extra = json::object();
  for (auto& [name, value] : error.context) extra[valid_utf8(name)] = valid_utf8(value);
  extra["count"] = group.count;
  auto id = new_event_id();
  json event{
      {"event_id", id},
      {"timestamp", rfc3339(group.last_seen)},
      {"platform", "native"},
      {"level", sentry_level(error.severity)},
      {"logger", "roost"},
      {"transaction", valid_utf8(error.where)},
      {"fingerprint", json::array({group.fingerprint})},
      {"exception", json{{"values", json::array({exception_of(error)})}}},
      {"extra", std::move(extra)}};
  if (!origin.node.empty()) event["server_name"] = origin.node;
  if (!origin.release.empty()) event["release"] = origin.release;
  if (!origin.environment.empty()) event["environment"] = origin.environment;
  auto body = event.dump();
  json head{{"event_id", id}, {"sent_at", rfc3339(std::chrono::system_clock::now())}};
  json item{{"type", "event"}, {"length", body.size()}};
  return head.dump() + "\n" + item.dump() + "\n" + body + "\n";
}

}  // namespace roost::detail
