// runtime/via.hpp
//
// What a process may be called: a name of this node, or a key in another table of names ({:via,
// module, name} in Erlang). Either can be given wherever a server is started or called.
//
//   roost::start_link<room>({.name = "lobby"});                        // a name of this node
//   roost::start_link<room>({.name = roost::via("rooms", "lobby")});   // a key in a registry
//   roost::call(roost::server<room>{roost::via("rooms", "lobby")}, room::members{})
//   roost::send(roost::via("rooms", "lobby"), tick{});
//
// registry.hpp has the table that most programs want. For one of your own, derive from name_service
// and write `roost::via_name{table, key}`.
//
// Thread safety: plain values. Source: OTP gen, {via, Module, Name}.
#pragma once
#include "runtime/process.hpp"
#include <functional>
#include <memory>
#include <string>

namespace roost {

/// A table of names. Functions may be called from any process or thread at any time.
class name_service {
 public:
  name_service() = default;
  name_service(const name_service&) = delete;
  name_service& operator=(const name_service&) = delete;
  virtual ~name_service() = default;

  /// Gives the key to `process`, which is the one that calls this. Answers the present owner when
  /// the key is taken, else nobody. An exception makes the start fail.
  virtual pid register_name(const std::string& key, pid process) const = 0;

  /// Whether others have to be asked before a name is given. Then a process that starts under it is
  /// registered with register_later, and is initializing until that is done: see global.hpp.
  virtual bool asks_others() const noexcept { return false; }

  /// Told the present owner, or nobody when the name is given; or why that failed.
  using done_function = std::function<void(pid owner, const exit_reason& failure)>;

  /// As register_name. Runs in the process, and calls `done` there once, from a `.then`.
  virtual void register_later(const std::string& key, pid process, done_function done) const;

  /// Called when a process that has registered does not start after all.
  virtual void unregister_name(const std::string& key, pid process) const = 0;

  /// The owner of the key, or nobody.
  virtual pid whereis_name(const std::string& key) const noexcept = 0;
};

/// A key in a table of names.
struct via_name {
  std::shared_ptr<const name_service> service = {};
  std::string key = {};

  explicit operator bool() const noexcept { return service != nullptr; }
};

/// The owner of the key, or nobody.
inline pid whereis(const via_name& name) noexcept {
  return name ? name.service->whereis_name(name.key) : pid{};
}

inline reference monitor(const via_name& name) { return monitor(whereis(name)); }

/// Sends to the owner of the key. Throws std::invalid_argument (badarg) when there is none.
template <class M>
void send(const via_name& to, M message) {
  auto process = whereis(to);
  if (!process) detail::throw_nobody(to.key);
  send(process, std::move(message));
}

/// A name of this node, or a key in another table of names.
class process_name {
 public:
  process_name() = default;
  process_name(std::string name) : text_(std::move(name)) {}
  process_name(std::string_view name) : text_(name) {}
  process_name(const char* name) : text_(name) {}
  process_name(via_name name) : text_(std::move(name.key)), service_(std::move(name.service)) {}

  bool empty() const noexcept { return text_.empty() && service_ == nullptr; }
  bool is_via() const noexcept { return service_ != nullptr; }

  /// The process that has this name now, or nobody.
  pid process() const noexcept { return service_ ? service_->whereis_name(text_) : whereis(text_); }

  /// The name, or the key.
  const std::string& text() const noexcept { return text_; }
  via_name via() const { return {service_, text_}; }

 private:
  std::string text_;
  std::shared_ptr<const name_service> service_;
};

}  // namespace roost
