#include "operations/observe/text.hpp"
#include <algorithm>
#include <cmath>
#include <cstdio>

namespace roost::detail {
namespace {

struct code_point {
  char32_t value = U'\uFFFD';
  std::size_t bytes = 1;
  bool good = false;
};

code_point first_of(std::string_view text) {
  auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  auto lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return {};
  char32_t value = lead & (0xFFu >> (size + 1));
  for (std::size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xC0) != 0x80) return {};
    value = value << 6 | (byte(at) & 0x3Fu);
  }
  static constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < least[size] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, size, true};
}

struct range { char32_t from, to; };

template <std::size_t N>
bool within(const range (&ranges)[N], char32_t value) {
  return std::any_of(std::begin(ranges), std::end(ranges), [&](const range& one) {
    return value >= one.from && value <= one.to;
  });
}

// What a terminal obeys, or what makes text look like other text.
constexpr range commands[] = {{0x00, 0x1F},     {0x7F, 0x9F},      {0xAD, 0xAD},
                              {0x61C, 0x61C},   {0x200B, 0x200F},  {0x2028, 0x202E},
                              {0x2060, 0x206F}, {0xFE00, 0xFE0F},  {0xFEFF, 0xFEFF},
                              {0xFFF0, 0xFFFB}, {0xE0000, 0xE0FFF}};
// Of no width: marks that stand on the letter before them.
constexpr range combining[] = {{0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},
                               {0x610, 0x61A},   {0x64B, 0x65F},   {0x1AB0, 0x1AFF},
                               {0x1DC0, 0x1DFF}, {0x20D0, 0x20FF}, {0xFE20, 0xFE2F}};
// Of two columns: East Asian letters and pictures.
constexpr range wide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},
                          {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},
                          {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
                          {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F},
                          {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

std::size_t width_of(char32_t value) {
  if (within(combining, value)) return 0;
  return within(wide, value) ? 2 : 1;
}

std::string printed(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

std::string clean(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    auto next = first_of(text);
    if (!next.good || within(commands, next.value))
      result += '?';
    else
      result.append(text.substr(0, next.bytes));
    text.remove_prefix(next.bytes);
  }
  return result;
}

std::size_t columns(std::string_view text) {
  std::size_t sum = 0;
  while (!text.empty()) {
    auto next = first_of(text);
    sum += width_of(next.value);
    text.remove_prefix(next.bytes);
  }
  return sum;
}

std::string fitted(std::string_view text, std::size_t width, side where) {
  auto taken = columns(text);
  if (taken <= width) {
    std::string space(width - taken, ' ');
    return where == side::left ? std::string(text) + space : space + std::string(text);
  }
  if (width == 0) return {};
  std::string result;
  std::size_t used = 0;
  while (!text.empty()) {
    auto next = first_of(text);
    if (used + width_of(next.value) > width - 1) break;
    used += width_of(next.value);
    result.append(text.substr(0, next.bytes));
    text.remove_prefix(next.bytes);
  }
  return result + "…" + std::string(width - 1 - used, ' ');
}

std::string human_bytes(double count) {
  static constexpr const char* units[] = {"B", "KB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; std::abs(count) >= 1024 && unit < 4; ++unit) count /= 1024;
  return printed(unit == 0 || std::abs(count) >= 100 ? "%.0f " : "%.1f ", count) + units[unit];
}

std::string human_count(double count) {
  auto digits = printed("%.0f", count);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string human_rate(double per_second) {
  if (!std::isfinite(per_second)) return "-";
  if (per_second == 0) return "0/s";
  return (per_second < 10 ? printed("%.1f", per_second) : human_count(per_second)) + "/s";
}

std::string human_duration(std::int64_t milliseconds) {
  auto s = milliseconds / 1000;
  auto two = [](std::int64_t one, const char* unit, std::int64_t other, const char* smaller) {
    return std::to_string(one) + unit + " " + std::to_string(other) + smaller;
  };
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return two(s / 60, "m", s % 60, "s");
  if (s < 86'400) return two(s / 3600, "h", s % 3600 / 60, "m");
  return two(s / 86'400, "d", s % 86'400 / 3600, "h");
}

std::string bar(double share, std::size_t width) {
  static constexpr const char* parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (!std::isfinite(share)) share = 0;
  auto eighths = static_cast<std::size_t>(
      std::lround(std::clamp(share, 0.0, 1.0) * 8.0 * static_cast<double>(width)));
  std::string result;
  for (std::size_t at = 0; at < eighths / 8; ++at) result += "█";
  auto used = eighths / 8;
  if (eighths % 8 != 0) {
    result += parts[eighths % 8];
    ++used;
  }
  for (; used < width; ++used) result += "·";
  return result;
}

}  // namespace roost::detail
