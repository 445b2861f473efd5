// private: who a client is when balancers stand in between. Pure.
//
//   networks trusted({"10.0.0.0/8", "127.0.0.1"});
//   trusted.contain("10.1.2.3")                                          // true
//   forwarded_client("10.1.2.3", "1.2.3.4, 10.9.9.9", trusted)           // "1.2.3.4"
//
//   auto header = parse_proxy_header(bytes);      // PROXY protocol, version 1 or 2
//   if (header.state == proxy_header::incomplete) wait for more
//
// Sources: RFC 7239's security considerations (the rightmost address that is not ours counts: what
// stands left of it the client may have written), HAProxy's proxy-protocol.txt.
#pragma once
#include <netinet/in.h>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace roost::detail {

class networks {
 public:
  networks() = default;
  /// Throws std::invalid_argument for anything but an address or address/bits.
  explicit networks(const std::vector<std::string>& texts);

  bool contain(std::string_view address) const;
  bool empty() const noexcept { return all_.empty(); }

 private:
  struct network {
    std::array<unsigned char, 16> bytes;  // IPv4 as ::ffff:a.b.c.d
    unsigned bits;
  };
  std::vector<network> all_;
};

struct peer_address {
  std::string address;
  std::uint16_t port = 0;
};
/// Of what accept() says, which may be a sockaddr_in as well.
peer_address peer_of(const sockaddr_in6& accepted);

/// The client's address, given the connection's peer and the values of X-Forwarded-For joined by
/// commas. The peer itself unless it is trusted.
std::string forwarded_client(
    std::string_view peer, std::string_view forwarded_for, const networks& trusted);

struct proxy_header {
  enum class kind { complete, incomplete, malformed };

  kind state = kind::malformed;
  std::size_t size = 0;  // of a complete one
  /// Empty: the balancer speaks for itself (LOCAL, UNKNOWN), as in its health checks.
  std::string address = {};
  std::uint16_t port = 0;
};

/// The longest that is taken: version 1 has 107 bytes at most, version 2 with its options 536 here.
inline constexpr std::size_t max_proxy_header = 536;

proxy_header parse_proxy_header(std::string_view bytes);

}  // namespace roost::detail
