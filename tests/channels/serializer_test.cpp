#include "channels/serializer.hpp"
#include "channels/json_scanner.hpp"
#include <doctest/doctest.h>
#include <string>
#include <vector>

using namespace std::string_literals;
using roost::choose_protocol;
using roost::decode_binary;
using roost::decode_text;
using roost::encode_broadcast;
using roost::encode_end;
using roost::encode_push;
using roost::encode_reply;
using roost::encoded;
using roost::incoming;
using roost::payload;
using roost::protocol;
using roost::wire_topic;

namespace {

const std::vector<protocol> both = {protocol::v1, protocol::v2};

void require_text(protocol version, std::string_view frame, incoming& message) {
  const auto bad = decode_text(version, frame, message);
  CAPTURE(frame);
  const char* reason = bad ? bad->reason : "none";
  CAPTURE(reason);
  REQUIRE_FALSE(bad);
}

void require_binary(std::string_view frame, incoming& message) {
  REQUIRE_FALSE(decode_binary(protocol::v2, frame, message));
}

std::string reason_of(protocol version, std::string_view frame) {
  incoming message;
  const auto bad = decode_text(version, frame, message);
  return bad ? bad->reason + " at "s + std::to_string(bad->offset) : "none";
}

bool is_malformed(protocol version, std::string_view frame) {
  return reason_of(version, frame) != "none";
}

std::string bytes(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return out;
}

// What an encoder adds after "header", which stands for the header of the WebSocket frame.
template <class Encode>
std::string frame_of(encoded kind, Encode encode) {
  std::string out = "header";
  CHECK(encode(out) == kind);
  REQUIRE(out.starts_with("header"));
  return out.substr(6);
}

}  // namespace

TEST_CASE("the vsn parameter chooses the protocol") {
  CHECK(choose_protocol(std::nullopt) == protocol::v1);
  CHECK(choose_protocol("1.0.0") == protocol::v1);
  CHECK(choose_protocol("1.0.12") == protocol::v1);
  CHECK(choose_protocol("2.0.0") == protocol::v2);
  CHECK(choose_protocol("2.0.5") == protocol::v2);
  CHECK(choose_protocol("2.0.99999999999999999999") == protocol::v2);
  for (const char* other :
       {"", "abc", "2", "2.0", "2.0.", "2.1.0", "9.0.0", "2.0.0-rc.1", "2.0.x", "2.0.0.0", "2.0.05",
        " 2.0.0", "2.0.0 ", "02.0.0", "1.1.0", "2.0.+1"}) {
    CAPTURE(other);
    CHECK_FALSE(choose_protocol(other));
  }
}

TEST_CASE("a message in protocol 2 is read from its array") {
  const std::string frame = R"(["1","42","room:1","new_msg",{"body":"hi"}])";
  incoming message;
  require_text(protocol::v2, frame, message);
  CHECK(message.join_ref == R"("1")");
  CHECK(message.ref == R"("42")");
  CHECK(message.topic_name == "room:1");
  CHECK(message.topic_json == R"("room:1")");
  CHECK(message.topic_is_string);
  CHECK(message.event == "new_msg");
  CHECK(message.event_is_string);
  CHECK(message.payload_data == R"({"body":"hi"})");
  CHECK_FALSE(message.binary);
  CHECK(message.to_payload()["body"] == "hi");
}

TEST_CASE("strings without escapes are views into the frame") {
  const std::string frame = R"(["1","42","room:1","new_msg",{}])";
  incoming message;
  require_text(protocol::v2, frame, message);
  const auto inside = [&](std::string_view part) {
    return part.data() >= frame.data() && part.data() + part.size() <= frame.data() + frame.size();
  };
  CHECK(inside(message.topic_name));
  CHECK(inside(message.event));
  CHECK(inside(message.payload_data));
}

TEST_CASE("white space around and inside a frame is fine") {
  incoming message;
  require_text(protocol::v2, "\n\t [\"1\" ,\"9\", \"room:1\",\"ping\" , {\"x\": 1} ] \n", message);
  CHECK(message.topic_name == "room:1");
  CHECK(message.payload_data == R"({"x": 1})");
}

TEST_CASE("references of any type are kept as they came") {
  incoming message;
  for (const char* ref : {"null", "5", R"({"a": [1, "]"]})", R"("a\"b")", "[]", "true", "1e400"}) {
    const std::string frame = "["s + ref + "," + ref + R"(,"t","e",{}])";
    require_text(protocol::v2, frame, message);
    CHECK(message.join_ref == ref);
    CHECK(message.ref == ref);
  }
}

