#include "runtime/distribution/epmd_protocol.hpp"
#include "tests/support.hpp"

namespace epmd = roost::detail::epmd;
using roost::detail::port_entry;
using namespace roost::detail::epmd;
using namespace std::string_literals;

namespace {

port_entry chat() { return {.name = "chat", .port = 0x9c41, .extra = "roost"}; }

/// As Debian's epmd 25 was seen to send and take them.
const auto register_chat = "\0\x16x\x9c\x41H\0\0\6\0\5\0\4chat\0\5roost"s;
const auto found_chat = "w\0\x9c\x41H\0\0\6\0\5\0\4chat\0\5roost"s;

request decoded(const std::string& bytes) {
  request result;
  REQUIRE(decode_request(bytes, result) == progress::complete);
  return result;
}

progress state_of(const std::string& bytes) {
  request result;
  return decode_request(bytes, result);
}

request registering(std::string name, std::uint16_t highest_version = 6) {
  return register_request{
      {.name = std::move(name), .port = 1234, .highest_version = highest_version}};
}

constexpr server::peer local(server::connection_id connection) {
  return {.connection = connection, .is_local = true};
}

struct serving {
  explicit serving(std::uint32_t random = 77) : server(chat(), 4369, [random] { return random; }) {
    server.is_primary(true);
  }
  bool accepts(const server::peer& from, const request& request) {
    auto reply = server.answer(from, request);
    registration answer;
    auto state = decode_registration(reply.bytes, answer);
    bool accepted = state == progress::complete && answer.accepted;
    CHECK((reply.then == server::reply::next::keep) == accepted);
    return accepted;
  }
  std::optional<port_entry> find(const std::string& name) {
    std::optional<port_entry> entry;
    auto reply = server.answer(local(99), lookup_request{name});
    REQUIRE(decode_lookup_answer(reply.bytes, entry) == progress::complete);
    return entry;
  }
  epmd::server server;
};

}  // namespace

// ------------------------------------------------------------------------------------ the bytes

TEST_CASE("a registration has the bytes that Erlang's epmd takes") {
  CHECK(encode_register(chat()) == register_chat);
  CHECK(std::get<register_request>(decoded(register_chat)).entry == chat());
}

TEST_CASE("a lookup has the bytes that Erlang's epmd takes") {
  CHECK(encode_lookup("chat") == "\0\5zchat"s);
  CHECK(std::get<lookup_request>(decoded("\0\5zchat"s)).name == "chat");
}

TEST_CASE("the question for all names has one byte") {
  CHECK(encode_names() == "\0\1n"s);
  CHECK(std::holds_alternative<names_request>(decoded("\0\1n"s)));
}

TEST_CASE("a registration's answer has a wide creation from version 6 on") {
  CHECK(encode_registration({true, 0x6b09495c}, 6) == "v\0k\tI\\"s);
  CHECK(encode_registration({false, 0}, 6) == "v\1\0\0\0\0"s);
  CHECK(encode_registration({true, 2}, 5) == "y\0\0\2"s);
  for (auto version : {5, 6}) {
    registration answer;
    auto bytes = encode_registration({true, 3}, static_cast<std::uint16_t>(version));
    REQUIRE(decode_registration(bytes, answer) == progress::complete);
    CHECK(answer.accepted);
    CHECK(answer.creation == 3);
  }
}

TEST_CASE("a lookup's answer has the bytes that Erlang's epmd sends") {
  auto entry = chat();
  CHECK(encode_lookup_answer(&entry) == found_chat);
  CHECK(encode_lookup_answer(nullptr) == "w\1"s);
  std::optional<port_entry> answer;
  REQUIRE(decode_lookup_answer(found_chat, answer) == progress::complete);
  CHECK(answer == entry);
  REQUIRE(decode_lookup_answer("w\1"s, answer) == progress::complete);
  CHECK_FALSE(answer);
}

TEST_CASE("a list of names is a port and lines") {
  std::vector<port_entry> names;
  auto bytes = "\0\0\x55\xefname b at port 1234\nname a at port 65535\n"s;
  REQUIRE(decode_names_answer(bytes, names) == progress::complete);
  REQUIRE(names.size() == 2);
  CHECK(names[0].name == "b");
  CHECK(names[0].port == 1234);
  CHECK(names[1].name == "a");
  CHECK(names[1].port == 65535);
}

