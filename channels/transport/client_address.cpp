#include "channels/transport/client_address.hpp"
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace roost::detail {
namespace {

using address_bytes = std::array<unsigned char, 16>;

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::optional<address_bytes> parse_address(std::string_view text) {
  std::string copy(text);
  address_bytes bytes{};
  if (::inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1) return bytes;
  if (::inet_pton(AF_INET, copy.c_str(), bytes.data() + 12) != 1) return std::nullopt;
  bytes[10] = bytes[11] = 0xFF;
  return bytes;
}

/// "1.2.3.4:567", "[::1]:567" and "::1" without what is no address.
std::string_view without_port(std::string_view text) {
  if (text.starts_with('[')) return text.substr(1, text.find(']') - 1);
  auto colon = text.find(':');
  if (colon != text.npos && text.find(':', colon + 1) == text.npos) return text.substr(0, colon);
  return text;
}

bool same_bits(const address_bytes& a, const address_bytes& b, unsigned bits) {
  auto whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  auto mask = static_cast<unsigned char>(0xFF << (8 - bits % 8));
  return ((a[whole] ^ b[whole]) & mask) == 0;
}

template <class Number>
bool parse_number(std::string_view text, Number& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string print_address(int family, const void* bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(family, bytes, text.data(), text.size());
  return text.data();
}

// --- the PROXY protocol --------------------------------------------------------------------------

constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t longest_text = 107;

using kind = proxy_header::kind;

proxy_header parse_text(std::string_view bytes) {
  auto end = bytes.substr(0, longest_text).find("\r\n");
  if (end == bytes.npos)
    return {.state = bytes.size() < longest_text ? kind::incomplete : kind::malformed};
  std::vector<std::string_view> words;
  for (auto line = bytes.substr(0, end); !line.empty();) {
    auto space = line.find(' ');
    words.push_back(line.substr(0, space));
    line.remove_prefix(space == line.npos ? line.size() : space + 1);
  }
  if (words.size() >= 2 && words[1] == "UNKNOWN") return {.state = kind::complete, .size = end + 2};
  proxy_header header{.state = kind::complete, .size = end + 2};
  bool good = words.size() == 6 && (words[1] == "TCP4" || words[1] == "TCP6") &&
              parse_address(words[2]) && parse_address(words[3]) &&
              parse_number(words[4], header.port);
  if (!good) return {};
  header.address = words[2];
  return header;
}

proxy_header parse_binary(std::string_view bytes) {
  if (bytes.size() < 16) return {.state = kind::incomplete};
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  auto number = [&](std::size_t i) {
    return static_cast<std::uint16_t>(byte(i) << 8 | byte(i + 1));
  };
  auto version = byte(12) >> 4;
  auto command = byte(12) & 0xF;
  auto family = byte(13) >> 4;
  std::size_t size = 16U + number(14);
  if (version != 2 || command > 1 || size > max_proxy_header) return {};
  if (bytes.size() < size) return {.state = kind::incomplete};
  proxy_header header{.state = kind::complete, .size = size};
  if (command == 0) return header;
  if (family == 1 && size >= 16 + 12) {
    header.address = print_address(AF_INET, bytes.data() + 16);
    header.port = number(24);
  } else if (family == 2 && size >= 16 + 36) {
    header.address = print_address(AF_INET6, bytes.data() + 16);
    header.port = number(48);
  } else if (family == 1 || family == 2) {
    return {};
  }
  return header;
}

}  // namespace

networks::networks(const std::vector<std::string>& texts) {
  for (auto& text : texts) {
    auto slash = text.find('/');
    auto address = parse_address(std::string_view(text).substr(0, slash));
    bool v4 = text.find(':') == text.npos;
    unsigned bits = v4 ? 32 : 128;
    bool good = address.has_value();
    if (good && slash != text.npos) {
      unsigned given = 0;
      good = parse_number(std::string_view(text).substr(slash + 1), given) && given <= bits;
      bits = given;
    }
    if (!good)
      throw std::invalid_argument(
          "expected an entry of trusted_proxies to be an address or a network such as "
          "10.0.0.0/8, got " +
          text);
    all_.push_back({*address, v4 ? bits + 96 : bits});
  }
}

bool networks::contain(std::string_view address) const {
  if (all_.empty()) return false;
  auto bytes = parse_address(address);
  if (!bytes) return false;
  for (auto& network : all_)
    if (same_bits(*bytes, network.bytes, network.bits)) return true;
  return false;
}

peer_address peer_of(const sockaddr_in6& accepted) {
  if (accepted.sin6_family == AF_INET6)
    return {print_address(AF_INET6, &accepted.sin6_addr), ntohs(accepted.sin6_port)};
  sockaddr_in v4{};
  std::memcpy(&v4, &accepted, sizeof v4);
  return {print_address(AF_INET, &v4.sin_addr), ntohs(v4.sin_port)};
}

std::string forwarded_client(
    std::string_view peer, std::string_view forwarded_for, const networks& trusted) {
  auto client = peer;
  while (!forwarded_for.empty()) {
    auto comma = forwarded_for.rfind(',');
    auto last = without_port(
        trimmed(comma == forwarded_for.npos ? forwarded_for : forwarded_for.substr(comma + 1)));
    if (!parse_address(last)) break;
    client = last;
    if (!trusted.contain(last) || comma == forwarded_for.npos) break;
    forwarded_for = forwarded_for.substr(0, comma);
  }
  return std::string(client);
}

proxy_header parse_proxy_header(std::string_view bytes) {
  constexpr std::string_view word = "PROXY ";
  auto begins = [&](std::string_view with) {
    auto shared = std::min(bytes.size(), with.size());
    return bytes.substr(0, shared) == with.substr(0, shared);
  };
  if (begins(signature))
    return bytes.size() < signature.size() ? proxy_header{.state = kind::incomplete}
                                           : parse_binary(bytes);
  if (begins(word))
    return bytes.size() < word.size() ? proxy_header{.state = kind::incomplete} : parse_text(bytes);
  return {};
}

}  // namespace roost::detail
