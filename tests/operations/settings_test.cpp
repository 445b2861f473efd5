// The keys of the section `operations`, and what is said of wrong ones.
#include "operations/alarm_settings.hpp"
#include "operations/error_server.hpp"
#include "operations/metrics_server.hpp"
#include <doctest/doctest.h>

using namespace roost;
using namespace std::chrono_literals;

namespace {

template <class F>
std::string trouble(const char* yaml, F read) {
  try {
    auto all = config::from_text(yaml, "chat.yaml");
    read(all.section("operations"));
    all.check_unknown();
    return "none";
  } catch (const config_error& error) {
    return error.what();
  }
}

auto alarms = [](const config& section) { detail::read_alarm_settings(section.section("alarms")); };
auto errors = [](const config& section) {
  auto notices = detail::read_notice_settings(section);
  detail::read_error_settings(section.section("errors"), notices.webhook);
};

}  // namespace

TEST_CASE("every key is known, and its value is taken") {
  auto all = config::from_text(
      R"(
operations:
  webhook: {url: "https://example.com/x", authorization: Bearer abc}
  notices: {queue: 5, timeout: 2s, first_delay: 3s, longest_delay: 4s, attempts: 6}
  errors:
    enabled: false
    max_groups: 7
    max_per_second: 8
    filter: [pin]
    alerts:
      first: false
      quiet: 1m
      rules: [{count: 9, window: 10s, severity: critical}, {count: 11}]
    sentry_dsn: https://key@sentry.io/1
    sentry_interval: 12s
    environment: staging
  metrics: {enabled: false, all_nodes: true, interval: 13s, timeout: 2s}
  alarms:
    enabled: true
    interval: 14s
    memory: {raise: 0.9, clear: 0.5, window: 15s, limit: 1GiB}
    schedulers: {enabled: false}
    network: {interfaces: [lo], speed: 1000}
    processes: {limit: 16}
    files: {raise: 0.5}
    links: {raise: 0.5, clear: 0.1}
    mailboxes: {raise: 17, clear: 2}
    crash_loops: {enabled: false, raise: 18, clear: 1, window: 19s}
)",
      "chat.yaml");
  auto section = all.section("operations");
  auto notices = detail::read_notice_settings(section);
  auto errors = detail::read_error_settings(section.section("errors"), notices.webhook);
  auto metrics = detail::read_metrics_settings(section.section("metrics"), {});
  auto alarms = detail::read_alarm_settings(section.section("alarms"));
  CHECK_NOTHROW(all.check_unknown());
  CHECK(notices.webhook.authorization == "Bearer abc");
  CHECK(notices.attempts == 6);
  CHECK(errors.limits.max_groups == 7);
  REQUIRE(errors.limits.rules.size() == 2);
  CHECK(errors.limits.rules[0].severity == log_level::critical);
  CHECK(errors.limits.rules[1].window == 60s);
  CHECK(errors.sentry->key == "key");
  CHECK(metrics.all_nodes);
  CHECK(alarms.memory_limit == std::uint64_t{1} << 30);
  CHECK(alarms.files.limits.clear == 0.5);
  CHECK(alarms.mailboxes.limits.raise == 17);
  CHECK(alarms.loops.window == 19s);
}

TEST_CASE("wrong values are named with their line") {
  CHECK(
      trouble("operations:\n  alarms: {memory: {raise: 80}}", alarms) ==
      "expected operations.alarms.memory.raise to be a part, more than 0 and at most 1, got 80 "
      "(chat.yaml:2)");
  CHECK(
      trouble("operations:\n  alarms:\n    files: {raise: 0.5, clear: 0.6}", alarms)
          .find("(chat.yaml:3)") != std::string::npos);
  CHECK(trouble("operations: {alarms: {memroy: {}}}", alarms).find("memroy") != std::string::npos);
  CHECK(
      trouble("operations: {webhook: {url: example.com}}", errors).find("begins with http://") !=
      std::string::npos);
  CHECK(
      trouble("operations: {errors: {alerts: {rules: [{severity: bad}]}}}", errors)
          .find("severity") != std::string::npos);
  auto dsn = trouble("operations: {errors: {sentry_dsn: 'https://secretkey@'}}", errors);
  CHECK(dsn.find("HOST/PROJECT") != std::string::npos);
}
