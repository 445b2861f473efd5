#include "operations/error_tracking.hpp"
#include "operations/error_reports.hpp"
#include "operations/error_server.hpp"
#include "operations/notice_body.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/process_info.hpp"
#include "runtime/telemetry.hpp"
#include "runtime/thrown_stack.hpp"
#include "supervision/release/environment.hpp"
#include <mutex>

namespace roost {
namespace detail {
namespace {

/// The groups and where their notices go. An error is added in the process that failed.
class tracking {
 public:
  static constexpr auto handler = "roost.operations.errors";

  explicit tracking(const error_settings& settings)
      : settings_(settings), table_(settings.limits, secret_filter(settings.filter)) {}

  void add(tracked_error error) {
    std::optional<error_verdict> verdict;
    {
      std::lock_guard guard{mutex_};
      verdict = table_.add(
          std::move(error), std::chrono::steady_clock::now(), std::chrono::system_clock::now());
    }
    if (verdict) tell(*verdict);
  }
  std::vector<error_group> list() const {
    std::lock_guard guard{mutex_};
    return table_.list();
  }
  bool clear(std::string_view fingerprint) {
    std::lock_guard guard{mutex_};
    return table_.clear(fingerprint);
  }
  void count(error_counts& counts) const {
    std::lock_guard guard{mutex_};
    counts.groups = table_.size();
    counts.errors = table_.errors();
    counts.uncounted = table_.uncounted();
  }

 private:
  void tell(const error_verdict& verdict) const {
    if (verdict.is_new && settings_.limits.first)
      deliver(settings_.webhook, error_notice(verdict.group, nullptr, node::self()));
    for (auto& rule : verdict.rules)
      deliver(settings_.webhook, error_notice(verdict.group, &rule, node::self()));
    if (!verdict.for_sentry || !settings_.sentry) return;
    sentry_origin origin{
        .node = node::self(), .release = release().version, .environment = settings_.environment};
    deliver(
        {.to = destination::sentry,
         .url = settings_.sentry->envelope_url,
         .headers =
             {{"content-type", "application/x-sentry-envelope"},
              {"x-sentry-auth", sentry_auth(*settings_.sentry)}},
         .body = sentry_envelope(verdict.group, origin)});
  }

  error_settings settings_;
  mutable std::mutex mutex_;
  error_table table_;
};

std::mutex current_mutex;
std::shared_ptr<tracking> current_tracking;

std::shared_ptr<tracking> current() {
  std::lock_guard guard{current_mutex};
  return current_tracking;
}

/// Hears of reports while it lives.
struct listening {
  explicit listening(const error_settings& settings) {
    telemetry::detach(tracking::handler);
    {
      std::lock_guard guard{current_mutex};
      current_tracking = std::make_shared<tracking>(settings);
    }
    capture_stacks(true);
    telemetry::attach(
        tracking::handler, "roost.report",
        [](std::string_view, const telemetry::values&, const telemetry::values& metadata) {
          if (auto error = error_of_report(metadata)) track_error(std::move(*error));
        });
  }
  listening(const listening&) = delete;
  listening& operator=(const listening&) = delete;
  ~listening() {
    telemetry::detach(tracking::handler);
    capture_stacks(false);
    std::lock_guard guard{current_mutex};
    current_tracking = nullptr;
  }
};

}  // namespace

error_settings read_error_settings(const config& section, const webhook& webhook) {
  error_settings settings{.webhook = webhook};
  auto& limits = settings.limits;
  auto time = [&](const config& from, std::string_view key, std::chrono::milliseconds& value) {
    value = from.get<std::chrono::milliseconds>(key, value);
    if (value > std::chrono::hours(24 * 365)) throw from.error(key, "a time of at most a year");
  };
  settings.enabled = section.get<bool>("enabled", settings.enabled);
  limits.max_groups = section.get_in<std::size_t>("max_groups", limits.max_groups, 1, 100'000);
  limits.max_per_second =
      section.get_in<std::uint64_t>("max_per_second", limits.max_per_second, 1, 1'000'000);
  settings.filter = section.get<std::vector<std::string>>("filter", settings.filter);
  limits.first = section.get<bool>("alerts.first", limits.first);
  time(section, "alerts.quiet", limits.quiet);
  if (section.has("alerts.rules")) {
    limits.rules.clear();
    for (std::size_t i = 0; i < section.size("alerts.rules"); ++i) {
      auto one = section.section("alerts.rules." + std::to_string(i));
      error_rule rule;
      rule.count = one.get_in<std::uint64_t>("count", rule.count, 1, 1'000'000);
      time(one, "window", rule.window);
      if (rule.window < std::chrono::milliseconds(10))
        throw one.error("window", "a time of 10 ms or more");
      auto severity = one.get<std::string>("severity", std::string(to_string(rule.severity)));
      try {
        rule.severity = to_log_level(severity);
      } catch (const std::invalid_argument&) {
        throw one.error("severity", "warning, error, critical or another level of the logger");
      }
      limits.rules.push_back(rule);
    }
  }
  if (auto dsn = section.get<std::string>("sentry_dsn", ""); !dsn.empty()) {
    try {
      settings.sentry = parse_sentry_dsn(dsn);
    } catch (const std::invalid_argument& error) {
      throw section.error("sentry_dsn", error.what());
    }
  }
  time(section, "sentry_interval", limits.sentry_interval);
  settings.environment = section.get<std::string>("environment", settings.environment);
  return settings;
}

init_result<error_server> error_server::init(const error_settings& settings) {
  set_sensitive(true);  // the addresses have secrets
  return error_server(std::make_shared<listening>(settings));
}

}  // namespace detail

std::vector<error_group> error_groups() {
  auto tracking = detail::current();
  return tracking ? tracking->list() : std::vector<error_group>();
}

bool clear_error(std::string_view fingerprint) {
  auto tracking = detail::current();
  return tracking && tracking->clear(fingerprint);
}

void track_error(tracked_error error) {
  if (auto tracking = detail::current()) tracking->add(std::move(error));
}

error_counts error_totals() {
  error_counts counts;
  if (auto tracking = detail::current()) tracking->count(counts);
  auto& notices = detail::notice_counters();
  counts.delivered = notices.delivered;
  counts.failed = notices.failed;
  counts.dropped = notices.dropped;
  return counts;
}

}  // namespace roost
