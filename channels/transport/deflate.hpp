// private: permessage-deflate (RFC 7692) without memory of its own for each connection.
//
// Both directions are agreed to begin anew with each message ("no context takeover"), so all
// connections of a worker share its compressors: a connection costs nothing, whatever the other
// side sends, and a broadcast is compressed once. What a longer memory would save is given up for
// that.
//
//   auto agreed = agree_on_deflate(request["sec-websocket-extensions"]);
//   if (agreed) { answer(agreed->header); deflate_message(text, agreed->window_bits, out); }
//
// Thread safety: each thread has its own compressors.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace roost::detail {

struct deflate_agreement {
  int window_bits = 15;  // of what the server sends
  std::string header;    // for sec-websocket-extensions
};

/// The first offer that can be accepted; nothing if there is none.
std::optional<deflate_agreement> agree_on_deflate(std::string_view offers);

/// Adds the compressed message to `out`, as a frame with RSV1 carries it.
void deflate_message(std::string_view message, int window_bits, std::string& out);

enum class inflated { ok, too_big, malformed };
/// Adds the message to `out`; never more than `most` bytes, however small what came is.
inflated inflate_message(std::string_view compressed, std::size_t most, std::string& out);

}  // namespace roost::detail
