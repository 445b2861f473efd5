// private: tracks errors while it lives: hears every report, keeps the groups, and has the notices
// of those that somebody should hear of delivered.
#pragma once
#include "operations/error_table.hpp"
#include "operations/notices.hpp"
#include "operations/sentry.hpp"

namespace roost::detail {

struct error_settings {
  bool enabled = true;
  error_limits limits = {};
  std::vector<std::string> filter = secret_filter::default_words();
  struct webhook webhook = {};
  std::optional<sentry_dsn> sentry = {};
  std::string environment = "production";
};

/// Reads the section operations.errors. Throws config_error.
error_settings read_error_settings(const config& section, const webhook& webhook);

class error_server {
 public:
  static constexpr auto name = "operations.errors";
  using messages = roost::messages<>;

  static init_result<error_server> init(const error_settings& settings);

 private:
  explicit error_server(std::shared_ptr<void> tracking) : tracking_(std::move(tracking)) {}

  std::shared_ptr<void> tracking_;  // as long as it lives
};

}  // namespace roost::detail
