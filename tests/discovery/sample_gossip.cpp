// One node that gossips, for tests in which each has a network of its own: says whom it hears, each
// time that this changes, until it is killed.
//
//   sample_gossip a@10.0.0.1 secret [if_addr=…] [multicast_addr=…] [multicast_if=…]
//   [broadcast_only=1]
#include "runtime/discovery/gossip.hpp"
#include <iostream>
#include <thread>

int main(int count, char** words) {
  using namespace roost::discovery;
  if (count < 3) return 2;
  gossip::options options;
  options.secret = words[2];
  for (int i = 3; i < count; ++i) {
    std::string word = words[i];
    auto value = word.substr(word.find('=') + 1);
    if (word.starts_with("if_addr=")) options.if_addr = value;
    if (word.starts_with("multicast_addr=")) options.multicast_addr = value;
    if (word.starts_with("multicast_if=")) options.multicast_if = value;
    if (word.starts_with("broadcast_only=")) options.broadcast_only = value == "1";
  }
  std::string self = words[1];
  gossip how(options, {.self = [self] { return self; }, .cookie = {}, .names = {}});
  std::string last;
  for (;;) {
    std::string now;
    try {
      now = "hears";
      for (auto& node : how.look()) now += " " + node;
    } catch (const std::runtime_error& error) {
      now = error.what();
    }
    if (now != last) std::cout << now << " ." << std::endl;
    last = now;
    std::this_thread::sleep_for(how.interval());
  }
}
