#include "channels/client/upgrade.hpp"
#include "channels/transport/handshake.hpp"
#include <doctest/doctest.h>

using namespace roost;
using namespace roost::detail;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view key = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view accept_line = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

client_upgrade_answer answer_to(std::string_view head) {
  return check_upgrade_answer(
      head, key, std::chrono::system_clock::from_time_t(784111777));  // of the RFC's date
}

client_upgrade_answer answer_with(std::string_view more) {
  return answer_to(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      std::string(more));
}

bool has_line(const std::string& request, std::string_view line) {
  return request.find("\r\n" + std::string(line) + "\r\n") != request.npos;
}

}  // namespace

TEST_CASE("a url says where to connect and what to ask for") {
  auto plain = parse_client_url("ws://127.0.0.1:4000/socket");
  CHECK_FALSE(plain.tls);
  CHECK(plain.host == "127.0.0.1");
  CHECK(plain.port == 4000);
  CHECK(plain.authority == "127.0.0.1:4000");
  CHECK(plain.path == "/socket/websocket");
  CHECK(plain.query.empty());
  auto secret = parse_client_url("wss://[::1]/a/socket/?x=1&y=2");
  CHECK(secret.tls);
  CHECK(secret.host == "::1");
  CHECK(secret.port == 443);
  CHECK(secret.authority == "[::1]");
  CHECK(secret.path == "/a/socket/websocket");
  CHECK(secret.query == "x=1&y=2");
}

TEST_CASE("a url that is none is refused without its secrets") {
  for (auto* url :
       {"", "http://host/socket", "ws:/host", "ws://", "ws://host:0/", "ws://h:99999/",
        "ws://host/a b", "ws://host/#x", "wss://"})
    CHECK_THROWS_AS(parse_client_url(url), std::invalid_argument);
  CHECK_THROWS_WITH(
      parse_client_url("http://host/socket?token=secret"),
      "expected the url of a client to be ws://host[:port]/path or wss://…, got "
      "http://host/socket");
  CHECK_THROWS_WITH(
      parse_client_url("ws://user:secret@host/socket"),
      "expected the url of a client to be ws://host[:port]/path or wss://…, got one with a user");
}

TEST_CASE("a request has the params in its query, the token among the protocols, and the headers") {
  const auto request = encode_client_upgrade(
      parse_client_url("ws://example.com/socket?a=b"),
      {.params = {{"name", "ann & bob"}, {"n", "1"}},
       .headers = {{"x-one", "two"}},
       .auth_token = "token?"},
      key);
  CHECK(request.starts_with(
      "GET /socket/websocket?a=b&n=1&name=ann%20%26%20bob&vsn=2.0.0 HTTP/1.1\r\n"));
  CHECK(has_line(request, "host: example.com"));
  CHECK(has_line(request, "sec-websocket-key: " + std::string(key)));
  CHECK(has_line(request, "sec-websocket-protocol: phoenix, base64url.bearer.phx.dG9rZW4_"));
  CHECK(has_line(request, "x-one: two"));
  CHECK(request.ends_with("\r\n\r\n"));
  const auto bare = encode_client_upgrade(parse_client_url("ws://example.com/socket"), {}, key);
  CHECK(bare.find("protocol") == bare.npos);
}

TEST_CASE("headers are one line each, and not those of the upgrade") {
  CHECK_NOTHROW(check_headers({{"x-token", "a b\tc"}, {"Authorization", "Bearer x"}}));
  for (auto& bad : client_headers{
           {"", "x"},
           {"x y", "z"},
           {"x:", "z"},
           {"x", "a\r\nb: c"},
           {"x", std::string("\0", 1)},
           {"Host", "h"},
           {"sec-websocket-key", "k"},
           {"Content-Length", "5"}})
    CHECK_THROWS_AS(check_headers({bad}), std::invalid_argument);
}

TEST_CASE("only an upgrade that fits its request is accepted") {
  CHECK(answer_with(accept_line).accepted);
  CHECK(answer_with(std::string(accept_line) + "sec-websocket-protocol: phoenix\r\n").accepted);
  CHECK(answer_with("").reason == "a wrong sec-websocket-accept");
  CHECK(answer_with("sec-websocket-accept: x\r\n").reason == "a wrong sec-websocket-accept");
  CHECK(
      answer_with(std::string(accept_line) + "sec-websocket-protocol: chat\r\n").reason ==
      "a subprotocol that was not offered: chat");
  CHECK(
      answer_with(std::string(accept_line) + "Sec-WebSocket-Extensions: x\r\n").reason ==
      "an extension that was not offered");
  CHECK(
      answer_to("HTTP/1.1 101 x\r\nconnection: Upgrade\r\n" + std::string(accept_line)).reason ==
      "no upgrade to a websocket");
  CHECK(
      answer_to(
          "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: keep-alive\r\n" +
          std::string(accept_line))
          .reason == "no upgrade of the connection");
  CHECK(answer_to(
            "HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: keep-alive, Upgrade\r\n" +
            std::string(accept_line))
            .accepted);
  CHECK(answer_to("HTTP/1.1 403 Forbidden\r\n").reason == "status 403");
  CHECK(answer_to("SSH-2.0-x\x1b").reason == "no HTTP: SSH-2.0-x?");
  CHECK(answer_to("").status == 0);
  CHECK(answer_to("HTTP/1.1 1x1 odd").status == 0);
}

TEST_CASE("a refusal may say when to try again, in seconds or as a date") {
  auto after = [](std::string_view value) {
    return answer_to("HTTP/1.1 503 x\r\nRetry-After: " + std::string(value) + "\r\n").retry_after;
  };
  CHECK(after("7") == 7s);
  CHECK(after("0") == 0s);
  CHECK(after("999999999999") == 24h);
  CHECK(after("Sun, 06 Nov 1994 08:49:47 GMT") == 10s);
  CHECK(after("Sun, 06 Nov 1994 08:00:00 GMT") == 0s);
  CHECK_FALSE(after("-1"));
  CHECK_FALSE(after("soon"));
  CHECK_FALSE(after(""));
  CHECK_FALSE(answer_to("HTTP/1.1 503 x\r\n").retry_after);
}
