#include "channels/transport/deflate.hpp"
#include <doctest/doctest.h>
#include <random>

namespace {

using namespace roost::detail;

std::string header_for(std::string_view offers) {
  auto agreed = agree_on_deflate(offers);
  return agreed ? agreed->header : "none";
}

constexpr auto usual = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

}  // namespace

TEST_CASE("what browsers offer is accepted, without context") {
  CHECK(header_for("permessage-deflate") == usual);
  CHECK(header_for("permessage-deflate; client_max_window_bits") == usual);
  CHECK(header_for("permessage-deflate;client_max_window_bits=12") == usual);
  CHECK(header_for("permessage-deflate; server_no_context_takeover") == usual);
  CHECK(
      header_for("permessage-deflate; server_max_window_bits=10") ==
      std::string(usual) + "; server_max_window_bits=10");
  CHECK(agree_on_deflate("permessage-deflate; server_max_window_bits=\"10\"")->window_bits == 10);
}

TEST_CASE("the first offer that can be kept is taken, others are declined") {
  CHECK(header_for("permessage-deflate; server_max_window_bits=8, permessage-deflate") == usual);
  CHECK(header_for("x-webkit-deflate-frame, permessage-deflate") == usual);
  for (auto offer :
       {"", "permessage-bzip2", "permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover"}) {
    CAPTURE(offer);
    CHECK(header_for(offer) == "none");
  }
}

TEST_CASE("RFC 7692's examples of compressed messages") {
  for (auto compressed :
       {std::string_view("\xf2\x48\xcd\xc9\xc9\x07\x00", 7),  // 7.2.3.1
        std::string_view(
            "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", 11),  // 7.2.3.3: not compressed
        std::string_view("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8),  // 7.2.3.4: a final block
        std::string_view("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13)}) {  // 7.2.3.5
    std::string out;
    CHECK(inflate_message(compressed, 100, out) == inflated::ok);
    CHECK(out == "Hello");
  }
}

TEST_CASE("what is deflated inflates to itself, with every window") {
  std::mt19937 random(7);
  for (int bits = 9; bits <= 15; ++bits)
    for (std::size_t size : {0, 1, 10, 125, 1000, 70'000}) {
      std::string text(size, 'a');
      for (auto& c : text) c = static_cast<char>('a' + random() % (1 + size % 7));
      std::string small, back;
      deflate_message(text, bits, small);
      CAPTURE(bits);
      CAPTURE(size);
      CHECK(inflate_message(small, size, back) == inflated::ok);
      CHECK(back == text);
    }
}

TEST_CASE("a bomb is stopped at the limit") {
  std::string bomb, out;
  deflate_message(std::string(50'000'000, 'x'), 15, bomb);
  CHECK(bomb.size() < 300'000);
  CHECK(inflate_message(bomb, 1'000'000, out) == inflated::too_big);
  CHECK(out.size() <= 1'000'000);
}

TEST_CASE("what is no compressed message is said to be none, and the next one is read") {
  std::string out;
  CHECK(inflate_message("\xff\xff\xff\xff", 100, out) == inflated::malformed);
  std::string small;
  deflate_message("fine", 15, small);
  out.clear();
  CHECK(inflate_message(small, 100, out) == inflated::ok);
  CHECK(out == "fine");
}
