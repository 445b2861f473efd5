// The bytes of frames and signals, which are a contract between versions.
#include "runtime/distribution/frames.hpp"
#include "runtime/node_table.hpp"
#include "runtime/process_core.hpp"
#include <doctest/doctest.h>
#include <random>

using namespace roost::detail;
using namespace std::string_literals;
using roost::decode_error;
using roost::exit_reason;
using roost::pid;
using roost::reference;

namespace {

struct posted {
  static constexpr std::string_view wire_name = "frames_test.posted";
  std::string text;
  int number = 0;
};

/// Of another program: nothing here takes it.
struct stranger {
  static constexpr std::string_view wire_name = "frames_test.stranger";
  int number = 0;
};

struct local_only { std::function<void()> run; };

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

std::string unhex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 3)
    bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  return bytes;
}

/// Numbers of this node and of another one.
std::uint32_t other() { return node_number("frames@127.0.0.1", 17); }
const pid sender{0x0102, 0};

std::string signal_bytes(const message& message, pid to) {
  wire_buffer body;
  wire_writer out{body, other()};
  put_signal(out, to, message);
  return std::string(body.view());
}

message_ptr to_send(message_ptr message, pid from = sender, reference ref = {}) {
  message->from = from;
  message->ref = ref;
  return message;
}

message_ptr info(std::string text, int number) {
  return to_send(make_message<posted>(message_kind::info, std::move(text), number));
}

message_ptr bare(message_kind kind, reference ref) {
  return to_send(make_message<unit>(kind), sender, ref);
}

/// A handler of it makes a type known.
const posted& value(incoming_signal& signal) {
  auto* found = signal.message ? value_of<posted>(*signal.message) : nullptr;
  REQUIRE(found != nullptr);
  return *found;
}

/// What is written for the other node, and then read as if it came from there.
incoming_signal there_and_back(const message& message, pid to) {
  static std::string bytes;
  bytes = signal_bytes(message, to);
  return take_signal(bytes, other());
}

}  // namespace

TEST_CASE("a frame is its length, its type, and a body") {
  std::string out;
  put_frame(out, frame_type::tick, {});
  CHECK(hex(out) == "01 00 00 00 10");
  put_frame(out, frame_type::nodes, "abc");
  CHECK(hex(out) == "01 00 00 00 10 04 00 00 00 12 61 62 63");
  std::string_view in = out;
  auto tick = take_frame(in, 100);
  REQUIRE(tick);
  CHECK(tick->type == frame_type::tick);
  CHECK(tick->body.empty());
  auto nodes = take_frame(in, 100);
  REQUIRE(nodes);
  CHECK(nodes->type == frame_type::nodes);
  CHECK(nodes->body == "abc");
  CHECK(in.empty());
  CHECK_FALSE(take_frame(in, 100));
}

TEST_CASE("the numbers of frame types stay") {
  CHECK(static_cast<int>(frame_type::hello) == 1);
  CHECK(static_cast<int>(frame_type::verdict) == 2);
  CHECK(static_cast<int>(frame_type::ready) == 3);
  CHECK(static_cast<int>(frame_type::tick) == 16);
  CHECK(static_cast<int>(frame_type::type_name) == 17);
  CHECK(static_cast<int>(frame_type::nodes) == 18);
  CHECK(static_cast<int>(frame_type::lost) == 19);
  CHECK(static_cast<int>(frame_type::signal) == 32);
  CHECK(static_cast<int>(frame_type::fragment) == 33);
}

TEST_CASE("a frame that has not come whole is waited for, and nothing is taken") {
  std::string whole;
  put_frame(whole, frame_type::signal, "some text");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    auto in = std::string_view(whole).substr(0, size);
    CHECK_FALSE(take_frame(in, 100));
    CHECK(in.size() == size);
  }
}

TEST_CASE("a length of nothing or of too much is an error at once") {
  for (auto bytes :
       {"\0\0\0\0"s, "\xff\xff\xff\xff"s, "\0\0\0\x80"s, "\x65\0\0\0"s, "\x65\0\0\0\x10more"s}) {
    CAPTURE(hex(bytes));
    std::string_view in = bytes;
    CHECK_THROWS_AS(take_frame(in, 100), decode_error);
  }
  std::string_view in{"\x64\0\0\0", 4};
  CHECK_FALSE(take_frame(in, 100));
}

TEST_CASE("a message is its kind, flags, receiver, sender, type and value") {
  auto bytes = signal_bytes(*info("hi", 300), pid{0x0304, other()});
  CHECK(
      hex(bytes) ==
      "01 00 "                    // info
      "04 03 00 00 00 00 00 00 "  // receiver
      "02 01 00 00 00 00 00 00 "  // sender
      "c1 6b 56 36 6e 05 f3 b1 "  // FNV-1a of frames_test.posted
      "02 02 68 69 d8 04");       // two fields: a text, 300 in zigzag
}

