#include "channels/transport/routes.hpp"
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace roost::detail {
namespace {

std::vector<std::string_view> segments(std::string_view path) {
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

std::string_view content_type(std::string_view extension) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 14> types{{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".map", "application/json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".ico", "image/x-icon"},
      {".webp", "image/webp"},
      {".woff2", "font/woff2"},
      {".txt", "text/plain; charset=utf-8"},
      {".webmanifest", "application/manifest+json"},
  }};
  for (auto& [known, type] : types)
    if (known == extension) return type;
  return "application/octet-stream";
}

}  // namespace

std::optional<socket_match> match_socket(
    const endpoint_spec& spec, std::string_view path, std::string_view transport) {
  auto parts = segments(path);
  if (parts.empty() || parts.back() != transport) return std::nullopt;
  parts.pop_back();
  for (auto& mount : spec.sockets) {
    auto pattern = segments(mount.path);
    std::vector<params::entry> parameters;
    if (pattern.size() == parts.size() && fits(pattern, parts, parameters))
      return socket_match{&mount, std::move(parameters)};
  }
  return std::nullopt;
}

const http_route* match_route(
    const endpoint_spec& spec, std::string_view method, std::string_view path) {
  for (auto& route : spec.routes) {
    bool wanted = route.method.empty() || route.method == method ||
                  (route.method == "GET" && method == "HEAD");
    if (wanted && route.path == path) return &route;
  }
  return nullptr;
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

std::optional<http_response> static_file(
    const std::string& directory, std::string_view path, std::string_view if_none_match) {
  namespace fs = std::filesystem;
  auto decoded = percent_decode(path, false);
  if (directory.empty() || !decoded) return std::nullopt;
  // A file outside the directory is nobody's business.
  for (auto segment : segments(*decoded))
    if (segment.starts_with('.') || segment.find('\0') != segment.npos) return std::nullopt;
  if (decoded->ends_with('/')) *decoded += "index.html";
  auto file = fs::path(directory) / decoded->substr(1);
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  auto changed = fs::last_write_time(file, error).time_since_epoch().count();
  std::ostringstream tag;
  tag << '"' << std::hex << changed << '-' << fs::file_size(file, error) << '"';
  http_response response;
  response.headers = {{"etag", tag.str()}, {"cache-control", "no-cache"}};
  response.content_type = content_type(file.extension().string());
  if (if_none_match == tag.str()) {
    response.status = 304;
    return response;
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  response.body.assign(std::istreambuf_iterator<char>(stream), {});
  return response;
}

}  // namespace roost::detail
