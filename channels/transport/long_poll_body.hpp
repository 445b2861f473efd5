// private: what long polling writes into bodies. Pure.
//
//   POST, application/x-ndjson   one message per line: JSON text, or base64 of a binary message
//   POST, anything else          the body is one message of JSON text
//   answers                      {"status": 200, "token": …, "messages": ["…", …]}
//
// Source: Phoenix.Transports.LongPoll.
#pragma once
#include "channels/http.hpp"
#include <span>

namespace roost::detail {

struct poll_message {
  bool binary = false;
  std::string data;
};

/// Nothing: a line is neither JSON nor base64, a text is not UTF-8 (a WebSocket refuses it as well:
/// others read what comes out of it), or the lines are more than `most`.
std::optional<std::vector<poll_message>> parse_poll_body(
    std::string_view content_type, std::string_view body, std::size_t most = 10'000);

/// The answer to a poll; `messages` are texts.
std::string poll_answer(
    int status, std::string_view token, std::span<const std::string> messages = {});
/// The answer to a batch.
std::string publish_answer(int status);

/// A message of the server in its binary form, as text that a client of long polling can read: in
/// place of the bytes stands {"base64": "…"}. Phoenix puts the raw bytes into a JSON string, which
/// no client can read.
std::string text_of_binary(std::string_view message);

/// The headers that let pages of every origin poll. `requested` are those that a preflight asks
/// for.
http_headers poll_headers();
http_headers preflight_headers(std::string_view requested);

}  // namespace roost::detail
