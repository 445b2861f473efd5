// Two handshakes against each other, and against whatever else may come.
#include "runtime/distribution/handshake.hpp"
#include "runtime/node_table.hpp"
#include <doctest/doctest.h>

using namespace roost::detail;
using roost::decode_error;
using side = handshake::side;
using step = handshake::step;

namespace {

hello hello_of(std::string name, std::uint64_t incarnation = 11) {
  hello hello;
  hello.node = std::move(name);
  hello.incarnation = incarnation;
  hello.max_message = 1000;
  return hello;
}

handshake client_of(hello mine = hello_of("a@host")) {
  return {side::client, std::move(mine), "b@host"};
}
handshake server_of(hello mine = hello_of("b@host")) { return {side::server, std::move(mine)}; }

/// The frame in these bytes, which are nothing else.
frame only_frame(std::string_view bytes) {
  auto found = take_frame(bytes, largest_hello);
  REQUIRE(found);
  REQUIRE(bytes.empty());
  return *found;
}

/// What a client says first.
std::string first_words(handshake& client) {
  std::string out;
  client.start(out);
  return out;
}

/// As far as the server's answer, which is returned.
std::string until_answer(
    handshake& client, handshake& server, const verdict& verdict, step expected = step::more) {
  auto words = first_words(client);
  std::string out;
  CHECK(server.received(only_frame(words), out) == step::decide);
  CHECK(out.empty());
  CHECK(server.answer(verdict, out) == expected);
  return out;
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (auto byte : bytes) {
    char two[4];
    std::snprintf(
        two, sizeof two, "%02x ", static_cast<unsigned>(static_cast<unsigned char>(byte)));
    text += two;
  }
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace

TEST_CASE("hello is laid down byte by byte") {
  auto mine = hello_of("a@b", 0x0807060504030201);
  mine.hidden = true;
  CHECK(
      hex(encode_hello(mine)) ==
      "72 6f 6f 73 74 "            // roost
      "01 00 01 00 "               // oldest and newest version
      "01 "                        // hidden
      "03 61 40 62 "               // name
      "01 02 03 04 05 06 07 08 "   // incarnation
      "60 ea 00 00 "               // 60 s
      "e8 03 00 00 00 00 00 00");  // max_message
}

TEST_CASE("hello arrives as it was said, and may say more than this version knows") {
  auto mine = hello_of("chat@10.0.0.7", 5);
  mine.oldest = 3;
  mine.newest = 9;
  mine.hidden = true;
  mine.ticktime_ms = 1234;
  mine.max_message = 1ull << 40;
  for (auto& bytes : {encode_hello(mine), encode_hello(mine) + "more"}) {
    auto got = decode_hello(bytes);
    CHECK(got.oldest == 3);
    CHECK(got.newest == 9);
    CHECK(got.node == mine.node);
    CHECK(got.incarnation == 5);
    CHECK(got.hidden);
    CHECK(got.ticktime_ms == 1234);
    CHECK(got.max_message == 1ull << 40);
  }
}

TEST_CASE("every truncation of hello is an error, and so is nonsense") {
  auto bytes = encode_hello(hello_of("a@host"));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_THROWS_AS(decode_hello(std::string_view(bytes).substr(0, size)), decode_error);
  auto wrong = bytes;
  wrong[0] = 'R';
  CHECK_THROWS_AS(decode_hello(wrong), decode_error);
  CHECK_THROWS_AS(decode_hello(encode_hello(hello_of("no name"))), decode_error);
  CHECK_THROWS_AS(decode_hello(encode_hello(hello_of("a@"))), decode_error);
  CHECK_THROWS_AS(decode_hello(encode_hello(hello_of("a@host", 0))), decode_error);
  CHECK_THROWS_AS(
      decode_hello(encode_hello(hello_of(std::string(300, 'a') + "@host"))), decode_error);
}

TEST_CASE("hello with the longest name fits into what strangers may say, and so does its answer") {
  auto name = std::string(250, 'a') + "@host";
  REQUIRE(is_node_name(name));
  REQUIRE_FALSE(is_node_name("a" + name));
  auto client = handshake(side::client, hello_of(name), name);
  auto server = server_of(hello_of(name));
  auto answer =
      until_answer(client, server, {verdict_code::refused, std::string(5000, 'x')}, step::refused);
  std::string out;
  CHECK(client.received(only_frame(answer), out) == step::refused);
}

TEST_CASE("a client and a server that take each other are up") {
  auto client = client_of();
  auto server = server_of();
  auto answer = until_answer(client, server, {});
  CHECK(server.peer().node == "a@host");
  CHECK(server.peer().incarnation == 11);
  std::string out;
  CHECK(client.received(only_frame(answer), out) == step::up);
  CHECK(client.peer().node == "b@host");
  CHECK(only_frame(out).type == frame_type::ready);
  std::string nothing;
  CHECK(server.received(only_frame(out), nothing) == step::up);
  CHECK(nothing.empty());
  CHECK(client.version() == 1);
  CHECK(server.version() == 1);
}

TEST_CASE("a client that is refused hears why") {
  auto client = client_of();
  auto server = server_of();
  auto answer =
      until_answer(client, server, {verdict_code::refused, "a@host is not allowed"}, step::refused);
  CHECK(server.error() == "a@host is not allowed");
  std::string out;
  CHECK(client.received(only_frame(answer), out) == step::refused);
  CHECK(out.empty());
  CHECK(client.error().find("a@host is not allowed") != std::string::npos);
}

TEST_CASE("a client that was refused cannot go on by saying that it is ready") {
  auto client = client_of();
  auto server = server_of();
  until_answer(client, server, {verdict_code::refused, "no"}, step::refused);
  std::string ready;
  put_frame(ready, frame_type::ready, {});
  std::string out;
  CHECK_THROWS_AS(server.received(only_frame(ready), out), decode_error);
}

TEST_CASE("a client whose node is dialled by the other one waits for that") {
  auto client = client_of();
  auto server = server_of();
  auto answer = until_answer(client, server, {verdict_code::simultaneous, {}}, step::refused);
  std::string out;
  CHECK(client.received(only_frame(answer), out) == step::waits);
  CHECK(out.empty());
}

TEST_CASE("a client that reaches another node than it has dialled goes away") {
  auto client = client_of();
  auto server = server_of(hello_of("c@host"));
  auto answer = until_answer(client, server, {});
  std::string out;
  CHECK(client.received(only_frame(answer), out) == step::refused);
  CHECK(out.empty());
  CHECK(client.error() == "expected the node b@host, got c@host");
}

TEST_CASE("the newest version that both speak is used") {
  auto speaking = [](const char* name, std::uint16_t oldest, std::uint16_t newest) {
    auto hello = hello_of(name);
    hello.oldest = oldest;
    hello.newest = newest;
    return hello;
  };
  struct row {
    std::uint16_t client[2];
    std::uint16_t server[2];
    std::uint16_t version;  // 0: they cannot talk
  };
  for (auto [mine, theirs, version] :
       {row{{1, 1}, {1, 1}, 1}, row{{1, 3}, {1, 2}, 2}, row{{1, 2}, {2, 5}, 2},
        row{{2, 5}, {1, 2}, 2}, row{{1, 1}, {2, 3}, 0}, row{{4, 5}, {1, 3}, 0}}) {
    auto client = client_of(speaking("a@host", mine[0], mine[1]));
    auto server = server_of(speaking("b@host", theirs[0], theirs[1]));
    auto answer = until_answer(client, server, {}, version != 0 ? step::more : step::refused);
    std::string out;
    CHECK(client.received(only_frame(answer), out) == (version != 0 ? step::up : step::refused));
    if (version == 0) {
      CHECK(client.error().find("version") != std::string::npos);
      continue;
    }
    CHECK(client.version() == version);
    CHECK(server.version() == version);
  }
}

TEST_CASE("a client checks the version by itself") {
  auto client = client_of();
  first_words(client);
  auto theirs = hello_of("b@host");
  theirs.oldest = theirs.newest = 9;
  wire_buffer body;
  wire_writer out{body};
  out.byte(0);
  out.text("");
  out.text(encode_hello(theirs));
  std::string answer;
  CHECK(client.received({frame_type::verdict, body.view()}, answer) == step::refused);
  CHECK(answer.empty());
}

TEST_CASE("frames that do not belong here are errors, on both sides and in every state") {
  constexpr frame_type all[] = {frame_type::hello, frame_type::verdict,   frame_type::ready,
                                frame_type::tick,  frame_type::type_name, frame_type::nodes,
                                frame_type::lost,  frame_type::signal,    frame_type::fragment,
                                frame_type{0},     frame_type{255}};
  auto body = encode_hello(hello_of("a@host"));
  std::string out;
  for (auto type : all) {
    CAPTURE(static_cast<int>(type));
    frame frame{type, body};
    if (type != frame_type::verdict) {
      auto client = client_of();
      first_words(client);
      CHECK_THROWS_AS(client.received(frame, out), decode_error);
    }
    if (type != frame_type::hello) {
      auto server = server_of();
      CHECK_THROWS_AS(server.received(frame, out), decode_error);
    }
    {  // heard of, but not answered
      auto server = server_of();
      CHECK(server.received({frame_type::hello, body}, out) == step::decide);
      CHECK_THROWS_AS(server.received(frame, out), decode_error);
    }
    if (type != frame_type::ready) {
      auto client = client_of();
      auto server = server_of();
      until_answer(client, server, {});
      CHECK_THROWS_AS(server.received(frame, out), decode_error);
    }
  }
}

TEST_CASE("a verdict comes once") {
  auto client = client_of();
  auto server = server_of();
  auto answer = until_answer(client, server, {});
  std::string out;
  CHECK(client.received(only_frame(answer), out) == step::up);
  CHECK_THROWS_AS(client.received(only_frame(answer), out), decode_error);
}

TEST_CASE("every truncation of a verdict is an error or a refusal") {
  auto server = server_of();
  auto other = client_of();
  auto answer = until_answer(other, server, {});
  auto body = only_frame(answer).body;
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    auto client = client_of();
    first_words(client);
    std::string out;
    CHECK_THROWS_AS(
        client.received({frame_type::verdict, body.substr(0, size)}, out), decode_error);
    CHECK(out.empty());
  }
}

TEST_CASE("of two connections the one that the greater name has dialled lives") {
  using enum verdict_code;
  struct row {
    standing where;
    verdict_code expected;
  };
  for (auto& [where, expected] :
       {row{{"b@host", "a@host", false, false}, taken},
        row{{"b@host", "a@host", true, false}, simultaneous},  // a's is refused: b's lives
        row{{"a@host", "b@host", true, false}, taken},  // b's is taken, and a's is refused there
        row{{"a@host", "b@host", false, false}, taken},
        row{{"a@host", "b@host", false, true}, refused},
        row{{"b@host", "a@host", true, true}, refused}}) {
    CAPTURE(where.own_name);
    CHECK(arbitrate(where) == expected);
  }
}

TEST_CASE("two nodes that dial each other at the same moment get one connection") {
  auto names = std::pair{"a@host", "b@host"};
  // Each one's client meets the other's server, and both are dialling.
  auto verdict_at = [&](std::string_view own, std::string_view peer) {
    return arbitrate({own, peer, true, false});
  };
  auto of_first = verdict_at(names.second, names.first);   // the first one's connection
  auto of_second = verdict_at(names.first, names.second);  // the second one's
  CHECK(of_first == verdict_code::simultaneous);
  CHECK(of_second == verdict_code::taken);
}
