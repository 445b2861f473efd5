// private: where a Redis is, and as whom to talk to it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace roost::net {

/// redis://[[user]:password@]host[:port][/db], or rediss:// for TLS. User and password may be
/// percent-encoded, an IPv6 address is in brackets. The number of the database is checked and of no
/// use: Redis' channels belong to all databases.
struct redis_url {
  static constexpr std::string_view form = "redis[s]://[user:password@]host[:port][/db]";

  bool tls = false;
  std::string user;
  std::string password;
  std::string host;
  std::uint16_t port = 6379;

  std::string without_secrets() const;  // redis://host:port
};

/// Throws std::invalid_argument, which does not tell the text as it may have a password.
redis_url parse_redis_url(std::string_view text);

}  // namespace roost::net
