// channels/token.hpp
//
// Tokens that clients keep and cannot make: who a user is, told to a browser and believed when it
// comes back. A signed token can be read by everybody and changed by nobody; an encrypted one
// cannot be read either.
//
//   const roost::token_keys keys(secret_key_base);               // 64 random characters, from
//   outside auto text = keys.sign("user socket", user.id);               // into the page if (auto
//   who = keys.verify("user socket", text))             // in connect
//     return user_socket{who.data.as_int()};
//
// The salt names what the token is for: a token made with one is invalid with another. It is no
// secret, and belongs into the code. With older secrets, tokens that were made with them are still
// taken, while new ones are made with the first: so a secret is replaced without logging anybody
// out.
//
// A token is as old as `signed_at` says. How old it may be is said by verify, else by whoever made
// it, else 86,400 s.
//
// Errors: a secret shorter than 20 bytes throws std::invalid_argument. Whatever text comes, verify
// and decrypt answer: missing (empty), invalid (changed, another salt or secret, no token at all)
// or expired. Thread safety: all functions of one token_keys may be called by many threads at once.
//
// Sources: Phoenix.Token; PBKDF2 (RFC 8018), HMAC-SHA256 (RFC 2104), AES-256-GCM (NIST SP 800-38D),
// base64url (RFC 4648). The data is JSON, not Erlang's terms: Phoenix cannot read it.
#pragma once
#include "channels/json.hpp"
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace roost {

enum class token_error { none, missing, invalid, expired };
std::string_view to_string(token_error error) noexcept;

struct token_result {
  json data = {};
  token_error error = token_error::none;
  explicit operator bool() const noexcept { return error == token_error::none; }
};

struct token_options {
  /// When it is made: how long it holds if verify does not say. When it is verified: how old it may
  /// be. token_options::forever: any age.
  std::optional<std::chrono::seconds> max_age = {};
  /// When it counts as made; default: now.
  std::optional<std::chrono::system_clock::time_point> signed_at = {};

  static constexpr std::chrono::seconds forever = std::chrono::seconds::max();
};

/// How keys are made of a secret and a salt.
struct token_key_options {
  int key_iterations = 1000;      // of PBKDF2, 1 to 10,000,000
  std::string digest = "sha256";  // or sha384, sha512
};

class token_keys {
 public:
  explicit token_keys(
      std::string secret_key_base, std::vector<std::string> older = {},
      token_key_options options = {});

  std::string sign(std::string_view salt, const json& data, token_options options = {}) const;
  token_result verify(
      std::string_view salt, std::string_view token, token_options options = {}) const;

  std::string encrypt(std::string_view salt, const json& data, token_options options = {}) const;
  token_result decrypt(
      std::string_view salt, std::string_view token, token_options options = {}) const;

 private:
  struct derived;
  std::shared_ptr<derived> keys_;
};

}  // namespace roost
