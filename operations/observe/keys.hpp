// private: the keys of a terminal, and what each does to a screen. Pure.
#pragma once
#include "operations/observe/screen.hpp"

namespace roost::detail {

enum class key : std::uint8_t { none, up, down, page_up, page_down, home, end, tab, back_tab };

/// One key that somebody has pressed: a character, or one without.
struct pressed {
  char letter = 0;
  key special = key::none;
};

/// Takes whole keys from the front of what was typed; what may be the beginning of one is left.
std::vector<pressed> keys_in(std::string& typed);

enum class wish : std::uint8_t { nothing, redraw, look, leave };

/// What a key changes, and what has to be done about it.
wish apply(pressed what, choice& chosen, const look& seen, screen_size size);

}  // namespace roost::detail
