// private: UTF-8, also in texts that come in pieces. Pure.
#pragma once
#include <cstddef>
#include <span>

namespace roost {

bool is_utf8(std::span<const char> bytes);

/// How many bytes at the end belong to a character whose last bytes are not there.
std::size_t cut_off_tail(std::span<const char> bytes);

/// Whether some character begins with these 0 to 3 bytes.
bool may_become_character(std::span<const char> bytes);

}  // namespace roost
