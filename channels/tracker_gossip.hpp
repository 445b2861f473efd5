// private: how the nodes of a tracker tell each other who is present. Pure: what is to be sent and
// told is collected, and time is a parameter.
//
// Each node tells of its own presences only. A *beat* goes to all: what has changed since the last
// one, and the number of the last change. Whoever lacks something then asks that node, and is
// answered with the changes since, or, where these are not kept any more, page by page with
// everything: the one who asks sets the pace, so that a large state never floods a link.
//
// Changes are told at once. When nothing changes, the two following periods have a beat each, so
// that a lost one is noticed, and later ones every max_silent_periods.
//
// Whoever has not been heard of for down_period is hidden, and shown again when it is heard of;
// after permdown_period it is forgotten. A link that is lost hides at once. A goodbye forgets at
// once. A node that has been started again takes the place of what it was before.
//
// Source: Phoenix.Tracker.Shard.
#pragma once
#include "channels/tracker_state.hpp"
#include <chrono>
#include <variant>

namespace roost::detail {

struct tracker_beat {
  std::uint64_t last = 0;
  tracker_delta delta = {};
};
struct tracker_request {
  std::uint64_t incarnation = 0;  // of the one who is asked
  std::uint64_t reach = 0;        // what is there already
  std::uint64_t after = 0;        // where the next page begins
  std::uint64_t until = 0;        // 0: nothing has been answered so far
};
struct tracker_goodbye {};

struct tracker_message {
  replica_id from;
  std::variant<tracker_beat, tracker_request, presence_page, tracker_goodbye> content;
};

struct tracker_settings {
  std::chrono::milliseconds broadcast_period{1'500};
  int max_silent_periods = 10;
  std::chrono::milliseconds down_period{30'000};
  std::chrono::milliseconds permdown_period{1'200'000};
  page_limits limits = {};
};

class tracker_gossip {
 public:
  using time = std::chrono::steady_clock::time_point;

  struct letter {
    std::string to;  // a node; empty: to all
    tracker_message message;
  };
  struct output {
    std::vector<letter> letters = {};
    presence_changes changes = {};
    std::vector<std::pair<std::string, std::string_view>> events = {};  // node, what became of it
  };

  tracker_gossip(tracker_state& state, tracker_settings settings)
      : state_(state), settings_(settings) {}

  void receive(const tracker_message& message, time now, output& out);
  /// Tells what has changed here.
  void flush(output& out);
  /// Once every broadcast_period.
  void tick(time now, output& out);
  void node_lost(const std::string& node, time now, output& out);
  void node_found(const std::string& node) { lost_.erase(node); }
  /// Before this replica ends.
  void goodbye(output& out) const { say(out, {}, tracker_goodbye{}); }
  /// Says that this node is there and how far it has come.
  tracker_message greeting() const { return {state_.self(), tracker_beat{told(), {}}}; }

 private:
  /// A page that has been asked for.
  struct question {
    std::uint64_t after = 0;
    std::uint64_t until = 0;
    time asked_at;
  };
  struct peer {
    time heard_at;
    std::uint64_t last = 0;
    std::optional<question> asked = {};
  };
  struct end {
    std::uint64_t incarnation;
    time at;
  };
  using replica = tracker_state::replica;

  std::uint64_t told() const noexcept { return state_.own().told(); }
  template <class Content>
  void say(output& out, std::string to, Content content) const {
    out.letters.push_back({std::move(to), {state_.self(), std::move(content)}});
  }
  bool is_believed(const replica_id& from, time now) const;
  replica& welcome(const replica_id& from, time now, output& out);
  void ask(const std::string& node, peer& peer, const replica& replica, question what, output& out);
  void look_for_gaps(const std::string& node, replica& replica, time now, output& out);
  void take(
      const std::string& node, replica& replica, const tracker_beat& beat, time now, output& out);
  void take(
      const std::string& node, replica& replica, const presence_page& page, time now, output& out);
  void answer(const std::string& node, const tracker_request& request, output& out) const;
  void look_after_peers(time now, output& out);

  tracker_state& state_;
  tracker_settings settings_;
  std::map<std::string, peer, std::less<>> peers_;  // one for each replica of the state
  std::map<std::string, time, std::less<>> lost_;   // links that have just been lost
  std::map<std::string, end, std::less<>> ended_;   // who has said goodbye
  int periods_since_change_ = 0;
  int periods_since_beat_ = 0;
};

}  // namespace roost::detail
