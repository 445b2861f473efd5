#include "channels/transport/file_body.hpp"
#include <unistd.h>
#include <algorithm>

namespace roost::detail {

file_body::~file_body() {
  if (fd >= 0) ::close(fd);
}

bool file_body::read_piece(std::string& piece) {
  constexpr std::size_t largest = 64 * 1024;
  piece.resize(std::min(left, largest));
  auto count = ::read(fd, piece.data(), piece.size());
  piece.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  left -= piece.size();
  return count > 0;
}

}  // namespace roost::detail
