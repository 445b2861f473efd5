#include "operations/console/log_tail.hpp"
#include "operations/console/answers.hpp"
#include "runtime/logger.hpp"
#include <deque>
#include <mutex>

namespace roost::detail {
namespace {

constexpr std::size_t most_kept = 500;
constexpr std::size_t longest_text = 2'000;

struct line {
  std::uint64_t number;
  log_event event;
};

std::mutex mutex;
std::uint64_t last_number = 0;
std::deque<line>& lines() {
  static auto& all = *new std::deque<line>;
  return all;
}

std::string text_of(const log_value& value) {
  struct visitor {
    std::string operator()(const std::string& text) const { return text.substr(0, longest_text); }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return json(number).dump(); }
    std::string operator()(bool on) const { return on ? "true" : "false"; }
    std::string operator()(const std::vector<std::string>& all) const {
      std::string text;
      for (auto& one : all) text += (text.empty() ? "" : ", ") + one;
      return text.substr(0, longest_text);
    }
  };
  return std::visit(visitor{}, value);
}

}  // namespace

void start_log_tail() {
  static const bool once = [] {
    logger::attach([](const log_event& event) {
      std::lock_guard guard{mutex};
      lines().push_back({++last_number, event});
      if (lines().size() > most_kept) lines().pop_front();
    });
    return true;
  }();
  (void)once;
}

json log_tail(std::uint64_t after) {
  std::lock_guard guard{mutex};
  auto list = json::array();
  for (auto& [number, event] : lines()) {
    if (number <= after) continue;
    auto fields = json::object();
    for (auto& field : event.fields) fields[field.name] = json(text_of(field.value));
    list.push_back(
        {{"number", number},
         {"time",
          std::chrono::duration_cast<std::chrono::milliseconds>(event.time.time_since_epoch())
              .count()},
         {"level", json(std::string(to_string(event.level)))},
         {"kind", event.kind},
         {"message", json(event.message.substr(0, longest_text))},
         {"fields", std::move(fields)}});
  }
  return list;
}

}  // namespace roost::detail