TEST_CASE("a line that is no entry does not hide the others") {
  std::vector<port_entry> names;
  auto bytes =
      "\0\0\x11\x11name a at port 1\nfoo\nname b c at port 2\nname d at port 65536\n"
      "name e at port 5x\nname  at port 4\n\nname f at port 6\n"s;
  REQUIRE(decode_names_answer(bytes, names) == progress::complete);
  REQUIRE(names.size() == 2);
  CHECK(names[0].name == "a");
  CHECK(names[1].name == "f");
}

// ------------------------------------------------------------------------------------- bad bytes

TEST_CASE("every beginning of a request is incomplete") {
  for (auto& whole : {register_chat, encode_lookup("chat"), encode_names(), "\0\1k"s})
    for (std::size_t size = 0; size < whole.size(); ++size)
      CHECK(state_of(whole.substr(0, size)) == progress::incomplete);
}

TEST_CASE("every beginning of an answer is incomplete") {
  std::optional<port_entry> entry;
  registration answer;
  for (std::size_t size = 0; size < found_chat.size(); ++size)
    CHECK(decode_lookup_answer(found_chat.substr(0, size), entry) == progress::incomplete);
  for (auto& whole : {encode_registration({true, 1}, 6), encode_registration({true, 1}, 5)})
    for (std::size_t size = 0; size < whole.size(); ++size)
      CHECK(decode_registration(whole.substr(0, size), answer) == progress::incomplete);
  std::vector<port_entry> names;
  for (auto bytes : {""s, "\0\0\1"s, "\0\0\1\1name a at port 1"s})
    CHECK(decode_names_answer(bytes, names) == progress::incomplete);
}

TEST_CASE("a registration whose parts do not fit its length is malformed") {
  for (std::size_t cut = 1; cut < register_chat.size() - 2; ++cut) {
    auto body = register_chat.substr(2, register_chat.size() - 2 - cut);
    CHECK(state_of("\0"s + static_cast<char>(body.size()) + body) == progress::malformed);
  }
  auto long_name = register_chat;
  long_name[13] = '\x7f';
  CHECK(state_of(long_name) == progress::malformed);
  auto long_extra = register_chat;
  long_extra[long_extra.size() - 6] = '\xff';
  CHECK(state_of(long_extra) == progress::malformed);
  auto other_protocol = register_chat;
  other_protocol[6] = 1;
  CHECK(state_of(other_protocol) == progress::malformed);
}

TEST_CASE("a length beyond the longest request is refused before the rest has come") {
  CHECK(state_of("\xff\xff"s) == progress::malformed);
  CHECK(state_of("\2\x10z"s) == progress::malformed);
  CHECK(state_of("\0\0"s) == progress::malformed);
  port_entry longest{
      .name = std::string(longest_name, 'n'), .extra = std::string(longest_extra, 'e')};
  CHECK(encode_register(longest).size() == longest_request);
  CHECK(state_of(encode_register(longest)) == progress::complete);
  CHECK(encode_lookup_answer(&longest).size() == longest_lookup_answer);
}

TEST_CASE("no byte but the known ones begins a request") {
  int known = 0;
  for (int code = 0; code < 256; ++code) {
    auto state = state_of("\0\2"s + static_cast<char>(code) + "a");
    CHECK(state != progress::incomplete);
    if (state == progress::complete) ++known;
  }
  CHECK(known == 5);  // n, z, k, s, d
}

TEST_CASE("an answer with another first byte is malformed") {
  std::optional<port_entry> entry;
  registration answer;
  CHECK(decode_lookup_answer("H", entry) == progress::malformed);
  CHECK(decode_registration("H", answer) == progress::malformed);
}

TEST_CASE("what follows a request is ignored") {
  CHECK(std::holds_alternative<names_request>(decoded("\0\1nGET /"s)));
}

