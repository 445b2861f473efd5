// private: errors as a server that speaks Sentry's protocol wants them: Sentry, GlitchTip, Bugsink.
//
// An event travels in an envelope, three lines of JSON, with the header X-Sentry-Auth. Pure but for
// event ids, which are random.
// Source: develop.sentry.dev, "Envelopes", "Event Payloads", "Authentication".
#pragma once
#include "operations/error_tracking.hpp"
#include <string>

namespace roost::detail {

/// "https://KEY@sentry.example.com/7" and where its events go.
struct sentry_dsn {
  std::string envelope_url;  // https://sentry.example.com/api/7/envelope/
  std::string key;
  std::string secret = {};  // old servers want it
};

/// Throws std::invalid_argument, without the DSN's secrets.
sentry_dsn parse_sentry_dsn(std::string_view text);

std::string sentry_auth(const sentry_dsn& dsn);

struct sentry_origin {
  std::string node = {};
  std::string release = {};
  std::string environment = {};
};

/// The body of the request.
std::string sentry_envelope(const error_group& group, const sentry_origin& origin);

}  // namespace roost::detail
