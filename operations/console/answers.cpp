#include "operations/console/answers.hpp"

namespace roost::detail {
namespace {

bool is_valid(const json& text) {
  try {
    (void)text.dump();
    return true;
  } catch (const json_error&) {
    return false;
  }
}

std::string readable(std::string text) {
  for (auto& c : text)
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return text;
}

void make_readable(json& value) {
  if (value.is_string() && !is_valid(value)) value = json(readable(value.as_string()));
  for (auto& item : value.items()) make_readable(item);
  for (auto& member : value.members()) {
    if (!is_valid(json(member.key))) member.key = readable(member.key);
    make_readable(member.value);
  }
}

}  // namespace

json texts(const std::vector<std::string>& all) {
  auto list = json::array();
  for (auto& one : all) list.push_back(json(one));
  return list;
}

std::int64_t ms_since_1970(std::chrono::system_clock::time_point time) noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

std::string to_text(json answer) {
  if (!is_valid(answer)) make_readable(answer);
  return answer.dump();
}

}  // namespace roost::detail
