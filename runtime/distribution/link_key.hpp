// private: keys for one pair of nodes, derived from their cookie (HKDF, RFC 5869).
//
// A key is for one use, named by a label with a version, and for one direction: the key with which
// a dials b is not the one with which b dials a.
//
// Thread safety: any thread.
#pragma once
#include <array>
#include <string_view>

namespace roost::detail {

/// Wiped when it goes.
struct link_key {
  std::array<unsigned char, 32> bytes{};

  link_key() = default;
  link_key(const link_key&) = default;
  link_key& operator=(const link_key&) = default;
  ~link_key();
};

/// Throws std::runtime_error when the library for it fails.
link_key derive_link_key(
    std::string_view cookie, std::string_view label, std::string_view client,
    std::string_view server);

}  // namespace roost::detail
