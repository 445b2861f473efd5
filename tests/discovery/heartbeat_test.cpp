#include "runtime/discovery/heartbeat.hpp"
#include <doctest/doctest.h>
#include <random>

using namespace roost::discovery;
using namespace std::chrono_literals;

namespace {

const auto now = std::chrono::system_clock::time_point(1'767'225'600'123ms);
const auto key = derive_heartbeat_key("somepassword");

}  // namespace

TEST_CASE("a heartbeat is opened with the key that sealed it, and with no other") {
  auto packet = seal_heartbeat(key, {"chat@10.0.0.1", now});
  auto opened = open_heartbeat(key, packet);
  REQUIRE(opened);
  CHECK(opened->node == "chat@10.0.0.1");
  CHECK(opened->sent == now);
  CHECK_FALSE(open_heartbeat(derive_heartbeat_key("somepassworD"), packet));
}

TEST_CASE("two heartbeats of the same never look the same, nor hold the name in the clear") {
  auto one = seal_heartbeat(key, {"chat@10.0.0.1", now});
  CHECK(one != seal_heartbeat(key, {"chat@10.0.0.1", now}));
  CHECK(one.find("chat") == one.npos);
  CHECK(one.find("10.0.0.1") == one.npos);
}

TEST_CASE("a heartbeat that was changed anywhere is none") {
  auto packet = seal_heartbeat(key, {"chat@10.0.0.1", now});
  for (std::size_t i = 0; i < packet.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = packet;
      changed[i] = static_cast<char>(changed[i] ^ 1 << bit);
      CAPTURE(i);
      CHECK_FALSE(open_heartbeat(key, changed));
    }
  for (std::size_t size = 0; size < packet.size(); ++size)
    CHECK_FALSE(open_heartbeat(key, packet.substr(0, size)));
  CHECK_FALSE(open_heartbeat(key, packet + "x"));
}

TEST_CASE("random bytes of any length are no heartbeat") {
  std::minstd_rand random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random() % 700, '\0');
    for (auto& each : bytes) each = static_cast<char>(random());
    if (random() % 2) bytes.insert(0, "roost1");
    CHECK_FALSE(open_heartbeat(key, bytes));
  }
}

TEST_CASE("the longest name fits, a longer one is refused") {
  std::string longest(253, 'x');
  longest += "@h";
  auto packet = seal_heartbeat(key, {longest, now});
  CHECK(packet.size() <= largest_heartbeat);
  CHECK(open_heartbeat(key, packet)->node == longest);
  CHECK_THROWS_AS(seal_heartbeat(key, {std::string(600, 'x'), now}), std::runtime_error);
}

TEST_CASE("the key is HKDF-SHA256 of the secret, so that other versions make the same one") {
  // hkdf_expand(hkdf_extract(salt = 32 zero bytes, "somepassword"), "roost gossip heartbeat 1",
  // 32), as Python's hmac has it.
  static const char* digits = "0123456789abcdef";
  std::string text;
  for (auto byte : key) text += {digits[byte >> 4], digits[byte & 15]};
  CHECK(text == "1e076378a8b61fddcbb1ff97e8a993247cf319927a063af1ec1193b180352281");
}

TEST_CASE("a time that no clock can hold does no harm") {
  auto far = std::chrono::system_clock::time_point(std::chrono::hours(24 * 365 * 280));
  CHECK(open_heartbeat(key, seal_heartbeat(key, {"a@h", far})));
  auto before = std::chrono::system_clock::time_point(-1ms);
  CHECK(open_heartbeat(key, seal_heartbeat(key, {"a@h", before})));
}

TEST_CASE("a node counts for fifteen seconds after its last heartbeat") {
  heard_nodes heard;
  heard_nodes::time_point start{1h};
  heard.note("a@h", start);
  heard.note("b@h", start);
  heard.note("a@h", start + 10s);
  CHECK(heard.current(start + 15s).size() == 2);
  CHECK(heard.current(start + 16s) == std::vector<std::string>{"a@h"});
  CHECK(heard.current(start + 26s).empty());
}

TEST_CASE("names that somebody makes up do not fill the memory") {
  heard_nodes heard;
  heard_nodes::time_point now{1h};
  for (int i = 0; i < 20'000; ++i) heard.note(std::to_string(i) + "@h", now);
  CHECK(heard.current(now).size() == 10'000);
}
