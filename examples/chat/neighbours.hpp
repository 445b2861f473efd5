// The other nodes of the chat, and where their pages are. A process tells each node that comes
// its own address; the page reads the list and lets its user go from one node to another.
//
//   chat::current_neighbours()      // {{"chat2@127.0.0.1", "http://127.0.0.1:4001"}, …}
//
// Thread safety: any thread.
#pragma once
#include "supervision/supervisor.hpp"
#include <string>
#include <vector>

namespace chat {

struct neighbour {
  std::string node;
  std::string url;  // of its page
};

/// As of now, by name.
std::vector<neighbour> current_neighbours();

/// This node's own address, which others are told.
std::string own_url();

roost::child_spec neighbours_child();

}  // namespace chat
