// Which errors are the same one.
#include "operations/fingerprint.hpp"
#include <doctest/doctest.h>

using roost::detail::fingerprint;
using roost::detail::function_of;
using roost::detail::normalized;

TEST_CASE("what changes from time to time is replaced") {
  CHECK(normalized("user 17 of <0.42.0> at 0x7f3a") == "user <n> of <pid> at <n>");
  CHECK(normalized("room17 has 3.5 seats, not 12.") == "room<n> has <n> seats, not <n>.");
  CHECK(normalized("request 4f9a1c20-77d1-4c1e-9a10-0123456789ab") == "request <n>");
  CHECK(normalized("a <b> and x < 3") == "a <b> and x < <n>");
  CHECK(normalized("deadbeef is a word, deadbee5 is none") == "deadbeef is a word, <n> is none");
  CHECK(normalized("") == "");
  CHECK(normalized(std::string(10'000, 'x')).size() == 500);
}

TEST_CASE("a frame is known by its function") {
  CHECK(function_of("chat::room::join(int)+0x1f") == "chat::room::join");
  CHECK(function_of("#3 0x55d0 in chat::room::join(int)") == "chat::room::join");
  CHECK(function_of("chat+0x1f") == "chat");
}

TEST_CASE("equal errors have one fingerprint, others have another one") {
  auto print = fingerprint("std::runtime_error", "room, post", {"f()+0x1", "g()+0x2"}, "user 1");
  CHECK(print.size() == 16);
  CHECK(
      print == fingerprint("std::runtime_error", "room, post", {"f()+0x9", "g()+0x7"}, "user 22"));
  CHECK(print != fingerprint("std::logic_error", "room, post", {"f()", "g()"}, "user 1"));
  CHECK(print != fingerprint("std::runtime_error", "room, join", {"f()", "g()"}, "user 1"));
  CHECK(print != fingerprint("std::runtime_error", "room, post", {"f()", "h()"}, "user 1"));
  CHECK(print != fingerprint("std::runtime_error", "room, post", {"f()", "g()"}, "topic 1"));
  // Where one part ends and the next begins counts.
  CHECK(fingerprint("a", "bc", {}, "") != fingerprint("ab", "c", {}, ""));
}