TEST_CASE("escapes in topic and event are undone, and the topic's own text is kept") {
  incoming message;
  require_text(protocol::v2, R"([null,null,"room:\u00e9\ud83d\ude00\n","a\"b\\",{}])", message);
  CHECK(message.topic_name == "room:é😀\n");
  CHECK(message.topic_json == R"("room:\u00e9\ud83d\ude00\n")");
  CHECK(message.event == "a\"b\\");
  require_text(protocol::v2, R"([null,null,"plain","a\tb",{}])", message);
  CHECK(message.topic_name == "plain");
  CHECK(message.event == "a\tb");
  require_text(protocol::v2, R"([null,null,"a\/b","plain",{}])", message);
  CHECK(message.topic_name == "a/b");
  CHECK(message.event == "plain");
}

TEST_CASE("a topic or an event of a wrong type is told apart from a string") {
  incoming message;
  require_text(protocol::v2, R"(["1","2",42,{"a":1},{}])", message);
  CHECK_FALSE(message.topic_is_string);
  CHECK_FALSE(message.event_is_string);
  CHECK(message.topic_name == "42");
  CHECK(message.topic_json == "42");
  CHECK(message.event == R"({"a":1})");
  require_text(protocol::v2, R"(["1","2","42","e",{}])", message);
  CHECK(message.topic_is_string);
  CHECK(message.event_is_string);
}

TEST_CASE("a payload may be any value, and elements after it are ignored but checked") {
  incoming message;
  for (const char* value : {"{}", "[]", "null", "5", "\"str\"", "[1,{\"a\":2}]"}) {
    const std::string five = R"(["1","2","t","e",)"s + value;
    for (const std::string& frame : {five + "]", five + R"(,6,{"seven":[]}])"}) {
      require_text(protocol::v2, frame, message);
      CHECK(message.payload_data == value);
    }
  }
  CHECK(is_malformed(protocol::v2, R"(["1","2","t","e",{},nan])"));
  CHECK(is_malformed(protocol::v2, R"(["1","2","t","e",{},])"));
}

TEST_CASE("text that is no message is malformed in protocol 2") {
  for (const char* frame :
       {"", " ", "{}", "5", "null", "[]", "[1]", R"(["1","2","t","e"])", R"(["1","2","t","e",])",
        R"(["1","2","t","e",{}]x)", R"(["1","2","t","e",{}][])", R"(["1","2","t","e",{})",
        R"(["1","2","t","e",{"a":}])", R"(["1","2","t","e",{"a":"\ud800"}])",
        R"(["1","2","t","e",{'a':1}])", R"(["1","2","t","e",{"a":NaN}])",
        R"(["1","2","t","e",{"a":01}])", R"(["1","2","t","e",{"a":1,}])",
        R"({"topic":"t","event":"e","payload":{},"ref":"1"})"}) {
    CAPTURE(frame);
    CHECK(is_malformed(protocol::v2, frame));
  }
  CHECK(reason_of(protocol::v2, "{}") == "expected [ at 0");
  CHECK(reason_of(protocol::v2, R"(["1","2"])") == "expected a comma and another element at 8");
  CHECK(reason_of(protocol::v2, "[1,2,3,4,5] 6") == "expected nothing after the document at 12");
}

TEST_CASE("every message that is cut short is malformed") {
  const std::string v1 = R"({"topic":"t","event":"e","payload":{"a":[1,"\n"]},"ref":null})";
  const std::string v2 = R"(["1",null,"t","e",{"a":[1,"\n"]}])";
  for (std::size_t size = 0; size < v1.size(); ++size)
    CHECK(is_malformed(protocol::v1, v1.substr(0, size)));
  for (std::size_t size = 0; size < v2.size(); ++size)
    CHECK(is_malformed(protocol::v2, v2.substr(0, size)));
}

