// A number that other processes read and bump.
#pragma once
#include "runtime/gen_server.hpp"

struct counter {
  struct get { using reply = int; };  // has a reply: a call
  struct bump { int by = 1; };  // has none: a cast
  using messages = roost::messages<get, bump>;

  int value = 0;

  int handle_call(get) const { return value; }
  void handle_cast(bump message) { value += message.by; }
};
