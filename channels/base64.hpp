// private: bytes as text that survives everywhere (RFC 4648). Decoding takes only what encoding
// writes: two texts never mean the same bytes.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

/// With - and _ for + and /, and without padding.
std::string to_base64url(std::string_view bytes);
std::optional<std::string> from_base64url(std::string_view text);

}  // namespace roost::detail
