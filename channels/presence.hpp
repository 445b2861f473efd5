// channels/presence.hpp
//
// Who is in a topic, for channels: clients get the list when they join, `presence_state`, and each
// change after it, `presence_diff`, as the Presence of phoenix.js expects them, on all nodes.
//
//   roost::child<roost::presence>({.name = "presence", .pub_sub = "chat"})   // after the pub_sub,
//                                                                            // before the endpoint
//   void handle_info(after_join, roost::socket& socket) {   // in a channel that joined
//     roost::presence who{"presence"};
//     who.track(socket, user, {{"online_at", now}});
//     roost::push(socket, "presence_state", who.list(socket));
//   }
//
// An entry is {"key": {"metas": [meta, …]}}: one meta for each process that is tracked under the
// key, which is what was tracked and a `phx_ref`. With `fetch`, entries also have what is only
// known elsewhere, such as names from a database, looked up for all keys at once:
//
//   .fetch = [](std::string_view topic, std::vector<roost::presence_metas>& entries) {
//     auto users = load_users(entries);
//     for (auto& one : entries) one.more = {{"user", users[one.key]}};
//   }
//
// Guarantees. Those of tracker.hpp. Diffs of one topic come in order. A diff has a change exactly
// once; changes of a few milliseconds, and all that is heard of another node at once, are one diff.
// State and diff may come in either order, which phoenix.js expects.
//
// `fetch` and `handle_metas` run outside of channels: fetch for diffs on the pool of blocking.hpp,
// while later diffs wait; fetch for lists in whoever asks; handle_metas in a process of the
// presence. A fetch that throws is logged, and its diff goes out without what it would have added.
//
// Errors and thread safety: as tracker.hpp; functions with a socket are for its channel.
// Source: Phoenix.Presence.
#pragma once
#include "channels/channel.hpp"
#include "channels/tracker.hpp"

namespace roost {

/// All metas of one key.
struct presence_metas {
  std::string key;
  std::vector<payload> metas;
  json more = {};  // an object, or nothing: what fetch adds beside the metas
};

/// What has changed in a topic.
struct metas_diff {
  std::string topic;
  std::vector<presence_metas> joins;
  std::vector<presence_metas> leaves;
};

class presence {
 public:
  using fetch_function =
      std::function<void(std::string_view topic, std::vector<presence_metas>& entries)>;

  struct options {
    std::string name = "presence";
    std::string pub_sub = {};  // required; that of the endpoint
    fetch_function fetch = {};
    /// Told of each diff after it went out. A function object is copied at each start: what it
    /// captures is its state.
    std::function<void(const metas_diff&)> handle_metas = {};
    /// Runs first in the process of handle_metas.
    std::function<void()> init = {};
    gossip_options gossip = {};
  };
  static roost::child_spec child_spec(options options);

  explicit presence(std::string_view name = "presence");

  // --- in a channel, which is the process, in its topic
  track_result track(const socket& socket, std::string_view key, const payload& meta) const;
  track_result update(const socket& socket, std::string_view key, const payload& meta) const;
  template <std::invocable<const payload&> F>
  track_result update(const socket& socket, std::string_view key, F change) const {
    return update(self(), socket.topic(), key, std::move(change));
  }
  bool untrack(const socket& socket, std::string_view key) const;
  /// For presence_state.
  payload list(const socket& socket) const { return list(socket.topic()); }
  payload get_by_key(const socket& socket, std::string_view key) const {
    return get_by_key(socket.topic(), key);
  }

  // --- anywhere
  track_result track(
      pid process, std::string_view topic, std::string_view key, const payload& meta) const;
  track_result update(
      pid process, std::string_view topic, std::string_view key, const payload& meta) const;
  template <std::invocable<const payload&> F>
  track_result update(pid process, std::string_view topic, std::string_view key, F change) const {
    return tracker_.update(process, topic, key, std::move(change));
  }
  bool untrack(pid process, std::string_view topic, std::string_view key) const;
  /// {"key": {"metas": […]}, …}
  payload list(std::string_view topic) const;
  /// {"metas": […]}, or {} when nobody has the key.
  payload get_by_key(std::string_view topic, std::string_view key) const;
  std::size_t count(std::string_view topic) const { return tracker_.count(topic); }

  /// For what is not about metas as clients see them.
  const roost::tracker& tracker() const noexcept { return tracker_; }

 private:
  roost::tracker tracker_;
  std::shared_ptr<const fetch_function> fetch_;
};

}  // namespace roost
