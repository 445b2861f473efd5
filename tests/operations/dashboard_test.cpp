// Who may come to the dashboard.
#include "channels/base64.hpp"
#include "operations/dashboard/access.hpp"
#include "tests/support.hpp"

using namespace roost;
using namespace roost::detail;

namespace {

constexpr auto secret = "0123456789012345678901234567890123456789";

dashboard_access guarded(dashboard_settings settings) {
  return dashboard_access(std::move(settings), token_keys(secret));
}

http_request with(std::string name, std::string value) {
  http_request request;
  request.headers.emplace_back(std::move(name), std::move(value));
  return request;
}

http_request basic(std::string_view text) {
  return with("authorization", "Basic " + to_base64(text));
}

/// "name=value" of a header set-cookie, as a browser sends it back.
std::string sent_back(const std::string& set_cookie) {
  return set_cookie.substr(0, set_cookie.find(';'));
}

}  // namespace

TEST_CASE("a password lets its user in, and nobody else") {
  auto access = guarded({.user = "ann", .password = "a: long password"});
  CHECK(access.who(basic("ann:a: long password")) == "ann");
  CHECK(access.who(with("authorization", "bAsIc " + to_base64("ann:a: long password"))) == "ann");
  for (auto* wrong :
       {"ann:a", "ann:", "ann", "", ":", "eve:a: long password", "ann:a: long passwor",
        "ann:a: long password ", "ANN:a: long password"})
    CHECK_FALSE(access.who(basic(wrong)));
  CHECK_FALSE(access.who({}));
  CHECK_FALSE(access.who(with("authorization", "Basic")));
  CHECK_FALSE(access.who(with("authorization", "Basic !!!")));
  CHECK_FALSE(access.who(with("authorization", "Bearer a: long password")));
  CHECK_FALSE(access.is_token(""));
}

TEST_CASE("a token lets in by a header, or by the cookie that it is exchanged for") {
  auto access = guarded({.token = "a token of its own"});
  CHECK(access.is_token("a token of its own"));
  CHECK_FALSE(access.is_token("a token of its ow"));
  CHECK(access.who(with("authorization", "Bearer a token of its own")) == "token");
  CHECK_FALSE(access.who(with("authorization", "Bearer ")));
  CHECK_FALSE(access.who(basic("admin:")));

  auto set = access.begin_session("token");
  CHECK(set.find("HttpOnly; SameSite=Strict") != std::string::npos);
  auto cookie = sent_back(set);
  CHECK(access.who(with("cookie", cookie)) == "token");
  CHECK(access.who(with("cookie", "other=1; " + cookie + "; more=2")) == "token");
  CHECK_FALSE(access.who(with("cookie", "x" + cookie)));
  CHECK_FALSE(access.who(with("cookie", cookie + "x")));
  CHECK_FALSE(access.who(with("cookie", sent_back(access.end_session()))));
  // What is for the socket is no session, and the other way round.
  CHECK_FALSE(access.who(with("cookie", "roost_dashboard=" + access.socket_token("token"))));
  CHECK_FALSE(access.who_has(cookie.substr(cookie.find('=') + 1)));
}

TEST_CASE("the cookie of an endpoint with https only is for https only") {
  CHECK(guarded({.token = "t", .https_only = true}).begin_session("x").ends_with("; Secure"));
  CHECK_FALSE(guarded({.token = "t"}).begin_session("x").ends_with("; Secure"));
}

TEST_CASE("the socket's token tells who it is, for a minute") {
  auto access = guarded({.password = "password"});
  CHECK(access.who_has(access.socket_token("ann")) == "ann");
  CHECK_FALSE(access.who_has(""));
  CHECK_FALSE(access.who_has("nonsense"));
  auto old = std::chrono::system_clock::now() - dashboard_access::socket_token_age -
             std::chrono::seconds(1);
  auto late = token_keys(secret).sign("roost dashboard socket", json("ann"), {.signed_at = old});
  CHECK_FALSE(access.who_has(late));
  auto other = token_keys(std::string(40, 'x')).sign("roost dashboard socket", json("ann"));
  CHECK_FALSE(access.who_has(other));
}

TEST_CASE("without a password only this machine may ask, by a name of this machine") {
  auto access = guarded({});
  CHECK(access.open());
  for (auto* host : {"localhost", "localhost:4100", "127.0.0.1:4100", "127.1.2.3", "[::1]:4100"})
    CHECK(access.who(with("host", host)) == "local");
  // A page of the web whose own name resolves to 127.0.0.1.
  for (auto* host : {"evil.example:4100", "127.0.0.1.evil.example", "localhost.evil.example", ""})
    CHECK_FALSE(access.who(with("host", host)));
  CHECK(is_loopback_address("127.0.0.1"));
  CHECK(is_loopback_address("::1"));
  for (auto* ip : {"0.0.0.0", "::", "10.0.0.1", "unix:/run/chat.sock", ""})
    CHECK_FALSE(is_loopback_address(ip));
}
