// private: bytes to messages and back, for ports. Pure: no descriptors, no processes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace roost::detail {

/// Cuts what a program writes into messages.
class port_framing {
 public:
  /// `deliver(bytes, eol)`
  using deliver_function = std::function<void(std::string bytes, bool eol)>;

  port_framing(int packet, std::size_t line, std::size_t max_packet)
      : packet_(static_cast<std::size_t>(packet)), line_(line), max_packet_(max_packet) {}

  /// Answers false when a packet is larger than it may be.
  bool feed(std::string_view bytes, const deliver_function& deliver);

  /// The output has ended: a line without its end is delivered, a packet without its end is not.
  void finish(const deliver_function& deliver);

 private:
  bool feed_packets(std::string_view bytes, const deliver_function& deliver);
  void feed_lines(std::string_view bytes, const deliver_function& deliver);

  std::size_t packet_;
  std::size_t line_;
  std::size_t max_packet_;
  std::string rest_;
};

/// The largest packet that a length of so many bytes can tell.
constexpr std::uint64_t largest_packet(int packet) {
  return packet == 0 ? ~0ULL : (1ULL << (8 * packet)) - 1;
}

/// The length, big-endian.
std::string packet_header(int packet, std::size_t size);

}  // namespace roost::detail
