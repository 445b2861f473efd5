#include "supervision/child_spec.hpp"

namespace roost {

child_spec with(child_spec spec, const child_options& options) {
  if (options.id) spec.id = *options.id;
  if (options.restart) spec.restart = *options.restart;
  if (options.shutdown) spec.shutdown = *options.shutdown;
  if (options.significant) spec.significant = *options.significant;
  if (options.backoff) spec.backoff = *options.backoff;
  return spec;
}

void validate(const child_spec& spec) {
  auto fail = [&](std::string_view what, std::string_view got) {
    throw std::invalid_argument(
        std::string(what) + ", got " + std::string(got) + " for child " + spec.id);
  };
  if (spec.id.empty()) fail("missing_id: expected a child's id to be set", "an empty one");
  if (!spec.start) fail("missing_start: expected a child's start function to be set", "none");
  if (spec.significant && spec.restart == permanent)
    fail("bad_combination: expected a significant child to be transient or temporary", "permanent");
  if (!spec.shutdown.is_brutal_kill() && !spec.shutdown.is_infinity() &&
      spec.shutdown.limit().count() < 0)
    fail(
        "invalid_shutdown: expected shutdown to be 0 ms or more, infinity or brutal_kill",
        std::to_string(spec.shutdown.limit().count()) + " ms");
  if (spec.backoff) detail::check_backoff(*spec.backoff, "child " + spec.id);
}

namespace detail {
namespace {

thread_local const argument_list* offered = nullptr;

}  // namespace

extra_arguments_scope::extra_arguments_scope(const argument_list* arguments) noexcept
    : before_(std::exchange(offered, arguments)) {}

extra_arguments_scope::~extra_arguments_scope() { offered = before_; }

const void* find_extra_arguments(std::string_view type) {
  if (offered != nullptr && offered->type() == type) return offered->values();
  auto got =
      offered == nullptr || offered->type().empty() ? std::string_view("none") : offered->type();
  throw std::invalid_argument(
      "expected the supervisor's extra_arguments to be " + std::string(type) + ", got " +
      std::string(got));
}

void check_intensity(int max_restarts, std::chrono::milliseconds max_seconds) {
  if (max_restarts < 0)
    throw std::invalid_argument(
        "invalid_intensity: expected max_restarts to be 0 or more, got " +
        std::to_string(max_restarts));
  if (max_seconds.count() <= 0)
    throw std::invalid_argument(
        "invalid_period: expected max_seconds to be more than 0, got " +
        std::to_string(max_seconds.count()) + " ms");
}

void check_backoff(const backoff& options, std::string_view whose) {
  auto fail = [&](std::string_view what, const std::string& got) {
    throw std::invalid_argument(
        "invalid_backoff: expected " + std::string(what) + ", got " + got + " for " +
        std::string(whose));
  };
  auto text = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; };
  if (options.min.count() < 0) fail("min to be 0 ms or more", text(options.min));
  if (options.max < options.min)
    fail("max to be min (" + text(options.min) + ") or more", text(options.max));
  if (!(options.factor >= 1)) fail("factor to be 1 or more", std::to_string(options.factor));
  if (!(options.jitter >= 0 && options.jitter <= 1))
    fail("jitter to be 0 to 1", std::to_string(options.jitter));
}

std::string short_name(std::string_view type) {
  auto arguments = type.find('<');
  auto qualifier = type.substr(0, arguments).rfind("::");
  return std::string(qualifier == type.npos ? type : type.substr(qualifier + 2));
}

child_spec::start_function starter(
    std::function<std::unique_ptr<behavior>()> make, process_name name, bool pinned) {
  return starter(std::move(make), start_options{.name = std::move(name)}, pinned);
}

child_spec::start_function starter(
    std::function<std::unique_ptr<behavior>()> make, start_options options, bool pinned) {
  return [make = std::move(make), options = std::move(options),
          pinned](std::function<void(start_outcome)> on_started) {
    auto request = request_of(options, attachment::link);
    request.pinned = pinned;
    request.on_started = std::move(on_started);
    return start_process(make(), std::move(request));
  };
}

}  // namespace detail
}  // namespace roost
