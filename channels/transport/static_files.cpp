#include "channels/transport/static_files.hpp"
#include "channels/transport/routes.hpp"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <charconv>

namespace roost::detail {
namespace {

std::string_view content_type(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 16> types{{
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".mjs", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".map", "application/json"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".jpg", "image/jpeg"},
      {".gif", "image/gif"},
      {".ico", "image/x-icon"},
      {".webp", "image/webp"},
      {".wasm", "application/wasm"},
      {".woff2", "font/woff2"},
      {".txt", "text/plain; charset=utf-8"},
      {".webmanifest", "application/manifest+json"},
  }};
  auto dot = name.rfind('.');
  if (dot == name.npos) return "application/octet-stream";
  for (auto& [known, type] : types)
    if (known == name.substr(dot)) return type;
  return "application/octet-stream";
}

/// Calls `found` for each element of a comma separated list until it answers true.
template <class F>
bool any_of_list(std::string_view list, F found) {
  while (!list.empty()) {
    auto comma = list.find(',');
    auto element = list.substr(0, comma);
    while (element.starts_with(' ')) element.remove_prefix(1);
    while (element.ends_with(' ')) element.remove_suffix(1);
    if (found(element)) return true;
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return false;
}

bool takes(std::string_view accept_encoding, std::string_view encoding) {
  return any_of_list(accept_encoding, [&](std::string_view element) {
    auto parameters = element.find(';');
    if (element.substr(0, parameters) != encoding) return false;
    return parameters == element.npos || element.substr(parameters).find("q=0") == element.npos ||
           element.substr(parameters).find("q=0.") != element.npos;
  });
}

bool matches(std::string_view if_none_match, std::string_view tag) {
  return any_of_list(if_none_match, [&](std::string_view element) {
    if (element.starts_with("W/")) element.remove_prefix(2);
    return element == tag || element == "*";
  });
}

struct opened {
  int fd = -1;
  struct stat info {};
};

std::optional<opened> open_file(const std::string& name) {
  opened file;
  file.fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd < 0) return std::nullopt;
  if (::fstat(file.fd, &file.info) != 0 || !S_ISREG(file.info.st_mode)) {
    ::close(file.fd);
    return std::nullopt;
  }
  return file;
}

std::string tag_of(const struct stat& info, std::string_view encoding) {
  std::array<char, 96> text{};
  auto size = std::snprintf(
      text.data(), text.size(), "\"%llx-%llx%s%.*s\"",
      static_cast<unsigned long long>(info.st_mtim.tv_sec) * 1'000'000'000ULL +
          static_cast<unsigned long long>(info.st_mtim.tv_nsec),
      static_cast<unsigned long long>(info.st_size), encoding.empty() ? "" : "-",
      static_cast<int>(encoding.size()), encoding.data());
  return {text.data(), static_cast<std::size_t>(size)};
}

struct byte_range {
  std::size_t from = 0;
  std::size_t to = 0;  // inclusive
};

/// Nothing: several ranges, or none that is understood; then the whole file is the answer.
std::optional<byte_range> parse_range(std::string_view text, std::size_t size, bool& impossible) {
  if (!text.starts_with("bytes=") || text.find(',') != text.npos) return std::nullopt;
  text.remove_prefix(6);
  auto dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  auto number = [](std::string_view digits, std::size_t& value) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size();
  };
  auto first = text.substr(0, dash), last = text.substr(dash + 1);
  byte_range range{0, size == 0 ? 0 : size - 1};
  if (first.empty()) {
    std::size_t count = 0;
    if (!number(last, count)) return std::nullopt;
    impossible = count == 0 || size == 0;
    range.from = count >= size ? 0 : size - count;
    return range;
  }
  if (!number(first, range.from)) return std::nullopt;
  std::size_t to = 0;
  if (!last.empty() && (!number(last, to) || to < range.from)) return std::nullopt;
  if (!last.empty()) range.to = std::min(range.to, to);
  impossible = range.from >= size;
  return range;
}

}  // namespace

std::optional<static_answer> static_file(
    const std::string& directory, const static_request& request) {
  auto decoded = percent_decode(request.path, false);
  if (directory.empty() || !decoded || !decoded->starts_with('/')) return std::nullopt;
  for (auto segment : path_segments(*decoded))
    if (segment.starts_with('.') || segment.find('\0') != segment.npos) return std::nullopt;
  if (decoded->ends_with('/')) *decoded += "index.html";
  auto name = directory + *decoded;

  static constexpr std::array<std::pair<std::string_view, std::string_view>, 2> encodings{
      {{"br", ".br"}, {"gzip", ".gz"}}};
  std::optional<opened> file;
  std::string_view encoding;
  for (auto& [coding, suffix] : encodings) {
    if (!takes(request.accept_encoding, coding)) continue;
    file = open_file(name + std::string(suffix));
    if (!file) continue;
    encoding = coding;
    break;
  }
  if (!file) file = open_file(name);
  if (!file) return std::nullopt;

  static_answer answer;
  auto size = static_cast<std::size_t>(file->info.st_size);
  answer.file = file_body(file->fd, size);
  auto& response = answer.response;
  response.content_type = content_type(*decoded);
  auto tag = tag_of(file->info, encoding);
  bool digested = parse_query(request.query)["vsn"] == "d";
  response.headers = {
      {"etag", tag},
      {"cache-control", digested ? "public, max-age=31536000" : "public, no-cache"},
      {"vary", "accept-encoding"}};
  if (!encoding.empty()) response.headers.emplace_back("content-encoding", encoding);
  if (matches(request.if_none_match, tag)) {
    response.status = 304;
    answer.file = {};
    return answer;
  }
  if (!encoding.empty()) return answer;
  response.headers.emplace_back("accept-ranges", "bytes");
  bool impossible = false;
  auto range = parse_range(request.range, size, impossible);
  if (!range) return answer;
  if (impossible) {
    response.status = 416;
    response.headers.emplace_back("content-range", "bytes */" + std::to_string(size));
    answer.file = {};
    return answer;
  }
  response.status = 206;
  response.headers.emplace_back(
      "content-range", "bytes " + std::to_string(range->from) + "-" + std::to_string(range->to) +
                           "/" + std::to_string(size));
  ::lseek(answer.file.fd, static_cast<off_t>(range->from), SEEK_SET);
  answer.file.left = range->to - range->from + 1;
  return answer;
}

}  // namespace roost::detail
