#include "channels/transport/utf8.hpp"
#include <simdjson.h>
#include <algorithm>
#include <array>

namespace roost {

bool is_utf8(std::span<const char> bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size());
}

namespace {

std::size_t character_length(char lead) {
  const auto byte = static_cast<std::uint8_t>(lead);
  return byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
}

}  // namespace

std::size_t cut_off_tail(std::span<const char> bytes) {
  for (std::size_t size = 1; size <= std::min<std::size_t>(3, bytes.size()); ++size) {
    const char byte = bytes[bytes.size() - size];
    const bool continues_character = (byte & 0xc0) == 0x80;
    if (!continues_character) return character_length(byte) > size ? size : 0;
  }
  return 0;
}

bool may_become_character(std::span<const char> bytes) {
  if (bytes.empty()) return true;
  const auto lead = static_cast<std::uint8_t>(bytes[0]);
  if (bytes.size() == 1) return lead >= 0xc2 && lead <= 0xf4;
  // Only the second byte has a range that depends on the first, so any continuation completes it.
  std::array<char, 4> whole = {'\x80', '\x80', '\x80', '\x80'};
  std::copy(bytes.begin(), bytes.end(), whole.begin());
  return is_utf8(std::span(whole).first(character_length(bytes[0])));
}

}  // namespace roost
