#include "channels/transport/handshake.hpp"
#include <doctest/doctest.h>
#include <array>
#include <stdexcept>
#include <string>

namespace {

using namespace roost;

constexpr std::string_view rfc_key = "dGhlIHNhbXBsZSBub25jZQ==";

upgrade_request good_request() {
  return {
      .method = "GET",
      .host = "example.com",
      .upgrade = "websocket",
      .connection = "Upgrade",
      .version = "13",
      .key = rfc_key};
}

bool allowed(std::string_view origin, const std::vector<std::string>& patterns) {
  return origin_allowed(origin, allow_origins(patterns), "endpoint.com");
}

}  // namespace

TEST_CASE("the key of the RFC's example gets the RFC's answer") {
  CHECK(sec_websocket_accept(rfc_key) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const auto answer = check_upgrade(good_request());
  CHECK(answer.status == 101);
  CHECK(answer.accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  CHECK(answer.protocol == "");
  CHECK(answer.reason == "");
}

TEST_CASE("an upgrade request that breaks a rule is refused with 400 and one sentence") {
  struct row {
    const char* what;
    void (*spoil)(upgrade_request&);
    const char* reason;
  };
  const row rows[] = {
      {"POST", [](auto& r) { r.method = "POST"; }, "expected the method to be GET, got \"POST\""},
      {"HTTP/1.0", [](auto& r) { r.http_version = 10; }, "expected HTTP/1.1 or later"},
      {"no host", [](auto& r) { r.host = ""; }, "expected a host header, got none"},
      {"no upgrade", [](auto& r) { r.upgrade = ""; },
       "expected the upgrade header to be websocket, got none"},
      {"another upgrade", [](auto& r) { r.upgrade = "h2c, websockets"; },
       "expected the upgrade header to be websocket, got \"h2c, websockets\""},
      {"no connection", [](auto& r) { r.connection = ""; },
       "expected the connection header to be Upgrade, got none"},
      {"keep-alive only", [](auto& r) { r.connection = "keep-alive"; },
       "expected the connection header to be Upgrade, got \"keep-alive\""},
      {"no version", [](auto& r) { r.version = ""; },
       "expected the sec-websocket-version header to be 13, got none"},
      {"version 8", [](auto& r) { r.version = "8"; },
       "expected the sec-websocket-version header to be 13, got \"8\""},
      {"no key", [](auto& r) { r.key = ""; },
       "expected the sec-websocket-key header to be 16 bytes in base64, got none"},
      {"a key of 15 bytes", [](auto& r) { r.key = "dGhlIHNhbXBsZSBub25j"; },
       "expected the sec-websocket-key header to be 16 bytes in base64, got "
       "\"dGhlIHNhbXBsZSBub25j\""},
      {"a key of 17 bytes", [](auto& r) { r.key = "dGhlIHNhbXBsZSBub25jZWU="; },
       "expected the sec-websocket-key header to be 16 bytes in base64, got "
       "\"dGhlIHNhbXBsZSBub25jZWU=\""},
      {"a key that is not base64", [](auto& r) { r.key = "dGhlIHNhbXBsZ.Bub25jZQ=="; },
       "expected the sec-websocket-key header to be 16 bytes in base64, got "
       "\"dGhlIHNhbXBsZ.Bub25jZQ==\""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    auto request = good_request();
    row.spoil(request);
    const auto answer = check_upgrade(request);
    CHECK(answer.status == 400);
    CHECK(answer.reason == row.reason);
    CHECK(answer.accept == "");
  }
}

TEST_CASE("header tokens are found in lists, whatever their case and spacing") {
  for (const auto* connection : {"upgrade", "keep-alive, Upgrade", "keep-alive,UPGRADE , x"}) {
    CAPTURE(connection);
    auto request = good_request();
    request.connection = connection;
    CHECK(check_upgrade(request).status == 101);
  }
  for (const auto* upgrade : {"WebSocket", "h2c, websocket", "websocket,", ",\twebsocket"}) {
    CAPTURE(upgrade);
    auto request = good_request();
    request.upgrade = upgrade;
    CHECK(check_upgrade(request).status == 101);
  }
}

TEST_CASE("a subprotocol is echoed only if the server speaks it") {
  constexpr std::array<std::string_view, 2> spoken = {"phoenix", "graphql"};
  auto request = good_request();
  request.protocol = "chat, superchat";
  CHECK(check_upgrade(request).status == 101);
  CHECK(check_upgrade(request).protocol == "");
  CHECK(check_upgrade(request, spoken).status == 101);
  CHECK(check_upgrade(request, spoken).protocol == "");

  request.protocol = "graphql, base64url.bearer.phx.c2VjcmV0, phoenix";
  CHECK(check_upgrade(request, spoken).protocol == "phoenix");
  request.protocol = "Phoenix";  // names of subprotocols keep their case
  CHECK(check_upgrade(request, spoken).protocol == "");
}

TEST_CASE("the request of the client helper is one that the server accepts") {
  CHECK(
      encode_upgrade(
          {.host = "localhost:4000",
           .target = "/socket/websocket?vsn=2.0.0",
           .key = rfc_key,
           .origin = "http://localhost:4000"}) ==
      "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\n"
      "host: localhost:4000\r\n"
      "connection: Upgrade\r\n"
      "upgrade: websocket\r\n"
      "sec-websocket-version: 13\r\n"
      "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      "origin: http://localhost:4000\r\n"
      "\r\n");
}

TEST_CASE("a request without an Origin header is allowed, because no page sent it") {
  CHECK(origin_allowed(std::nullopt, {}, "host.com"));
  CHECK(origin_allowed(std::nullopt, allow_origins({"//example.com"}), "host.com"));
}

TEST_CASE("by default the origin's host must be the endpoint's, with any scheme and port") {
  CHECK(origin_allowed("https://host.com", {}, "host.com"));
  CHECK(origin_allowed("https://host.com/", {}, "host.com"));
  CHECK(origin_allowed("http://HOST.com:8080", {}, "Host.com"));
  CHECK_FALSE(origin_allowed("https://another.com/", {}, "host.com"));
  CHECK_FALSE(origin_allowed("https://sub.host.com/", {}, "host.com"));
  CHECK_FALSE(origin_allowed("http://127.0.0.1:4000", {}, "localhost"));
  CHECK_FALSE(origin_allowed("https://host.com", {}, ""));
}

TEST_CASE("with the check off every origin is allowed") {
  const origin_rules off{.check = origin_rules::off};
  for (const auto* origin : {"/", "file://", "null", "", "http://evil.example"})
    CHECK(origin_allowed(origin, off, "host.com"));
}

TEST_CASE("an Origin that names no host is refused") {
  const auto listed =
      allow_origins({"//example.com", "http://scheme.com", "//port.com:81", "//*.com"});
  for (const auto* origin :
       {"file://", "null", "", "/", "example.com", "http:example.com", "http:/example.com",
        "http://", "http://:81", "http://example.com:", "http://example.com:port",
        "http://example.com:65536", "http://user@example.com", "http://example.com:80@evil.com",
        "://example.com", "http://exam ple.com"}) {
    CAPTURE(origin);
    CHECK_FALSE(origin_allowed(origin, listed, "example.com"));
    CHECK_FALSE(origin_allowed(origin, {}, "example.com"));
  }
}

TEST_CASE("a listed origin is matched by the parts that its entry names") {
  struct row {
    const char* pattern;
    const char* origin;
    bool allowed;
  };
  const row rows[] = {
      {"//example.com", "http://example.com/", true},
      {"//example.com", "https://example.com:8443", true},
      {"//example.com", "http://notallowed.com/", false},
      {"//example.com", "http://org1.example.com", false},
      {"//example.com", "http://example.com.evil.net", false},
      {"http://scheme.com", "http://scheme.com/", true},
      {"http://scheme.com", "http://scheme.com:80", true},
      {"http://scheme.com", "https://scheme.com/", false},
      {"http://scheme.com", "http://scheme.com:8080/", false},
      {"HTTP://Scheme.com", "http://scheme.COM", true},
      {"https://scheme.com", "https://scheme.com:443", true},
      {"https://scheme.com:8443", "https://scheme.com:8443", true},
      {"https://scheme.com:8443", "https://scheme.com", false},
      {"//port.com:81", "http://port.com:81/", true},
      {"//port.com:81", "https://port.com:81/", true},
      {"//port.com:81", "http://port.com:82/", false},
      {"//port.com:81", "http://port.com", false},
      {"http://allowed.example:1234", "http://allowed.example:1234", true},
      {"http://allowed.example:1234", "http://allowed.example", false},
      {"http://allowed.example:1234", "https://allowed.example:1234", false},
      {"//localhost", "http://localhost:4000", true},
      {"//localhost", "http://127.0.0.1:4000", false},
      {"//[::1]:4000", "http://[::1]:4000", true},
      {"//[::1]", "http://[::1]", true},
      {"//[::1]", "http://[::2]", false},
      {"app://local", "app://local", true},
      {"app://local", "http://local", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.pattern);
    CAPTURE(row.origin);
    CHECK(allowed(row.origin, {row.pattern}) == row.allowed);
  }
  CHECK(allowed("http://two.com", {"//one.com", "//two.com"}));
  CHECK_FALSE(allowed("http://two.com", {}));
}

TEST_CASE("a wildcard stands for the domain and all below it, and nothing that only ends like it") {
  CHECK(allowed("http://org1.ex.com", {"https://*.ex.com", "http://*.ex.com"}));
  CHECK(allowed("https://org1.ex.com", {"https://*.ex.com", "http://*.ex.com"}));
  CHECK(allowed("https://a.b.ex.com:81", {"//*.ex.com"}));
  CHECK(allowed("https://ex.com", {"//*.ex.com"}));
  CHECK_FALSE(allowed("https://evilex.com", {"//*.ex.com"}));
  CHECK_FALSE(allowed("http://org1.ex.com", {"https://*.ex.com"}));
  CHECK(allowed("http://org1.foo.example.com", {"http://*.foo.example.com"}));
  CHECK_FALSE(allowed("http://org1.bar.example.com", {"http://*.foo.example.com"}));
}

TEST_CASE("same_origin compares scheme, host and port with how the client addressed the server") {
  const origin_rules rules{.check = origin_rules::same_origin};
  CHECK(origin_allowed("http://host.com:4000", rules, "", "http://host.com:4000"));
  CHECK(origin_allowed("https://host.com", rules, "", "https://host.com:443"));
  CHECK_FALSE(origin_allowed("http://host.com", rules, "", "http://host.com:4000"));
  CHECK_FALSE(origin_allowed("https://host.com", rules, "", "http://host.com"));
  CHECK_FALSE(origin_allowed("http://evil.com", rules, "", "http://host.com"));
  CHECK_FALSE(origin_allowed("http://host.com", rules, "", ""));
}

TEST_CASE("an entry without a host is refused at start, with the line to write instead") {
  for (const auto* entry : {"example.com", "*.example.com", "https://", "http:example.com", ""})
    CHECK_THROWS_AS(allow_origins({"//fine.com", entry}), std::invalid_argument);
  CHECK_THROWS_WITH(
      allow_origins({"example.com"}),
      "expected an entry of check_origin to be like \"https://example.com\", "
      "\"//example.com:888\" or \"//*.example.com\", got \"example.com\"");
}
