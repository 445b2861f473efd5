// private: the cookie: the secret that the nodes of a cluster share, and the file that holds it.
//
//   auto cookie = read_or_create_cookie("");   // of ~/.roost.cookie, made when there is none
//   check_cookie(cookie);                      // throws unless it is hard to guess
//
// Who has recorded a handshake can try guesses on it for years, so a cookie has to carry 128 bits.
// How many a text carries depends on where it comes from, which it does not tell; check_cookie
// counts what it would carry had it been drawn at random:
//
//   characters                                            bits each
//   digits                                                3.3
//   hexadecimal digits of one case, with - or : between   4     32 of them suffice
//   letters of one case and digits                        5.2
//   letters of both cases, digits, and - _ + /            6     22 of them suffice
//   other printable ones as well                          6.5
//   letters of one case and hardly a digit: words         2.5   where others at most begin words or
//                                                               stand between
//
// and leaves out characters that one would guess from those before: that go on in steps (aaaa,
// abcd, 9753), along the keyboard, or as an earlier part of the text did. Eight such characters,
// and at most a quarter, are counted all the same, since they occur in random texts as well. So a
// long text is not taken for a good one, but a text that passes can still be a bad one: those of
// books do.
//
// Errors never repeat the cookie. Thread safety: any thread, and any process for the file. Source:
// OTP's ~/.erlang.cookie, which is drawn from a clock, though.
#pragma once
#include <string>
#include <string_view>

namespace roost::detail {

/// The first line of a file. Nothing if there is no such file; throws config_error if others than
/// its owner may read it, or if it holds nothing.
std::string read_cookie(const std::string& file);

/// The same, of ~/.roost.cookie when `file` is empty. A file that is not there is made, of mode
/// 0600, with 256 random bits: by one node only, however many start at once. Throws config_error.
std::string read_or_create_cookie(const std::string& file);

/// How many bits the cookie is taken to carry.
double cookie_bits(std::string_view cookie);

/// Throws std::invalid_argument unless it is at least 128 of them, in printable ASCII.
void check_cookie(std::string_view cookie);

}  // namespace roost::detail