TEST_CASE("names are UTF-8 without blanks and control characters") {
  for (auto name : {"a", "chat-1_2", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac", "\xf0\x9f\x90\x93"})
    CHECK(is_name(name));
  CHECK(is_name(std::string(255, 'n')));
  CHECK_FALSE(is_name(std::string(256, 'n')));
  for (auto name :
       {""s, "a b"s, "a\n"s, "\0"s, "a\x7f"s, "\x80"s, "\xc3"s, "\xc0\xaf"s, "\xe0\x80\x80"s,
        "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s, "\xf5\x80\x80\x80"s, "\xe2\x82"s,
        "\xf0\x9f\x90\x41"s})
    CHECK_FALSE(is_name(name));
}

TEST_CASE("a name that is too long is not sent") {
  CHECK_THROWS_AS(encode_lookup(std::string(256, 'n')), std::invalid_argument);
  CHECK_THROWS_AS(encode_register({.name = std::string(256, 'n')}), std::invalid_argument);
}

// ------------------------------------------------------------------------------------ the server

TEST_CASE("a server knows its own node") {
  serving here;
  CHECK(here.find("chat") == chat());
  CHECK(here.server.own_creation() == 77);
}

TEST_CASE("a name belongs to a connection until that ends") {
  serving here;
  CHECK(here.accepts(local(1), registering("a")));
  CHECK(here.find("a")->port == 1234);
  here.server.closed(1);
  CHECK_FALSE(here.find("a"));
  CHECK(here.accepts(local(2), registering("a")));
}

TEST_CASE("a name is not given twice") {
  serving here;
  CHECK(here.accepts(local(1), registering("a")));
  CHECK_FALSE(here.accepts(local(2), registering("a")));
  CHECK_FALSE(here.accepts(local(2), registering("chat")));
  here.server.closed(2);
  CHECK(here.find("a"));
  CHECK(here.find("chat"));
}

TEST_CASE("only those on the same host register") {
  serving here;
  auto reply = here.server.answer({.connection = 1, .is_local = false}, registering("a"));
  CHECK(reply.bytes.empty());
  CHECK(reply.then == server::reply::next::close);
  CHECK_FALSE(here.find("a"));
}

TEST_CASE("a table does not grow without end") {
  serving here;
  for (std::size_t i = 1; i < server::most_entries; ++i)
    REQUIRE(here.accepts(local(i), registering("n" + std::to_string(i))));
  CHECK_FALSE(here.accepts(local(9999), registering("one_more")));
  here.server.closed(5);
  CHECK(here.accepts(local(9999), registering("one_more")));
}

TEST_CASE("the list of names is what Erlang's epmd would send") {
  serving here;
  REQUIRE(here.accepts(local(1), registering("a")));
  auto reply = here.server.answer(local(2), names_request{});
  CHECK(reply.bytes == "\0\0\x11\x11name a at port 1234\nname chat at port 40001\n"s);
  CHECK(reply.then == server::reply::next::close);
}

TEST_CASE("a creation is never one that cannot be") {
  for (std::uint32_t random : {0U, 1U, 2U, 3U, 4U, ~0U}) {
    serving here{random};
    registration answer;
    auto old = here.server.answer(local(1), registering("old", 5)).bytes;
    REQUIRE(decode_registration(old, answer) == progress::complete);
    CHECK(answer.creation >= 1);
    CHECK(answer.creation <= 3);
    CHECK(here.server.own_creation() > 3);
  }
}

TEST_CASE("requests that could harm others are refused") {
  serving here;
  CHECK(here.server.answer(local(1), decoded("\0\1k"s)).bytes == "NO");
  CHECK(here.server.answer({1, false}, decoded("\0\1k"s)).bytes.empty());
  CHECK(here.server.answer(local(1), decoded("\0\5schat"s)).bytes.empty());
  CHECK(here.server.answer(local(1), decoded("\0\1d"s)).bytes.empty());
  CHECK(here.find("chat"));
}

TEST_CASE("who is not the port mapper of its host answers for itself and relays the rest") {
  serving here;
  here.server.is_primary(false);
  using next = server::reply::next;
  CHECK(here.find("chat"));
  CHECK(here.server.answer(local(1), lookup_request{"other"}).then == next::relay);
  CHECK(here.server.answer(local(1), names_request{}).then == next::relay);
  CHECK(here.server.answer(local(1), registering("a")).bytes.empty());
}
