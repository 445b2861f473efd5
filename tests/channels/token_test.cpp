#include "channels/token.hpp"
#include <doctest/doctest.h>

using namespace roost;
using namespace std::chrono_literals;

namespace {

const std::string secret(64, 's');
const std::string other_secret(64, 'o');

token_options made(std::chrono::seconds ago) {
  return {.signed_at = std::chrono::system_clock::now() - ago};
}

}  // namespace

TEST_CASE("what was signed comes back as it was") {
  token_keys keys(secret);
  for (const json& data :
       {json(42), json("ann"), json(), json{{"id", 7}, {"roles", json::array({"admin"})}}}) {
    auto signed_one = keys.verify("user", keys.sign("user", data));
    CHECK(signed_one);
    CHECK(signed_one.data == data);
    auto encrypted = keys.decrypt("user", keys.encrypt("user", data));
    CHECK(encrypted);
    CHECK(encrypted.data == data);
  }
}

TEST_CASE("a token fits into a URL, and an encrypted one tells nothing and never repeats itself") {
  token_keys keys(secret);
  for (auto& token : {keys.sign("user", "ann"), keys.encrypt("user", "ann")})
    CHECK(
        token.find_first_not_of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == token.npos);
  CHECK(keys.encrypt("user", "ann") != keys.encrypt("user", "ann"));
}

TEST_CASE("another salt or secret makes it invalid") {
  token_keys keys(secret);
  token_keys others(other_secret);
  auto token = keys.sign("user", 1);
  CHECK(keys.verify("admin", token).error == token_error::invalid);
  CHECK(others.verify("user", token).error == token_error::invalid);
  auto hidden = keys.encrypt("user", 1);
  CHECK(keys.decrypt("admin", hidden).error == token_error::invalid);
  CHECK(others.decrypt("user", hidden).error == token_error::invalid);
  CHECK(keys.decrypt("user", token).error == token_error::invalid);
  CHECK(keys.verify("user", hidden).error == token_error::invalid);
}

TEST_CASE("no change of a byte, no truncation and nothing appended goes unnoticed") {
  token_keys keys(secret);
  auto token = keys.sign("user", "ann");
  auto hidden = keys.encrypt("user", "ann");
  auto refused = [&](const std::string& text) {
    return !keys.verify("user", text) && !keys.decrypt("user", text);
  };
  for (auto& valid : {token, hidden}) {
    for (std::size_t i = 0; i < valid.size(); ++i) {
      CHECK(refused(valid.substr(0, i)));
      for (char c : {'A', 'B', '-', '.', '=', '\0', '\xff'}) {
        auto changed = valid;
        if (changed[i] == c) continue;
        changed[i] = c;
        CHECK(refused(changed));
      }
    }
    for (auto* more : {"=", ".", "A", " ", "\n"}) CHECK(refused(valid + more));
  }
}

TEST_CASE("what is no token at all has a name") {
  token_keys keys(secret);
  CHECK(keys.verify("user", "").error == token_error::missing);
  CHECK(keys.decrypt("user", "").error == token_error::missing);
  for (auto* text : {".", "..", "...", "a.b.c", "SFMyNTY.e30.", "SFMyNTY..", "QTI1NkdDTQ..."}) {
    CHECK(keys.verify("user", text).error == token_error::invalid);
    CHECK(keys.decrypt("user", text).error == token_error::invalid);
  }
  CHECK(keys.verify("user", std::string(3 << 20, 'A')).error == token_error::invalid);
  CHECK(to_string(token_error::expired) == "expired");
}

TEST_CASE("it holds for a day, for as long as its maker says, or as whoever reads it says") {
  token_keys keys(secret);
  CHECK(keys.verify("user", keys.sign("user", 1, made(86'390s))));
  CHECK(keys.verify("user", keys.sign("user", 1, made(86'410s))).error == token_error::expired);
  CHECK(keys.decrypt("user", keys.encrypt("user", 1, made(86'410s))).error == token_error::expired);

  auto brief = made(20s);
  brief.max_age = 10s;
  auto token = keys.sign("user", 1, brief);
  CHECK(keys.verify("user", token).error == token_error::expired);
  CHECK(keys.verify("user", token, {.max_age = 30s}));

  auto ancient = keys.sign("user", 1, made(100'000'000s));
  CHECK(keys.verify("user", ancient, {.max_age = token_options::forever}));
  CHECK(keys.verify("user", keys.sign("user", 1), {.max_age = 0s}).error == token_error::expired);
  CHECK(keys.verify("user", keys.sign("user", 1), {.max_age = -1s}).error == token_error::expired);
}

TEST_CASE("a secret is replaced without logging anybody out") {
  auto before = token_keys(secret).sign("user", 1);
  auto hidden = token_keys(secret).encrypt("user", 1);
  token_keys both(other_secret, {secret});
  CHECK(both.verify("user", before));
  CHECK(both.decrypt("user", hidden));
  auto after = both.sign("user", 1);
  CHECK(token_keys(other_secret).verify("user", after));
  CHECK_FALSE(token_keys(secret).verify("user", after));
}

TEST_CASE("keys are derived as they are told") {
  token_keys keys(secret, {}, {.key_iterations = 7, .digest = "sha512"});
  auto token = keys.sign("user", 1);
  CHECK(keys.verify("user", token));
  CHECK_FALSE(token_keys(secret).verify("user", token));
}

TEST_CASE("what cannot be used is refused at once") {
  auto error = [](auto make) -> std::string {
    try {
      make();
    } catch (const std::invalid_argument& thrown) {
      return thrown.what();
    }
    return "";
  };
  CHECK(error([] {
          token_keys("too short");
        }) == "expected secret_key_base to have at least 20 bytes, got 9");
  CHECK(error([] {
          token_keys(secret, {""});
        }) == "expected secret_key_base to have at least 20 bytes, got 0");
  CHECK(error([] {
          token_keys(secret, {}, {.key_iterations = 0});
        }) == "expected key_iterations to be 1 to 10000000, got 0");
  CHECK(error([] {
          token_keys(secret, {}, {.digest = "md5"});
        }) == "expected the digest of a token to be sha256, sha384 or sha512, got md5");
}
