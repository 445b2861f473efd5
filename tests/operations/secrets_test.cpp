// What is taken out of text before it leaves the node.
#include "operations/secrets.hpp"
#include <doctest/doctest.h>

using roost::detail::secret_filter;

namespace {

std::string hide(std::string_view text) { return secret_filter().text(text); }

}  // namespace

TEST_CASE("values of secret names are hidden, wherever they stand") {
  CHECK(hide("GET /?token=abc&room=1") == "GET /?token=[FILTERED]&room=1");
  CHECK(hide("password: hunter2 is wrong") == "password: [FILTERED] is wrong");
  CHECK(hide("PASSWORD=\"a b\\\" c\", user=ann") == "PASSWORD=[FILTERED], user=ann");
  CHECK(
      hide(R"({"user":"ann","auth_token": "x\"y","n":1})") ==
      R"({"user":"ann","auth_token": [FILTERED],"n":1})");
  CHECK(hide(R"({"secrets":{"a":[1,"}"]},"b":2})") == R"({"secrets":[FILTERED],"b":2})");
  CHECK(
      hide("login{.password = 'x', .name = 'ann'}") ==
      "login{.password = [FILTERED], .name = 'ann'}");
  CHECK(hide("client_secret=>abc)") == "client_secret=>[FILTERED])");
  CHECK(
      hide(R"(what() says "{\"token\":\"abc\",\"a\":1}")") ==
      R"(what() says "{\"token\":[FILTERED],\"a\":1}")");
}

TEST_CASE("headers are hidden to their end") {
  CHECK(hide("Authorization: Bearer abc.def\r\nhost: x") == "Authorization: [FILTERED]\r\nhost: x");
  CHECK(hide("cookie: a=1; session=2\nnext") == "cookie: [FILTERED]\nnext");
  CHECK(hide("token=Bearer abc, more") == "token=[FILTERED], more");
}

TEST_CASE("the user of a URL is hidden") {
  CHECK(
      hide("expected redis://user:pw@10.0.0.1:6379/0 to answer") ==
      "expected redis://[FILTERED]@10.0.0.1:6379/0 to answer");
  CHECK(hide("http://host/a@b") == "http://host/a@b");
  CHECK(hide("ws://host:4000/socket?token=a%20b") == "ws://host:4000/socket?token=[FILTERED]");
}

TEST_CASE("what only looks like a secret stays") {
  CHECK(hide("the password is wrong") == "the password is wrong");
  CHECK(hide("roost::token::check failed") == "roost::token::check failed");
  CHECK(hide("expected a token") == "expected a token");
  CHECK(hide("name=ann; count: 3") == "name=ann; count: 3");
  CHECK(hide("token=") == "token=");
  CHECK(hide("") == "");
}

TEST_CASE("one's own words replace the default ones") {
  secret_filter filter{{"pin", "Iban"}};
  CHECK(
      filter.text("pin=1234 token=abc iban: DE00") == "pin=[FILTERED] token=abc iban: [FILTERED]");
  CHECK(filter.hides("user_PIN"));
  CHECK_FALSE(filter.hides("token"));
}
