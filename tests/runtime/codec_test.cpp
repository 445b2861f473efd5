#include "runtime/codec.hpp"
#include "runtime/node_table.hpp"
#include "runtime/registry.hpp"
#include "tests/support.hpp"
#include <any>
#include <array>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <unordered_map>
#include <unordered_set>

using namespace roost;
using namespace roost::test;
using roost::detail::is_decodable;
using roost::detail::is_encodable;
using roost::detail::message_kind;
using roost::detail::wire_buffer;
using roost::detail::wire_reader;
using roost::detail::wire_writer;

namespace {

template <class T>
std::string bytes_of(const T& value, std::uint32_t receiver = 0) {
  wire_buffer buffer;
  wire_writer out{buffer, receiver};
  detail::encode(out, value);
  return std::string(buffer.view());
}

template <class T>
std::string root_of(const T& value) {
  wire_buffer buffer;
  wire_writer out{buffer};
  detail::encode_root(out, value);
  return std::string(buffer.view());
}

std::string hex(std::string_view bytes) {
  std::string text;
  for (unsigned char byte : bytes)
    for (auto half : {byte >> 4, byte & 15}) text += "0123456789abcdef"[half];
  return text;
}

template <class T>
std::string hex_of(const T& value, std::uint32_t receiver = 0) {
  return hex(bytes_of(value, receiver));
}

template <class T>
T read(std::string_view bytes, std::uint32_t sender = 0) {
  wire_reader in{bytes, sender};
  T value{};
  detail::decode(in, value);
  in.finish();
  return value;
}

template <class T>
T read_root(std::string_view bytes) {
  wire_reader in{bytes};
  T value{};
  detail::decode_root(in, value);
  return value;
}

template <class T>
T there_and_back(const T& value) {
  return read<T>(bytes_of(value));
}

std::string text_of(std::initializer_list<int> bytes) {
  std::string text;
  for (int byte : bytes) text += static_cast<char>(byte);
  return text;
}

enum class colour : std::uint8_t { red, green, blue };
enum class depth : std::int32_t { sea = -11'000, sky = 12'000 };

struct point {
  int x = 0;
  int y = 0;
  bool operator==(const point&) const = default;
};
struct nothing { bool operator==(const nothing&) const = default; };
struct tree {
  int value = 0;
  std::vector<tree> children = {};
  bool operator==(const tree&) const = default;
};
struct chain {
  int value = 0;
  std::unique_ptr<chain> next = {};
};

class money {
 public:
  money() = default;
  explicit money(std::int64_t cents) : cents_(cents) {}
  bool operator==(const money&) const = default;

  friend void wire_encode(wire_writer& out, const money& value) { out.signed_varint(value.cents_); }
  friend void wire_decode(wire_reader& in, money& value) { value.cents_ = in.signed_varint(); }

 private:
  std::int64_t cents_ = 0;
};

struct everything {
  bool flag = false;
  char letter = 'a';
  std::int8_t tiny = 0;
  std::uint16_t small = 0;
  std::int64_t large = 0;
  std::uint64_t largest = 0;
  float single = 0;
  double real = 0;
  colour paint = colour::red;
  depth level = depth::sea;
  std::string text = {};
  std::vector<std::string> lines = {};
  std::vector<bool> bits = {};
  std::vector<std::uint8_t> bytes = {};
  std::deque<int> deque = {};
  std::list<double> list = {};
  std::array<short, 3> array = {};
  std::set<int> set = {};
  std::multiset<std::string> multiset = {};
  std::map<std::string, point> map = {};
  std::unordered_map<int, std::string> hashed = {};
  std::unordered_set<int> hashes = {};
  std::optional<std::string> maybe = {};
  std::variant<std::monostate, int, std::string, tree> either = {};
  std::pair<int, std::string> both = {};
  std::tuple<int, bool, tree> three = {};
  std::shared_ptr<const tree> shared = {};
  std::chrono::milliseconds length{0};
  std::chrono::duration<double> seconds{0};
  std::chrono::system_clock::time_point when = {};
  money price = {};
  nothing none = {};
  tree root = {};

