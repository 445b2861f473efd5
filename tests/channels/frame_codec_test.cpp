#include "channels/transport/frame_codec.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace roost;

// --- Bytes. The tests build frames by hand: a codec that is wrong both ways must not pass. -------

constexpr mask_key rfc_mask = {'\x37', '\xfa', '\x21', '\x3d'};

std::string hex(std::string_view digits) {
  std::string bytes, pair;
  for (const char digit : digits) {
    if (digit != ' ') pair += digit;
    if (pair.size() < 2) continue;
    bytes += static_cast<char>(std::stoi(pair, nullptr, 16));
    pair.clear();
  }
  return bytes;
}

std::string big_endian(std::uint64_t number, int bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(number >> (8 * bytes));
  return text;
}

std::string length_bytes(std::size_t size, int mask_bit) {
  if (size < 126) return big_endian(mask_bit | size, 1);
  if (size < 65536) return big_endian(mask_bit | 126, 1) + big_endian(size, 2);
  return big_endian(mask_bit | 127, 1) + big_endian(size, 8);
}

/// A frame as a client sends it: `first` holds FIN, RSV and the opcode.
std::string frame(int first, std::string payload = "") {
  const auto size = payload.size();
  for (std::size_t i = 0; i < size; ++i) payload[i] ^= rfc_mask[i % 4];
  return big_endian(first, 1) + length_bytes(size, 0x80) +
         std::string(rfc_mask.begin(), rfc_mask.end()) + payload;
}

std::string server_frame(int first, const std::string& payload = "") {
  return big_endian(first, 1) + length_bytes(payload.size(), 0) + payload;
}

std::string close_body(int code, const std::string& reason = "") {
  return big_endian(code, 2) + reason;
}

constexpr int fin = 0x80, rsv1 = 0x40;
constexpr int continuation = 0, text = 1, binary = 2, closing = 8, ping = 9, pong = 10;

/// A message in frames of at most `size` bytes.
std::string fragmented(int code, const std::string& message, std::size_t size) {
  std::string wire;
  for (std::size_t at = 0; at < message.size(); at += size) {
    const bool last = at + size >= message.size();
    wire += frame((last ? fin : 0) | (at == 0 ? code : continuation), message.substr(at, size));
  }
  return wire;
}

// --- Events as one line of text, so that a failing test shows what came --------------------------

std::string shown(std::string_view payload) {
  if (payload.size() <= 130) return " " + std::string(payload);
  return " " + std::to_string(payload.size()) + " bytes with hash " +
         std::to_string(std::hash<std::string_view>{}(payload));
}

std::string shown(const frame_event& event) {
  const std::string_view payload(event.payload.data(), event.payload.size());
  const std::string compressed = event.compressed ? " compressed" : "";
  const auto code = " " + std::to_string(static_cast<int>(event.code));
  switch (event.kind) {
    case frame_event::text:
      return "text" + compressed + shown(payload) + "; ";
    case frame_event::binary:
      return "binary" + compressed + shown(payload) + "; ";
    case frame_event::ping:
      return "ping" + shown(payload) + "; ";
    case frame_event::pong:
      return "pong" + shown(payload) + "; ";
    case frame_event::close:
      return "close" + code + shown(event.reason) + "; ";
    case frame_event::error:
      return "error" + code + "; ";
    case frame_event::none:
      break;
  }
  return "none; ";
}

using cuts = std::vector<std::size_t>;  // positions, ascending

/// Feeds the pieces between the cuts, each in a buffer of its own that ends where the piece ends.
std::string decoded(std::string_view wire, const cuts& cuts = {}, const frame_limits& limits = {}) {
  frame_decoder decoder;
  std::string events;
  std::size_t from = 0;
  for (std::size_t i = 0; i <= cuts.size(); ++i) {
    const auto to = i < cuts.size() ? cuts[i] : wire.size();
    std::vector<char> piece(wire.begin() + from, wire.begin() + to);
    std::span<char> input(piece);
    while (const auto event = decoder.next(input, limits)) events += shown(event);
    REQUIRE(input.empty());
    REQUIRE(decoder.memory() <= limits.max_frame_size + 512);
    from = to;
  }
  return events;
}