TEST_CASE("signals are laid down byte by byte") {
  auto to = pid{0x0304, other()};
  auto ref = reference{0x0506};
  const auto processes = "04 03 00 00 00 00 00 00 02 01 00 00 00 00 00 00"s;
  CHECK(hex(signal_bytes(*bare(message_kind::link, {}), to)) == "07 00 " + processes);
  CHECK(hex(signal_bytes(*bare(message_kind::unlink, {}), to)) == "08 00 " + processes);
  CHECK(hex(signal_bytes(*bare(message_kind::unlinked, {}), to)) == "09 00 " + processes);
  auto with_ref = hex(signal_bytes(*bare(message_kind::monitor, ref), to));
  CHECK(with_ref == "0a 01 " + processes + " 00 86 0a");
  CHECK(
      hex(signal_bytes(*bare(message_kind::demonitor, ref), to)) ==
      "0b 01 " + processes + " 00 86 0a");
  CHECK(
      hex(signal_bytes(*bare(message_kind::call_done, ref), to)) ==
      "0d 01 " + processes + " 00 86 0a");
  auto exit =
      to_send(make_message<exit_signal>(message_kind::exit, exit_reason("no paper"), false));
  CHECK(hex(signal_bytes(*exit, to)) == "0c 00 " + processes + " 08 01 08 6e 6f 20 70 61 70 65 72");
  auto linked = to_send(make_message<exit_signal>(message_kind::exit, exit_reason::killed, true));
  CHECK(hex(signal_bytes(*linked, to)) == "0c 10 " + processes + " 03 00");
  auto down = to_send(
      make_message<roost::down>(message_kind::down, ref, sender, exit_reason::noproc), sender, ref);
  CHECK(hex(signal_bytes(*down, to)) == "06 01 " + processes + " 00 86 0a 04 00");
}

TEST_CASE("a receiver may be a name") {
  auto bytes = signal_bytes(*info("", 0), named_pid("rooms", other()));
  CHECK(hex(bytes).starts_with("01 02 05 72 6f 6f 6d 73 02 01 00 00 00 00 00 00 "));
  auto signal = take_signal(bytes, other());
  CHECK(signal.name == "rooms");
  CHECK_FALSE(signal.to);
}

TEST_CASE("every kind of message that can travel arrives as it was sent") {
  auto to = pid{0x0304, other()};
  auto from = pid{sender.id, other()};
  auto ref = reference{0x0506};
  SUBCASE("messages with a value") {
    for (auto kind :
         {message_kind::info, message_kind::cast, message_kind::call, message_kind::reply}) {
      auto sent = to_send(make_message<posted>(kind, "text", -5), sender, ref);
      auto got = there_and_back(*sent, to);
      CHECK(got.kind == kind);
      CHECK(got.to == pid{0x0304, 0});
      CHECK(got.from == from);
      CHECK(value(got).text == "text");
      CHECK(value(got).number == -5);
      CHECK(got.message->kind == kind);
      CHECK(got.message->from == from);
      CHECK(got.message->ref == got.ref);
      CHECK(got.ref == foreign_reference(other(), 0x0506));
    }
  }
  SUBCASE("signals without one") {
    for (auto kind :
         {message_kind::link, message_kind::unlink, message_kind::unlinked, message_kind::monitor,
          message_kind::demonitor, message_kind::call_done}) {
      auto got = there_and_back(*bare(kind, ref), to);
      REQUIRE(got.message);
      CHECK(got.message->kind == kind);
      CHECK(got.message->from == from);
      CHECK(got.message->ref == foreign_reference(other(), 0x0506));
    }
  }
  SUBCASE("ends of processes") {
    auto reason = exit_reason::error("std::runtime_error", "no paper", "printer");
    auto exit =
        there_and_back(*to_send(make_message<exit_signal>(message_kind::exit, reason, true)), to);
    auto* signal = value_of<exit_signal>(*exit.message);
    REQUIRE(signal != nullptr);
    CHECK(signal->reason == reason);
    CHECK(signal->linked);
    auto down = there_and_back(
        *to_send(make_message<roost::down>(message_kind::down, ref, sender, reason), sender, ref),
        to);
    auto* fired = value_of<roost::down>(*down.message);
    REQUIRE(fired != nullptr);
    CHECK(fired->reason == reason);
    CHECK(fired->process == from);
    CHECK(fired->ref == foreign_reference(other(), 0x0506));
    auto notice = there_and_back(
        *to_send(make_message<death_notice>(message_kind::no_reply, reason), sender, ref), to);
    auto* no_reply = value_of<death_notice>(*notice.message);
    REQUIRE(no_reply != nullptr);
    CHECK(no_reply->reason == reason);
  }
  SUBCASE("a reference of the receiver's comes back as its own") {
    auto theirs = foreign_reference(other(), 99);
    auto bytes = signal_bytes(
        *to_send(make_message<posted>(message_kind::reply, "", 0), sender, theirs), to);
    CHECK(hex(bytes).find("01 63") != std::string::npos);
    CHECK(take_signal(bytes, other()).ref == reference{99});
  }
  SUBCASE("flags") {
    auto aliased = info("", 0);
    aliased->flag = through_alias;
    CHECK(there_and_back(*aliased, to).message->flag == through_alias);
    auto reply = to_send(make_message<posted>(message_kind::reply, "", 0), sender, ref);
    reply->flag = by_server;
    CHECK(there_and_back(*reply, to).message->flag == by_server);
    auto late = info("", 0);
    late->flag = from_timeout;
    CHECK(there_and_back(*late, to).message->flag == 0);
  }
}

