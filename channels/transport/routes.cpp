#include "channels/transport/routes.hpp"

namespace roost::detail {

std::vector<std::string_view> path_segments(std::string_view path) {
  std::vector<std::string_view> result;
  while (!path.empty()) {
    auto slash = path.find('/');
    auto segment = path.substr(0, slash);
    if (!segment.empty()) result.push_back(segment);
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  return result;
}

namespace {

/// Answers whether the path has the pattern's form, and collects its parameters.
bool fits(
    const std::vector<std::string_view>& pattern, const std::vector<std::string_view>& path,
    std::vector<params::entry>& parameters) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i].starts_with(':')) {
      auto value = percent_decode(path[i], false);
      if (!value) return false;
      parameters.emplace_back(pattern[i].substr(1), std::move(*value));
    } else if (pattern[i] != path[i]) {
      return false;
    }
  }
  return true;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::optional<socket_match> match_socket(
    const std::vector<socket_mount>& sockets, std::string_view path, std::string_view transport) {
  auto parts = path_segments(path);
  if (parts.empty() || parts.back() != transport) return std::nullopt;
  parts.pop_back();
  for (auto& mount : sockets) {
    auto pattern = path_segments(mount.path);
    std::vector<params::entry> parameters;
    if (pattern.size() == parts.size() && fits(pattern, parts, parameters))
      return socket_match{&mount, std::move(parameters)};
  }
  return std::nullopt;
}

std::optional<route_match> match_route(
    const std::vector<http_route>& routes, std::string_view method, std::string_view path) {
  auto parts = path_segments(path);
  for (auto& route : routes) {
    bool wanted = route.method.empty() || route.method == method ||
                  (route.method == "GET" && method == "HEAD");
    if (!wanted) continue;
    auto pattern = path_segments(route.path);
    std::vector<params::entry> parameters;
    if (pattern.size() == parts.size() && fits(pattern, parts, parameters))
      return route_match{&route, std::move(parameters)};
  }
  return std::nullopt;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      result += ' ';
    } else if (text[i] != '%') {
      result += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      auto high = hex_digit(text[i + 1]);
      auto low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      result += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return result;
}

params parse_query(std::string_view query) {
  std::vector<params::entry> entries;
  while (!query.empty()) {
    auto end = query.find('&');
    auto pair = query.substr(0, end);
    auto equals = pair.find('=');
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value = equals == pair.npos ? std::optional<std::string>("")
                                     : percent_decode(pair.substr(equals + 1), true);
    if (name && value && !name->empty()) entries.emplace_back(std::move(*name), std::move(*value));
    if (end == query.npos) break;
    query.remove_prefix(end + 1);
  }
  return params(std::move(entries));
}

}  // namespace roost::detail
