#include "channels/transport/http_output.hpp"

namespace roost::detail {

io_result http_output::write_to(byte_stream& stream) {
  constexpr int pieces_at_once = 16;
  std::size_t taken = 0;
  for (int pieces = 0;; ++pieces) {
    while (sent_ < bytes_.size()) {
      auto [state, count] = stream.write(std::string_view(bytes_).substr(sent_));
      if (state != io_state::done) return {state, taken};
      sent_ += count;
      taken += count;
    }
    bytes_.clear();
    sent_ = 0;
    if (file_.left == 0) break;
    if (pieces == pieces_at_once) return {io_state::blocked, taken};
    if (!file_.read_piece(bytes_)) return {io_state::ended, taken};
  }
  file_ = {};
  return {io_state::done, taken};
}

}  // namespace roost::detail
