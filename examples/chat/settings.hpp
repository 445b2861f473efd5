// What the chat reads from its own section of the configuration, once, before anything starts.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace chat {

struct settings {
  std::vector<std::string> rooms = {"lobby", "random", "cpp"};
  std::size_t history = 50;  // messages that a room remembers
  bool allow_crash = false;  // offers buttons and routes that break things, to watch them return
};

/// Throws config_error if the section cannot be used.
const settings& current_settings();

}  // namespace chat
