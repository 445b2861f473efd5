#include "operations/secrets.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr auto none = std::string_view::npos;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool equal(char a, char b) noexcept { return lower(a) == lower(b); }

bool contains(std::string_view text, std::string_view word) noexcept {
  return std::search(text.begin(), text.end(), word.begin(), word.end(), equal) != text.end();
}

bool is_name(char c) noexcept {
  auto l = lower(c);
  return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/// Where the name's value begins: after `=`, `:` or `=>`, and blanks; none: no value follows.
std::size_t value_after(std::string_view text, std::size_t at) noexcept {
  auto skip = [&] {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) ++at;
  };
  if (text.substr(at).starts_with("\\\"")) at += 2;
  if (at < text.size() && (text[at] == '"' || text[at] == '\'')) ++at;
  if (text.substr(at).starts_with("[]")) ++ ++at;
  skip();
  if (at >= text.size()) return none;
  // "std::token::check" names no value.
  if (text[at] == ':' && at + 1 < text.size() && text[at + 1] == ':') return none;
  if (text.substr(at).starts_with("%3D") || text.substr(at).starts_with("%3d")) return at + 3;
  if (text[at] != '=' && text[at] != ':') return none;
  ++at;
  if (at < text.size() && text[at] == '>') ++at;
  skip();
  return at < text.size() && text[at] != '\n' ? at : none;
}

std::size_t end_of_quoted(std::string_view text, std::size_t at, std::string_view quote) noexcept {
  at += quote.size();
  while (at < text.size()) {
    if (text.substr(at).starts_with(quote)) return at + quote.size();
    at += text[at] == '\\' ? 2 : 1;
  }
  return text.size();
}

/// The bracket that closes the one at `at`; of an unfinished text its end.
std::size_t end_of_brackets(std::string_view text, std::size_t at) noexcept {
  int depth = 0;
  while (at < text.size()) {
    char c = text[at];
    if (c == '"') {
      at = end_of_quoted(text, at, "\"");
      continue;
    }
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return at + 1;
    ++at;
  }
  return text.size();
}

bool is_whole_line(std::string_view name) noexcept {
  return contains(name, "cookie") || contains(name, "authorization");
}

std::size_t end_of_value(std::string_view text, std::size_t at, std::string_view name) noexcept {
  auto rest = text.substr(at);
  if (rest.starts_with("\\\"")) return end_of_quoted(text, at, "\\\"");
  if (rest.starts_with('"')) return end_of_quoted(text, at, "\"");
  if (rest.starts_with('\'')) return end_of_quoted(text, at, "'");
  if (rest.starts_with('{') || rest.starts_with('[')) return end_of_brackets(text, at);
  bool line = is_whole_line(name);
  for (std::string_view scheme : {"Bearer ", "Basic ", "Digest ", "Token "})
    if (rest.size() > scheme.size() &&
        std::equal(scheme.begin(), scheme.end(), rest.begin(), equal)) {
      at += scheme.size();
      while (at < text.size() && text[at] == ' ') ++at;
    }
  auto end = text.find_first_of(line ? "\r\n\"'" : "&;,)}] \t\r\n\"'<>", at);
  return end == none ? text.size() : end;
}

/// scheme://user:password@host → the user and the password are not for others.
std::size_t end_of_user(std::string_view text, std::size_t at) noexcept {
  auto end = text.find_first_of("/?# \t\r\n\"'<>,", at);
  auto authority = text.substr(at, end == none ? none : end - at);
  auto sign = authority.rfind('@');
  return sign == none ? none : at + sign;
}

}  // namespace

secret_filter::secret_filter(std::vector<std::string> words) : words_(std::move(words)) {
  std::erase_if(words_, [](auto& word) { return word.empty(); });
}

bool secret_filter::hides(std::string_view name) const {
  return std::any_of(
      words_.begin(), words_.end(), [&](auto& word) { return contains(name, word); });
}

std::string secret_filter::text(std::string_view text) const {
  std::string result;
  result.reserve(text.size());
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.substr(at).starts_with("://")) {
      result += "://";
      at += 3;
      if (auto end = end_of_user(text, at); end != none) {
        result += filtered;
        at = end;
      }
      continue;
    }
    if (!is_name(text[at])) {
      result += text[at++];
      continue;
    }
    auto end = at;
    while (end < text.size() && is_name(text[end])) ++end;
    auto name = text.substr(at, end - at);
    result += name;
    at = end;
    if (!hides(name)) continue;
    auto value = value_after(text, at);
    if (value == none) continue;
    result += text.substr(at, value - at);
    result += filtered;
    at = end_of_value(text, value, name);
  }
  return result;
}

}  // namespace roost::detail
