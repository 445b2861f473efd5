#include "supervision/child_result.hpp"

namespace roost {

std::string_view to_string(child_error error) noexcept {
  switch (error) {
    case child_error::none:
      return "none";
    case child_error::already_started:
      return "already_started";
    case child_error::already_present:
      return "already_present";
    case child_error::not_found:
      return "not_found";
    case child_error::running:
      return "running";
    case child_error::restarting:
      return "restarting";
    case child_error::max_children:
      return "max_children";
    case child_error::start_failed:
      return "start_failed";
    case child_error::invalid_spec:
      return "invalid_spec";
  }
  return "unknown";
}

std::string child_result::to_string() const {
  switch (error_) {
    case child_error::none:
      if (!starts_) return "ok";
      return "{ok, " + (process_ ? roost::to_string(process_) : std::string("undefined")) + "}";
    case child_error::already_started:
      return "{error, {already_started, " + roost::to_string(process_) + "}}";
    case child_error::start_failed:
    case child_error::invalid_spec:
      return "{error, " + reason_.to_string() + "}";
    default:
      return "{error, " + std::string(roost::to_string(error_)) + "}";
  }
}

}  // namespace roost
