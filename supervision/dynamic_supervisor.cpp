#include "supervision/dynamic_supervisor.hpp"
#include "supervision/dynamic_supervisor_process.hpp"
#include "supervision/supervisor_parts.hpp"

namespace roost {
namespace detail {

start_outcome start_linked(
    std::unique_ptr<behavior> behavior, const process_name& name,
    std::function<void(start_outcome)> on_started) {
  start_request request;
  if (!name.empty()) request.name = name;
  request.attach = attachment::link;
  request.on_started = std::move(on_started);
  return start_process(std::move(behavior), std::move(request));
}

namespace {

/// A child from a spec.
class spec_maker final : public child_maker {
 public:
  explicit spec_maker(child_spec::start_function start) : start_(std::move(start)) {}
  start_outcome start(std::function<void(start_outcome)> on_started) override {
    return start_(std::move(on_started));
  }

 private:
  child_spec::start_function start_;
};

}  // namespace
}  // namespace detail

namespace {

using detail::ask_supervisor;
using detail::dynamic_supervisor_process;

void validate(const dynamic_supervisor::options& options) {
  detail::check_intensity(options.max_restarts, options.max_seconds);
  if (options.backoff)
    detail::check_backoff(
        *options.backoff, options.name.empty() ? "a dynamic_supervisor" : options.name);
}

}  // namespace

child_spec dynamic_supervisor::child_spec(options options) {
  validate(options);
  auto name = options.name;
  return {
      .id = name.empty() ? std::string("dynamic_supervisor") : name,
      .start = detail::starter(
          [options] { return std::make_unique<dynamic_supervisor_process>(options); }, name),
      .shutdown = infinity,
      .type = child_type::supervisor};
}

pid dynamic_supervisor::start_link(options options) {
  validate(options);
  auto name = options.name;
  return detail::start_server(
      std::make_unique<dynamic_supervisor_process>(std::move(options)), {name},
      detail::attachment::link,
      name.empty() ? "a dynamic_supervisor" : "dynamic_supervisor " + name);
}

pending<child_result> dynamic_supervisor::start_child(roost::child_spec spec) const {
  roost::validate(spec);
  if (spec.significant)
    throw std::invalid_argument(
        "bad_combination: expected a child of a dynamic_supervisor not to be significant, got " +
        spec.id);
  detail::child_request request{
      std::make_unique<detail::spec_maker>(std::move(spec.start)), spec.shutdown, spec.restart,
      spec.type};
  if (spec.backoff) request.backoff = std::make_unique<struct backoff>(*spec.backoff);
  return start(std::move(request));
}

pending<child_result> dynamic_supervisor::start(detail::child_request request) const {
  return ask_supervisor<child_result, dynamic_supervisor_process::start_child>(
      process(), std::move(request));
}

pending<child_result> dynamic_supervisor::terminate_child(pid child) const {
  return ask_supervisor<child_result, dynamic_supervisor_process::terminate_child>(
      process(), child);
}

pending<std::vector<child_info>> dynamic_supervisor::which_children() const {
  return ask_supervisor<std::vector<child_info>, dynamic_supervisor_process::which_children>(
      process());
}

pending<child_counts> dynamic_supervisor::count_children() const {
  return ask_supervisor<child_counts, dynamic_supervisor_process::count_children>(process());
}

}  // namespace roost
