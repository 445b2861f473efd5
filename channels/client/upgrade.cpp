#include "channels/client/upgrade.hpp"
#include "channels/base64.hpp"
#include "channels/transport/handshake.hpp"
#include "runtime/net/http_client.hpp"
#include <algorithm>
#include <charconv>
#include <ctime>
#include <stdexcept>

namespace roost::detail {
namespace {

constexpr std::string_view protocol_name = "phoenix";
constexpr std::string_view token_prefix = "base64url.bearer.phx.";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// What an answer said, short enough for a line of the log and without what could break it.
std::string shown(std::string_view text) {
  std::string result(text.substr(0, 80));
  std::replace_if(
      result.begin(), result.end(), [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
  return result;
}

// --- headers -------------------------------------------------------------------------------------

bool is_token(std::string_view name) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') ||
           others.find(c) != others.npos;
  });
}

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return (c < ' ' && c != '\t') || c == 0x7f;
  });
}

bool belongs_to_the_upgrade(std::string_view name) {
  static constexpr std::string_view own[] = {
      "host",
      "connection",
      "upgrade",
      "sec-websocket-key",
      "sec-websocket-version",
      "sec-websocket-protocol",
      "sec-websocket-extensions",
      "content-length",
      "transfer-encoding"};
  return std::any_of(
      std::begin(own), std::end(own), [&](auto each) { return same_ignoring_case(name, each); });
}

class answer_headers {
 public:
  explicit answer_headers(std::string_view lines) : lines_(lines) {}

  /// The first with this name, empty if there is none.
  std::string_view operator[](std::string_view name) const {
    auto rest = lines_;
    while (!rest.empty()) {
      const auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const auto colon = line.find(':');
      if (colon != line.npos && same_ignoring_case(line.substr(0, colon), name))
        return trimmed(line.substr(colon + 1));
    }
    return {};
  }

 private:
  std::string_view lines_;
};

int status_of(std::string_view line) {
  int status = 0;
  if (!line.starts_with("HTTP/1.1 ") || line.size() < 12) return 0;
  const auto [stop, error] = std::from_chars(line.data() + 9, line.data() + 12, status);
  return error == std::errc{} && stop == line.data() + 12 ? status : 0;
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto element = list.substr(0, list.find(','));
    if (same_ignoring_case(trimmed(element), word)) return true;
    list.remove_prefix(std::min(list.size(), element.size() + 1));
  }
  return false;
}

/// Seconds, or a date.
std::optional<std::chrono::milliseconds> retry_after_of(
    std::string_view text, std::chrono::system_clock::time_point now) {
  using namespace std::chrono;
  constexpr long long most = 24 * 60 * 60;
  if (text.empty()) return std::nullopt;
  const auto* end = text.data() + text.size();
  long long number = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc{} && stop == end)
    return number < 0 ? std::nullopt : std::optional(seconds(std::min(number, most)));
  std::tm date{};
  const auto* parsed = ::strptime(std::string(text).c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (parsed == nullptr) return std::nullopt;
  const auto until = system_clock::from_time_t(::timegm(&date)) - now;
  return std::clamp<milliseconds>(ceil<milliseconds>(until), milliseconds(0), seconds(most));
}

std::string fault_in(const answer_headers& headers, int status, std::string_view key) {
  if (status != 101) return "status " + std::to_string(status);
  if (!same_ignoring_case(headers["upgrade"], "websocket")) return "no upgrade to a websocket";
  if (!has_word(headers["connection"], "upgrade")) return "no upgrade of the connection";
  if (headers["sec-websocket-accept"] != sec_websocket_accept(key))
    return "a wrong sec-websocket-accept";
  if (!headers["sec-websocket-extensions"].empty()) return "an extension that was not offered";
  const auto agreed = headers["sec-websocket-protocol"];
  if (!agreed.empty() && agreed != protocol_name)
    return "a subprotocol that was not offered: " + shown(agreed);
  return {};
}

}  // namespace

client_target parse_client_url(std::string_view url) {
  const bool tls = url.starts_with("wss://");
  const auto fail = [&] {
    // What is after a ? may be a secret, and so may be a user.
    const auto known = url.find('@') == url.npos ? url.substr(0, url.find_first_of("?#"))
                                                 : std::string_view("one with a user");
    throw std::invalid_argument(
        "expected the url of a client to be ws://host[:port]/path or wss://…, got " +
        (known.empty() ? "an empty one" : shown(known)));
  };
  if (!tls && !url.starts_with("ws://")) fail();
  net::http_url parsed;
  try {
    parsed = net::parse_http_url((tls ? "https" : "http") + std::string(url.substr(tls ? 3 : 2)));
  } catch (const net::http_error&) {
    fail();
  }
  const auto question = parsed.target.find('?');
  client_target target{
      .tls = tls,
      .host = parsed.host,
      .port = parsed.port,
      .authority = parsed.authority(),
      .path = parsed.target.substr(0, question),
      .query = question == std::string::npos ? "" : parsed.target.substr(question + 1)};
  if (!target.path.ends_with('/')) target.path += '/';
  target.path += "websocket";
  return target;
}

void check_headers(const client_headers& headers) {
  for (auto& [name, value] : headers) {
    if (!is_token(name) || !is_one_line(value))
      throw std::invalid_argument(
          "expected a header of a client to be a name and one line, got " + shown(name));
    if (belongs_to_the_upgrade(name))
      throw std::invalid_argument(
          "expected the headers of a client to be others than those of the upgrade, got " + name);
  }
}

std::string encode_client_upgrade(
    const client_target& target, const client_request& request, std::string_view key) {
  auto path = target.path + "?";
  if (!target.query.empty()) path += target.query + "&";
  for (auto& [name, value] : request.params)
    path += net::percent_encoded(name) + "=" + net::percent_encoded(value) + "&";
  path += "vsn=2.0.0";
  std::string offer;
  if (!request.auth_token.empty())
    offer = std::string(protocol_name) + ", " + std::string(token_prefix) +
            to_base64url(request.auth_token);
  auto text =
      encode_upgrade({.host = target.authority, .target = path, .key = key, .protocol = offer});
  text.resize(text.size() - 2);  // the empty line comes after the other headers
  for (auto& [name, value] : request.headers) text += name + ": " + value + "\r\n";
  return text + "\r\n";
}

client_upgrade_answer check_upgrade_answer(
    std::string_view head, std::string_view key, std::chrono::system_clock::time_point now) {
  const auto line = head.substr(0, head.find('\n'));
  client_upgrade_answer answer;
  answer.status = status_of(line);
  if (answer.status == 0) {
    answer.reason = "no HTTP: " + shown(line);
    return answer;
  }
  const answer_headers headers(head.substr(std::min(head.size(), line.size() + 1)));
  answer.reason = fault_in(headers, answer.status, key);
  answer.accepted = answer.reason.empty();
  if (!answer.accepted) answer.retry_after = retry_after_of(headers["retry-after"], now);
  return answer;
}

}  // namespace roost::detail
