// private: the client's side of the request that becomes a WebSocket. Pure: where to connect, what
// to ask, and what the answer means.
//
//   auto target = parse_client_url("wss://example.com/socket");
//   auto request = encode_client_upgrade(target, {.params = …, .auth_token = token}, key);
//   auto answer = check_upgrade_answer(head, key, now);   // head: up to the empty line
//   if (!answer.accepted) retry(answer.reason, answer.retry_after);
//
// Source: RFC 6455, section 4.1; RFC 9110, section 10.2.3 (retry-after); phoenix.js 1.8, which
// hides a token among the offered subprotocols, since browsers let it set no header.
#pragma once
#include "channels/client.hpp"
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

struct client_target {
  bool tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 80;
  std::string authority;  // for the header host
  std::string path;       // with "/websocket" at its end
  std::string query;      // of the url, without its ?
};

/// Throws std::invalid_argument unless it is ws://host[:port]/path or wss://….
client_target parse_client_url(std::string_view url);

/// Throws std::invalid_argument for headers that would not be one line each, or that are the
/// client's own affair.
void check_headers(const client_headers& headers);

/// `key`: 16 random bytes in base64.
std::string encode_client_upgrade(
    const client_target& target, const client_request& request, std::string_view key);

struct client_upgrade_answer {
  bool accepted = false;
  int status = 0;      // 0: no HTTP
  std::string reason;  // why not
  std::optional<std::chrono::milliseconds> retry_after = {};
};

/// `head` is the answer up to its empty line.
client_upgrade_answer check_upgrade_answer(
    std::string_view head, std::string_view key, std::chrono::system_clock::time_point now);

}  // namespace roost::detail
