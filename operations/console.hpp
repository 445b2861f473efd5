// operations/console.hpp
//
// What somebody on call may ask a node: functions with names such as "Process.info", which the
// remote shell, `observe` and the dashboard call with JSON and answer with JSON. Every node of a
// program with roost::operations() has those of docs/shell.md; a program adds its own:
//
//   roost::console::offer("Shop.close", [](const roost::console::arguments& given) {
//     return roost::json{{"closed", close_shop(given.text(0, "a shop"))}};
//   }, {.needs = roost::console::role::admin, .usage = "(shop) closes a shop for today"});
//
//   > Shop.close("north")
//   {closed = true}
//
// A function runs on a thread of its own, where it may block and use `.get()`; at most 32 run at
// the same time, and each has `timeout`, after which the asker is told that it is unknown what
// became of it. What it throws is what the asker reads.
//
// Roles. Who comes with the cookie of the cluster is an admin. Who comes as a guest, with the
// cookie of `distribution.guest_cookie_file`, may use functions that need read_only only, and its
// link takes nothing else. Every call of a function that needs an admin is written to the log,
// "audit: console command": who, by way of which nodes, what, and how it ended.
//
// Thread safety: any thread. Source: IEx's helpers, OTP's c and observer_backend.
#pragma once
#include "channels/json.hpp"
#include "runtime/pid.hpp"
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace roost::console {

enum class role : std::uint8_t { read_only, admin };

/// What was given to a function: a list, whose values are checked as they are taken. A value of
/// another kind throws std::invalid_argument: "expected a shop as argument 1, got nothing".
class arguments {
 public:
  explicit arguments(json list, std::string session = {})
      : list_(std::move(list)), session_(std::move(session)) {}

  std::size_t size() const noexcept { return list_.size(); }
  const json& operator[](std::size_t at) const noexcept { return list_[at]; }

  std::string text(std::size_t at, std::string_view what) const;
  std::int64_t number(std::size_t at, std::string_view what, std::int64_t fallback) const;
  /// By pid or by registered name; throws when there is none.
  pid process(std::size_t at) const;
  /// A field of the table at this place; null when there is none.
  const json& option(std::size_t at, std::string_view name) const noexcept;

  /// Of the shell or page that asks; what is traced is kept for it. Empty: none.
  const std::string& session() const noexcept { return session_; }

 private:
  json list_;
  std::string session_;
};

using function = std::function<json(const arguments&)>;

struct options {
  role needs = role::read_only;
  std::string usage = {};  // "(pid) what it does", for help()
  std::chrono::milliseconds timeout{10'000};
};

/// Offers a function on this node from now on; the same name again replaces it. Names have the form
/// Module.function.
void offer(std::string name, function function, options options = {});

struct offered {
  std::string name;
  options about;
};
/// All of them, by name.
std::vector<offered> list();

}  // namespace roost::console
