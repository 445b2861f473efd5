// The main function of every test program, compiled once because doctest's implementation is large.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "tests/support.hpp"

namespace roost::test {

log_capture::log_capture() {
  logger::detach(logger::default_handler);
  handler_ = logger::attach([this](const log_event& event) {
    entry entry{event.kind, event.message};
    for (auto& field : event.fields)
      if (auto* text = std::get_if<std::string>(&field.value))
        entry.text += " " + field.name + "=" + *text;
    std::lock_guard guard{mutex_};
    entries_.push_back(std::move(entry));
  });
}

log_capture::~log_capture() {
  logger::detach(handler_);
  configure_logger(logger_options{});
}

bool log_capture::saw(std::string_view kind, std::string_view text) const {
  logger::flush();
  std::lock_guard guard{mutex_};
  for (auto& entry : entries_)
    if (entry.kind == kind && entry.text.find(text) != std::string::npos) return true;
  return false;
}

std::size_t log_capture::count(std::string_view kind) const {
  logger::flush();
  std::lock_guard guard{mutex_};
  std::size_t found = 0;
  for (auto& entry : entries_) found += entry.kind == kind ? 1U : 0U;
  return found;
}

}  // namespace roost::test
