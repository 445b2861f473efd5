// How results look: as Lua would write them, with columns for lists of records.
#include "operations/shell/lua_engine.hpp"
#include <algorithm>
#include <cctype>

namespace roost::detail {
namespace {

constexpr std::size_t line_width = 100;
constexpr std::size_t most_rows = 1'000;
constexpr std::size_t widest_cell = 40;

bool is_pid(const std::string& text) {
  if (text.size() < 5 || text.front() != '<' || text.back() != '>') return false;
  auto dot = text.rfind('.');
  auto digits = [&](std::size_t from, std::size_t to) {
    return from < to && std::all_of(
                            text.begin() + static_cast<std::ptrdiff_t>(from),
                            text.begin() + static_cast<std::ptrdiff_t>(to),
                            [](unsigned char c) { return std::isdigit(c) != 0; });
  };
  if (dot == text.npos || !digits(dot + 1, text.size() - 1)) return false;
  auto before = text.find_last_of(":.<", dot - 1);
  return digits(before + 1, dot);
}

/// Control characters would do things to the terminal.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\x%02X", static_cast<unsigned char>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

bool is_name(const std::string& text) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_';
         });
}

std::string key_text(const std::string& key) {
  return is_name(key) ? key : "[" + quoted(key) + "]";
}

bool is_plain(const json& value) { return !value.is_array() && !value.is_object(); }

std::string plain_text(const json& value) {
  if (value.is_null()) return "nil";
  if (value.is_bool()) return value.as_bool() ? "true" : "false";
  if (value.is_number()) return value.number_text();
  return is_pid(value.as_string()) ? value.as_string() : quoted(value.as_string());
}

std::string in_one_line(const json& value) {
  if (is_plain(value)) return plain_text(value);
  std::string out = "{";
  for (auto& item : value.items()) out += (out.size() > 1 ? ", " : "") + in_one_line(item);
  for (auto& member : value.members()) {
    if (member.value.is_null()) continue;
    out += (out.size() > 1 ? ", " : "") + key_text(member.key) + " = " + in_one_line(member.value);
  }
  return out + "}";
}

// --- tables with columns -------------------------------------------------------------------------

/// Objects with the same plain fields.
bool is_table(const json& value) {
  if (!value.is_array() || value.size() < 2 || !value[0].is_object() || value[0].empty())
    return false;
  auto first = value[0].members();
  return std::all_of(value.items().begin(), value.items().end(), [&](const json& row) {
    auto members = row.members();
    return members.size() == first.size() &&
           std::equal(members.begin(), members.end(), first.begin(), [](auto& one, auto& other) {
             return one.key == other.key && is_plain(one.value);
           });
  });
}

/// Characters, not bytes.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  }));
}

std::string cell(const json& value) {
  if (value.is_null()) return "";
  auto text = value.is_string() ? quoted(value.as_string()) : plain_text(value);
  if (value.is_string()) text = text.substr(1, text.size() - 2);
  if (width_of(text) <= widest_cell) return text;
  std::size_t at = 0;
  for (std::size_t count = 0; at < text.size(); ++at)
    if ((static_cast<unsigned char>(text[at]) & 0xC0U) != 0x80 && ++count == widest_cell) break;
  return text.substr(0, at) + "…";
}

std::string in_columns(const json& value) {
  auto fields = value[0].members();
  std::vector<std::size_t> widths;
  std::vector<bool> numbers(fields.size(), true);
  for (auto& field : fields) widths.push_back(width_of(field.key));
  auto rows = std::min(value.size(), most_rows);
  for (std::size_t row = 0; row < rows; ++row) {
    auto members = value[row].members();
    for (std::size_t i = 0; i < members.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(cell(members[i].value)));
      if (!members[i].value.is_number() && !members[i].value.is_null()) numbers[i] = false;
    }
  }
  std::string out;
  auto add = [&](std::size_t i, const std::string& text) {
    auto space = std::string(widths[i] - width_of(text), ' ');
    if (i > 0) out += "  ";
    out += numbers[i] ? space + text : text + space;
  };
  auto end_line = [&] {
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  };
  for (std::size_t i = 0; i < fields.size(); ++i) add(i, fields[i].key);
  end_line();
  for (std::size_t row = 0; row < rows; ++row) {
    auto members = value[row].members();
    for (std::size_t i = 0; i < members.size(); ++i) add(i, cell(members[i].value));
    end_line();
  }
  if (rows < value.size()) out += "… and " + std::to_string(value.size() - rows) + " more\n";
  out.pop_back();
  return out;
}

// --- everything else -----------------------------------------------------------------------------

void append(std::string& out, const json& value, const std::string& indent) {
  auto line = in_one_line(value);
  if (is_plain(value) || indent.size() + width_of(line) <= line_width) {
    out += line;
    return;
  }
  auto inner = indent + "  ";
  out += "{\n";
  for (auto& item : value.items()) {
    out += inner;
    append(out, item, inner);
    out += ",\n";
  }
  for (auto& member : value.members()) {
    if (member.value.is_null()) continue;
    out += inner + key_text(member.key) + " = ";
    append(out, member.value, inner);
    out += ",\n";
  }
  out += indent + "}";
}

}  // namespace

std::string to_lua_text(const json& value) {
  if (is_table(value)) return in_columns(value);
  std::string out;
  append(out, value, "");
  return out;
}

}  // namespace roost::detail
