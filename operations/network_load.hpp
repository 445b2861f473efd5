// private: how busy the network interfaces are. Source: proc(5), /proc/net/dev.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace roost::detail {

struct interface_bytes {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  friend bool operator==(const interface_bytes&, const interface_bytes&) = default;
};

/// By the interface's name. Pure.
std::map<std::string, interface_bytes> parse_net_dev(std::string_view text);

std::map<std::string, interface_bytes> read_net_dev();

/// Bits per second; 0: it tells none, as virtual ones do.
std::uint64_t interface_speed(const std::string& name);

/// The busier direction, as a part of the speed: 1 is all of it.
double network_load(
    const interface_bytes& before, const interface_bytes& now, std::chrono::nanoseconds passed,
    std::uint64_t bits_per_second);

}  // namespace roost::detail
