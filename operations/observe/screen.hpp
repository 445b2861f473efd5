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

/// How many lines a page has between head and foot.
std::size_t room_in(screen_size size);

/// The whole page, however long, without head and foot.
std::vector<screen_line> body_of(const look& seen, const choice& chosen, std::size_t width);

/// Exactly `height` lines of at most `width` columns. Corrects `chosen.scrolled` when it is past
/// the end.
std::vector<screen_line> screen_of(const look& seen, choice& chosen, screen_size size);

/// All pages one after the other, for a file or a pipe.
std::string picture_of(const std::vector<std::pair<page, look>>& all, std::size_t width);

std::string as_plain(const screen_line& line, std::size_t width);
std::string as_ansi(const screen_line& line, std::size_t width);

}  // namespace roost::detail
