// What goes into the lanes of one node comes out of the streams of the other: complete, in order
// for each pair of processes, and without one pair holding up another.
#include "runtime/distribution/lanes.hpp"
#include "runtime/node_table.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <map>
#include <random>
#include <set>

using namespace roost::detail;
using roost::pid;

namespace {

constexpr std::size_t no_limit = std::size_t{1} << 30;

/// Processes of this node and of the other one.
pid here(std::uint64_t id) { return {id, 0}; }
pid there(std::uint64_t id) { return {id, 7}; }

wire_buffer bytes_of(std::string_view text) {
  wire_buffer body;
  body.append(text);
  return body;
}

void put(outgoing_lanes& lanes, pid from, pid to, std::string_view text) {
  auto body = bytes_of(text);
  lanes.signal(from, to, body);
}

std::string large(char letter, std::size_t size = 3 * fragment_size) {
  return std::string(size, letter);
}

/// The other end: takes frames apart and keeps what they carry.
struct receiver {
  explicit receiver(std::size_t largest_total = no_limit) : streams(largest_total) {}

  void take(std::string_view bytes) {
    while (auto next = take_frame(bytes, largest_frame)) {
      frames.push_back(*next);
      if (next->type == frame_type::signal) signals.emplace_back(next->body);
      if (next->type == frame_type::fragment)
        if (auto whole = streams.take(next->body)) signals.push_back(std::move(*whole));
    }
    CHECK(bytes.empty());  // whole frames only
  }

  /// The first letter of each signal.
  std::string letters() const {
    std::string all;
    for (auto& one : signals) all += one.front();
    return all;
  }

  incoming_streams streams;
  std::vector<frame> frames;
  std::vector<std::string> signals;
};

/// All that waits, in portions. The portions are kept, since frames point into them.
struct transfer {
  explicit transfer(outgoing_lanes& lanes, std::size_t portion = 256 * 1024) {
    while (!lanes.empty()) {
      auto before = lanes.size();
      std::string out;
      lanes.take(out, portion);
      REQUIRE_FALSE(out.empty());
      CHECK(before - lanes.size() == out.size());
      portions.push_back(std::move(out));
    }
    for (auto& bytes : portions) to.take(bytes);
  }

  std::vector<std::string> portions;
  receiver to;
};

std::size_t position(const std::vector<frame>& frames, frame_type type) {
  auto found = std::ranges::find(frames, type, &frame::type);
  return static_cast<std::size_t>(found - frames.begin());
}

}  // namespace

TEST_CASE("small messages go out whole, in the order in which they came") {
  outgoing_lanes lanes;
  CHECK(lanes.empty());
  put(lanes, here(1), there(2), "a");
  put(lanes, here(3), there(2), "b");
  put(lanes, here(1), there(4), "c");
  CHECK(lanes.size() == 3 * (frame_header + 1));
  transfer all(lanes);
  CHECK(all.to.letters() == "abc");
  CHECK(all.portions.size() == 1);
  CHECK(lanes.empty());
}

TEST_CASE("control frames overtake everything that waits") {
  outgoing_lanes lanes;
  put(lanes, here(1), there(2), "small");
  put(lanes, here(1), there(2), large('a'));
  lanes.control(frame_type::tick, {});
  lanes.control(frame_type::nodes, "x");
  transfer all(lanes);
  REQUIRE(all.to.frames.size() > 3);
  CHECK(all.to.frames[0].type == frame_type::tick);
  CHECK(all.to.frames[1].type == frame_type::nodes);
  CHECK(all.to.frames[2].type == frame_type::signal);
}

TEST_CASE("a control frame does not wait for the rest of a large message") {
  outgoing_lanes lanes;
  put(lanes, here(1), there(2), large('a', 100 * fragment_size));
  std::string before;
  lanes.take(before, 256 * 1024);
  lanes.control(frame_type::tick, {});
  std::string after;
  lanes.take(after, 256 * 1024);
  receiver to;
  to.take(before);
  to.take(after);
  // What was taken before, and one portion, is all that it can wait for.
  CHECK(position(to.frames, frame_type::tick) <= 5);
  CHECK(to.frames.size() < 12);
}

