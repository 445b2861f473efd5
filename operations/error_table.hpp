// private: the groups of errors, and when somebody should hear of one. Pure: the caller says what
// time it is, and delivers.
//
// A rule fires when a group had `count` errors of at least this severity within `window`, and then
// keeps quiet for `quiet`. A window is a ring of ten slots, so what is counted is exact to a tenth.
#pragma once
#include "operations/error_tracking.hpp"
#include "operations/secrets.hpp"
#include <array>
#include <list>
#include <optional>
#include <unordered_map>

namespace roost::detail {

struct error_rule {
  std::uint64_t count = 100;  // errors of one group
  std::chrono::milliseconds window{60'000};
  log_level severity = log_level::error;  // or worse
};

struct error_limits {
  std::size_t max_groups = 1'000;
  std::uint64_t max_per_second = 1'000;
  bool first = true;  // a new group is told of
  std::vector<error_rule> rules = {error_rule{}};
  std::chrono::milliseconds quiet{600'000};          // between two notices of a rule and a group
  std::chrono::milliseconds sentry_interval{1'000};  // between two of a group
};

/// Counts what has happened within a while.
class window_count {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Adds one; answers how many there were within the window.
  std::uint64_t add(time_point now, std::chrono::milliseconds window);

 private:
  static constexpr std::int64_t slots = 10;
  std::array<std::uint32_t, slots> counts_{};
  std::int64_t newest_ = 0;  // the number of the slot that is counted in
};

/// What has become of an error.
struct error_verdict {
  error_group group;
  bool is_new = false;
  std::vector<error_rule> rules;  // that have fired
  bool for_sentry = false;
};

class error_table {
 public:
  using steady = std::chrono::steady_clock::time_point;
  using system = std::chrono::system_clock::time_point;

  explicit error_table(error_limits limits = {}, secret_filter filter = secret_filter())
      : limits_(std::move(limits)), filter_(std::move(filter)) {}

  /// Nothing: it was one too many in this second.
  std::optional<error_verdict> add(tracked_error error, steady now, system time);
  std::vector<error_group> list() const;  // the latest first
  bool clear(std::string_view fingerprint);

  std::size_t size() const noexcept { return groups_.size(); }
  std::uint64_t errors() const noexcept { return errors_; }
  std::uint64_t uncounted() const noexcept { return uncounted_; }

 private:
  struct ruled {
    window_count count;
    steady quiet_until{};
  };
  struct group {
    error_group shown;
    std::vector<ruled> rules;
    steady sentry_after{};
  };

  bool within_rate(steady now);
  void clean(tracked_error& error) const;

  error_limits limits_;
  secret_filter filter_;
  std::list<group> groups_;  // the latest first
  std::unordered_map<std::string, std::list<group>::iterator> by_fingerprint_;
  std::uint64_t errors_ = 0;
  std::uint64_t uncounted_ = 0;
  steady second_{};
  std::uint64_t in_second_ = 0;
};

}  // namespace roost::detail
