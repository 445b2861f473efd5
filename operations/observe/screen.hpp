// private: a look as lines of text. Pure: no terminal, no clock.
#pragma once
#include "operations/observe/looks.hpp"

namespace roost::detail {

enum class ink : std::uint8_t { plain, dim, strong, title, good, warning, bad };

struct stretch {
  std::string text;  // clean
  ink with = ink::plain;
};
using screen_line = std::vector<stretch>;

struct screen_size {
  std::size_t width = 80;
  std::size_t height = 24;
};

/// The whole page, however long, without head and foot.
std::vector<screen_line> body_of(const look& seen, const choice& chosen, std::size_t width);

/// Exactly `height` lines of at most `width` columns. Corrects `chosen.scrolled` when it is past
/// the end.
std::vector<screen_line> screen_of(const look& seen, choice& chosen, screen_size size);

/// All pages one after the other, for a file or a pipe.
std::string picture_of(const std::vector<std::pair<page, look>>& all, std::size_t width);

std::string as_plain(const screen_line& line, std::size_t width);
std::string as_ansi(const screen_line& line, std::size_t width);

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
