// The processes of sample_node.cpp, and what happens to them.
#pragma once
#include "runtime/runtime.hpp"
#include "runtime/system_monitor.hpp"
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace roost::test {

// --- events --------------------------------------------------------------------------------------

inline std::mutex events_mutex;
inline std::vector<std::string> events;

inline double now_ms() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(now).count()) /
         1000.0;
}

inline void happened(const std::string& what) {
  char time[32];
  std::snprintf(time, sizeof time, "%.3f", now_ms());
  std::lock_guard guard{events_mutex};
  events.push_back(std::string(time) + " " + what);
}

/// All since it was asked last.
inline std::string drained_events() {
  std::lock_guard guard{events_mutex};
  std::string all;
  for (auto& one : std::exchange(events, {})) all += (all.empty() ? "" : "|") + one;
  return all;
}

// --- what runs here ------------------------------------------------------------------------------

/// A message that grows from one version of the program to the next.
struct greeting {
  static constexpr std::string_view wire_name = "sample.greeting";
  using reply = std::string;
  std::string name;
#ifdef NEWER
  int year = 2000;
  std::vector<std::string> titles = {};
#endif
};

#ifdef NEWER
/// Only the newer program knows it.
struct news {
  static constexpr std::string_view wire_name = "sample.news";
  using reply = int;
  std::string text;
};
#endif

/// One of many from the same sender.
struct numbered {
  roost::pid sender;
  std::uint64_t number = 0;
  std::string load;
};

struct sample {
  struct echo {
    using reply = std::string;
    std::string text;
  };
  struct me { using reply = roost::pid; };
  struct crash {};
  struct stats { using reply = std::string; };
  struct link_to { roost::pid other; };
  using messages = roost::messages<
      echo, me, crash, stats, link_to, greeting
#ifdef NEWER
      ,
      news
#endif
      >;
  using infos = roost::messages<numbered, std::string>;

  std::map<roost::pid, std::uint64_t> last = {};
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t disorder = 0;

  std::string handle_call(echo message) { return message.text; }
  roost::pid handle_call(me) { return roost::self(); }
  std::string handle_call(stats) {
    std::ostringstream out;
    out << "count=" << count << " bytes=" << bytes << " disorder=" << disorder
        << " senders=" << last.size();
    return out.str();
  }
  std::string handle_call(greeting message) {
#ifdef NEWER
    return message.name + " " + std::to_string(message.year);
#else
    return message.name;
#endif
  }
#ifdef NEWER
  int handle_call(news) { return 1; }
#endif
  void handle_cast(crash) { throw std::runtime_error("crashed on demand"); }
  void handle_cast(link_to message) {
    roost::trap_exit(true);
    roost::link(message.other);
  }
  void handle_info(const numbered& message) {
    ++count;
    bytes += message.load.size();
    auto& before = last[message.sender];
    if (message.number <= before) ++disorder;
    before = message.number;
  }
  void handle_info(const std::string& text) { happened("message " + text.substr(0, 80)); }
  void handle_info(const roost::exited& exit) {
    happened("exit " + to_string(exit.from) + " " + exit.reason.to_string());
  }
};

struct watcher {
  struct watch_name {
    using reply = std::string;
    std::string name, node;
  };
  struct watch_pid { roost::pid process; };
  struct watch_node { std::string node; };
  struct subscribe {
    using reply = bool;
    bool on;
  };
  using messages = roost::messages<watch_name, watch_pid, watch_node, subscribe>;
  using infos = roost::messages<roost::nodeup, roost::nodedown, roost::busy_dist_port>;

  int seen = 0;

  static roost::init_result<watcher> init() {
    roost::system_monitor(roost::self(), {.busy_dist_port = true});
    return watcher{};
  }
  std::string handle_call(const watch_name& what) {
    return to_string(roost::monitor(roost::name_on(what.name, what.node)));
  }
  void handle_cast(watch_pid what) { roost::monitor(what.process); }
  void handle_cast(const watch_node& what) { roost::node::monitor(what.node); }
  bool handle_call(subscribe what) {
    roost::node::monitor_nodes(
        what.on, {.node_type = roost::node::monitor_nodes_options::types::all});
    return true;
  }
  void handle_info(const roost::nodeup& up) { happened("nodeup " + up.node); }
  void handle_info(const roost::nodedown& down) {
    happened("nodedown " + down.node + " " + down.reason);
  }
  void handle_info(const roost::down& down) {
    happened("down " + to_string(down.process) + " " + down.reason.to_string());
  }
  void handle_info(const roost::busy_dist_port& busy) { happened("busy " + busy.node); }
};

/// Sends numbered messages, a few per turn, so that a busy link can hold it back.
struct flooder {
  struct go {};
  using messages = roost::messages<>;
  using infos = roost::messages<go>;

  roost::pid to;
  std::uint64_t total;
  std::size_t size;
  std::uint64_t number = 0;

  static roost::init_result<flooder> init(roost::pid to, std::uint64_t total, std::size_t size) {
    roost::send(roost::self(), go{});
    return flooder{to, total, size};
  }
  roost::cast_result handle_info(go) {
    for (int i = 0; i < 20 && number < total; ++i)
      roost::send(to, numbered{roost::self(), ++number, std::string(size, 'x')});
    if (number == total) {
      happened("flooded " + std::to_string(number));
      return roost::stop(roost::exit_reason::normal);
    }
    roost::send(roost::self(), go{});
    return roost::noreply();
  }
};

/// Sends a numbered message now and then, for ever.
struct trickle {
  struct go {};
  using messages = roost::messages<>;
  using infos = roost::messages<go>;

  roost::pid to;
  std::chrono::milliseconds pause;
  std::uint64_t number = 0;

  static roost::init_result<trickle> init(roost::pid to, std::chrono::milliseconds pause) {
    roost::send(roost::self(), go{});
    return trickle{to, pause};
  }
  void handle_info(go) {
    roost::send(to, numbered{roost::self(), ++number, "drop"});
    roost::send_after(pause, roost::self(), go{});
  }
};

}  // namespace roost::test
