#include "channels/transport/outlet.hpp"
#include "channels/transport/frame_codec.hpp"

namespace roost::detail {

framed_message message_in(const shared_frame& frame) noexcept {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(frame.bytes[i]); };
  auto kind = (byte(0) & 0x0F) == static_cast<unsigned char>(opcode::text) ? encoded::text
                                                                           : encoded::binary;
  auto length = byte(1) & 0x7F;  // the server does not mask
  std::size_t header = length == 127 ? 10 : length == 126 ? 4 : 2;
  return {kind, std::string_view(frame.bytes).substr(header)};
}

}  // namespace roost::detail
