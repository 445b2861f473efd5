// private: what nodes gossip: one packet with a name and the time, encrypted; and who was heard.
//
//   "roost1" | nonce, 12 bytes | AES-256-GCM of (milliseconds since 1970, 8 bytes, big-endian |
//   name) | tag, 16 bytes
//
// Pure, but for the random nonce. Nonces may be drawn at random because heartbeats are few: even a
// thousand nodes need months for the 2^32 packets that NIST SP 800-38D allows with one key.
//
// Thread safety: values. Source: RFC 5869 (HKDF), NIST SP 800-38D (GCM).
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace roost::discovery {

using heartbeat_key = std::array<unsigned char, 32>;

inline constexpr std::size_t largest_heartbeat = 512;

heartbeat_key derive_heartbeat_key(std::string_view secret);

struct heartbeat {
  std::string node;
  std::chrono::system_clock::time_point sent;
};

/// The packet. Throws std::runtime_error when OpenSSL fails or the name is too long.
std::string seal_heartbeat(const heartbeat_key& key, const heartbeat& heartbeat);

/// Nothing for everything that was not made by seal_heartbeat with this key.
std::optional<heartbeat> open_heartbeat(const heartbeat_key& key, std::string_view packet);

/// Who has been heard lately. A node counts for 15 s after its last heartbeat; they come every 2.5
/// s on average, so some may be lost.
class heard_nodes {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Past 10,000 nodes new ones are not kept: somebody who has the secret is making names up.
  void note(const std::string& node, time_point now);
  std::vector<std::string> current(time_point now);

 private:
  std::map<std::string, time_point> last_;
};

}  // namespace roost::discovery
