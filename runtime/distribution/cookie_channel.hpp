// private: links without encryption, whose ends prove that they know the cookie.
//
// Four frames, each of a length in two bytes, a kind in one, and a body:
//
//   client  hello      "roost", version, client's and server's name with a byte of length, 32
//   random bytes server  challenge  32 random bytes client  proof      HMAC-SHA256 with a key of
//   the cookie over role, names and both random values server  proof      the same for the other
//   role
//
// or `refused` with a byte that says why in place of the server's. The server proves nothing to a
// client that has not proved itself, so whoever just knocks gets nothing to try guesses on. All
// frames of one end together are at most 512 bytes. Source: the idea is that of OTP's distribution
// handshake, with HMAC in place of MD5 and an order that spares the server.
//
// Thread safety: as secure_channel.hpp says.
#pragma once
#include "runtime/distribution/secure_channel.hpp"

namespace roost::detail {

std::shared_ptr<security_context> make_cookie_context(security_options options);

}  // namespace roost::detail
