// private: whether a request may become a WebSocket.
//
// Decides whether an HTTP request may become a WebSocket (RFC 6455, section 4). Pure: it looks at
// header values and answers with a status; whoever owns the connection writes the response.
//
//   auto upgrade = check_upgrade({.method = "GET", .host = "example.com", .upgrade = "websocket",
//                                 .connection = "Upgrade", .version = "13", .key = key});
//   if (upgrade.status == 101) respond(upgrade.accept); else refuse(upgrade.status,
//   upgrade.reason);
//
//   auto rules = allow_origins({"https://example.com", "//*.example.com"});
//   if (!origin_allowed(origin, rules, "example.com")) refuse(403, "");
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace roost {

/// The values of the headers with these names; empty means that the header is not there.
struct upgrade_request {
  std::string_view method = {};
  int http_version = 11;  // 10 times major plus minor
  std::string_view host = {};
  std::string_view upgrade = {};
  std::string_view connection = {};
  std::string_view version = {};   // sec-websocket-version
  std::string_view key = {};       // sec-websocket-key
  std::string_view protocol = {};  // sec-websocket-protocol
};

struct upgrade_answer {
  unsigned status = 101;
  std::string reason = {};    // of a refusal: its body, and words for the log
  std::string accept = {};    // of a 101: the value of sec-websocket-accept
  std::string protocol = {};  // of a 101: for sec-websocket-protocol, a header only if not empty
};

/// `protocols` are the subprotocols the server speaks, the preferred one first. An offer that has
/// none of them is accepted without a subprotocol, because a name not spoken must not be echoed.
upgrade_answer check_upgrade(
    const upgrade_request& request, std::span<const std::string_view> protocols = {});

/// What a server answers to this key; a client compares it with what it got.
std::string sec_websocket_accept(std::string_view key);

/// The request by which a client (a test, a load tool) opens a WebSocket.
struct client_upgrade {
  std::string_view host = {};
  std::string_view target = "/socket/websocket?vsn=2.0.0";
  std::string_view key = {};       // 16 random bytes in base64
  std::string_view origin = {};    // browsers send it, other clients need not
  std::string_view protocol = {};  // offered subprotocols, comma separated
};
std::string encode_upgrade(const client_upgrade& request);

/// An origin or a pattern for origins. In a pattern, an empty scheme or a port of 0 matches any.
struct web_origin {
  std::string scheme = {};
  std::string host = {};  // in a pattern "*.example.com" stands for example.com and all below it
  int port = 0;           // of http, https, ws and wss never 0: the default port if none is given

  bool operator==(const web_origin&) const = default;
};

struct origin_rules {
  enum kind_of_check { off, endpoint_host, same_origin, listed };

  kind_of_check check = endpoint_host;   // the origin's host must be the one in the endpoint's url
  std::vector<web_origin> origins = {};  // for `listed`
};

/// Rules for a list such as {"//example.com", "https://example.com:8443", "//*.example.com"}.
/// Throws std::invalid_argument with one sentence if an entry has no host.
origin_rules allow_origins(const std::vector<std::string>& patterns);

/// Whether a page from `origin` may connect. A request without an Origin header does not come from
/// a page and is allowed. `request_origin` ("https://host:port", as the client addressed this
/// server) matters for same_origin only.
bool origin_allowed(
    std::optional<std::string_view> origin, const origin_rules& rules,
    std::string_view endpoint_host, std::string_view request_origin = {});

}  // namespace roost