  bool operator==(const everything& other) const {
    auto same = (shared == nullptr) == (other.shared == nullptr) &&
                (shared == nullptr || *shared == *other.shared);
    return same &&
           std::tie(flag, letter, tiny, small, large, largest, single, real, paint, level) ==
               std::tie(
                   other.flag, other.letter, other.tiny, other.small, other.large, other.largest,
                   other.single, other.real, other.paint, other.level) &&
           std::tie(text, lines, bits, bytes, deque, list, array, set, multiset, map, hashed) ==
               std::tie(
                   other.text, other.lines, other.bits, other.bytes, other.deque, other.list,
                   other.array, other.set, other.multiset, other.map, other.hashed) &&
           std::tie(hashes, maybe, either, both, three, length, seconds, when, price, none, root) ==
               std::tie(
                   other.hashes, other.maybe, other.either, other.both, other.three, other.length,
                   other.seconds, other.when, other.price, other.none, other.root);
  }
};

/// Values of all sizes, the edges of their types more often than chance would have it.
class dice {
 public:
  explicit dice(unsigned seed) : source_(seed) {}

  template <class T>
  T number() {
    using limits = std::numeric_limits<T>;
    switch (below(6)) {
      case 0:
        return limits::min();
      case 1:
        return limits::max();
      case 2:
        return static_cast<T>(below(300));
      default:
        return static_cast<T>(source_() >> below(64));
    }
  }
  std::size_t below(std::size_t limit) { return source_() % limit; }
  bool flip() { return below(2) == 0; }
  std::string text() {
    std::string text(below(4) == 0 ? below(300) : below(8), ' ');
    for (auto& letter : text) letter = number<char>();
    return text;
  }
  double real() { return static_cast<double>(number<std::int64_t>()) / 7; }
  tree branch(int depth = 0) {
    tree tree{number<int>(), {}};
    if (depth < 5)
      for (auto left = below(4); left != 0; --left) tree.children.push_back(branch(depth + 1));
    return tree;
  }
  template <class F>
  void times(F function) {
    for (auto left = below(5); left != 0; --left) function();
  }

  everything all() {
    everything e;
    e.flag = flip();
    e.letter = number<char>();
    e.tiny = number<std::int8_t>();
    e.small = number<std::uint16_t>();
    e.large = number<std::int64_t>();
    e.largest = number<std::uint64_t>();
    e.single = static_cast<float>(real());
    e.real = real();
    e.paint = static_cast<colour>(below(3));
    e.level = flip() ? depth::sea : depth::sky;
    e.text = text();
    times([&] { e.lines.push_back(text()); });
    times([&] { e.bits.push_back(flip()); });
    times([&] { e.bytes.push_back(number<std::uint8_t>()); });
    times([&] { e.deque.push_back(number<int>()); });
    times([&] { e.list.push_back(real()); });
    for (auto& one : e.array) one = number<short>();
    times([&] { e.set.insert(number<int>()); });
    times([&] { e.multiset.insert(flip() ? "twice" : text()); });
    times([&] { e.map.emplace(text(), point{number<int>(), number<int>()}); });
    times([&] { e.hashed.emplace(number<int>(), text()); });
    times([&] { e.hashes.insert(number<int>()); });
    if (flip()) e.maybe = text();
    if (flip()) e.either = number<int>();
    if (flip()) e.either = branch();
    e.both = {number<int>(), text()};
    e.three = {number<int>(), flip(), branch()};
    if (flip()) e.shared = std::make_shared<tree>(branch());
    e.length = std::chrono::milliseconds(number<std::int64_t>());
    e.seconds = std::chrono::duration<double>(real());
    e.when += std::chrono::nanoseconds(number<std::int32_t>());
    e.price = money(number<std::int64_t>());
    e.root = branch();
    return e;
  }

 private:
  std::mt19937_64 source_;
};

struct shelf {
  struct count { using reply = int; };
  using messages = roost::messages<count>;
  int handle_call(count) { return 3; }
};

/// This node has a name while a test runs.
struct named {
  named() { detail::name_this_node("me@here"); }
  ~named() { detail::name_this_node(""); }

  std::uint32_t peer = detail::node_number("peer@there", 7);
  std::uint32_t third = detail::node_number("third@away", 0x0102030405060708);
};

const std::string third_node = hex(text_of({10}) + "third@away") + "0807060504030201";

}  // namespace

// --- the format ----------------------------------------------------------------------------------

