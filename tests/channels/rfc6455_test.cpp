// Plays rfc6455_cases.txt against the frame codec as an echo server. Frames are built here by hand,
// for the client and for what is expected of the server: a codec that is wrong both ways must not
// pass.
#include "channels/transport/frame_codec.hpp"
#include <doctest/doctest.h>
#include <algorithm>
#include <fstream>
#include <iomanip>
#include <set>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace {

using namespace roost;

// --- bytes ---------------------------------------------------------------------------------------

std::string big_endian(std::uint64_t number, int bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(number >> (8 * bytes));
  return text;
}

std::string header(int first, std::size_t size, int mask_bit) {
  auto bytes = big_endian(static_cast<std::uint64_t>(first), 1);
  if (size < 126) return bytes + big_endian(mask_bit | size, 1);
  if (size < 65536) return bytes + big_endian(mask_bit | 126, 1) + big_endian(size, 2);
  return bytes + big_endian(mask_bit | 127, 1) + big_endian(size, 8);
}

std::string masked(std::string payload, std::string_view key) {
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] ^= key[i % 4];
  return payload;
}

std::string pattern(std::size_t size, int first, int period) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    bytes[i] = static_cast<char>(first + static_cast<int>(i % static_cast<std::size_t>(period)));
  return bytes;
}

/// For a failing test: the beginning, and how much there is.
std::string shown(std::string_view bytes) {
  std::ostringstream out;
  out << bytes.size() << " bytes:" << std::hex << std::setfill('0');
  for (unsigned char byte : bytes.substr(0, 80)) out << ' ' << std::setw(2) << int{byte};
  return out.str();
}

// --- the words of the table ----------------------------------------------------------------------

/// Under the thread sanitizer, which has nothing to find here, the largest messages would take a
/// minute.
#ifdef __SANITIZE_THREAD__
constexpr unsigned long long largest = 256 * 1024;
#else
constexpr unsigned long long largest = ~0ULL;
#endif

struct mark {
  std::size_t at;
  bool answered;
};

struct frames {
  int code = 0;
  int rsv = 0;
  bool fin = true;
  std::string payload = {};
  std::vector<mark> marks = {};  // within the payload
  std::size_t frame_size = 0;    // 0: one frame
  int count = 1;
};

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> all(1);
  bool quoted = false;
  for (char c : text) {
    if (c == '"') quoted = !quoted;
    if (c == ' ' && !quoted)
      all.emplace_back();
    else
      all.back() += c;
  }
  std::erase(all, "");
  return all;
}

/// Takes the part before the first `separator` off the front; all of it if there is none.
std::string take_until(std::string& text, char separator) {
  auto end = text.find(separator);
  auto part = text.substr(0, end);
  text.erase(0, end == text.npos ? end : end + 1);
  return part;
}

void read_hex(std::string_view digits, frames& frames) {
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (digits[i] == '|' || digits[i] == '@') {
      frames.marks.push_back({frames.payload.size(), digits[i] == '@'});
    } else {
      frames.payload += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
      ++i;
    }
  }
}

void read_payload(std::string text, frames& frames) {
  if (text.starts_with('"')) {
    frames.payload += text.substr(1, text.size() - 2);
  } else if (auto size = text.find("*"); size != text.npos) {
    auto count = std::min(largest, std::stoull(text.substr(size + 1)));
    frames.payload += text.starts_with("abc") ? pattern(count, 'a', 26) : pattern(count, 0, 251);
    if (auto cut = text.find('/'); cut != text.npos)
      frames.frame_size = std::stoull(text.substr(cut + 1));
  } else if (text.starts_with("hex:")) {
    auto digits = text.substr(4);
    read_hex(take_until(digits, '/'), frames);
    if (!digits.empty()) frames.frame_size = std::stoull(digits);
  } else {
    throw std::invalid_argument("expected a payload, got " + text);
  }
}

