// What the Autobahn test suite's sections 12 and 13 cover: compressed messages of all sizes, whole
// and in fragments, with every combination of parameters that a client may offer, echoed by the
// codec and the compressors that the server uses.
#include "channels/transport/deflate.hpp"
#include "channels/transport/frame_codec.hpp"
#include "channels/transport/utf8.hpp"
#include <doctest/doctest.h>
#include <zlib.h>
#include <random>

namespace {

using namespace roost;
using namespace roost::detail;

constexpr std::string_view tail("\0\0\xff\xff", 4);

/// The client's end, which keeps its context between messages unless it was agreed otherwise.
class peer {
 public:
  explicit peer(bool takes_context_along) : keeps_(takes_context_along) {
    REQUIRE(deflateInit2(&out_, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    REQUIRE(inflateInit2(&in_, -15) == Z_OK);
  }
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;
  ~peer() {
    deflateEnd(&out_);
    inflateEnd(&in_);
  }

  std::string compress(std::string_view text) {
    if (!keeps_) deflateReset(&out_);
    std::string result(deflateBound(&out_, text.size()) + 64, '\0');
    out_.next_in = bytes(text.data());
    out_.avail_in = static_cast<uInt>(text.size());
    out_.next_out = bytes(result.data());
    out_.avail_out = static_cast<uInt>(result.size());
    deflate(&out_, Z_SYNC_FLUSH);
    result.resize(result.size() - out_.avail_out - tail.size());
    return result;
  }

  std::string expand(std::string_view compressed, std::size_t size) {
    std::string whole(compressed);
    whole += tail;
    std::string result(size + 64, '\0');
    in_.next_in = bytes(whole.data());
    in_.avail_in = static_cast<uInt>(whole.size());
    in_.next_out = bytes(result.data());
    in_.avail_out = static_cast<uInt>(result.size());
    CHECK(inflate(&in_, Z_SYNC_FLUSH) >= Z_OK);
    result.resize(result.size() - in_.avail_out);
    return result;
  }

 private:
  static Bytef* bytes(const char* text) {
    return reinterpret_cast<Bytef*>(const_cast<char*>(text));
  }

  bool keeps_;
  z_stream out_{};
  z_stream in_{};
};

std::string sample(std::size_t size, bool binary) {
  static std::mt19937 random(12);
  constexpr std::string_view words[] = {"[\"1\",", "room:", "phx_reply", "{\"status\":", "é", "語"};
  std::string text;
  while (text.size() < size) {
    if (binary)
      text += static_cast<char>(random() % (1 + size % 256));
    else
      text += words[random() % std::size(words)];
  }
  if (binary) text.resize(size);
  return text;
}

std::string frames(std::string_view compressed, opcode code, std::size_t fragment) {
  std::string bytes;
  bool first = true;
  do {
    auto part = compressed.substr(0, fragment);
    compressed.remove_prefix(part.size());
    append_frame(
        bytes, first ? code : opcode::continuation, part,
        {.fin = compressed.empty(), .rsv1 = first, .mask = mask_key{'m', 'a', 's', 'k'}});
    first = false;
    // A ping between the fragments is no part of the message.
    if (!compressed.empty())
      append_frame(bytes, opcode::ping, "between", {.mask = mask_key{'m', 'a', 's', 'k'}});
  } while (!compressed.empty());
  return bytes;
}

/// What the server makes of it.
std::string receive(std::string bytes, std::size_t piece, opcode code) {
  frame_decoder decoder;
  frame_limits limits{.max_frame_size = 1 << 20, .allow_rsv1 = true};
  std::string plain;
  int messages = 0;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    auto input = std::span(bytes).subspan(at, std::min(piece, bytes.size() - at));
    while (auto event = decoder.next(input, limits)) {
      if (event.kind == frame_event::ping) continue;
      REQUIRE(event.kind == (code == opcode::text ? frame_event::text : frame_event::binary));
      REQUIRE(event.compressed);
      ++messages;
      CHECK(
          inflate_message({event.payload.data(), event.payload.size()}, 1 << 20, plain) ==
          inflated::ok);
    }
  }
  CHECK(messages == 1);
  if (code == opcode::text) CHECK(is_utf8(plain));
  return plain;
}

}  // namespace

TEST_CASE("compressed messages of all sizes, with all that a client may offer") {
  for (auto offer :
       {"permessage-deflate", "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=12; server_no_context_takeover"}) {
    auto agreed = agree_on_deflate(offer);
    REQUIRE(agreed);
    CAPTURE(offer);
    // Whatever was offered, the client is told to begin anew with each message.
    CHECK(agreed->header.find("client_no_context_takeover") != std::string::npos);
    peer client(false);
    for (std::size_t size : {0, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072})
      for (auto code : {opcode::text, opcode::binary})
        for (std::size_t fragment : {std::size_t{256}, std::size_t{8192}, std::size_t{1} << 20}) {
          CAPTURE(size);
          CAPTURE(fragment);
          auto text = sample(size, code == opcode::binary);
          auto got = receive(frames(client.compress(text), code, fragment), 1500, code);
          CHECK((got == text));
          std::string answer;
          deflate_message(got, agreed->window_bits, answer);
          CHECK((client.expand(answer, text.size()) == text));
        }
  }
}

TEST_CASE("RSV1 belongs to the first fragment of a message only, and to no control frame") {
  auto fault = [](std::string bytes) {
    frame_decoder decoder;
    std::span<char> input(bytes);
    frame_event event;
    while (auto next = decoder.next(input, {.allow_rsv1 = true})) event = next;
    return event.kind == frame_event::error ? static_cast<int>(event.code) : 0;
  };
  mask_key mask{'m', 'a', 's', 'k'};
  std::string fragments, ping, close;
  append_frame(fragments, opcode::text, "a", {.fin = false, .rsv1 = true, .mask = mask});
  append_frame(fragments, opcode::continuation, "b", {.rsv1 = true, .mask = mask});
  CHECK(fault(fragments) == 1002);
  append_frame(ping, opcode::ping, "a", {.rsv1 = true, .mask = mask});
  CHECK(fault(ping) == 1002);
  append_frame(close, opcode::close, "\x03\xe8", {.rsv1 = true, .mask = mask});
  CHECK(fault(close) == 1002);
}

TEST_CASE("a text is UTF-8 once it is inflated") {
  peer client(false);
  std::string plain;
  auto bad = client.compress("\xff\xfe");
  CHECK(inflate_message(bad, 100, plain) == inflated::ok);
  CHECK_FALSE(is_utf8(plain));
}
