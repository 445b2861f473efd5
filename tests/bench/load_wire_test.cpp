#include "bench/load/wire.hpp"
#include "channels/serializer.hpp"
#include "channels/transport/frame_codec.hpp"
#include <doctest/doctest.h>

using namespace roost;
using namespace roost::load;

namespace {

/// As a server takes it.
std::string text_in(std::string frames) {
  frame_decoder decoder;
  std::span<char> input(frames);
  auto event = decoder.next(input, {});
  REQUIRE(event.kind == frame_event::text);
  return {event.payload.data(), event.payload.size()};
}

}  // namespace

TEST_CASE("a message is what a server reads") {
  std::string out;
  append_message(
      out, {.join_ref = "1", .ref = 42, .topic = "room:1", .event = "echo", .payload = "{}"});
  auto text = text_in(out);
  CHECK(text == R"(["1","42","room:1","echo",{}])");
  incoming read;
  CHECK_FALSE(decode_text(protocol::v2, text, read));

  out.clear();
  append_message(out, {.ref = 7, .topic = "phoenix", .event = "heartbeat"});
  CHECK(text_in(out) == R"([null,"7","phoenix","heartbeat",{}])");
}

TEST_CASE("a payload has the size that was asked for and says when it was sent") {
  stamped_payload payload(64);
  auto text = payload.at(0x123456789abcdef);
  CHECK(text.size() == 64);
  CHECK(json::parse(text));
  CHECK(stamp_in(text) == 0x123456789abcdef);
  CHECK(stamp_in(R"({"status":"ok","response":)" + std::string(text) + "}") == 0x123456789abcdef);
  CHECK(stamp_in("{}") == 0);
  CHECK(stamp_in(R"({"t":"short"})") == 0);
  CHECK(stamp_in(R"({"t":"not sixteen hexs"})") == 0);
}

TEST_CASE("replies, broadcasts and ends of channels are told apart") {
  auto reply =
      read_message(R"(["1","2","room:1","phx_reply",{"status":"ok","response":{"t":"x"}}])");
  REQUIRE(reply);
  CHECK(reply->is_reply());
  CHECK(reply->is_ok());
  CHECK(reply->ref == "2");
  CHECK_FALSE(
      read_message(R"(["1","2","room:1","phx_reply",{"status":"error","response":{}}])")->is_ok());

  auto broadcast = read_message(R"([null,null,"room:1","shout",{"a":[1,"]"]}])");
  REQUIRE(broadcast);
  CHECK(broadcast->join_ref.empty());
  CHECK(broadcast->event == "shout");
  CHECK(broadcast->payload == R"({"a":[1,"]"]})");
}

TEST_CASE("what is no message is none") {
  for (auto text : {"", "[", "{}", "[1,2]", R"(["1","2","t"])", R"(["1","2","t","e"])", "null"}) {
    CAPTURE(text);
    CHECK_FALSE(read_message(text));
  }
}
