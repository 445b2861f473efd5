// Errors: what error tracking has grouped.
#include "operations/console/answers.hpp"
#include "operations/console/console_server.hpp"
#include "operations/error_tracking.hpp"

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

json show(const error_group& group) {
  auto context = json::object();
  for (auto& [name, value] : group.last.context) context[name] = json(value);
  return {
      {"fingerprint", group.fingerprint},
      {"severity", json(std::string(to_string(group.last.severity)))},
      {"type", json(group.last.type)},
      {"message", json(group.last.message)},
      {"count", group.count},
      {"first_seen", ms_since_1970(group.first_seen)},
      {"last_seen", ms_since_1970(group.last_seen)},
      {"where", json(group.last.where)},
      {"stack", texts(group.last.stack)},
      {"context", std::move(context)}};
}

json list(const arguments&) {
  auto all = json::array();
  for (auto& group : error_groups()) all.push_back(show(group));
  return all;
}

/// Answers how many groups were forgotten.
json clear(const arguments& given) {
  if (!given[0].is_null()) return json(clear_error(given.text(0, "a fingerprint")) ? 1 : 0);
  std::int64_t count = 0;
  for (auto& group : error_groups()) count += clear_error(group.fingerprint) ? 1 : 0;
  return json(count);
}

}  // namespace

void offer_error_functions() {
  console::offer("Errors.list", list, {.usage = "() the errors in groups, the latest first"});
  console::offer(
      "Errors.clear", clear,
      {.needs = role::admin, .usage = "([fingerprint]) forgets a group, or all of them"});
}

}  // namespace roost::detail