TEST_CASE("a message from nobody in particular says so") {
  auto bytes = signal_bytes(
      *to_send(make_message<posted>(message_kind::info, "", 0), pid{}), pid{9, other()});
  CHECK_FALSE(take_signal(bytes, other()).from);
}

TEST_CASE("what stays on its node cannot travel") {
  CHECK(can_travel(*info("", 0)));
  CHECK(can_travel(*bare(message_kind::monitor, {})));
  CHECK_FALSE(can_travel(*make_message<local_only>(message_kind::info)));
  CHECK_FALSE(can_travel(*make_message<posted>(message_kind::task)));
  CHECK_FALSE(can_travel(*make_message<posted>(message_kind::exited)));
  CHECK_FALSE(can_travel(*make_message<posted>(message_kind::node_lost)));
}

TEST_CASE("a value that this program does not know is trouble, but no error") {
  auto sent = to_send(make_message<stranger>(message_kind::call, 4), sender, reference{7});
  auto got = there_and_back(*sent, pid{9, other()});
  CHECK_FALSE(got.message);
  CHECK(got.trouble == "unknown type");
  CHECK(got.type_hash == wire_hash_of("frames_test.stranger"));
  CHECK(got.kind == message_kind::call);
  CHECK(got.from == pid{sender.id, other()});
  CHECK(got.ref == foreign_reference(other(), 7));
}

TEST_CASE("a value that is malformed is trouble, but no error") {
  auto bytes = signal_bytes(*info("text", 5), pid{9, other()});
  constexpr std::size_t value_begins = 2 + 8 + 8 + 8;
  for (auto size = value_begins; size < bytes.size(); ++size) {
    auto got = take_signal(std::string_view(bytes).substr(0, size), other());
    CHECK_FALSE(got.message);
    CHECK(got.trouble.find("frames_test.posted") != std::string::npos);
  }
  auto longer = bytes + "x";
  CHECK_FALSE(take_signal(longer, other()).message);
}

TEST_CASE("every truncation before the value is an error") {
  auto to = pid{9, other()};
  auto ref = reference{7};
  auto ending = to_send(
      make_message<roost::down>(message_kind::down, ref, sender, exit_reason("no paper")), sender,
      ref);
  auto exit = to_send(make_message<exit_signal>(message_kind::exit, exit_reason("no paper"), true));
  auto message = to_send(make_message<posted>(message_kind::call, "", 0), sender, ref);
  auto named = to_send(make_message<posted>(message_kind::cast, "", 0));
  for (auto& bytes :
       {signal_bytes(*ending, to), signal_bytes(*exit, to),
        signal_bytes(*bare(message_kind::link, {}), to),
        signal_bytes(*bare(message_kind::monitor, ref), to),
        signal_bytes(*message, to).substr(0, 2 + 16 + 2 + 8),
        signal_bytes(*named, named_pid("rooms", other())).substr(0, 2 + 6 + 8 + 8)})
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(hex(bytes));
      CAPTURE(size);
      CHECK_THROWS_AS(take_signal(std::string_view(bytes).substr(0, size), other()), decode_error);
    }
}

TEST_CASE("kinds, flags and pids that do not exist are errors") {
  const auto processes = " 04 03 00 00 00 00 00 00 02 01 00 00 00 00 00 00"s;
  for (auto text :
       {"00 00" + processes, "0e 00" + processes, "ff 00" + processes, "07 20" + processes,
        "07 80" + processes,
        // The receiver or the sender has an id as names have.
        "07 00 04 03 00 00 00 00 00 80 02 01 00 00 00 00 00 00"s,
        "07 00 04 03 00 00 00 00 00 00 02 01 00 00 00 00 00 80"s}) {
    CAPTURE(text);
    CHECK_THROWS_AS(take_signal(unhex(text), other()), decode_error);
  }
}

TEST_CASE("signals that were changed under way are read, trouble, or a decode_error") {
  std::mt19937 random(7);
  auto to = pid{9, other()};
  auto ref = reference{7};
  std::vector<std::string> good{
      signal_bytes(*info("text", 5), to), signal_bytes(*bare(message_kind::monitor, ref), to),
      signal_bytes(*info("text", 5), named_pid("rooms", other())),
      signal_bytes(
          *to_send(make_message<exit_signal>(
              message_kind::exit, exit_reason::error("type", "what", "where"), true)),
          to)};
  for (int round = 0; round < 20'000; ++round) {
    auto bytes = good[random() % good.size()];
    for (auto changes = 1 + random() % 3; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    try {
      auto got = take_signal(bytes, other());
      CHECK((got.message || !got.trouble.empty()));
    } catch (const decode_error&) {
    }
  }
}
