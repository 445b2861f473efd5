// private: the buffers that all connections of a worker share, so that an idle one holds none.
#pragma once
#include <span>
#include <string>

namespace roost::detail {

/// One for all connections of a worker: nothing stays in it between two reads.
std::span<char> read_buffer();

/// Before something is appended to an output: an empty one without room gets a buffer that has
/// been used before, if there is one.
void give_room(std::string& output);

/// When an output has been sent: takes its buffer for others.
void take_room(std::string& output);

}  // namespace roost::detail
