#include "operations/dashboard/access.hpp"
#include "channels/base64.hpp"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <algorithm>
#include <array>
#include <cctype>

namespace roost::detail {
namespace {

constexpr std::string_view session_salt = "roost dashboard session";
constexpr std::string_view socket_salt = "roost dashboard socket";
constexpr std::string_view cookie_name = "roost_dashboard";

using digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

digest digest_of(std::string_view text) {
  digest result{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), result.data());
  return result;
}

/// Takes as long whatever the texts have in common, and tells nothing of their lengths.
bool same(std::string_view given, std::string_view wanted) {
  auto one = digest_of(given);
  auto other = digest_of(wanted);
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

/// What follows a scheme such as "Basic ", in whatever case it is written.
std::optional<std::string_view> after_scheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size()) return std::nullopt;
  for (std::size_t at = 0; at < scheme.size(); ++at)
    if (std::tolower(static_cast<unsigned char>(header[at])) != scheme[at]) return std::nullopt;
  return header.substr(scheme.size());
}

std::string_view cookie_in(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    auto end = std::min(header.find(';'), header.size());
    auto one = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
      return one.substr(name.size() + 1);
  }
  return {};
}

std::optional<std::string> text_of(const token_result& result) {
  if (!result || !result.data.is_string()) return std::nullopt;
  return result.data.as_string();
}

}  // namespace

std::optional<std::string> dashboard_access::who(const http_request& request) const {
  if (open()) {
    if (is_loopback_host(request.header("host"))) return "local";
    return std::nullopt;
  }
  auto header = request.header("authorization");
  if (auto basic = after_scheme(header, "basic "); basic && asks_for_password()) {
    auto text = from_base64(*basic).value_or("");
    auto colon = text.find(':');
    if (colon == text.npos) return std::nullopt;
    // Both are always compared, so that a wrong user takes as long as a wrong password.
    bool user = same(std::string_view(text).substr(0, colon), settings_.user);
    bool password = same(std::string_view(text).substr(colon + 1), settings_.password);
    if (user && password) return settings_.user;
    return std::nullopt;
  }
  if (auto bearer = after_scheme(header, "bearer "); bearer && is_token(*bearer)) return "token";
  auto cookie = cookie_in(request.header("cookie"), cookie_name);
  if (cookie.empty()) return std::nullopt;
  return text_of(keys_.verify(session_salt, cookie, {.max_age = session_age}));
}

bool dashboard_access::is_token(std::string_view given) const {
  return asks_for_token() && same(given, settings_.token);
}

std::string dashboard_access::cookie(std::string_view value, std::chrono::seconds age) const {
  std::string text(cookie_name);
  text.append("=").append(value);
  text += "; Max-Age=" + std::to_string(age.count()) + "; Path=/; HttpOnly; SameSite=Strict";
  if (settings_.https_only) text += "; Secure";
  return text;
}

std::string dashboard_access::begin_session(std::string_view who) const {
  return cookie(keys_.sign(session_salt, json(who)), session_age);
}

std::string dashboard_access::end_session() const { return cookie("", std::chrono::seconds(0)); }

std::string dashboard_access::socket_token(std::string_view who) const {
  return keys_.sign(socket_salt, json(who));
}

std::optional<std::string> dashboard_access::who_has(std::string_view socket_token) const {
  return text_of(keys_.verify(socket_salt, socket_token, {.max_age = socket_token_age}));
}

bool is_loopback_address(std::string_view ip) {
  return ip == "localhost" || ip == "::1" || ip.starts_with("127.");
}

bool is_loopback_host(std::string_view host) {
  if (host.starts_with('[')) return host.starts_with("[::1]");
  auto name = host.substr(0, host.find(':'));
  bool digits = std::all_of(
      name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) || c == '.'; });
  return name == "localhost" || (name.starts_with("127.") && digits);
}

}  // namespace roost::detail
