#include "operations/error_table.hpp"
#include "operations/fingerprint.hpp"
#include <algorithm>
#include <numeric>

namespace roost::detail {
namespace {

// What one error may take.
constexpr std::size_t longest_text = 4'096;
constexpr std::size_t most_frames = 64;
constexpr std::size_t most_context = 32;

/// Not within a character of UTF-8.
void shorten(std::string& text) {
  if (text.size() <= longest_text) return;
  auto end = longest_text;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  text += "…";
}

}  // namespace

std::uint64_t window_count::add(time_point now, std::chrono::milliseconds window) {
  auto length = std::max<std::int64_t>(1, window.count() / slots);
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  auto slot = ms / length;
  if (slot - newest_ >= slots) counts_.fill(0);
  for (auto each = newest_ + 1; each <= slot && slot - newest_ < slots; ++each)
    counts_[static_cast<std::size_t>(each % slots)] = 0;
  newest_ = std::max(newest_, slot);
  ++counts_[static_cast<std::size_t>(newest_ % slots)];
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

bool error_table::within_rate(steady now) {
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    in_second_ = 0;
  }
  return ++in_second_ <= limits_.max_per_second;
}

void error_table::clean(tracked_error& error) const {
  auto clean_text = [&](std::string& text) {
    shorten(text);
    text = filter_.text(text);
  };
  shorten(error.type);
  clean_text(error.message);
  clean_text(error.where);
  if (error.stack.size() > most_frames) error.stack.resize(most_frames);
  for (auto& frame : error.stack) shorten(frame);
  if (error.context.size() > most_context) error.context.resize(most_context);
  for (auto& [name, value] : error.context) {
    shorten(name);
    if (filter_.hides(name))
      value = filtered;
    else
      clean_text(value);
  }
}

std::optional<error_verdict> error_table::add(tracked_error error, steady now, system time) {
  ++errors_;
  if (!within_rate(now)) {
    ++uncounted_;
    return std::nullopt;
  }
  clean(error);
  auto print = fingerprint(error.type, error.where, error.stack, error.message);
  auto found = by_fingerprint_.find(print);
  error_verdict verdict;
  verdict.is_new = found == by_fingerprint_.end();
  if (verdict.is_new) {
    if (groups_.size() >= limits_.max_groups) {
      by_fingerprint_.erase(groups_.back().shown.fingerprint);
      groups_.pop_back();
    }
    groups_.emplace_front();
    auto& fresh = groups_.front();
    fresh.shown.fingerprint = print;
    fresh.shown.first_seen = time;
    fresh.rules.resize(limits_.rules.size());
    by_fingerprint_.emplace(print, groups_.begin());
  } else {
    groups_.splice(groups_.begin(), groups_, found->second);
  }
  auto& group = groups_.front();
  group.shown.last_seen = time;
  ++group.shown.count;
  for (std::size_t i = 0; i < limits_.rules.size(); ++i) {
    auto& rule = limits_.rules[i];
    if (error.severity > rule.severity) continue;  // the lower, the worse
    auto& state = group.rules[i];
    if (state.count.add(now, rule.window) < rule.count || now < state.quiet_until) continue;
    state.quiet_until = now + limits_.quiet;
    verdict.rules.push_back(rule);
  }
  group.shown.last = std::move(error);
  if (now >= group.sentry_after) {
    group.sentry_after = now + limits_.sentry_interval;
    verdict.for_sentry = true;
  }
  if (verdict.is_new || !verdict.rules.empty() || verdict.for_sentry) verdict.group = group.shown;
  return verdict;
}

std::vector<error_group> error_table::list() const {
  std::vector<error_group> all;
  all.reserve(groups_.size());
  for (auto& group : groups_) all.push_back(group.shown);
  return all;
}

bool error_table::clear(std::string_view fingerprint) {
  auto found = by_fingerprint_.find(std::string(fingerprint));
  if (found == by_fingerprint_.end()) return false;
  groups_.erase(found->second);
  by_fingerprint_.erase(found);
  return true;
}

}  // namespace roost::detail