TEST_CASE("numbers take as many bytes as they need") {
  CHECK(hex_of(false) == "00");
  CHECK(hex_of(true) == "01");
  CHECK(hex_of('a') == "61");
  CHECK(hex_of(std::int8_t{-1}) == "ff");
  CHECK(hex_of(std::uint8_t{200}) == "c8");
  CHECK(hex_of(0) == "00");
  CHECK(hex_of(-1) == "01");
  CHECK(hex_of(1) == "02");
  CHECK(hex_of(63) == "7e");
  CHECK(hex_of(64) == "8001");
  CHECK(hex_of(127U) == "7f");
  CHECK(hex_of(128U) == "8001");
  CHECK(hex_of(std::uint16_t{300}) == "ac02");
  CHECK(hex_of(std::numeric_limits<std::uint64_t>::max()) == "ffffffffffffffffff01");
  CHECK(hex_of(std::numeric_limits<std::int64_t>::min()) == "ffffffffffffffffff01");
  CHECK(hex_of(1.5F) == "0000c03f");
  CHECK(hex_of(1.5) == "000000000000f83f");
  CHECK(hex_of(colour::blue) == "02");
  CHECK(hex_of(depth::sea) == "efab01");
  CHECK(there_and_back(depth::sea) == depth::sea);
}

TEST_CASE("texts and containers begin with their size") {
  CHECK(hex_of(std::string("hi")) == "026869");
  CHECK(hex_of(std::string_view("hi")) == "026869");
  CHECK(hex_of(std::string()) == "00");
  CHECK(hex_of(std::vector<int>{1, -1}) == "020201");
  CHECK(hex_of(std::vector<bool>{true, false}) == "020100");
  CHECK(hex_of(std::vector<std::uint8_t>{1, 255}) == "0201ff");
  CHECK(hex_of(std::vector<std::byte>{std::byte{7}}) == "0107");
  CHECK(hex_of(std::array<int, 2>{3, 4}) == "020608");
  CHECK(hex_of(std::set<std::string>{"b", "a"}) == "0201610162");
  CHECK(hex_of(std::map<int, std::string>{{1, "x"}}) == "01020178");
  CHECK(hex_of(std::u8string(u8"hi")) == "026869");
  CHECK(hex_of(std::string(200, 'x')).substr(0, 6) == "c80178");
}

TEST_CASE("what may be missing says whether it is there") {
  CHECK(hex_of(std::optional<int>{}) == "00");
  CHECK(hex_of(std::optional<int>{1}) == "0102");
  CHECK(hex_of(std::optional<bool>{false}) == "0100");
  CHECK(hex_of(std::make_unique<int>(1)) == "0102");
  CHECK(hex_of(std::shared_ptr<const std::string>()) == "00");
  CHECK(hex_of(std::variant<std::monostate, int>{}) == "0000");
  CHECK(hex_of(std::variant<std::monostate, int>{1}) == "0102");
  CHECK(hex_of(std::pair{1, true}) == "0201");
  CHECK(hex_of(std::tuple{1, std::string("x"), 2}) == "02017804");
  CHECK(hex_of(std::tuple<>{}) == "00");
  CHECK(hex_of(std::chrono::milliseconds{5}) == "0a");
  CHECK(hex_of(std::chrono::sys_time<std::chrono::seconds>{std::chrono::seconds{64}}) == "8001");
}