void read_close(std::string text, frames& frames) {
  if (text.starts_with("hex:")) return read_hex(text.substr(4), frames);
  frames.payload = big_endian(std::stoull(take_until(text, ',')), 2);
  if (!text.empty()) read_payload(text, frames);
}

int opcode_named(const std::string& name) {
  static const std::vector<std::pair<std::string_view, int>> names{
      {"cont", 0}, {"text", 1}, {"binary", 2}, {"close", 8}, {"ping", 9}, {"pong", 10}};
  for (auto& [known, code] : names)
    if (name == known) return code;
  if (name.starts_with("op")) return std::stoi(name.substr(2));
  throw std::invalid_argument("expected a kind of frame, got " + name);
}

frames read_frames(std::string word) {
  frames frames;
  if (std::isdigit(static_cast<unsigned char>(word[0])))
    frames.count = std::stoi(take_until(word, '*'));
  if (word[0] == '-') {
    frames.fin = false;
    word.erase(0, 1);
  }
  auto kind = take_until(word, '=');
  auto name = take_until(kind, '+');
  if (!kind.empty()) frames.rsv = std::stoi(kind.substr(3));
  frames.code = opcode_named(name);
  if (name == "close" && !word.empty())
    read_close(word, frames);
  else if (!word.empty())
    read_payload(word, frames);
  return frames;
}

// --- cases ---------------------------------------------------------------------------------------

struct test_case {
  std::string id;
  std::string wire;              // of the client
  std::vector<mark> marks = {};  // where a new piece begins
  std::size_t piece = 0;         // 0: only at the marks
  std::string echo = {};         // the messages, as the server should send them
  std::string answer = {};       // of the server
};

/// No two frames have the same key.
std::string next_key(const std::string& wire) {
  return big_endian(0x37fa213d + 0x01030507 * wire.size(), 4);
}

void send_frame(test_case& to, const frames& frames, int code, bool fin, std::string payload) {
  auto key = next_key(to.wire);
  to.wire += header((fin ? 0x80 : 0) | frames.rsv << 4 | code, payload.size(), 0x80) + key;
  for (auto& mark : frames.marks) to.marks.push_back({to.wire.size() + mark.at, mark.answered});
  to.wire += masked(std::move(payload), key);
}

void send(test_case& to, const frames& frames) {
  for (int i = 0; i < frames.count; ++i) {
    if (frames.frame_size == 0) {
      send_frame(to, frames, frames.code, frames.fin, frames.payload);
    } else {
      for (std::size_t at = 0; at < frames.payload.size(); at += frames.frame_size)
        send_frame(
            to, frames, at == 0 ? frames.code : 0, at + frames.frame_size >= frames.payload.size(),
            frames.payload.substr(at, frames.frame_size));
    }
    to.echo += header(0x80 | frames.code, frames.payload.size(), 0) + frames.payload;
  }
}

test_case read_case(std::string line) {
  auto arrow = line.find(" => ");
  if (arrow == line.npos) throw std::invalid_argument("expected a =>, got " + line);
  test_case test;
  auto answered = line.substr(arrow + 4);
  line.resize(arrow);
  test.id = take_until(line, ' ');
  for (auto& word : words(line)) {
    if (word == "|" || word == "@")
      test.marks.push_back({test.wire.size(), word == "@"});
    else if (word.starts_with("chop="))
      test.piece = std::stoull(word.substr(5));
    else
      send(test, read_frames(word));
  }
  for (auto& word : words(answered)) {
    if (word == "nothing") continue;
    if (word == "echo") {
      test.answer += test.echo;
      continue;
    }
    auto frames = read_frames(word);
    test.answer += header(0x80 | frames.code, frames.payload.size(), 0) + frames.payload;
  }
  return test;
}

/// The lines of the table. They become cases one by one, since the large ones take their time.
std::vector<std::string> lines() {
  std::ifstream file("tests/channels/rfc6455_cases.txt");
  std::vector<std::string> all;
  for (std::string line; std::getline(file, line);)
    if (!line.empty() && line[0] != '#') all.push_back(line);
  return all;
}

// --- the server ----------------------------------------------------------------------------------

