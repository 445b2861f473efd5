#include "runtime/print.hpp"
#include "runtime/names.hpp"
#include "runtime/process_core.hpp"
#include <charconv>

namespace roost {

std::string to_string(pid pid) {
  if (pid.node == detail::caf_node) return "<caf." + std::to_string(pid.id) + ">";
  if (pid.is_name()) return "{" + std::string(detail::name_of(pid)) + ", " + node_of(pid) + "}";
  auto node = pid.node == 0 ? std::string("0.") : node_of(pid) + ":";
  return "<" + node + std::to_string(pid.id & detail::index_mask) + "." +
         std::to_string(pid.id >> detail::index_bits) + ">";
}

std::string to_string(reference reference) {
  return "#ref<" + std::to_string(reference.value) + ">";
}

namespace detail {

void print_text(std::string& out, std::string_view text) {
  constexpr std::size_t longest = 500;
  out += '"';
  for (auto c : text.substr(0, longest)) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20)
      out += c == '\n' ? "\\n" : "·";
    else
      out += c;
  }
  if (text.size() > longest) out += "…";
  out += '"';
}

void print_number(std::string& out, double value) {
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}

void print_milliseconds(std::string& out, std::chrono::nanoseconds value) {
  auto count = value.count();
  if (count % 1'000'000'000 == 0)
    out += std::to_string(count / 1'000'000'000) + "s";
  else if (count % 1'000'000 == 0)
    out += std::to_string(count / 1'000'000) + "ms";
  else
    out += std::to_string(count) + "ns";
}

}  // namespace detail
}  // namespace roost