TEST_CASE("nesting counts from the frame's own brackets") {
  incoming message;
  const std::string deep = std::string(1'023, '[') + std::string(1'023, ']');
  CHECK_FALSE(decode_text(protocol::v2, R"([1,2,"t","e",)" + deep + "]", message));
  CHECK(decode_text(protocol::v2, R"([1,2,"t","e",[)" + deep + "]]", message));
  CHECK_FALSE(decode_text(protocol::v2, R"([1,2,"t","e",[[]]])", message, 3));
  CHECK(decode_text(protocol::v2, R"([1,2,"t","e",[[[]]]])", message, 3));
  CHECK(decode_text(
      protocol::v1, R"({"topic":"t","event":"e","ref":1,"payload":[[[]]]})", message, 3));
}

TEST_CASE("a message in protocol 1 is read from its object, in any order") {
  incoming message;
  require_text(
      protocol::v1, R"({"topic":"room:1","event":"ping","payload":{"n":1},"ref":"2"})", message);
  CHECK(message.topic_name == "room:1");
  CHECK(message.topic_json == R"("room:1")");
  CHECK(message.event == "ping");
  CHECK(message.payload_data == R"({"n":1})");
  CHECK(message.ref == R"("2")");
  CHECK(message.join_ref == "null");
  require_text(
      protocol::v1,
      R"( { "more" : [1] , "ref" : 3 , "join_ref":"7", "payload":null,"event":"e\n","topic":9 } )",
      message);
  CHECK(message.ref == "3");
  CHECK(message.join_ref == R"("7")");
  CHECK(message.payload_data == "null");
  CHECK(message.event == "e\n");
  CHECK_FALSE(message.topic_is_string);
  CHECK(message.topic_name == "9");
}

TEST_CASE("a key of protocol 1 may be escaped, and the last of two counts") {
  incoming message;
  require_text(
      protocol::v1,
      R"({"topic":"a\n","topi\u0063":"b","event":"x","event":"y",)"
      R"("payload":1,"payload":{},"ref":1,"ref":2})",
      message);
  CHECK(message.topic_name == "b");
  CHECK(message.event == "y");
  CHECK(message.payload_data == "{}");
  CHECK(message.ref == "2");
}

TEST_CASE("protocol 1 needs its four keys") {
  for (const char* frame :
       {R"({"event":"e","payload":{},"ref":"1"})", R"({"topic":"t","payload":{},"ref":"1"})",
        R"({"topic":"t","event":"e","ref":"1"})", R"({"topic":"t","event":"e","payload":{}})", "{}",
        R"(["1","2","t","e",{}])", R"({"topic":"t","event":"e","payload":{},"ref":"1",})",
        R"({"topic":"t","event":"e","payload":{},"ref":"1"}{})", "", "7"}) {
    CAPTURE(frame);
    CHECK(is_malformed(protocol::v1, frame));
  }
  CHECK(
      reason_of(protocol::v1, R"({"topic":"t"})") ==
      "expected keys topic, event, payload and ref at 13");
}

TEST_CASE("a binary push is read from its layout") {
  const std::string frame = bytes("00010106063132726f6f6d3a6262696e617279010203ff");
  incoming message;
  require_binary(frame, message);
  CHECK(message.join_ref == R"("1")");
  CHECK(message.ref == R"("2")");
  CHECK(message.topic_name == "room:b");
  CHECK(message.event == "binary");
  CHECK(message.payload_data == "\x01\x02\x03\xff");
  CHECK(message.binary);
  CHECK(message.to_payload().is_binary());
}

TEST_CASE("an empty reference of a binary push is an empty string, not null") {
  const std::string frame = bytes("0000000606726f6f6d3a6262696e61727907");
  incoming message;
  require_binary(frame, message);
  CHECK(message.join_ref == R"("")");
  CHECK(message.ref == R"("")");
  CHECK(message.payload_data == "\x07");
}

TEST_CASE("references of a binary push become JSON strings") {
  const std::string frame = "\0\1\2\1\1\"\\\nte"s;
  incoming message;
  require_binary(frame, message);
  CHECK(message.join_ref == R"("\"")");
  CHECK(message.ref == R"("\\\n")");
  CHECK(message.payload_data.empty());
}

TEST_CASE("names in a binary push may have 255 bytes") {
  const std::string name(255, '\x01');
  const std::string frame = "\0\xff\xff\xff\xff"s + name + name + name + name;
  incoming message;
  require_binary(frame, message);
  CHECK(message.topic_name == name);
  CHECK(message.event == name);
  CHECK(message.join_ref.size() == 6 * 255 + 2);
  CHECK(message.ref == message.join_ref);
}

TEST_CASE("binary frames that are no push are malformed") {
  const std::string frame = bytes("00010106063132726f6f6d3a6262696e617279");
  incoming message;
  CHECK_FALSE(decode_binary(protocol::v2, frame, message));
  for (std::size_t size = 0; size < frame.size(); ++size)
    CHECK(decode_binary(protocol::v2, frame.substr(0, size), message));
  CHECK(decode_binary(protocol::v2, "\1" + frame.substr(1), message));
  CHECK(decode_binary(protocol::v2, "\2" + frame.substr(1), message));
  CHECK(decode_binary(protocol::v2, "[" + frame.substr(1), message));
  CHECK(decode_binary(protocol::v1, frame, message));
}

TEST_CASE("names in a binary push must be UTF-8, each of them alone") {
  incoming message;
  CHECK(decode_binary(
      protocol::v2,
      "\0\1\1\1\1\xff"
      "123"s,
      message));
  CHECK(decode_binary(
      protocol::v2,
      "\0\1\1\1\1"
      "1\xff"
      "23"s,
      message));
  CHECK(decode_binary(
      protocol::v2,
      "\0\1\1\1\1"
      "12\xff"
      "3"s,
      message));
  CHECK(decode_binary(
      protocol::v2,
      "\0\1\1\1\1"
      "123\xff"s,
      message));
  CHECK(decode_binary(
      protocol::v2,
      "\0\1\1\1\1"
      "12\xc3\xa9"s,
      message));
  CHECK_FALSE(decode_binary(
      protocol::v2,
      "\0\1\1\2\1"
      "12\xc3\xa9"
      "3\xff"s,
      message));
}

TEST_CASE("a message may be decoded into again") {
  incoming message;
  require_text(
      protocol::v1, R"({"topic":1,"event":2,"payload":{},"ref":"1","join_ref":"9"})", message);
  require_binary(bytes("00010106063132726f6f6d3a6262696e617279"), message);
  CHECK(message.topic_is_string);
  CHECK(message.event_is_string);
  CHECK(message.topic_json.empty());
  require_text(protocol::v1, R"({"topic":"t","event":"e","payload":{},"ref":"1"})", message);
  CHECK(message.join_ref == "null");
  CHECK_FALSE(message.binary);
  require_binary(bytes("00010106063132726f6f6d3a6262696e617279"), message);
  require_text(protocol::v2, R"(["1","2","t","e",{}])", message);
  CHECK_FALSE(message.binary);
}

TEST_CASE("golden: a reply") {
  const payload pong{{"pong", 1}};
  const auto reply = [&](protocol version) {
    return frame_of(encoded::text, [&](std::string& out) {
      return encode_reply(version, out, R"("1")", R"("42")", "room:1", "ok", pong);
    });
  };
  CHECK(
      reply(protocol::v2) ==
      R"(["1","42","room:1","phx_reply",{"status":"ok","response":{"pong":1}}])");
  CHECK(
      reply(protocol::v1) == R"({"ref":"42","topic":"room:1","event":"phx_reply",)"
                             R"("payload":{"status":"ok","response":{"pong":1}}})");
}

TEST_CASE("golden: a reply of the socket itself") {
  const auto reply = [](protocol version, std::string_view ref) {
    return frame_of(encoded::text, [&](std::string& out) {
      return encode_reply(version, out, "null", ref, "phoenix", "ok", {});
    });
  };
  CHECK(
      reply(protocol::v2, R"("5")") ==
      R"([null,"5","phoenix","phx_reply",{"status":"ok","response":{}}])");
  CHECK(
      reply(protocol::v1, "3") ==
      R"({"ref":3,"topic":"phoenix","event":"phx_reply","payload":{"status":"ok","response":{}}})");
}

TEST_CASE("golden: a push to one client") {
  const auto push = [](protocol version) {
    return frame_of(encoded::text, [&](std::string& out) {
      return encode_push(version, out, R"("1")", "room:1", "pushed", {{"z", 1}});
    });
  };
  CHECK(push(protocol::v2) == R"(["1",null,"room:1","pushed",{"z":1}])");
  CHECK(
      push(protocol::v1) == R"({"ref":null,"topic":"room:1","event":"pushed","payload":{"z":1}})");
}

TEST_CASE("golden: a broadcast") {
  const auto broadcast = [](protocol version) {
    return frame_of(encoded::text, [&](std::string& out) {
      return encode_broadcast(version, out, "room:1", "shout", {{"s", 1}});
    });
  };
  CHECK(broadcast(protocol::v2) == R"([null,null,"room:1","shout",{"s":1}])");
  CHECK(
      broadcast(protocol::v1) ==
      R"({"ref":null,"topic":"room:1","event":"shout","payload":{"s":1}})");
}

TEST_CASE("golden: the end of a channel has the join reference in both places") {
  const auto end = [](protocol version, std::string_view event) {
    return frame_of(encoded::text, [&](std::string& out) {
      return encode_end(version, out, R"("7")", "room:1", event);
    });
  };
  CHECK(end(protocol::v2, "phx_close") == R"(["7","7","room:1","phx_close",{}])");
  CHECK(end(protocol::v2, "phx_error") == R"(["7","7","room:1","phx_error",{}])");
  CHECK(
      end(protocol::v1, "phx_close") ==
      R"({"ref":null,"topic":"room:1","event":"phx_close","payload":{}})");
}

TEST_CASE("golden: binary frames of the server") {
  const payload data = payload::binary("\x01\x02\x03\xff");
  CHECK(frame_of(encoded::binary, [&](std::string& out) {
          return encode_reply(protocol::v2, out, R"("1")", R"("2")", "room:b", "ok", data);
        }) == bytes("01010106023132726f6f6d3a626f6b010203ff"));
  CHECK(frame_of(encoded::binary, [&](std::string& out) {
          return encode_reply(
              protocol::v2, out, R"("1")", R"("4")", "room:b", "error", payload::binary("\x09"));
        }) == bytes("01010106053134726f6f6d3a626572726f7209"));
  CHECK(frame_of(encoded::binary, [&](std::string& out) {
          return encode_broadcast(
              protocol::v2, out, "room:b", "binary_shout", payload::binary("\xca\xfe"));
        }) == bytes("02060c726f6f6d3a6262696e6172795f73686f7574cafe"));
  CHECK(frame_of(encoded::binary, [&](std::string& out) {
          return encode_push(
              protocol::v2, out, R"("1")", "room:b", "binary_push", payload::binary("\xbe"));
        }) == bytes("0001060b31726f6f6d3a6262696e6172795f70757368be"));
}

TEST_CASE("golden: an empty reference stays empty in a binary reply") {
  const std::string frame = bytes("0000000606726f6f6d3a6262696e61727907");
  incoming message;
  require_binary(frame, message);
  CHECK(frame_of(encoded::binary, [&](std::string& out) {
          return encode_reply(
              protocol::v2, out, R"("1")", message.ref, message.topic(), "ok",
              message.to_payload());
        }) == bytes("010100060231726f6f6d3a626f6b07"));
  CHECK(frame_of(encoded::text, [&](std::string& out) {
          return encode_reply(protocol::v2, out, "null", message.ref, message.topic(), "ok", {});
        }) == R"([null,"","room:b","phx_reply",{"status":"ok","response":{}}])");
}

TEST_CASE("references lose their quotes and escapes in binary frames") {
  const auto names = [](std::string_view join_ref, std::string_view ref) {
    return frame_of(encoded::binary, [&](std::string& out) {
      return encode_reply(protocol::v2, out, join_ref, ref, "t", "ok", payload::binary("!"));
    });
  };
  CHECK(names("null", "null") == "\1\0\0\1\2tok!"s);
  CHECK(
      names("3", R"("a\n")") ==
      "\1\1\2\1\2"
      "3a\ntok!"s);
  CHECK(names(R"("\u00e9")", "{}") == "\1\2\2\1\2\xc3\xa9{}tok!"s);
}

TEST_CASE("a reply repeats topic and reference byte for byte") {
  incoming message;
  require_text(protocol::v2, R"([null, {"a": 1e400} ,"caf\u00e9\/","ping",{}])", message);
  CHECK(
      frame_of(
          encoded::text,
          [&](std::string& out) {
            return encode_reply(
                protocol::v2, out, "null", message.ref, message.topic(), "error",
                {{"reason", "unmatched topic"}});
          }) == R"([null,{"a": 1e400},"caf\u00e9\/","phx_reply",)"
                R"({"status":"error","response":{"reason":"unmatched topic"}}])");
  require_text(protocol::v2, R"([null,"1",5,"phx_join",{}])", message);
  CHECK(frame_of(encoded::text, [&](std::string& out) {
          return encode_reply(protocol::v2, out, "null", message.ref, message.topic(), "ok", {});
        }) == R"([null,"1",5,"phx_reply",{"status":"ok","response":{}}])");
}

TEST_CASE("topics, events and states are escaped") {
  const std::string odd = "a\"b\\c\n\x01é";
  const std::string quoted = R"("a\"b\\c\n\u0001é")";
  CHECK(frame_of(encoded::text, [&](std::string& out) {
          return encode_push(protocol::v2, out, "null", odd, odd, {});
        }) == "[null,null," + quoted + "," + quoted + ",{}]");
  CHECK(
      frame_of(encoded::text, [&](std::string& out) {
        return encode_reply(protocol::v2, out, "null", "null", odd, odd, {});
      }) == "[null,null," + quoted + R"(,"phx_reply",{"status":)" + quoted + R"(,"response":{}}])");
  // The longest heads, which need memory of their own.
  for (const std::size_t size : {100u, 600u, 5'000u}) {
    const std::string controls(size, '\x02');
    for (const protocol version : both) {
      const std::string frame = frame_of(encoded::text, [&](std::string& out) {
        return encode_reply(version, out, "null", "null", controls, controls, {});
      });
      CHECK(roost::is_json(frame));
      CHECK(frame.size() > 12 * size);
    }
  }
}

TEST_CASE("long references come back whole") {
  const std::string ref = "\"" + std::string(100'000, 'r') + "\"";
  for (const protocol version : both) {
    const std::string frame = frame_of(encoded::text, [&](std::string& out) {
      return encode_reply(version, out, ref, ref, "t", "ok", {});
    });
    CHECK(roost::is_json(frame));
    CHECK(frame.find(ref) != frame.npos);
  }
}

TEST_CASE("names over 255 bytes have no binary frame") {
  const std::string fits(255, 'x'), longer(256, 'x');
  const payload data = payload::binary("data");
  const auto push = [&](std::string_view join_ref, const std::string& topic,
                        const std::string& event) {
    std::string out = "before";
    const encoded kind = encode_push(protocol::v2, out, join_ref, topic, event, data);
    CHECK((kind == encoded::binary) == (out != "before"));
    return kind;
  };
  CHECK(push("null", fits, fits) == encoded::binary);
  CHECK(push("null", longer, fits) == encoded::impossible);
  CHECK(push("null", fits, longer) == encoded::impossible);
  CHECK(push("\"" + fits + "\"", "t", "e") == encoded::binary);
  CHECK(push("\"" + longer + "\"", "t", "e") == encoded::impossible);
  std::string out;
  CHECK(encode_broadcast(protocol::v2, out, longer, "e", data) == encoded::impossible);
  CHECK(encode_reply(protocol::v2, out, "1", "1", "t", longer, data) == encoded::impossible);
  CHECK(out.empty());
  CHECK(encode_broadcast(protocol::v2, out, longer, "e", {}) == encoded::text);
}

TEST_CASE("protocol 1 has no binary frames") {
  const payload data = payload::binary("data");
  std::string out = "before";
  CHECK(encode_reply(protocol::v1, out, "1", "1", "t", "ok", data) == encoded::impossible);
  CHECK(encode_push(protocol::v1, out, "1", "t", "e", data) == encoded::impossible);
  CHECK(encode_broadcast(protocol::v1, out, "t", "e", data) == encoded::impossible);
  CHECK(out == "before");
}

TEST_CASE("names that are not UTF-8 have no text frame") {
  for (const protocol version : both) {
    std::string out = "before";
    CHECK(encode_push(version, out, "1", "\xff", "e", {}) == encoded::impossible);
    CHECK(encode_push(version, out, "1", "t", "\xff", {}) == encoded::impossible);
    CHECK(encode_reply(version, out, "1", "1", "t", "\xff", {}) == encoded::impossible);
    CHECK(encode_broadcast(version, out, "t", "\xc3", {}) == encoded::impossible);
    CHECK(encode_end(version, out, "1", "\xff", "phx_close") == encoded::impossible);
    CHECK(out == "before");
  }
}

TEST_CASE("frames may follow one another in one buffer") {
  std::string out;
  encode_end(protocol::v2, out, "1", "t", "phx_close");
  encode_broadcast(protocol::v2, out, "t", "e", payload::binary("b"));
  encode_push(protocol::v2, out, "1", "t", "e", {});
  CHECK(
      out == R"([1,1,"t","phx_close",{}])"
             "\2\1\1teb"
             R"([1,null,"t","e",{}])");
}
