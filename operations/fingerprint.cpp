#include "operations/fingerprint.hpp"
#include <algorithm>
#include <cstdint>

namespace roost::detail {
namespace {

constexpr std::size_t most_bytes = 500;

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_hex(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// The end of "<0.42.0>" that begins at `at`; `at`: it is none.
std::size_t end_of_pid(std::string_view text, std::size_t at) noexcept {
  auto end = at + 1;
  int dots = 0;
  while (end < text.size() && (is_digit(text[end]) || text[end] == '.')) dots += text[end++] == '.';
  bool whole = end < text.size() && text[end] == '>' && dots > 0;
  return whole ? end + 1 : at;
}

/// The end of a number, a hexadecimal one, or an identifier of hexadecimal digits with a digit
/// among them and eight or more of them, as those of requests; `at`: it is none.
std::size_t end_of_number(std::string_view text, std::size_t at) noexcept {
  if (text.substr(at).starts_with("0x")) {
    auto end = at + 2;
    while (end < text.size() && is_hex(text[end])) ++end;
    return end;
  }
  auto end = at;
  bool digits = false;
  while (end < text.size() && (is_hex(text[end]) || (text[end] == '-' && end > at))) {
    digits = digits || is_digit(text[end]);
    ++end;
  }
  bool word_ends = end == text.size() || !is_letter(text[end]);
  if (digits && word_ends && end - at >= 8) return end;
  end = at;
  while (end < text.size() && (is_digit(text[end]) || (text[end] == '.' && end > at))) ++end;
  while (end > at && text[end - 1] == '.') --end;  // of a sentence
  return end;
}

class hash {
 public:
  void add(std::string_view part) noexcept {
    for (char c : part) add_byte(static_cast<unsigned char>(c));
    add_byte(0);
  }
  std::string text() const {
    static constexpr auto digits = "0123456789abcdef";
    std::string result(16, '0');
    for (std::size_t i = 0; i < 16; ++i) result[i] = digits[value_ >> (60 - 4 * i) & 15];
    return result;
  }

 private:
  void add_byte(unsigned char byte) noexcept {  // FNV-1a
    value_ = (value_ ^ byte) * 0x100000001b3ULL;
  }
  std::uint64_t value_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::string normalized(std::string_view message) {
  auto text = message.substr(0, most_bytes);
  std::string result;
  std::size_t at = 0;
  bool in_word = false;
  while (at < text.size()) {
    if (text[at] == '<') {
      if (auto end = end_of_pid(text, at); end != at) {
        result += "<pid>";
        at = end;
        continue;
      }
    }
    if (!in_word && is_hex(text[at])) {
      if (auto end = end_of_number(text, at); end != at) {
        result += "<n>";
        at = end;
        continue;
      }
    }
    if (in_word && is_digit(text[at])) {  // room17
      while (at < text.size() && is_digit(text[at])) ++at;
      result += "<n>";
      continue;
    }
    in_word = is_letter(text[at]);
    result += text[at++];
  }
  return result;
}

std::string function_of(std::string_view frame) {
  if (auto in = frame.find(" in "); in != frame.npos) frame.remove_prefix(in + 4);
  if (auto plus = frame.rfind("+0x"); plus != frame.npos) frame = frame.substr(0, plus);
  return std::string(frame.substr(0, frame.find('(')));
}

std::string fingerprint(
    std::string_view type, std::string_view where, const std::vector<std::string>& stack,
    std::string_view message) {
  hash hash;
  hash.add(type);
  hash.add(where);
  for (auto& frame : stack) hash.add(function_of(frame));
  hash.add(normalized(message));
  return hash.text();
}

}  // namespace roost::detail
