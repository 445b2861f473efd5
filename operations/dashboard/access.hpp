// private: who may come to the dashboard, and how that is known.
//
// With `user` and `password`: HTTP's basic authentication. With `token`: a header
// "authorization: Bearer …", or the token typed into a form, which is answered with a signed
// cookie. With neither, whoever reaches the endpoint may: so it must listen on loopback only, and
// is asked for by a name of this machine, as a page of the web could otherwise have its own name
// resolve to 127.0.0.1 and read along.
//
// A WebSocket of a page carries no header of its own choice, so the page asks for a token that
// holds for a minute, and shows it when it connects.
//
// All comparisons take as long whatever was guessed. Thread safety: any thread.
// Sources: RFC 7617, RFC 6750, Phoenix.LiveDashboard.
#pragma once
#include "channels/http.hpp"
#include "channels/token.hpp"
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

struct dashboard_settings {
  std::string user = "admin";
  std::string password = {};  // empty: no basic authentication
  std::string token = {};     // empty: no form
  bool allow_destructive_actions = false;
  bool https_only = false;  // its cookies are for https
};

class dashboard_access {
 public:
  static constexpr std::chrono::seconds socket_token_age{60};
  static constexpr std::chrono::seconds session_age{12 * 3600};

  dashboard_access(dashboard_settings settings, token_keys keys)
      : settings_(std::move(settings)), keys_(std::move(keys)) {}

  const dashboard_settings& settings() const noexcept { return settings_; }
  bool asks_for_password() const noexcept { return !settings_.password.empty(); }
  bool asks_for_token() const noexcept { return !settings_.token.empty(); }
  bool open() const noexcept { return !asks_for_password() && !asks_for_token(); }

  /// The name of whoever sent the request. Nothing: nobody who may come in.
  std::optional<std::string> who(const http_request& request) const;
  /// Whether this is the token that the configuration has.
  bool is_token(std::string_view given) const;

  /// The header "set-cookie" that keeps somebody signed in, or signs out.
  std::string begin_session(std::string_view who) const;
  std::string end_session() const;

  std::string socket_token(std::string_view who) const;
  std::optional<std::string> who_has(std::string_view socket_token) const;

 private:
  std::string cookie(std::string_view value, std::chrono::seconds age) const;

  dashboard_settings settings_;
  token_keys keys_;
};

/// Whether only this machine reaches it: 127.0.0.0/8, ::1, localhost.
bool is_loopback_address(std::string_view ip);
/// Whether a Host header names this machine, with or without a port.
bool is_loopback_host(std::string_view host);

}  // namespace roost::detail
