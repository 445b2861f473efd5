// private: what a client of the tests sends and what it is sent, to frames of protocol 2 and from
// them. Pure.
#pragma once
#include "channels/payload.hpp"

namespace roost::detail {

struct client_message {
  std::string join_ref;  // empty: none
  std::string ref;
  std::string topic;
  std::string event;
  roost::payload payload;
};

std::string to_text(const client_message& message);
/// Throws std::invalid_argument when a name is longer than 255 bytes.
std::string to_binary(const client_message& message);

enum class came_as : std::uint8_t { push, reply, broadcast };

struct received {
  came_as kind = came_as::push;
  std::string topic;
  std::string name;           // the event; of a reply, the status
  std::string join_ref = {};  // empty: none
  std::string ref = {};       // of a reply
  roost::payload payload = {};
  bool expected = false;  // a test has had it
};

// They throw std::logic_error on what no server of ours sends.
received from_text(std::string_view frame);
received from_binary(std::string_view frame);

}  // namespace roost::detail