cuts every_byte(std::size_t size) {
  cuts positions;
  for (std::size_t at = 1; at < size; ++at) positions.push_back(at);
  return positions;
}

cuts random_cuts(std::size_t size, std::mt19937& random) {
  cuts positions(random() % 8);
  for (auto& position : positions) position = random() % (size + 1);
  std::sort(positions.begin(), positions.end());
  return positions;
}

/// The events are the same whole, byte by byte, cut at any place, and cut at several at random.
void check_however_cut(
    const std::string& wire, const std::string& events, const frame_limits& limits = {}) {
  CHECK(decoded(wire, {}, limits) == events);
  if (wire.size() > 20'000) return;
  CHECK(decoded(wire, every_byte(wire.size()), limits) == events);
  const std::size_t step = 1 + wire.size() / 300;
  for (std::size_t at = 1; at < wire.size(); at += step) {
    CAPTURE(at);
    REQUIRE(decoded(wire, {at}, limits) == events);
  }
  std::mt19937 random(6455);
  for (int round = 0; round < 20; ++round)
    REQUIRE(decoded(wire, random_cuts(wire.size(), random), limits) == events);
}

struct dialogue {
  const char* name;  // Autobahn's number where it has one
  std::string wire;
  std::string events;
};

void check_all(const std::vector<dialogue>& dialogues, const frame_limits& limits = {}) {
  for (const auto& [name, wire, events] : dialogues) {
    CAPTURE(name);
    check_however_cut(wire, events, limits);
  }
}

struct utf8_samples {
  const char* name;    // Autobahn's number
  const char* digits;  // of some byte sequences, with a space between them
};

/// Calls `check` with each byte sequence, alone and after more ASCII than a vector register holds.
template <std::size_t Size>
void for_each_sample(const utf8_samples (&rows)[Size], void (*check)(const std::string&)) {
  for (const auto& [name, digits] : rows) {
    std::istringstream words(digits);
    for (std::string word; words >> word;) {
      CAPTURE(name);
      CAPTURE(word);
      check(hex(word));
      check(std::string(70, 'x') + hex(word));
    }
  }
}

const frame_limits client_side{.role = frame_role::client};

}  // namespace