TEST_CASE("a portion is about as large as was asked for") {
  outgoing_lanes lanes;
  for (int i = 0; i < 10'000; ++i) put(lanes, here(1), there(2), std::string(100, 'a'));
  put(lanes, here(3), there(4), large('b', 40 * fragment_size));
  while (!lanes.empty()) {
    std::string out;
    lanes.take(out, 100'000);
    CHECK(out.size() < 100'000 + 2 * largest_frame);
  }
}

TEST_CASE("a large message is cut into fragments and put together again") {
  for (auto size : {fragment_size, fragment_size + 1, 2 * fragment_size, 2 * fragment_size + 1}) {
    CAPTURE(size);
    outgoing_lanes lanes;
    std::string text(size, 'a');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i % 23);
    put(lanes, here(1), there(2), text);
    transfer all(lanes);
    REQUIRE(all.to.signals.size() == 1);
    CHECK(all.to.signals.front() == text);
    CHECK(all.to.frames.size() == (size + fragment_size - 1) / fragment_size);
    CHECK((all.to.frames.front().type == frame_type::fragment) == (size > fragment_size));
    CHECK(all.to.streams.size() == 0);
  }
}

TEST_CASE("small messages of other pairs pass a large one") {
  outgoing_lanes lanes;
  put(lanes, here(1), there(2), large('L', 1000 * fragment_size));
  std::string out;
  lanes.take(out, 256 * 1024);
  put(lanes, here(1), there(3), "a");  // the same sender, another receiver
  put(lanes, here(4), there(2), "b");  // another sender, the same receiver
  lanes.take(out, 256 * 1024);
  receiver to;
  to.take(out);
  CHECK(to.letters() == "ab");
}

TEST_CASE("later messages of the same pair wait behind a large one") {
  outgoing_lanes lanes;
  put(lanes, here(1), there(2), large('L'));
  put(lanes, here(1), there(2), "a");
  put(lanes, here(1), there(2), large('M'));
  put(lanes, here(1), there(2), "b");
  CHECK(transfer(lanes).to.letters() == "LaMb");
}

TEST_CASE("a large message waits for the small ones of its pair that came before") {
  outgoing_lanes lanes;
  for (int i = 0; i < 20; ++i) put(lanes, here(1), there(2), large('s', fragment_size));
  put(lanes, here(1), there(2), "t");
  put(lanes, here(1), there(2), large('L', fragment_size + 1));
  CHECK(transfer(lanes).to.letters() == std::string(20, 's') + "tL");
}

TEST_CASE("large messages take turns") {
  outgoing_lanes lanes;
  put(lanes, here(1), there(2), large('L', 50 * fragment_size));
  put(lanes, here(3), there(4), large('M', 2 * fragment_size));
  transfer all(lanes);
  CHECK(all.to.letters() == "ML");
}

TEST_CASE("a message to a name waits for all that its sender has under way") {
  auto rooms = named_pid("rooms", 7);
  REQUIRE(rooms.is_name());
  outgoing_lanes lanes;
  // The name may belong to either of the two.
  put(lanes, here(1), there(2), large('L', 2 * fragment_size));
  put(lanes, here(1), there(3), large('M', 40 * fragment_size));
  put(lanes, here(1), rooms, "n");
  put(lanes, here(4), rooms, "o");  // another sender
  SUBCASE("and what comes after it, to whomever, waits for it") {
    put(lanes, here(1), there(2), "a");
    put(lanes, here(1), there(3), "b");
    put(lanes, here(1), there(9), "c");
    CHECK(transfer(lanes).to.letters() == "oLMnabc");
  }
  SUBCASE("until it has gone") {
    transfer first(lanes);
    CHECK(first.to.letters() == "oLMn");
    put(lanes, here(1), there(2), large('N', 2 * fragment_size));
    put(lanes, here(1), there(3), "a");
    CHECK(transfer(lanes).to.letters() == "aN");
  }
}

TEST_CASE("what follows a large message to a name waits, to whomever it goes") {
  outgoing_lanes lanes;
  put(lanes, here(1), named_pid("rooms", 7), large('L'));
  put(lanes, here(1), there(2), "a");
  put(lanes, here(1), named_pid("others", 7), "b");
  CHECK(transfer(lanes).to.letters() == "Lab");
}

TEST_CASE("no more large messages are under way than the other end puts together") {
  outgoing_lanes lanes;
  for (std::uint64_t i = 1; i <= 200; ++i) put(lanes, here(i), there(i), large('L'));
  transfer all(lanes);
  CHECK(all.to.signals.size() == 200);
}

TEST_CASE("large messages together stay within what the other end allows") {
  constexpr auto limit = 10 * fragment_size;
  outgoing_lanes lanes(limit);
  for (std::uint64_t i = 1; i <= 20; ++i)
    put(lanes, here(i), there(i), large('L', 4 * fragment_size));
  put(lanes, here(50), there(50), large('M', limit));
  receiver to(limit);
  while (!lanes.empty()) {
    std::string out;
    lanes.take(out, 256 * 1024);
    REQUIRE_FALSE(out.empty());
    to.take(out);
    to.frames.clear();
    CHECK(to.streams.size() <= limit);
  }
  CHECK(to.signals.size() == 21);
}

TEST_CASE("lanes that never run dry do not keep what has been sent") {
  outgoing_lanes lanes;
  std::size_t most = 0;
  // A message of each portion stays behind, for as long as a busy link is busy.
  for (int i = 0; i < 20'000; ++i) {
    put(lanes, here(1), there(2), std::string(1000, 'a'));
    put(lanes, here(1), there(2), std::string(1000, 'b'));
    std::string out;
    lanes.take(out, lanes.size() > 1500 ? lanes.size() - 1500 : 0);
    most = std::max(most, lanes.capacity());
  }
  CHECK(lanes.size() < 10'000);
  CHECK(most < 100'000);
}

TEST_CASE("whatever is sent comes out complete, once, and in order for each pair") {
  std::mt19937 random(42);
  auto pick = [&](int least, int most) {
    return std::uniform_int_distribution<int>(least, most)(random);
  };
  constexpr std::array sizes{1, 10, 100, 1'000, 60'000, 65'536, 65'537, 200'000, 700'000};
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    outgoing_lanes lanes(2'000'000);
    receiver to(2'000'000);
    // Names belong to the first processes of the other node, so they share the order of those.
    std::map<std::pair<int, int>, int> sent;
    std::map<std::pair<int, int>, int> got;
    std::size_t messages = 0;
    auto send_one = [&] {
      auto from = pick(1, 4);
      auto owner = pick(1, 4);
      bool by_name = pick(1, 5) == 1;
      auto to_whom = by_name ? named_pid("name" + std::to_string(owner), 7)
                             : there(static_cast<std::uint64_t>(owner));
      auto size = sizes[static_cast<std::size_t>(pick(0, pick(0, 1) == 0 ? 3 : 8))];
      wire_buffer body;
      wire_writer out{body};
      out.fixed32(static_cast<std::uint32_t>(from));
      out.fixed32(static_cast<std::uint32_t>(owner));
      out.fixed32(static_cast<std::uint32_t>(sent[{from, owner}]++));
      out.fixed32(static_cast<std::uint32_t>(size));
      std::string filling(static_cast<std::size_t>(size), static_cast<char>('a' + size % 26));
      out.raw(filling);
      lanes.signal(here(static_cast<std::uint64_t>(from)), to_whom, body);
      ++messages;
    };
    auto take_some = [&](std::size_t limit) {
      auto before = lanes.size();
      std::string out;
      lanes.take(out, limit);
      CHECK(before - lanes.size() == out.size());
      to.take(out);
      to.frames.clear();
      for (auto& signal : to.signals) {
        wire_reader in{signal};
        auto from = static_cast<int>(in.fixed32());
        auto owner = static_cast<int>(in.fixed32());
        CHECK(static_cast<int>(in.fixed32()) == got[{from, owner}]++);
        auto size = in.fixed32();
        auto filling = in.rest();
        std::string expected(size, static_cast<char>('a' + size % 26));
        CHECK((filling == expected));
        --messages;
      }
      to.signals.clear();
    };
    for (auto steps = pick(1, 60); steps > 0; --steps) {
      for (auto count = pick(0, 20); count > 0; --count) send_one();
      if (pick(0, 1) == 0) lanes.control(frame_type::tick, {});
      take_some(static_cast<std::size_t>(pick(0, 300'000)));
    }
    for (int i = 0; i < 10'000 && !lanes.empty(); ++i) take_some(256 * 1024);
    CHECK(lanes.empty());
    CHECK(messages == 0);
    CHECK(sent == got);
    CHECK(to.streams.size() == 0);
  }
}

// --- what a hostile node may send ----------------------------------------------------------------

namespace {

std::string fragment(
    std::uint16_t id, std::uint8_t flags, std::optional<std::uint64_t> total,
    std::string_view bytes) {
  wire_buffer body;
  wire_writer out{body};
  out.byte(static_cast<std::uint8_t>(id));
  out.byte(static_cast<std::uint8_t>(id >> 8));
  out.byte(flags);
  if (total) out.fixed64(*total);
  out.raw(bytes);
  return std::string(body.view());
}

constexpr std::uint8_t first = 1;
constexpr std::uint8_t last = 2;

}  // namespace

TEST_CASE("fragments are put together by their stream") {
  incoming_streams streams(1000);
  CHECK_FALSE(streams.take(fragment(1, first, 4, "ab")));
  CHECK_FALSE(streams.take(fragment(2, first, 3, "xy")));
  CHECK(streams.size() == 4);
  CHECK(streams.take(fragment(1, last, {}, "cd")) == "abcd");
  CHECK(streams.take(fragment(2, last, {}, "z")) == "xyz");
  CHECK(streams.take(fragment(1, first | last, 2, "ef")) == "ef");
  CHECK(streams.size() == 0);
}

TEST_CASE("fragments that do not fit together are refused") {
  incoming_streams streams(1000);
  CHECK_FALSE(streams.take(fragment(1, first, 4, "ab")));
  SUBCASE("a first one twice") {
    CHECK_THROWS_AS(streams.take(fragment(1, first, 4, "ab")), roost::decode_error);
  }
  SUBCASE("a later one without a first one") {
    CHECK_THROWS_AS(streams.take(fragment(2, 0, {}, "ab")), roost::decode_error);
    CHECK_THROWS_AS(streams.take(fragment(2, last, {}, "ab")), roost::decode_error);
  }
  SUBCASE("more bytes than announced") {
    CHECK_THROWS_AS(streams.take(fragment(1, 0, {}, "cde")), roost::decode_error);
  }
  SUBCASE("fewer bytes than announced") {
    CHECK_THROWS_AS(streams.take(fragment(1, last, {}, "c")), roost::decode_error);
  }
  SUBCASE("not even a head") {
    CHECK_THROWS_AS(streams.take(""), roost::decode_error);
    CHECK_THROWS_AS(streams.take("\1"), roost::decode_error);
    CHECK_THROWS_AS(streams.take(std::string_view("\5\0", 2)), roost::decode_error);
    CHECK_THROWS_AS(streams.take(std::string_view("\5\0\1\0\0", 5)), roost::decode_error);
  }
}

TEST_CASE("announced lengths are not believed, and limited") {
  incoming_streams streams(1000);
  for (auto length : {std::uint64_t{1001}, std::uint64_t{1} << 32, ~std::uint64_t{0}})
    CHECK_THROWS_AS(streams.take(fragment(1, first, length, "a")), roost::decode_error);
  CHECK_FALSE(streams.take(fragment(1, first, 600, "a")));
  CHECK_THROWS_AS(streams.take(fragment(2, first, 401, "a")), roost::decode_error);
  CHECK_FALSE(streams.take(fragment(3, first, 400, "a")));
}

TEST_CASE("the number of messages under way is limited") {
  incoming_streams streams(1'000'000);
  for (std::uint16_t i = 0; i < most_streams; ++i)
    CHECK_FALSE(streams.take(fragment(i, first, 10, "a")));
  CHECK_THROWS_AS(streams.take(fragment(most_streams, first, 10, "a")), roost::decode_error);
}
