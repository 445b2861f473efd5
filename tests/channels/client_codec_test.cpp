#include "channels/client/client_codec.hpp"
#include <doctest/doctest.h>

using namespace roost;
using namespace roost::detail;

namespace {

struct decoded_text {
  explicit decoded_text(std::string_view frame) : bad(decode_server_text(frame, message)) {}
  server_message message;
  std::optional<malformed> bad;
};

struct decoded_binary {
  explicit decoded_binary(std::string bytes)
      : frame(std::move(bytes)), bad(decode_server_binary(frame, message)) {}
  std::string frame;
  server_message message;
  std::optional<malformed> bad;
};

std::string encoded_push(
    std::uint64_t join_ref, std::uint64_t ref, std::string_view topic, std::string_view event,
    const payload& payload) {
  std::string out = "before ";
  const auto kind = encode_client_push(out, join_ref, ref, topic, event, payload);
  if (kind == encoded::impossible) return out == "before " ? "impossible" : "impossible, and more";
  return (kind == encoded::binary ? "binary " : "text ") + out.substr(7);
}

}  // namespace

TEST_CASE("a push of JSON becomes an array of five") {
  CHECK(
      encoded_push(3, 12, "room:1", "new_msg", {{"body", "hi"}}) ==
      R"(text ["3","12","room:1","new_msg",{"body":"hi"}])");
  CHECK(
      encoded_push(no_ref, 1, "phoenix", "heartbeat", {}) ==
      R"(text [null,"1","phoenix","heartbeat",{}])");
  CHECK(
      encoded_push(1, 2, "a\"b", "x\ny", payload(json::array({1, 2}))) ==
      R"(text ["1","2","a\"b","x\ny",[1,2]])");
  CHECK(encoded_push(1, 2, "room:\xff", "x", {}) == "impossible");
  CHECK(encoded_push(1, 2, "room:1", "\xc3", {}) == "impossible");
}

TEST_CASE("a push of bytes has four lengths before its names") {
  using namespace std::string_literals;
  const auto bytes = payload::binary("\x00\x01\xff"s);
  CHECK(
      encoded_push(3, 12, "room:1", "pic", bytes) ==
      "binary \x00\x01\x02\x06\x03"
      "312room:1pic\x00\x01\xff"s);
  CHECK(
      encoded_push(no_ref, no_ref, "t", "e", bytes) ==
      "binary \x00\x00\x00\x01\x01te\x00\x01\xff"s);
  CHECK(encoded_push(1, 2, std::string(256, 't'), "e", bytes) == "impossible");
  CHECK(encoded_push(1, 2, "t", "\xff", bytes) == "impossible");
}

TEST_CASE("what the server says in text is read") {
  decoded_text reply(R"(["3","12","room:1","phx_reply",{"response":{"n":[1,{}]},"status":"ok"}])");
  REQUIRE_FALSE(reply.bad);
  CHECK(reply.message.kind == server_message::reply);
  CHECK(reply.message.join_ref == 3);
  CHECK(reply.message.ref == 12);
  CHECK(reply.message.topic == "room:1");
  CHECK(reply.message.name == "ok");
  CHECK(reply.message.to_payload().text() == R"({"n":[1,{}]})");

  decoded_text broadcast(R"([null,null,"room:1","new_msg",{"a":1}])");
  REQUIRE_FALSE(broadcast.bad);
  CHECK(broadcast.message.kind == server_message::event);
  CHECK(broadcast.message.join_ref == no_ref);
  CHECK(broadcast.message.ref == no_ref);
  CHECK(broadcast.message.name == "new_msg");

  decoded_text escaped(R"(["1","1","r\u00e4ume","phx_reply",{"status":"o\u006b","response":1}])");
  REQUIRE_FALSE(escaped.bad);
  CHECK(escaped.message.topic == "r\xc3\xa4ume");
  CHECK(escaped.message.name == "ok");
  CHECK(escaped.message.to_payload().text() == "1");
}

TEST_CASE("a reference that no client has written is nobody's") {
  for (auto* ref :
       {R"("0")", R"("x")", R"("-1")", R"("1x")", R"("")", "7", "{}", "[1]", "true",
        R"("99999999999999999999999999")"}) {
    CAPTURE(ref);
    const auto frame =
        "[" + std::string(ref) + "," + ref + R"(,"t","phx_reply",{"status":"ok","response":{}}])";
    decoded_text read(frame);
    REQUIRE_FALSE(read.bad);
    CHECK(read.message.join_ref == unknown_ref);
    CHECK(read.message.ref == unknown_ref);
  }
}

TEST_CASE("what the server says in bytes is read") {
  using namespace std::string_literals;
  decoded_binary push("\x00\x02\x06\x03"s + "42room:1picBYTES");
  REQUIRE_FALSE(push.bad);
  CHECK(push.message.kind == server_message::event);
  CHECK(push.message.join_ref == 42);
  CHECK(push.message.ref == no_ref);
  CHECK(push.message.topic == "room:1");
  CHECK(push.message.name == "pic");
  CHECK(push.message.to_payload() == payload::binary("BYTES"s));

  decoded_binary reply("\x01\x01\x02\x06\x02"s + "342room:1ok");
  REQUIRE_FALSE(reply.bad);
  CHECK(reply.message.kind == server_message::reply);
  CHECK(reply.message.join_ref == 3);
  CHECK(reply.message.ref == 42);
  CHECK(reply.message.name == "ok");
  CHECK(reply.message.to_payload() == payload::binary(""s));

  decoded_binary broadcast("\x02\x06\x03"s + "room:1picBYTES");
  REQUIRE_FALSE(broadcast.bad);
  CHECK(broadcast.message.join_ref == no_ref);
  CHECK(broadcast.message.topic == "room:1");
  CHECK(broadcast.message.payload_data == "BYTES");
}

TEST_CASE("a message that is none is refused, never read past its end") {
  for (auto* frame :
       {"", "null", "{}", "[]", R"(["1","1","t","e"])", R"(["1","1",5,"e",{}])",
        R"(["1","1","t",{},{}])", R"(["1","1","t","e",{}] x)", R"(["1","1","t","phx_reply",{}])",
        R"(["1","1","t","phx_reply",[]])", R"(["1","1","t","phx_reply","ok"])",
        R"(["1","1","t","phx_reply",{"status":1,"response":{}}])",
        R"(["1","1","t","phx_reply",{"status":"ok"}])",
        R"(["1","1","t","phx_reply",{"response":{}}])"}) {
    CAPTURE(frame);
    CHECK(decoded_text(frame).bad);
  }
  using namespace std::string_literals;
  for (auto& frame : std::vector<std::string>{
           "", "\x03", "\xff", "\x00"s, "\x00\x01\x01"s, "\x00\x01\x01\x01"s, "\x01\x00\x00\x00"s,
           "\x01\xff\xff\xff\xff"s + "short", "\x02\x05\x05"s + "roompic",
           "\x02\x01\x01"s + "\xff" + "e", "\x02\x01\x01"s + "t\xff"}) {
    CAPTURE(frame);
    CHECK(decoded_binary(frame).bad);
  }
  // Every beginning of a good frame is either whole (its payload is shorter) or refused.
  const auto whole = "\x01\x01\x02\x06\x02"s + "342room:1okBYTES";
  for (std::size_t size = 0; size < whole.size(); ++size)
    CHECK(decoded_binary(whole.substr(0, size)).bad.has_value() == (size < whole.size() - 5));
}
