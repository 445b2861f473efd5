// Two nodes: one counts, the other tells it to and watches it. Run each in a terminal of its own,
// in any order, and kill the first with Ctrl-\ to see what the second hears:
//
//   two_nodes a
//   two_nodes b
//
// Both read the same secret from ~/.roost.cookie, which the first start makes.
#include "runtime/distribution/node.hpp"
#include "runtime/runtime.hpp"
#include <cstdio>
#include <iostream>

using namespace std::chrono_literals;

/// A number that processes of any node read and bump. Nothing is written to send its messages to
/// another node: they are structs.
struct counter {
  struct get { using reply = int; };
  struct bump {
    int by = 1;
    std::string who = {};
  };
  using messages = roost::messages<get, bump>;

  int value = 0;

  int handle_call(get) const { return value; }
  void handle_cast(const bump& message) {
    value += message.by;
    std::printf("%s bumps the counter to %d\n", message.who.c_str(), value);
  }
};

/// Keeps the counter of the other node going for as long as it is there.
struct watcher {
  struct tick {};
  using messages = roost::messages<>;
  using infos = roost::messages<tick, roost::nodeup, roost::nodedown>;

  std::string other;

  static roost::init_result<watcher> init(std::string other) {
    roost::node::monitor_nodes(true);
    roost::send(roost::self(), tick{});
    return watcher{std::move(other)};
  }

  roost::server<counter> there() const { return {"counter", other}; }

  void handle_info(const roost::nodeup& up) {
    std::printf("%s is there\n", up.node.c_str());
    roost::monitor(there().process());
  }
  void handle_info(const roost::nodedown& down) {
    std::printf("%s is gone: %s\n", down.node.c_str(), down.reason.c_str());
  }
  void handle_info(const roost::down& down) {
    std::printf("its counter is gone: %s\n", down.reason.to_string().c_str());
  }
  /// Sending to a node connects to it.
  void handle_info(tick) {
    roost::cast(there(), counter::bump{.by = 1, .who = roost::node::self()});
    roost::call(there(), counter::get{}, 1s)
        .then(
            [](int value) { std::printf("the counter over there is at %d\n", value); },
            [](const roost::exit_reason&) {});
    roost::send_after(1s, roost::self(), tick{});
  }
};

int main(int argc, char** argv) {
  std::string me = argc > 1 ? argv[1] : "";
  if (me != "a" && me != "b") {
    std::fprintf(stderr, "expected a or b, got \"%s\"\n", me.c_str());
    return 2;
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  roost::runtime runtime;
  roost::node::start({.name = me + "@127.0.0.1"});
  if (me == "a")
    roost::start<counter>({.name = "counter"}, 0);
  else
    roost::start<watcher>(std::string("a@127.0.0.1"));
  std::puts("press Enter to leave");
  std::cin.get();
  roost::node::stop();
}