/// What a server around the codec does, with a client that wants its messages back.
class echo_server {
 public:
  void receive(std::string_view bytes) {
    // A buffer that ends where the piece ends, so that reading on shows.
    std::vector<char> buffer(bytes.begin(), bytes.end());
    std::span<char> input(buffer);
    while (auto event = decoder_.next(input, {.max_frame_size = 32 << 20})) on(event);
    if (!input.empty()) throw std::logic_error("expected all of the input to be taken");
  }

  std::string sent;

 private:
  void on(const frame_event& event) {
    std::string_view payload(event.payload.data(), event.payload.size());
    switch (event.kind) {
      case frame_event::text:
        return append_frame(sent, opcode::text, payload);
      case frame_event::binary:
        return append_frame(sent, opcode::binary, payload);
      case frame_event::ping:
        return append_frame(sent, opcode::pong, payload);
      case frame_event::close:
        return append_close(sent, event.code == close_code::none ? close_code::normal : event.code);
      case frame_event::error:
        return append_close(sent, event.code);
      case frame_event::pong:
      case frame_event::none:
        return;
    }
  }

  frame_decoder decoder_;
};

/// In pieces of `size` bytes, 0: all at once.
std::string answer_to(std::string_view wire, std::size_t size) {
  echo_server server;
  if (size == 0) size = std::max<std::size_t>(wire.size(), 1);
  for (std::size_t at = 0; at < wire.size(); at += size) server.receive(wire.substr(at, size));
  return server.sent;
}

/// In the pieces between the marks, with what the table wants to be answered early.
void check_at_marks(const test_case& test) {
  echo_server server;
  std::size_t from = 0;
  for (auto& mark : test.marks) {
    server.receive(std::string_view(test.wire).substr(from, mark.at - from));
    if (mark.answered) CHECK(shown(server.sent) == shown(test.answer));
    from = mark.at;
  }
  server.receive(std::string_view(test.wire).substr(from));
  CHECK(shown(server.sent) == shown(test.answer));
}

void check_same(const std::string& answer, const test_case& test) {
  CAPTURE(shown(answer));
  CAPTURE(shown(test.answer));
  CHECK((answer == test.answer));
}

void check(const test_case& test) {
  CAPTURE(test.id);
  if (test.marks.empty())
    check_same(answer_to(test.wire, test.piece), test);
  else
    check_at_marks(test);
  if (test.wire.size() > 10'000) return;
  for (std::size_t size : {0, 1, 2, 3, 5, 7, 13, 127, 1000}) {
    CAPTURE(size);
    check_same(answer_to(test.wire, size), test);
  }
}

void check_section(const std::string& section, std::size_t cases) {
  std::size_t checked = 0;
  for (auto& line : lines()) {
    if (!line.starts_with(section + ".")) continue;
    ++checked;
    check(read_case(line));
  }
  CHECK(checked == cases);
}

}  // namespace

TEST_CASE("RFC 6455: every case is in the table once") {
  std::set<std::string> ids;
  for (auto& line : lines()) {
    auto id = line.substr(0, line.find(' '));
    CAPTURE(id);
    CHECK(ids.insert(id).second);
  }
}

TEST_CASE("RFC 6455: framing (1)") { check_section("1", 16); }
TEST_CASE("RFC 6455: pings and pongs (2)") { check_section("2", 11); }
TEST_CASE("RFC 6455: reserved bits (3)") { check_section("3", 7); }
TEST_CASE("RFC 6455: reserved opcodes (4)") { check_section("4", 10); }
TEST_CASE("RFC 6455: fragments (5)") { check_section("5", 20); }
TEST_CASE("RFC 6455: UTF-8 (6)") { check_section("6", 145); }
TEST_CASE("RFC 6455: closing (7)") { check_section("7", 41); }
TEST_CASE("RFC 6455: large messages (9)") { check_section("9", 54); }
TEST_CASE("RFC 6455: a message that the client cuts by itself (10)") { check_section("10", 1); }
