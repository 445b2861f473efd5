// How one event looks, as text for people and as JSON for programs; and the values in it.
#include "runtime/logger.hpp"
#include "runtime/logger_output.hpp"
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <ctime>
#include <stdexcept>
#include <utility>

namespace roost {

namespace {

using out = std::back_insert_iterator<std::string>;

// ---------------------------------------------------------------------------------------- text

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

/// Appends text that others may have chosen: control characters must not drive a terminal, and what
/// follows a newline must not pass for a line of its own.
void append_escaped(std::string& to, std::string_view text, std::string_view newline) {
  for (char c : text) {
    if (c == '\n')
      to += newline;
    else if (is_control(c) && c != '\t')
      fmt::format_to(out(to), "\\x{:02x}", static_cast<unsigned char>(c));
    else
      to += c;
  }
}

void append_word(std::string& to, std::string_view text) {
  bool plain = !text.empty() && std::ranges::none_of(text, [](char c) {
    return is_control(c) || c == ' ' || c == '"' || c == '=';
  });
  if (plain) {
    to += text;
    return;
  }
  std::string quoted;
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  to += '"';
  append_escaped(to, quoted, "\\n");
  to += '"';
}

struct text_of_value {
  std::string& to;
  bool in_block;  // a report's field has its line for itself and needs no quotes

  void operator()(const std::string& text) const {
    in_block ? append_escaped(to, text, "\n    ") : append_word(to, text);
  }
  void operator()(const std::vector<std::string>& list) const {
    to += '[';
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) to += ", ";
      append_word(to, list[i]);
    }
    to += ']';
  }
  void operator()(auto value) const { fmt::format_to(out(to), "{}", value); }
};

bool is_empty(const log_value& value) {
  const auto* text = std::get_if<std::string>(&value);
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  return (text && text->empty()) || (list && list->empty());
}

void append_fields(std::string& to, const log_event& event) {
  bool in_block = !event.kind.empty();
  for (const auto& field : event.fields) {
    if (in_block && is_empty(field.value)) continue;
    to += in_block ? "\n  " : " ";
    append_escaped(to, field.name, "\\n");
    to += in_block ? ": " : "=";
    std::visit(text_of_value{to, in_block}, field.value);
  }
}

std::string_view color_of(log_level level) {  // as Elixir's console
  if (level <= log_level::error) return "\x1b[31m";
  if (level == log_level::warning) return "\x1b[33m";
  return level == log_level::debug ? "\x1b[36m" : "";
}

std::tm calendar(std::chrono::system_clock::time_point time, bool utc) {
  auto second = std::chrono::floor<std::chrono::seconds>(time);
  auto count = std::chrono::system_clock::to_time_t(second);
  std::tm parts{};
  utc ? ::gmtime_r(&count, &parts) : ::localtime_r(&count, &parts);
  return parts;
}

int milliseconds_of(std::chrono::system_clock::time_point time) {
  auto past = time - std::chrono::floor<std::chrono::seconds>(time);
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(past).count());
}

// ---------------------------------------------------------------------------------------- JSON

/// The length of the well-formed UTF-8 sequence at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
  auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  auto lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0 && follows(1)) return 2;
  if (lead < 0xE0 || !follows(1) || !follows(2)) return 0;
  auto first_two = lead << 8 | byte(1);  // rules out long forms and surrogates
  if (lead < 0xF0) return first_two >= 0xE0A0 && (first_two & 0xFFE0) != 0xEDA0 ? 3 : 0;
  return follows(3) && first_two >= 0xF090 && first_two < 0xF490 ? 4 : 0;
}

void append_json(std::string& to, std::string_view text) {
  to += '"';
  while (!text.empty()) {
    auto length = utf8_length(text);
    if (length == 0) {
      to += "\xEF\xBF\xBD";  // readers refuse a whole line for one wrong byte
    } else if (is_control(text[0])) {
      fmt::format_to(out(to), "\\u{:04x}", static_cast<unsigned char>(text[0]));
    } else {
      if (text[0] == '"' || text[0] == '\\') to += '\\';
      to += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  to += '"';
}

struct json_of_value {
  std::string& to;

  void operator()(const std::string& text) const { append_json(to, text); }
  void operator()(double value) const {
    auto text = fmt::format("{}", value);
    std::isfinite(value) ? void(to += text) : append_json(to, text);  // JSON has no infinity
  }
  void operator()(const std::vector<std::string>& list) const {
    to += '[';
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) to += ',';
      append_json(to, list[i]);
    }
    to += ']';
  }
  void operator()(auto value) const { fmt::format_to(out(to), "{}", value); }
};
}  // namespace

// ---------------------------------------------------------------------------------------- values

std::string_view to_string(log_level level) {
  auto index = static_cast<int>(level) + 1;
  return detail::level_names[static_cast<std::size_t>(index)];
}

log_level to_log_level(std::string_view name) {
  auto found = std::ranges::find(detail::level_names, name);
  if (found == detail::level_names.end())
    throw std::invalid_argument(fmt::format(
        "expected level to be one of {}, got {}", fmt::join(detail::level_names, ", "), name));
  return static_cast<log_level>(found - detail::level_names.begin() - 1);
}

const log_value* log_event::field(std::string_view name) const {
  auto found = std::ranges::find(fields, name, &log_field::name);
  return found == fields.end() ? nullptr : &found->value;
}

log_value log_view::copy() const {
  switch (kind_) {
    case kind::integer:
      return integer_;
    case kind::real:
      return real_;
    case kind::boolean:
      return boolean_;
    case kind::list:
      return *list_;
    case kind::natural:
      if (integer_ >= 0) return integer_;
      return std::to_string(static_cast<std::uint64_t>(integer_));
    case kind::text:
      break;
  }
  return std::string(text_);
}
std::string logger::format_text(const log_event& event, bool colors) {
  auto color = colors ? color_of(event.level) : "";
  auto line = fmt::format(
      "{:%Y-%m-%d %H:%M:%S}.{:03} {}[{}]{} ", calendar(event.time, false),
      milliseconds_of(event.time), color, to_string(event.level), color.empty() ? "" : "\x1b[0m");
  if (!event.kind.empty()) line += event.kind + ": ";
  append_escaped(line, event.message, "\n  ");
  append_fields(line, event);
  return line;
}

std::string logger::format_json(const log_event& event) {
  auto line = fmt::format(
      R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:03}Z","level":"{}","message":)",
      calendar(event.time, true), milliseconds_of(event.time), to_string(event.level));
  append_json(line, event.message);
  if (!event.kind.empty()) append_json(line += R"(,"kind":)", event.kind);
  const char* separator = R"(,"fields":{)";
  for (const auto& field : event.fields) {
    append_json(line += std::exchange(separator, ","), field.name);
    std::visit(json_of_value{line += ':'}, field.value);
  }
  return line += event.fields.empty() ? "}" : "}}";
}

}  // namespace roost
