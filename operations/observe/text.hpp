// private: text for a terminal: how wide it is, cut and filled to a width, and free of everything
// that a terminal would obey. Names and topics come from anywhere, so all of them pass clean().
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace roost::detail {

/// Without control characters, without what changes the direction of text, and in UTF-8: each of
/// them reads as a question mark.
std::string clean(std::string_view text);

/// The columns that clean text takes.
std::size_t columns(std::string_view text);

enum class side : std::uint8_t { left, right };

/// Exactly so many columns: filled with spaces at the other side, or cut, with "…" at the end.
std::string fitted(std::string_view clean_text, std::size_t width, side where = side::left);

std::string human_bytes(double count);
std::string human_count(double count);                  // 12,345
std::string human_rate(double per_second);              // 3.5/s
std::string human_duration(std::int64_t milliseconds);  // 3h 12m
std::string bar(double share, std::size_t width);       // ███▌····

}  // namespace roost::detail
