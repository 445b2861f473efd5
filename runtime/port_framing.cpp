#include "runtime/port_framing.hpp"
#include <utility>

namespace roost::detail {
namespace {

std::size_t length_of(std::string_view header) {
  std::size_t length = 0;
  for (auto byte : header) length = length << 8 | static_cast<unsigned char>(byte);
  return length;
}

}  // namespace

bool port_framing::feed(std::string_view bytes, const deliver_function& deliver) {
  if (packet_ != 0) return feed_packets(bytes, deliver);
  if (line_ != 0)
    feed_lines(bytes, deliver);
  else
    deliver(std::string(bytes), false);
  return true;
}

bool port_framing::feed_packets(std::string_view bytes, const deliver_function& deliver) {
  rest_ += bytes;
  std::string_view left = rest_;
  while (left.size() >= packet_) {
    auto length = length_of(left.substr(0, packet_));
    if (length > max_packet_) return false;
    if (left.size() < packet_ + length) break;
    deliver(std::string(left.substr(packet_, length)), false);
    left.remove_prefix(packet_ + length);
  }
  rest_.erase(0, rest_.size() - left.size());
  return true;
}

void port_framing::feed_lines(std::string_view bytes, const deliver_function& deliver) {
  while (!bytes.empty()) {
    auto room = line_ - rest_.size();
    auto end = bytes.find('\n');
    if (end != bytes.npos && end <= room) {
      rest_ += bytes.substr(0, end);
      bytes.remove_prefix(end + 1);
      deliver(std::exchange(rest_, {}), true);
    } else if (bytes.size() > room || end != bytes.npos) {
      rest_ += bytes.substr(0, room);
      bytes.remove_prefix(room);
      deliver(std::exchange(rest_, {}), false);
    } else {
      rest_ += bytes;  // full at most: whether the line ends here is not known yet
      bytes = {};
    }
  }
}

void port_framing::finish(const deliver_function& deliver) {
  if (line_ != 0 && !rest_.empty()) deliver(std::exchange(rest_, {}), false);
}

std::string packet_header(int packet, std::size_t size) {
  std::string header(static_cast<std::size_t>(packet), '\0');
  for (auto byte = header.rbegin(); byte != header.rend(); ++byte, size >>= 8)
    *byte = static_cast<char>(size & 0xFF);
  return header;
}

}  // namespace roost::detail
