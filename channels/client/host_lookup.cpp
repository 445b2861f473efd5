#include "channels/client/host_lookup.hpp"
#include "runtime/net/dns.hpp"
#include "runtime/scheduler.hpp"
#include <arpa/inet.h>
#include <array>
#include <map>
#include <mutex>

namespace roost::detail {

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> address;
  return ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

std::vector<std::string> look_up_host(const std::string& host, std::chrono::milliseconds timeout) {
  struct known_host {
    std::vector<std::string> addresses;
    std::uint64_t since;
  };
  constexpr std::uint64_t fresh_ms = 1000;
  constexpr std::size_t most = 64;
  static std::mutex mutex;
  static auto& known = *new std::map<std::string, known_host>;
  {
    std::lock_guard guard{mutex};
    auto found = known.find(host);
    if (found != known.end() && exact_now() - found->second.since < fresh_ms)
      return found->second.addresses;
  }
  auto addresses = net::addresses_of({.name = host, .timeout = timeout});
  std::lock_guard guard{mutex};
  if (known.size() >= most) known.clear();
  known[host] = {addresses, exact_now()};
  return addresses;
}

}  // namespace roost::detail