TEST_CASE("a struct is its number of fields, their bytes and the fields") {
  CHECK(
      hex_of(point{1, 64}) ==
      "0203"
      "02"
      "8001");
  CHECK(hex_of(nothing{}) == "00");
  CHECK(
      hex_of(tree{1, {tree{2, {}}}}) ==
      "0206"
      "02"
      "01"
      "0202"
      "04"
      "00");
  CHECK(hex_of(money(64)) == "8001");
  // The value of a message ends with the message.
  CHECK(
      hex(root_of(point{1, 64})) ==
      "02"
      "02"
      "8001");
  CHECK(hex(root_of(nothing{})) == "00");
  CHECK(hex(root_of(5)) == "0a");
  // A size of two bytes moves what was written.
  struct holder { std::string text; };
  CHECK(
      hex_of(holder{std::string(127, 'x')}).substr(0, 10) ==
      "018001"
      "7f"
      "78");
  CHECK(
      hex_of(holder{std::string(20'000, 'x')}).substr(0, 16) ==
      "01a39c01"
      "a09c01"
      "78");
  CHECK(there_and_back(holder{std::string(20'000, 'x')}).text == std::string(20'000, 'x'));
}

TEST_CASE_FIXTURE(named, "a pid says whose process it is") {
  CHECK(hex_of(pid{}) == "03");
  CHECK(
      hex_of(pid{300, 0}, peer) ==
      "00"
      "ac02");
  CHECK(
      hex_of(pid{300, peer}, peer) ==
      "01"
      "ac02");
  CHECK(hex_of(pid{300, third}, peer) == "02" + third_node + "ac02");

  CHECK(read<pid>(bytes_of(pid{300, 0}), peer) == pid{300, peer});
  CHECK(read<pid>(bytes_of(pid{300, peer}, peer), peer) == pid{300, 0});
  CHECK(read<pid>(bytes_of(pid{300, third}, peer), peer) == pid{300, third});
  CHECK(read<pid>(bytes_of(pid{}), peer) == pid{});
  CHECK_THROWS_AS(bytes_of(pid{1, detail::caf_node}), std::invalid_argument);
}

TEST_CASE_FIXTURE(named, "a name on a node travels as such") {
  auto theirs = name_on("rooms", "peer@there");
  auto others = name_on("rooms", "third@away");
  CHECK(
      hex_of(theirs, peer) ==
      "05"
      "05" +
          hex("rooms"));
  CHECK(
      hex_of(others, peer) ==
      "06" + third_node.substr(0, 22) + "0000000000000000" + "05" + hex("rooms"));

  CHECK(read<pid>(bytes_of(others, peer), peer) == others);
  CHECK(read<pid>(text_of({4, 5}) + "rooms", peer) == theirs);
  CHECK(read<pid>(text_of({5, 5}) + "rooms", peer) == pid{});  // nobody has it here

  node node;
  auto owner = roost::start<shelf>({.name = "rooms"});
  CHECK(read<pid>(text_of({5, 5}) + "rooms", peer) == owner.process());
  // As somebody remembers it who knew this node before its restart.
  auto earlier = text_of({6, 7}) + "me@here" + text_of({9, 0, 0, 0, 0, 0, 0, 0});
  CHECK(read<pid>(earlier + text_of({5}) + "rooms", peer) == owner.process());
}

TEST_CASE_FIXTURE(named, "a reference says who made it") {
  reference mine{300};
  auto theirs = detail::foreign_reference(peer, 300);
  auto others = detail::foreign_reference(third, 300);
  CHECK(hex_of(reference{}) == "03");
  CHECK(
      hex_of(mine, peer) ==
      "00"
      "ac02");
  CHECK(
      hex_of(theirs, peer) ==
      "01"
      "ac02");
  CHECK(hex_of(others, peer) == "02" + third_node + "ac02");

  CHECK(read<reference>(bytes_of(mine, peer), peer) == theirs);
  CHECK(read<reference>(bytes_of(theirs, peer), peer) == mine);
  CHECK(read<reference>(bytes_of(others, peer), peer) == others);
}

TEST_CASE("exit reasons keep what they say") {
  CHECK(hex_of(exit_reason::normal) == "0000");
  CHECK(hex_of(exit_reason::shutdown) == "0100");
  CHECK(
      hex_of(exit_reason::shutdown_with("left")) ==
      "0101"
      "046c656674");
  CHECK(
      hex_of(exit_reason("paper")) ==
      "0801"
      "057061706572");
  CHECK(
      hex_of(exit_reason::error("t", "w", "h")) ==
      "0703"
      "0174"
      "0177"
      "0168");
  for (const auto& reason :
       {exit_reason::normal, exit_reason::shutdown, exit_reason::kill, exit_reason::killed,
        exit_reason::noproc, exit_reason::noconnection, exit_reason::timeout, exit_reason("paper"),
        exit_reason::shutdown_with("left"), exit_reason::error("type", "what", "where")}) {
    CHECK(there_and_back(reason) == reason);
    CHECK(there_and_back(reason).to_string() == reason.to_string());
  }
  // A later version may know more reasons, and more about them.
  CHECK(read<exit_reason>(text_of({99, 1, 1, 'x'})) == exit_reason("x"));
  CHECK(
      read<exit_reason>(text_of({7, 4, 1, 'a', 1, 'b', 1, 'c', 1, 'd'})) ==
      exit_reason::error("a", "b", "c"));
}

// --- handles -------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(named, "a handle by name finds whoever has the name when it is used") {
  node node;
  server<shelf> by_name{"shelf"};
  CHECK(
      hex_of(by_name, peer) ==
      "04"
      "05" +
          hex("shelf"));
  CHECK(
      hex_of(server<shelf>{"shelf", "peer@there"}, peer) ==
      "05"
      "05" +
          hex("shelf"));
  CHECK(
      hex_of(server<shelf>{"shelf", "me@here"}, peer) ==
      "04"
      "05" +
          hex("shelf"));
  CHECK(hex_of(server<shelf>{"shelf", "nonsense"}, peer) == "03");
  CHECK(hex_of(server<shelf>{}, peer) == "03");

  // From the other side.
  CHECK(read<server<shelf>>(bytes_of(by_name), peer).process() == name_on("shelf", "peer@there"));
  auto here = read<server<shelf>>(text_of({5, 5}) + "shelf", peer);
  CHECK_FALSE(here);
  auto started = roost::start<shelf>({.name = "shelf"});
  CHECK(here.process() == started.process());
  CHECK(call(here, shelf::count{}).get() == 3);

  // By pid.
  CHECK(read<server<shelf>>(bytes_of(started, peer), 0).process() == started.process());
  CHECK(
      read<server<shelf>>(bytes_of(started, peer), peer).process() ==
      pid{started.process().id, peer});
}

TEST_CASE_FIXTURE(named, "a handle by a key in another table becomes the process of now") {
  node node;
  registry::start_link({.name = "codec rooms"});
  auto started = roost::start<shelf>({.name = via("codec rooms", "lobby")});
  server<shelf> handle{via("codec rooms", "lobby")};
  CHECK(bytes_of(handle, peer) == bytes_of(started.process(), peer));
}

TEST_CASE_FIXTURE(named, "who asked may be passed on to another node") {
  from<int> client{pid{300, peer}, detail::foreign_reference(peer, 9)};
  CHECK(
      hex_of(client, peer) ==
      "01"
      "ac02"
      "01"
      "09");
  auto back = read<from<int>>(bytes_of(client, peer), peer);
  CHECK(back.caller() == pid{300, 0});
  CHECK(back.ref() == reference{9});
  process_alias alias{pid{300, 0}, reference{9}};
  CHECK(read<process_alias>(bytes_of(alias), peer).ref == client.ref());
}

// --- values --------------------------------------------------------------------------------------

TEST_CASE("random values arrive as they left") {
  dice dice{20'261};
  for (int i = 0; i < 300; ++i) {
    auto value = dice.all();
    auto bytes = bytes_of(value);
    CHECK(read<everything>(bytes) == value);
    CHECK(read_root<everything>(root_of(value)) == value);
  }
}

TEST_CASE("what a value held before does not matter") {
  dice dice{20'262};
  for (int i = 0; i < 100; ++i) {
    auto value = dice.all();
    auto before = dice.all();
    auto bytes = bytes_of(value);
    wire_reader in{bytes};
    detail::decode(in, before);
    CHECK(before == value);
  }
}

TEST_CASE("recursive values travel down to 64 structs") {
  auto deep = [](int levels) {
    tree root;
    for (int i = 1; i < levels; ++i) root = tree{i, {std::move(root)}};
    return root;
  };
  CHECK(there_and_back(deep(64)) == deep(64));
  CHECK_THROWS_AS(bytes_of(deep(65)), std::invalid_argument);
  CHECK_THROWS_AS(bytes_of(deep(10'000)), std::invalid_argument);

  chain two{1, std::make_unique<chain>()};
  two.next->value = 5;
  CHECK(there_and_back(two).next->value == 5);
  CHECK_FALSE(there_and_back(two).next->next);

  std::string bytes = text_of({1, 0});  // a field of no bytes is refused long before
  for (int i = 0; i < 100; ++i) {
    auto inner = text_of({2}) + bytes_of(static_cast<std::uint64_t>(bytes.size() + 2)) +
                 text_of({2, 1}) + bytes;
    bytes = std::move(inner);
  }
  CHECK_THROWS_WITH_AS(
      read<tree>(bytes), "expected at most 64 structs within each other, got more", decode_error);
}

TEST_CASE("a variant that lost its value is refused") {
  std::variant<int, std::deque<int>> value;
  CHECK_THROWS(value.emplace<std::deque<int>>(std::deque<int>().max_size() + 1));
  REQUIRE(value.valueless_by_exception());
  CHECK_THROWS_AS(bytes_of(value), std::invalid_argument);
}

TEST_CASE("a type that cannot travel says so") {
  struct callback { std::function<void()> run; };
  struct pointer { int* where; };
  struct array {
    char name[16];
    int after;
  };
  struct strings {
    int before;
    std::string names[2];
  };
  struct derived : point {
    int z;
  };
  struct locked {
    int before;
    std::mutex mutex;
    int after;
  };
  struct mute { std::shared_ptr<std::mutex> mutex; };
  struct constant { const int number = 1; };
  struct viewer { std::string_view text; };
  struct unready {
    explicit unready(int) {}
  };
  struct incomplete;
  struct hider { std::shared_ptr<incomplete> hidden; };
  CHECK_FALSE(is_encodable<callback>);
  CHECK_FALSE(is_encodable<pointer>);
  CHECK_FALSE(is_encodable<array>);
  CHECK_FALSE(is_encodable<strings>);
  CHECK_FALSE(is_encodable<derived>);
  CHECK_FALSE(is_encodable<locked>);
  CHECK_FALSE(is_encodable<mute>);
  CHECK_FALSE(is_encodable<hider>);
  CHECK_FALSE(is_encodable<unready>);
  CHECK_FALSE(is_encodable<std::vector<pointer>>);
  CHECK_FALSE(is_encodable<std::any>);
  CHECK_FALSE(is_encodable<const char*>);
  CHECK_FALSE(is_encodable<long double>);
  CHECK_FALSE(is_encodable<std::filesystem::path>);
  CHECK_FALSE(is_encodable<std::chrono::steady_clock::time_point>);
  CHECK_FALSE(is_encodable<timer>);
  // These can leave, but nothing like them can be made from bytes.
  CHECK(is_encodable<constant>);
  CHECK_FALSE(is_decodable<constant>);
  CHECK(is_encodable<viewer>);
  CHECK_FALSE(is_decodable<viewer>);
  CHECK(is_decodable<down>);
  CHECK(is_decodable<exited>);
  CHECK(is_decodable<roost::timeout>);
  CHECK(is_decodable<timer_fired<point>>);
}

// --- versions ------------------------------------------------------------------------------------

namespace {

struct old_line { std::string text = "nothing"; };
struct new_line {
  std::string text = "nothing";
  colour paint = colour::green;
  std::vector<int> marks = {1, 2, 3};
  bool operator==(const new_line&) const = default;
};
struct old_page {
  old_line title = {};
  std::vector<old_line> lines = {};
  int number = 0;
};
struct new_page {
  new_line title = {};
  std::vector<new_line> lines = {};
  int number = 0;
  std::optional<std::string> author = "anonymous";
};
struct empty_page {};

}  // namespace

TEST_CASE("an older version skips the fields that it does not know") {
  new_page page{
      {"title", colour::blue, {}}, {{"one", colour::red, {9}}, {"two", colour::red, {}}}, 7, "me"};
  for (bool root : {false, true}) {
    auto old = root ? read_root<old_page>(root_of(page)) : read<old_page>(bytes_of(page));
    CHECK(old.title.text == "title");
    REQUIRE(old.lines.size() == 2);
    CHECK(old.lines[1].text == "two");
    CHECK(old.number == 7);
  }
  read_root<empty_page>(root_of(page));
  read<empty_page>(bytes_of(page));
}

TEST_CASE("a newer version leaves what did not come at its defaults") {
  old_page page{{"title"}, {{"one"}, {"two"}}, 7};
  for (bool root : {false, true}) {
    auto fresh = root ? read_root<new_page>(root_of(page)) : read<new_page>(bytes_of(page));
    CHECK(fresh.title == new_line{"title"});
    REQUIRE(fresh.lines.size() == 2);
    CHECK(fresh.lines[1] == new_line{"two"});
    CHECK(fresh.number == 7);
    CHECK(fresh.author == "anonymous");
  }
  CHECK(read_root<new_page>(root_of(empty_page{})).author == "anonymous");
  CHECK(read<new_line>(bytes_of(empty_page{})) == new_line{});
}

// --- bad bytes -----------------------------------------------------------------------------------

TEST_CASE("every part of a value that misses its end is refused") {
  dice dice{20'263};
  auto value = dice.all();
  auto bytes = bytes_of(value);
  auto root = root_of(value);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_THROWS_AS(read<everything>(std::string_view(bytes).substr(0, size)), decode_error);
  for (std::size_t size = 0; size < root.size(); ++size)
    CHECK_THROWS_AS(read_root<everything>(std::string_view(root).substr(0, size)), decode_error);
}

TEST_CASE("changed bytes are refused or make another value, and nothing else happens") {
  dice dice{20'264};
  for (int i = 0; i < 3000; ++i) {
    static const auto bytes = bytes_of(dice.all());
    auto changed = bytes;
    for (auto left = 1 + dice.below(3); left != 0; --left)
      changed[dice.below(changed.size())] = dice.number<char>();
    try {
      auto value = read<everything>(changed);
      CHECK(read<everything>(bytes_of(value)).text == value.text);
    } catch (const decode_error& error) {
      CHECK(std::string_view(error.what()).substr(0, 8) == "expected");
    }
  }
}

TEST_CASE("what does not fit is refused with a sentence") {
  auto refused = [](auto type, std::string bytes) -> std::string {
    try {
      read<decltype(type)>(bytes);
    } catch (const decode_error& error) {
      return error.what();
    }
    return "taken";
  };
  CHECK(refused(true, text_of({2})) == "expected a bool to be 0 or 1, got 2");
  CHECK(refused(short{}, bytes_of(40'000)).substr(0, 35) == "expected an integer to fit its type");
  CHECK(
      refused(std::uint16_t{}, bytes_of(65'536U)) ==
      "expected an integer to fit its type, got 65536");
  CHECK(refused(1, bytes_of(1) + "x") == "expected a value to end, got 1 more bytes");
  CHECK(refused(std::string(), text_of({5, 'a'})) == "expected 5 more bytes, got 1");
  CHECK(refused(std::optional<int>(), text_of({2, 0})) == "expected a bool to be 0 or 1, got 2");
  CHECK(
      refused(std::variant<int, bool>(), text_of({2, 0})) ==
      "expected an alternative that the variant has, got 2");
  CHECK(
      refused(std::array<int, 2>(), text_of({3, 0, 0, 0})) ==
      "expected as many elements as the array has, got 3");
  CHECK(refused(std::monostate(), text_of({1})) == "expected an empty value to be 0, got 1");
  CHECK(
      refused(0U, std::string(10, '\xff')) ==
      "expected a varint of at most 64 bits, got a longer one");
  CHECK(refused(point{}, text_of({2, 3, 2, 2, 0})) == "expected a value to end, got 1 more bytes");
  CHECK(refused(point{}, text_of({2, 1, 2, 2})) == "expected 1 more bytes, got 0");
}

TEST_CASE_FIXTURE(named, "pids and references that cannot be are refused") {
  auto refused = [this](std::string bytes) {
    CHECK_THROWS_AS(read<pid>(bytes, peer), decode_error);
  };
  refused(text_of({7, 1}));
  refused(text_of({8, 1}));
  refused(text_of({0, 0}));                                        // the id of nobody
  refused(text_of({0}) + bytes_of(std::uint64_t{1} << 63));        // the id of a name
  refused(text_of({2, 3}) + "a@b");                                // no incarnation
  refused(text_of({2, 3}) + "a b" + std::string(8, '\0') + "\1");  // no node
  refused(text_of({2, 0}) + std::string(8, '\0') + "\1");
  refused(text_of({4, 0}));  // no name
  refused(text_of({4}) + bytes_of(std::string(256, 'x')));
  refused(text_of({2}) + bytes_of("a@" + std::string(254, 'x')) + std::string(8, '\0') + "\1");
  CHECK_THROWS_AS(read<reference>(text_of({4, 1})), decode_error);
  CHECK_THROWS_AS(read<reference>(text_of({0, 0})), decode_error);
  CHECK_THROWS_AS(read<reference>(text_of({0}) + bytes_of(std::uint64_t{1} << 48)), decode_error);
}

TEST_CASE("a size that is a lie takes no memory") {
  std::vector<std::uint64_t> numbers;
  auto lie = bytes_of(std::uint64_t{1} << 40) + "short";
  wire_reader in{lie};
  CHECK_THROWS_AS(detail::decode(in, numbers), decode_error);
  CHECK(numbers.capacity() == 0);

  std::string text;
  wire_reader again{lie};
  CHECK_THROWS_AS(detail::decode(again, text), decode_error);
  CHECK(text.capacity() < 100);

  // As many elements as there are bytes, but each is far larger.
  using huge = std::optional<std::array<char, 4096>>;
  std::vector<huge> many;
  auto zeros = bytes_of(std::uint64_t{1} << 20) + std::string(1 << 20, '\0');
  wire_reader large{zeros};
  CHECK_THROWS_WITH_AS(
      detail::decode(large, many),
      "expected a value to take at most 256 times its bytes in memory, got more", decode_error);
  CHECK(many.capacity() == 0);

  // Elements that are announced and not there.
  std::vector<std::array<double, 20>> wrong;
  auto announced = bytes_of(std::uint64_t{1} << 20) + std::string(1 << 20, '\1');
  wire_reader third{announced};
  CHECK_THROWS_AS(detail::decode(third, wrong), decode_error);
  CHECK(wrong.capacity() * sizeof(wrong[0]) <= 9 << 20);
}

// --- types by name -------------------------------------------------------------------------------

namespace {

struct taken {
  std::string text = "default";
  int number = 0;
};
struct only_sent { int number = 0; };
struct renamed {
  static constexpr std::string_view wire_name = "test.renamed";
  int number = 0;
};
struct first_of_two {
  static constexpr std::string_view wire_name = "test.twice";
  int number = 0;
};
struct second_of_two {
  static constexpr std::string_view wire_name = "test.twice";
  int number = 0;
};
struct has_member { std::string wire_name = "not a constant"; };

struct taker {
  using messages = roost::messages<taken, renamed, first_of_two, second_of_two>;
  void handle_cast(taken) {}
  void handle_cast(renamed) {}
  void handle_cast(first_of_two) {}
  void handle_cast(second_of_two) {}
};

template <class M>
const detail::message_type* known() {
  return detail::find_wire_type(detail::type_of<M>.wire_hash);
}

}  // namespace

TEST_CASE_FIXTURE(node, "what a handler takes is known by its wire name") {
  log_capture quiet;
  auto server = roost::start<taker>();
  send(server.process(), only_sent{});
  CHECK(known<taken>() == &detail::type_of<taken>);
  CHECK(known<renamed>()->wire_name == "test.renamed");
  CHECK(known<renamed>()->wire_hash == detail::wire_hash_of("test.renamed"));
  CHECK(known<down>() == &detail::type_of<down>);
  CHECK(known<only_sent>() == nullptr);
  CHECK(detail::find_wire_name<has_member>() == detail::type_name<has_member>());
  CHECK(detail::wire_hash_of("") == 0xCBF29CE484222325);
  CHECK(detail::wire_hash_of("a") == 0xAF63DC4C8601EC8C);
}

TEST_CASE_FIXTURE(node, "two types with one wire name are known by neither") {
  auto server = roost::start<taker>();
  auto* both = known<first_of_two>();
  REQUIRE(both != nullptr);
  CHECK(both == known<second_of_two>());
  CHECK(detail::is_ambiguous(*both));
  CHECK_FALSE(detail::is_ambiguous(*known<taken>()));
  CHECK(both->name == "ambiguous");
  CHECK(both->wire_name == "test.twice");
  CHECK_FALSE(static_cast<bool>(both->decode));
}

TEST_CASE("a message is made of the bytes of another") {
  auto sent = detail::make_message<taken>(message_kind::cast, "hello", 5);
  wire_buffer buffer;
  wire_writer out{buffer};
  sent->type->encode(*sent, out);
  wire_reader in{buffer.view()};
  auto received = known<taken>()->decode(message_kind::cast, in);
  CHECK(received->kind == message_kind::cast);
  CHECK(received->type == sent->type);
  CHECK(detail::value_of<taken>(*received)->text == "hello");
  CHECK(detail::value_of<taken>(*received)->number == 5);
  buffer.append("x");
  wire_reader longer{buffer.view()};
  CHECK_THROWS_AS(known<taken>()->decode(message_kind::cast, longer), decode_error);
  CHECK_FALSE(static_cast<bool>(detail::type_of<std::function<void()>>.encode));
  CHECK_FALSE(static_cast<bool>(detail::type_of<std::string_view>.decode));
}

TEST_CASE("a buffer grows, moves and is used again") {
  wire_buffer buffer;
  CHECK(buffer.view().empty());
  buffer.append("");
  for (int i = 0; i < 1000; ++i) buffer.append("0123456789");
  CHECK(buffer.size() == 10'000);
  wire_buffer moved = std::move(buffer);
  CHECK(moved.view().substr(9'995) == "56789");
  buffer = wire_buffer();
  buffer.append("again");
  CHECK(buffer.view() == "again");
  auto* place = moved.data();
  moved.clear();
  moved.append("reused");
  CHECK(moved.data() == place);
  CHECK(moved.view() == "reused");
}
