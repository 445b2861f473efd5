#include "operations/error_reports.hpp"

namespace roost::detail {
namespace {

std::string text_of(const telemetry::values& metadata, std::string_view name) {
  auto* value = metadata.find(name);
  return value != nullptr ? value->to_string() : std::string();
}

/// "{error, std::runtime_error, "no paper", chat::room}" → its type and what it said.
bool split_error(
    std::string_view reason, std::string_view where, std::string& type, std::string& message) {
  constexpr std::string_view begin = "{error, ";
  if (!reason.starts_with(begin) || !reason.ends_with('}')) return false;
  reason.remove_prefix(begin.size());
  reason.remove_suffix(1);
  if (!where.empty() && reason.ends_with(where)) {
    reason.remove_suffix(where.size());
    if (reason.ends_with(", ")) reason.remove_suffix(2);
  }
  auto quote = reason.find(", \"");
  type = reason.substr(0, quote);
  message.clear();
  if (quote == reason.npos) return true;
  message = reason.substr(quote + 3);
  if (message.ends_with('"')) message.pop_back();
  return true;
}

/// "counter::bump{by=5}" → "counter::bump": what was in it may be a secret.
std::string type_of_message(std::string text) {
  auto end = text.find_first_of("{( ");
  return text.substr(0, end);
}

void note(
    tracked_error& error, const telemetry::values& metadata, std::string_view field,
    std::string_view name) {
  auto text = text_of(metadata, field);
  if (!text.empty()) error.context.emplace_back(name, std::move(text));
}

tracked_error crash(const telemetry::values& metadata) {
  tracked_error error;
  auto reason = text_of(metadata, "reason");
  error.where = text_of(metadata, "where");
  if (!split_error(reason, error.where, error.type, error.message)) {
    error.type = "exit";
    error.message = reason;
  }
  if (error.where.empty()) error.where = text_of(metadata, "initial_call");
  note(error, metadata, "process", "process");
  note(error, metadata, "name", "name");
  note(error, metadata, "initial_call", "initial_call");
  auto message = type_of_message(text_of(metadata, "last_message"));
  if (!message.empty()) error.context.emplace_back("message_type", std::move(message));
  note(error, metadata, "message_queue_len", "message_queue_len");
  if (auto* stack = metadata.find("stack"))
    if (auto* frames = stack->as<std::vector<std::string>>()) error.stack = *frames;
  return error;
}

tracked_error of_a_supervisor(const telemetry::values& metadata, std::string_view context) {
  tracked_error error;
  error.type = "supervisor";
  error.where = text_of(metadata, "supervisor");
  if (auto child = text_of(metadata, "child"); !child.empty()) error.where += ", " + child;
  error.message = std::string(context) + ": " + text_of(metadata, "reason");
  // It ends, and whoever depends on it with it.
  if (context == "shutdown") error.severity = log_level::critical;
  if (context == "shutdown_error") error.severity = log_level::warning;
  for (auto field : {"supervisor", "child", "process", "context", "message_type"})
    note(error, metadata, field, field);
  return error;
}

}  // namespace

std::optional<tracked_error> error_of_report(const telemetry::values& metadata) {
  auto kind = text_of(metadata, "kind");
  if (kind == "crash_report") return crash(metadata);
  if (kind != "supervisor_report") return std::nullopt;
  auto context = text_of(metadata, "context");
  auto reason = text_of(metadata, "reason");
  bool told_already = context == "child_terminated" && reason != "killed";
  if (told_already) return std::nullopt;
  return of_a_supervisor(metadata, context);
}

}  // namespace roost::detail
