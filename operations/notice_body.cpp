#include "operations/notice_body.hpp"
#include "channels/json.hpp"
#include "channels/transport/utf8.hpp"
#include <cstdio>
#include <ctime>

namespace roost::detail {

std::string rfc3339(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  auto ms = duration_cast<milliseconds>(time.time_since_epoch()).count();
  auto second = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  ::gmtime_r(&second, &parts);
  char text[32];
  auto size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(ms % 1000));
  return text;
}

std::string valid_utf8(std::string_view text) {
  if (is_utf8(text)) return std::string(text);
  std::string result;
  std::size_t at = 0;
  while (at < text.size()) {
    auto first = static_cast<unsigned char>(text[at]);
    std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    auto character = text.substr(at, length);
    bool good = is_utf8(character);
    result += good ? character : std::string_view("\xEF\xBF\xBD");
    at += good ? length : 1;
  }
  return result;
}

std::string error_notice(
    const error_group& group, const error_rule* rule, const std::string& node) {
  auto& error = group.last;
  auto stack = json::array();
  for (auto& frame : error.stack) stack.push_back(valid_utf8(frame));
  auto context = json::object();
  for (auto& [name, value] : error.context) context[valid_utf8(name)] = valid_utf8(value);
  json body{
      {"event", "error"},
      {"reason", rule == nullptr ? "first" : "frequency"},
      {"node", node},
      {"fingerprint", group.fingerprint},
      {"severity", to_string(error.severity)},
      {"type", valid_utf8(error.type)},
      {"message", valid_utf8(error.message)},
      {"where", valid_utf8(error.where)},
      {"count", group.count},
      {"first_seen", rfc3339(group.first_seen)},
      {"last_seen", rfc3339(group.last_seen)},
      {"context", std::move(context)},
      {"stack", std::move(stack)}};
  if (rule != nullptr)
    body["rule"] = json{
        {"count", rule->count},
        {"window_ms", rule->window.count()},
        {"severity", to_string(rule->severity)}};
  return body.dump();
}

std::string alarm_notice(
    std::string_view state, std::string_view alarm, std::string_view description,
    const std::string& node) {
  return json{
      {"event", "alarm"},
      {"state", state},
      {"node", node},
      {"alarm", valid_utf8(alarm)},
      {"description", valid_utf8(description)},
      {"time", rfc3339(std::chrono::system_clock::now())}}
      .dump();
}

}  // namespace roost::detail
