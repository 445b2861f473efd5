// A server and its use: tell it something, ask it something.
#include "runtime/gen_server.hpp"
#include "runtime/runtime.hpp"
#include <cstdio>

/// A number that other processes read and bump.
struct counter {
  struct get { using reply = int; };  // has a reply: a call
  struct bump { int by = 1; };  // has none: a cast
  using messages = roost::messages<get, bump>;

  int value = 0;

  int handle_call(get) const { return value; }
  void handle_cast(bump message) { value += message.by; }
};

int main() {
  roost::runtime runtime;
  auto c = roost::start_link<counter>({.name = "counter"}, 10);

  roost::cast(c, counter::bump{.by = 5});        // never waits
  int n = roost::call(c, counter::get{}).get();  // waits for the answer
  std::printf("the counter is at %d\n", n);
}