TEST_CASE("the example frames of RFC 6455 decode to what the RFC says") {
  const std::string k256(256, 'x'), k65536(65536, 'y');
  check_all(
      {{"masked text", hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"), "text Hello; "},
       {"masked pong", hex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"), "pong Hello; "}});
  check_all(
      {{"unmasked text", hex("81 05 48 65 6c 6c 6f"), "text Hello; "},
       {"fragmented text", hex("01 03 48 65 6c 80 02 6c 6f"), "text Hello; "},
       {"ping", hex("89 05 48 65 6c 6c 6f"), "ping Hello; "},
       {"256 bytes", hex("82 7e 01 00") + k256, "binary" + shown(k256) + "; "},
       {"64 KiB", hex("82 7f 00 00 00 00 00 01 00 00") + k65536, "binary" + shown(k65536) + "; "}},
      client_side);
}

TEST_CASE("a text frame that arrives byte by byte is delivered once, whole") {
  const auto wire = frame(fin | text, "once, whole");
  CHECK(decoded(wire, every_byte(wire.size())) == "text once, whole; ");
}

TEST_CASE("messages of every length form are delivered (Autobahn 1)") {
  for (const std::size_t size : {0, 1, 125, 126, 127, 128, 1000, 65535, 65536, 70000}) {
    CAPTURE(size);
    const std::string body(size, '*');
    check_however_cut(frame(fin | text, body), "text" + shown(body) + "; ");
    const std::string bytes(size, '\xfe');
    check_however_cut(frame(fin | binary, bytes), "binary" + shown(bytes) + "; ");
    check_however_cut(server_frame(fin | text, body), "text" + shown(body) + "; ", client_side);
  }
}

TEST_CASE("pings and pongs carry up to 125 bytes (Autobahn 2)") {
  const std::string full(125, '\xfe'), too_long(126, '\xfe');
  std::string ten, ten_events;
  for (const char digit : std::string("0123456789")) {
    ten += frame(fin | ping, {digit});
    ten_events += std::string("ping ") + digit + "; ";
  }
  check_all(
      {{"2.1", frame(fin | ping), "ping ; "},
       {"2.2", frame(fin | ping, "Hello, world!"), "ping Hello, world!; "},
       {"2.3", frame(fin | ping, hex("00fffefdfcfb00ff")),
        "ping " + hex("00fffefdfcfb00ff") + "; "},
       {"2.4", frame(fin | ping, full), "ping " + full + "; "},
       {"2.5", frame(fin | ping, too_long), "error 1002; "},
       {"2.5 pong", frame(fin | pong, too_long), "error 1002; "},
       {"2.7", frame(fin | pong), "pong ; "},
       {"2.8", frame(fin | pong, "unsolicited"), "pong unsolicited; "},
       {"2.9", frame(fin | pong, "unsolicited") + frame(fin | ping, "p"),
        "pong unsolicited; ping p; "},
       {"2.10", ten, ten_events}});
}

TEST_CASE("a reserved bit without an extension is a protocol error (Autobahn 3)") {
  const auto good = frame(fin | text, "good");
  check_all(
      {{"3.1", frame(fin | 0x10 | text, "x"), "error 1002; "},
       {"3.2", good + frame(fin | 0x20 | text, "x") + frame(fin | ping), "text good; error 1002; "},
       {"3.3", good + frame(fin | 0x30 | text, "x") + frame(fin | ping), "text good; error 1002; "},
       {"3.4", good + frame(fin | 0x40 | text, "x") + frame(fin | ping), "text good; error 1002; "},
       {"3.5", frame(fin | 0x50 | binary, "x"), "error 1002; "},
       {"3.6", frame(fin | 0x60 | ping, "x"), "error 1002; "},
       {"3.7", frame(fin | 0x70 | closing), "error 1002; "}});
}

TEST_CASE("a reserved opcode is a protocol error (Autobahn 4)") {
  for (const int code : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    CAPTURE(code);
    check_however_cut(frame(fin | code), "error 1002; ");
    check_however_cut(
        frame(fin | text, "good") + frame(fin | code, "x") + frame(fin | ping),
        "text good; error 1002; ");
  }
}

TEST_CASE("fragments make one message, and control frames come between them (Autobahn 5)") {
  const auto one = frame(text, "one "), two = frame(continuation, "two "),
             three = frame(fin | continuation, "three");
  const auto hello = frame(fin | ping, "hello"), whole = frame(fin | text, "whole");
  check_all(
      {{"5.1", frame(ping, "x") + frame(fin | continuation, "y"), "error 1002; "},
       {"5.2", frame(pong, "x") + frame(fin | continuation, "y"), "error 1002; "},
       {"fragmented close", frame(closing), "error 1002; "},
       {"5.3", one + three, "text one three; "},
       {"5.3 binary", frame(binary, hex("ff")) + frame(fin, hex("fe")),
        "binary " + hex("fffe") + "; "},
       {"5.6", one + hello + three, "ping hello; text one three; "},
       {"5.6 pong", one + frame(fin | pong, "late") + three, "pong late; text one three; "},
       {"5.9", three + whole, "error 1002; "},
       {"5.12", two + whole, "error 1002; "},
       {"5.15", one + three + two + whole, "text one three; error 1002; "},
       {"5.17", one + three + three, "text one three; error 1002; "},
       {"5.18", one + frame(fin | text, "two"), "error 1002; "},
       {"5.18 binary", one + frame(binary, "two"), "error 1002; "},
       {"5.19", one + two + hello + two + two + hello + three + whole,
        "ping hello; ping hello; text one two two two three; text whole; "},
       {"empty fragments", frame(text) + frame(continuation) + frame(fin), "text ; "},
       {"empty first", frame(text) + three, "text three; "},
       {"empty last", one + frame(fin), "text one ; "},
       {"two in a row", one + three + one + three, "text one three; text one three; "},
       {"10.1.1 in small", fragmented(text, std::string(1300, '*'), 130),
        "text" + shown(std::string(1300, '*')) + "; "}});
}

TEST_CASE("valid UTF-8 is delivered, also when a character is cut (Autobahn 6)") {
  const utf8_samples samples[] = {
      {"6.2, 6.5", "48656c6c6f2dc2b540c39fc3b6c3a4c3bcc3a0c3a12d5554462d382121 cebae1bdb9cf83"},
      {"6.7 first of a length", "00 c280 e0a080 f0908080"},
      {"6.9 last of a length", "7f dfbf efbfbf f48fbfbf"},
      {"6.11 around the surrogates", "ed9fbf ee8080 efbfbd f3bfbfbf"},
      {"6.22 non-characters", "efbfbe f09fbfbe f48fbfbe"}};
  for_each_sample(samples, [](const std::string& body) {
    const auto events = "text " + body + "; ";
    check_however_cut(frame(fin | text, body), events);
    check_however_cut(fragmented(text, body, 1), events);
    check_however_cut(fragmented(text, body, 3), events);
    check_however_cut(server_frame(fin | text, body), events, client_side);
  });
}

TEST_CASE("text that is not UTF-8 ends the connection with 1007 (Autobahn 6)") {
  const utf8_samples samples[] = {
      {"6.3", "cebae1bdb9cf83cebcceb5eda080656469746564"},
      {"6.6 a character that never ends", "ce cebae1 cebae1bd f48fbf"},
      {"6.8, 6.10 longer than four bytes", "f888808080 fc8480808080 fbbfbfbfbf fdbfbfbfbfbf"},
      {"6.11 past U+10FFFF", "f4908080 f7bfbfbf"},
      {"6.12 continuation alone", "80 bf 80bf 80bf80 80bf80bf80bf80"},
      {"6.13 lead alone", "c020 e020 f020 f820 fc20 c0c1df"},
      {"6.14 last byte missing", "df20 efbf20 f48fbf20 e080 f08080"},
      {"6.16 never a lead", "fe ff fefeffff"},
      {"6.17, 6.18, 6.19 too long a form", "c0af e080af f08080af c1bf e09fbf f08fbfbf c080 e08080"},
      {"6.20 surrogates", "eda080 edadbf edae80 edafbf edb080 edbfbf"},
      {"6.21 surrogates in pairs", "eda080edb080 edafbfedbfbf"}};
  for_each_sample(samples, [](const std::string& body) {
    check_however_cut(frame(fin | text, body), "error 1007; ");
    check_however_cut(fragmented(text, body, 1), "error 1007; ");
    check_however_cut(server_frame(fin | text, body), "error 1007; ", client_side);
    check_however_cut(frame(fin | binary, body), "binary " + body + "; ");
  });
}

TEST_CASE("a byte that can never become UTF-8 ends the message before it is complete") {
  for (const auto* digits : {"cebaff", "f490", "eda0", "e080", "f080", "c0", "c1", "f5", "80"}) {
    CAPTURE(digits);
    const std::string more = "more to come";
    const auto whole = frame(fin | text, hex(digits) + more);
    CHECK(decoded(whole.substr(0, whole.size() - more.size())) == "error 1007; ");
    CHECK(decoded(frame(text, hex(digits))) == "error 1007; ");
  }
  for (const auto* digits : {"ceba", "f48f", "ed9f", "e0a0", "f090", "c2", "e0", "f0", "f4"}) {
    CAPTURE(digits);
    CHECK(decoded(frame(text, hex(digits))) == "");
  }
}

TEST_CASE("a close frame has no body, or a code that may be sent and a reason (Autobahn 7)") {
  const std::string reason123(123, '*');
  check_all(
      {{"7.3.1", frame(fin | closing), "close 1005 ; "},
       {"7.3.2", frame(fin | closing, "a"), "error 1002; "},
       {"7.3.3", frame(fin | closing, close_body(1000)), "close 1000 ; "},
       {"7.3.4", frame(fin | closing, close_body(1000, "Hello!")), "close 1000 Hello!; "},
       {"7.3.5", frame(fin | closing, close_body(1000, reason123)),
        "close 1000 " + reason123 + "; "},
       {"7.3.6", frame(fin | closing, close_body(1000, reason123 + "*")), "error 1002; "},
       {"7.5.1", frame(fin | closing, close_body(1000, hex("cebaeda080"))), "error 1007; "},
       {"cut reason", frame(fin | closing, close_body(1000, hex("ceba e1bd"))), "error 1007; "}});
  for (const int code :
       {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999}) {
    check_however_cut(
        frame(fin | closing, close_body(code, "why")), "close " + std::to_string(code) + " why; ");
  }
  for (const int code :
       {0, 1, 125, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65535}) {
    CAPTURE(code);
    check_however_cut(frame(fin | closing, close_body(code)), "error 1002; ");
    check_however_cut(frame(fin | closing, close_body(code, "why")), "error 1002; ");
  }
}

TEST_CASE("nothing that follows a close frame or an error is delivered (Autobahn 7.1)") {
  const auto bye = frame(fin | closing, close_body(1000, "bye"));
  const auto more = frame(fin | text, "more") + frame(fin | ping) + frame(fin | 3);
  check_all(
      {{"7.1.2", bye + bye, "close 1000 bye; "},
       {"7.1.3", bye + frame(fin | ping), "close 1000 bye; "},
       {"7.1.4", bye + more, "close 1000 bye; "},
       {"7.1.5", frame(text, "half") + bye + frame(fin, "more"), "close 1000 bye; "},
       {"7.1.6", frame(fin | text, std::string(9000, '*')) + bye + frame(fin | ping),
        "text" + shown(std::string(9000, '*')) + "; close 1000 bye; "},
       {"after an error", frame(fin | 3) + more + bye, "error 1002; "}});
}

TEST_CASE("large messages come whole, in fragments and in chops (Autobahn 9 and 10)") {
  std::string large;
  for (int i = 0; large.size() < (1 << 20); ++i)
    large += "\xce\xba\xe1\xbd\xb9 " + std::to_string(i);
  const auto expected = "text" + shown(large) + "; ";
  CHECK(decoded(frame(fin | text, large)) == expected);
  for (const std::size_t size : {64, 1300, 4096, 65536, 262144}) {
    CAPTURE(size);
    CHECK(decoded(fragmented(text, large, size)) == expected);
    const auto wire = frame(fin | text, large);
    cuts chops;
    for (std::size_t at = size; at < wire.size(); at += size) chops.push_back(at);
    CHECK(decoded(wire, chops) == expected);
    CHECK(decoded(fragmented(text, large, 1000), chops) == expected);
  }
}

TEST_CASE("a message may have exactly max_frame_size bytes, whole or summed, and not one more") {
  const frame_limits limits{.max_frame_size = 300};
  const std::string fits(300, 'x'), too_long(301, 'x'), ending(201, 'x');
  check_all(
      {{"whole, fits", frame(fin | text, fits), "text" + shown(fits) + "; "},
       {"whole, too long", frame(fin | binary, too_long), "error 1009; "},
       {"summed, fits", fragmented(text, fits, 100), "text" + shown(fits) + "; "},
       {"summed, too long", fragmented(text, too_long, 100), "error 1009; "},
       {"last too long", frame(text, "x") + frame(fin, fits), "error 1009; "},
       {"pings do not count", frame(text, fits) + frame(fin | ping, "12") + frame(fin),
        "ping 12; text" + shown(fits) + "; "},
       {"the sum starts anew", fragmented(text, fits, 200) + fragmented(text, fits, 200),
        "text" + shown(fits) + "; text" + shown(fits) + "; "}},
      limits);
  CHECK(decoded(frame(fin | text), {}, {.max_frame_size = 0}) == "text ; ");
  CHECK(decoded(frame(fin | text, "x"), {}, {.max_frame_size = 0}) == "error 1009; ");
  CHECK(decoded(frame(fin | ping, "x"), {}, {.max_frame_size = 0}) == "ping x; ");
}

TEST_CASE("a message that is too long is refused when its header is there") {
  const auto header = hex("82 ff 00 00 00 00 00 98 96 81 37 fa 21 3d");  // 10,000,001 bytes
  CHECK(decoded(header) == "error 1009; ");
  CHECK(decoded(header.substr(0, header.size() - 1)) == "");
  const frame_limits no_limit{.max_frame_size = SIZE_MAX - 1024};
  CHECK(
      decoded(
          frame(binary, "x") + hex("80 ff 7f ff ff ff ff ff ff ff 37 fa 21 3d"), {}, no_limit) ==
      "");
}

TEST_CASE("a length must be in its shortest form and below 2^63") {
  const auto mask = hex("37 fa 21 3d");
  check_all(
      {{"5 bytes in 16 bits", hex("81 fe 00 05") + mask + "xxxxx", "error 1002; "},
       {"125 in 16 bits", hex("81 fe 00 7d") + mask, "error 1002; "},
       {"5 bytes in 64 bits", hex("81 ff 00 00 00 00 00 00 00 05") + mask, "error 1002; "},
       {"65535 in 64 bits", hex("81 ff 00 00 00 00 00 00 ff ff") + mask, "error 1002; "},
       {"the top bit", hex("81 ff 80 00 00 00 00 01 00 00") + mask, "error 1002; "},
       {"all bits", hex("81 ff ff ff ff ff ff ff ff ff") + mask, "error 1002; "},
       {"2^63 - 1", hex("81 ff 7f ff ff ff ff ff ff ff") + mask, "error 1009; "}});
}

TEST_CASE("a client must mask its frames, a server must not") {
  check_however_cut(server_frame(fin | text, "plain"), "error 1002; ");
  check_however_cut(server_frame(fin | ping), "error 1002; ");
  check_however_cut(server_frame(fin | text, "plain"), "text plain; ", client_side);
  check_however_cut(frame(fin | text, "masked"), "error 1002; ", client_side);
  check_however_cut(frame(fin | closing), "error 1002; ", client_side);
}

TEST_CASE("with an extension RSV1 marks a compressed message, on its first frame only") {
  const frame_limits deflate{.allow_rsv1 = true};
  check_all(
      {{"text", frame(fin | rsv1 | text, "\xff"), "text compressed \xff; "},
       {"binary", frame(fin | rsv1 | binary, "z"), "binary compressed z; "},
       {"fragments", frame(rsv1 | text, "\xff") + frame(fin, "\xfe"), "text compressed \xff\xfe; "},
       {"plain", frame(rsv1 | text, "z") + frame(fin) + frame(fin | text, "plain"),
        "text compressed z; text plain; "},
       {"plain is checked", frame(fin | text, "\xff"), "error 1007; "},
       {"continuation", frame(rsv1 | text, "z") + frame(fin | rsv1, "z"), "error 1002; "},
       {"control", frame(fin | rsv1 | ping), "error 1002; "},
       {"RSV2", frame(fin | rsv1 | 0x20 | text), "error 1002; "}},
      deflate);
}

TEST_CASE("a message that is whole in the buffer is delivered in place and nothing is kept") {
  auto wire = frame(fin | text, "first") + frame(fin | ping, "p") + frame(fin | binary, "second");
  std::span<char> input(wire);
  frame_decoder decoder;
  while (const auto event = decoder.next(input, {})) {
    CHECK(event.payload.data() >= wire.data());
    CHECK(event.payload.data() + event.payload.size() <= wire.data() + wire.size());
    CHECK(decoder.memory() == 0);
  }
  CHECK(wire.find("first") != std::string::npos);
  CHECK(wire.ends_with("second"));
  CHECK(sizeof(frame_decoder) <= 16);
}

TEST_CASE(
    "memory grows with the bytes that came, not with what a header claims, and is given back") {
  const std::string body(1'000'000, 'x');
  auto wire = frame(fin | text, body);
  frame_decoder decoder;
  frame_event event;
  for (std::size_t at = 0; at < wire.size(); at += 1000) {
    auto input = std::span(wire).subspan(at).first(std::min<std::size_t>(1000, wire.size() - at));
    event = decoder.next(input, {});
    const auto arrived = at + 1000;
    REQUIRE(decoder.memory() <= std::min(2 * arrived, body.size()) + 512);
  }
  CHECK(shown(event) == "text" + shown(body) + "; ");
  std::span<char> nothing;
  CHECK_FALSE(decoder.next(nothing, {}));
  CHECK(decoder.memory() == 0);
}

TEST_CASE("memory of fragments stays under the limit, and goes when the message is refused") {
  const frame_limits limits{.max_frame_size = 1000};
  auto wire = frame(text, std::string(300, 'x'));
  for (int i = 0; i <= 100; ++i) wire += frame(continuation, "seven b");
  frame_decoder decoder;
  frame_event event;
  for (std::size_t at = 0; at < wire.size() && !event; ++at) {
    auto input = std::span(wire).subspan(at, 1);
    event = decoder.next(input, limits);
    REQUIRE(decoder.memory() <= 1000 + 512);
  }
  CHECK(shown(event) == "error 1009; ");
  CHECK(decoder.memory() == 0);
}

TEST_CASE("a ping that comes in pieces between fragments does not disturb the message") {
  const auto wire = frame(text, "one ") + frame(fin | ping, "first ping") +
                    frame(continuation, "two ") + frame(fin | ping, "second") + frame(fin, "three");
  const std::string events = "ping first ping; ping second; text one two three; ";
  for (std::size_t a = 1; a < wire.size(); ++a)
    for (std::size_t b = a; b < wire.size(); b += 5) REQUIRE(decoded(wire, {a, b}) == events);
}

TEST_CASE("the encoder writes the example frames of RFC 6455") {
  const auto encoded = [](opcode code, std::string_view payload, const frame_options& options) {
    std::string out = "kept ";
    append_frame(out, code, payload, options);
    return out.substr(5);
  };
  CHECK(encoded(opcode::text, "Hello", {}) == hex("81 05 48 65 6c 6c 6f"));
  CHECK(
      encoded(opcode::text, "Hello", {.mask = rfc_mask}) ==
      hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"));
  CHECK(
      encoded(opcode::text, "Hel", {.fin = false}) + encoded(opcode::continuation, "lo", {}) ==
      hex("01 03 48 65 6c 80 02 6c 6f"));
  CHECK(encoded(opcode::ping, "Hello", {}) == hex("89 05 48 65 6c 6c 6f"));
  CHECK(
      encoded(opcode::pong, "Hello", {.mask = rfc_mask}) ==
      hex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"));
  CHECK(encoded(opcode::text, "z", {.rsv1 = true}) == hex("c1 01") + "z");
}

TEST_CASE("a header has the shortest length, and can be sent before a payload that is elsewhere") {
  struct row {
    std::uint64_t size;
    const char* header;
  };
  for (const auto& [size, header] :
       {row{0, "82 00"}, row{125, "82 7d"}, row{126, "82 7e 00 7e"}, row{65535, "82 7e ff ff"},
        row{65536, "82 7f 00 00 00 00 00 01 00 00"},
        row{1ull << 40, "82 7f 00 00 01 00 00 00 00 00"}}) {
    CAPTURE(size);
    CHECK(encode_header(opcode::binary, size).view() == hex(header));
  }
  CHECK(
      encode_header(opcode::binary, 256, {.mask = rfc_mask}).view() ==
      hex("82 fe 01 00 37 fa 21 3d"));
}

TEST_CASE("a close frame carries a code and as much of the reason as fits") {
  const auto closed = [](close_code code, std::string_view reason) {
    std::string out;
    append_close(out, code, reason);
    return out;
  };
  CHECK(closed(close_code::none, "not sent") == hex("88 00"));
  CHECK(closed(close_code::normal, "") == hex("88 02 03 e8"));
  CHECK(closed(close_code::message_too_big, "why") == hex("88 05 03 f1") + "why");
  CHECK(closed(close_code{4000}, "") == hex("88 02 0f a0"));
  const std::string fits(123, 'x'), head(122, 'x');
  CHECK(closed(close_code::normal, fits) == hex("88 7d 03 e8") + fits);
  CHECK(closed(close_code::normal, fits + "more") == hex("88 7d 03 e8") + fits);
  CHECK(closed(close_code::normal, head + "\xc3\xa9") == hex("88 7c 03 e8") + head);
  std::string masked;
  append_close(masked, close_code::going_away, "", {.mask = rfc_mask});
  CHECK(decoded(masked) == "close 1001 ; ");
}

TEST_CASE("what the encoder writes the decoder of the other side reads, at any size and cut") {
  std::mt19937 random(13);
  for (const auto& limits : {frame_limits{}, client_side}) {
    std::string wire, events;
    for (int i = 0; i < 400; ++i) {
      const bool is_text = random() % 2;
      std::string body(random() % (i % 100 ? 300 : 70'000), ' ');
      for (auto& byte : body) byte = static_cast<char>(is_text ? 32 + random() % 95 : random());
      mask_key key;
      for (auto& byte : key) byte = static_cast<char>(random());
      const bool from_client = limits.role == frame_role::server;
      append_frame(
          wire, is_text ? opcode::text : opcode::binary, body,
          {.mask = from_client ? std::optional(key) : std::nullopt});
      events += (is_text ? "text" : "binary") + shown(body) + "; ";
    }
    CHECK(decoded(wire, {}, limits) == events);
    for (int round = 0; round < 20; ++round)
      CHECK(decoded(wire, random_cuts(wire.size(), random), limits) == events);
  }
}

TEST_CASE("the mask is applied alike at any alignment, size and position") {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 150; ++size) {
    for (std::size_t offset = 0; offset < 9; ++offset) {
      const std::size_t position = random() % 1000;
      std::string bytes(offset + size + 9, '\0');
      for (auto& byte : bytes) byte = static_cast<char>(random());
      auto expected = bytes;
      for (std::size_t i = 0; i < size; ++i) expected[offset + i] ^= rfc_mask[(position + i) % 4];
      apply_mask(std::span(bytes).subspan(offset, size), rfc_mask, position);
      REQUIRE(bytes == expected);
    }
  }
}

TEST_CASE("taking off the mask tells whether the bytes are ASCII, wherever the odd one is") {
  for (std::size_t size = 0; size < 100; ++size) {
    std::string bytes(size, 'a');
    apply_mask(bytes, rfc_mask);
    CHECK(apply_mask(bytes, rfc_mask));
    for (std::size_t odd = 0; odd < size; ++odd) {
      bytes.assign(size, 'a');
      bytes[odd] = '\x80';
      apply_mask(bytes, rfc_mask);
      REQUIRE_FALSE(apply_mask(bytes, rfc_mask));
    }
  }
}
