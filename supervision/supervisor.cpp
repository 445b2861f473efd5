#include "supervision/supervisor.hpp"
#include "supervision/supervisor_parts.hpp"
#include "supervision/supervisor_process.hpp"
#include <unordered_set>

namespace roost {

void validate(const supervisor_spec& spec) {
  detail::check_intensity(spec.max_restarts, spec.max_seconds);
  if (spec.backoff)
    detail::check_backoff(*spec.backoff, spec.name.empty() ? "a supervisor" : spec.name);
  std::unordered_set<std::string_view> ids;
  for (auto& child : spec.children) {
    validate(child);
    if (!ids.insert(child.id).second)
      throw std::invalid_argument(
          "duplicate_child_id: expected ids to be different, got " + child.id + " twice");
    if (child.significant && spec.auto_shutdown == auto_shutdown::never)
      throw std::invalid_argument(
          "bad_combination: expected auto_shutdown to be set for a significant child, got never "
          "with child " +
          child.id);
  }
}

child_spec supervisor::child_spec(options options) {
  validate(options);
  auto name = options.name;
  return {
      .id = name.empty() ? std::string("supervisor") : name,
      .start = detail::starter(
          [options] { return std::make_unique<detail::supervisor_process>(options); }, name),
      .shutdown = infinity,
      .type = child_type::supervisor};
}

namespace {

using detail::ask_supervisor;
using detail::supervisor_process;

}  // namespace

pending<child_result> supervisor::start_child(roost::child_spec spec) const {
  validate(spec);
  return ask_supervisor<child_result, supervisor_process::start_child>(process(), std::move(spec));
}

pending<child_result> supervisor::terminate_child(std::string id) const {
  return ask_supervisor<child_result, supervisor_process::terminate_child>(
      process(), std::move(id));
}

pending<child_result> supervisor::restart_child(std::string id) const {
  return ask_supervisor<child_result, supervisor_process::restart_child>(process(), std::move(id));
}

pending<child_result> supervisor::delete_child(std::string id) const {
  return ask_supervisor<child_result, supervisor_process::delete_child>(process(), std::move(id));
}

pending<std::optional<child_spec>> supervisor::get_childspec(std::string id) const {
  return ask_supervisor<std::optional<roost::child_spec>, supervisor_process::get_childspec>(
      process(), std::move(id), pid{});
}

pending<std::optional<child_spec>> supervisor::get_childspec(pid child) const {
  return ask_supervisor<std::optional<roost::child_spec>, supervisor_process::get_childspec>(
      process(), std::string(), child);
}

pending<std::optional<child_info>> supervisor::which_child(std::string id) const {
  return ask_supervisor<std::optional<child_info>, supervisor_process::which_child>(
      process(), std::move(id));
}

pending<std::vector<child_info>> supervisor::which_children() const {
  return ask_supervisor<std::vector<child_info>, supervisor_process::which_children>(process());
}

pending<child_counts> supervisor::count_children() const {
  return ask_supervisor<child_counts, supervisor_process::count_children>(process());
}

pid start_link(supervisor_spec spec) {
  validate(spec);
  auto name = spec.name;
  return detail::start_server(
      std::make_unique<detail::supervisor_process>(std::move(spec)), {name},
      detail::attachment::link, name.empty() ? "a supervisor" : "supervisor " + name);
}

}  // namespace roost
