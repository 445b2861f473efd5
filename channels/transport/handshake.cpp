#include "channels/transport/handshake.hpp"
#include <openssl/evp.h>
#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <utility>

namespace roost {
namespace {

// --- Header values -------------------------------------------------------------------------------

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Calls `found` for each element of a comma separated list until it answers true.
template <class Found>
bool any_element(std::string_view list, Found found) {
  while (true) {
    const auto comma = list.find(',');
    if (found(trimmed(list.substr(0, comma)))) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
}

bool has_token(std::string_view list, std::string_view token) {
  return any_element(list, [&](auto element) { return same_ignoring_case(element, token); });
}

std::string_view agreed_protocol(std::string_view offer, std::span<const std::string_view> spoken) {
  for (const auto protocol : spoken)
    if (any_element(offer, [&](auto element) { return element == protocol; })) return protocol;
  return {};
}

// --- Upgrade -------------------------------------------------------------------------------------

bool is_base64(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

/// 16 bytes are 22 characters and two of padding.
bool is_key(std::string_view key) {
  return key.size() == 24 && key.ends_with("==") &&
         std::all_of(key.begin(), key.end() - 2, is_base64);
}

std::string expected(std::string_view what, std::string_view to_be, std::string_view got) {
  const auto shown = got.empty() ? std::string("none") : '"' + std::string(got) + '"';
  return "expected " + std::string(what) + " to be " + std::string(to_be) + ", got " + shown;
}

std::string fault_in(const upgrade_request& request) {
  if (request.method != "GET") return expected("the method", "GET", request.method);
  if (request.http_version < 11) return "expected HTTP/1.1 or later";
  if (request.host.empty()) return "expected a host header, got none";
  if (!has_token(request.upgrade, "websocket"))
    return expected("the upgrade header", "websocket", request.upgrade);
  if (!has_token(request.connection, "upgrade"))
    return expected("the connection header", "Upgrade", request.connection);
  if (trimmed(request.version) != "13")
    return expected("the sec-websocket-version header", "13", request.version);
  if (!is_key(trimmed(request.key)))
    return expected("the sec-websocket-key header", "16 bytes in base64", request.key);
  return {};
}

}  // namespace

upgrade_answer check_upgrade(
    const upgrade_request& request, std::span<const std::string_view> protocols) {
  if (auto fault = fault_in(request); !fault.empty()) return {.status = 400, .reason = fault};
  return {
      .accept = sec_websocket_accept(trimmed(request.key)),
      .protocol = std::string(agreed_protocol(request.protocol, protocols))};
}

std::string sec_websocket_accept(std::string_view key) {
  constexpr std::string_view salt = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, 4.2.2
  const auto salted = std::string(key).append(salt);
  std::array<unsigned char, 20> digest;
  if (!EVP_Digest(salted.data(), salted.size(), digest.data(), nullptr, EVP_sha1(), nullptr))
    throw std::runtime_error("expected OpenSSL to offer SHA-1, which WebSocket handshakes need");
  std::array<unsigned char, 29> text;  // 28 characters and the zero that EVP_EncodeBlock adds
  const int size = EVP_EncodeBlock(text.data(), digest.data(), digest.size());
  return {text.begin(), text.begin() + size};
}

std::string encode_upgrade(const client_upgrade& request) {
  std::string text;
  const auto add = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) text.append(name).append(value).append("\r\n");
  };
  text.append("GET ").append(request.target).append(" HTTP/1.1\r\n");
  add("host: ", request.host);
  add("connection: ", "Upgrade");
  add("upgrade: ", "websocket");
  add("sec-websocket-version: ", "13");
  add("sec-websocket-key: ", request.key);
  add("origin: ", request.origin);
  add("sec-websocket-protocol: ", request.protocol);
  return text.append("\r\n");
}

// --- Origins -------------------------------------------------------------------------------------

namespace {

int default_port(std::string_view scheme) {
  if (scheme == "http" || scheme == "ws") return 80;
  if (scheme == "https" || scheme == "wss") return 443;
  return 0;
}

std::optional<int> parse_port(std::string_view text) {
  int port = 0;
  const auto end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || stop != end || port < 1 || port > 65535) return std::nullopt;
  return port;
}

/// Where the port begins, colon included; npos if there is none. An IPv6 address is in brackets.
std::size_t port_position(std::string_view authority) {
  const auto bracket = authority.rfind(']');
  return authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
}

/// "scheme://host:port", where scheme (with its colon) and port may be missing and a path may
/// follow. A user before the host is refused: origins have none, and it could pass for the host.
std::optional<web_origin> parse_origin(std::string_view text) {
  const auto slashes = text.find("//");
  if (slashes == std::string_view::npos) return std::nullopt;
  auto scheme = text.substr(0, slashes);
  if (!scheme.empty() && (scheme.size() == 1 || scheme.back() != ':')) return std::nullopt;
  if (!scheme.empty()) scheme.remove_suffix(1);
  const auto rest = text.substr(slashes + 2);
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));

  web_origin origin{.scheme = lowered(scheme), .port = default_port(lowered(scheme))};
  const auto colon = port_position(authority);
  origin.host = lowered(authority.substr(0, colon));
  if (origin.host.empty() || origin.host.find_first_of("@ ") != std::string::npos)
    return std::nullopt;
  if (colon == std::string_view::npos) return origin;
  const auto port = parse_port(authority.substr(colon + 1));
  if (!port) return std::nullopt;
  origin.port = *port;
  return origin;
}

bool host_matches(std::string_view host, std::string_view pattern) {
  if (!pattern.starts_with("*.")) return host == pattern;
  // With its dot, or "*.example.com" would let in badexample.com (CVE-2022-42975 in Phoenix).
  return host == pattern.substr(2) || host.ends_with(pattern.substr(1));
}

bool matches(const web_origin& origin, const web_origin& pattern) {
  return (pattern.scheme.empty() || origin.scheme == pattern.scheme) &&
         (pattern.port == 0 || origin.port == pattern.port) &&
         host_matches(origin.host, pattern.host);
}

}  // namespace

origin_rules allow_origins(const std::vector<std::string>& patterns) {
  origin_rules rules{.check = origin_rules::listed};
  for (const auto& pattern : patterns) {
    auto origin = parse_origin(pattern);
    if (!origin)
      throw std::invalid_argument(expected(
          "an entry of check_origin",
          "like \"https://example.com\", \"//example.com:888\" or "
          "\"//*.example.com\"",
          pattern));
    rules.origins.push_back(std::move(*origin));
  }
  return rules;
}

bool origin_allowed(
    std::optional<std::string_view> header, const origin_rules& rules,
    std::string_view endpoint_host, std::string_view request_origin) {
  if (!header || rules.check == origin_rules::off) return true;
  const auto origin = parse_origin(*header);
  if (!origin) return false;
  if (rules.check == origin_rules::endpoint_host) return origin->host == lowered(endpoint_host);
  if (rules.check == origin_rules::same_origin) return origin == parse_origin(request_origin);
  return std::any_of(rules.origins.begin(), rules.origins.end(), [&](const web_origin& pattern) {
    return matches(*origin, pattern);
  });
}

}  // namespace roost
