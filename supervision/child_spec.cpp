#include "supervision/child_spec.hpp"

namespace roost {

child_spec with(child_spec spec, const child_options& options) {
  if (options.id) spec.id = *options.id;
  if (options.restart) spec.restart = *options.restart;
  if (options.shutdown) spec.shutdown = *options.shutdown;
  if (options.significant) spec.significant = *options.significant;
  return spec;
}

namespace detail {

std::string short_name(std::string_view type) {
  auto arguments = type.find('<');
  auto qualifier = type.substr(0, arguments).rfind("::");
  return std::string(qualifier == type.npos ? type : type.substr(qualifier + 2));
}

child_spec::start_function starter(std::function<std::unique_ptr<behavior>()> make,
                                   process_name name, bool pinned) {
  return [make = std::move(make), name = std::move(name),
          pinned](std::function<void(start_outcome)> on_started) {
    start_request request;
    request.name = name;
    request.pinned = pinned;
    request.attach = attachment::link;
    request.on_started = std::move(on_started);
    return start_process(make(), std::move(request));
  };
}

}  // namespace detail
}  // namespace roost
