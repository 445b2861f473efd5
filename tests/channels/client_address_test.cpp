#include "channels/transport/client_address.hpp"
#include <doctest/doctest.h>
#include <stdexcept>

namespace {

using namespace roost::detail;
using kind = proxy_header::kind;

std::string client_behind(std::string_view forwarded_for) {
  static const networks trusted({"10.0.0.0/8", "192.168.1.1", "fd00::/8"});
  return forwarded_client("10.0.0.1", forwarded_for, trusted);
}

std::string binary_header(unsigned char command, unsigned char family, std::string_view addresses) {
  std::string text("\r\n\r\n\0\r\nQUIT\n", 12);
  text += static_cast<char>(command);
  text += static_cast<char>(family);
  text += static_cast<char>(addresses.size() >> 8);
  text += static_cast<char>(addresses.size() & 0xFF);
  return text.append(addresses);
}

}  // namespace

TEST_CASE("networks contain what their bits say") {
  networks some({"10.0.0.0/8", "192.168.1.1", "fd00::/8", "172.16.0.0/12"});
  for (auto inside : {"10.0.0.0", "10.255.255.255", "192.168.1.1", "fd12::1", "172.31.0.1"}) {
    CAPTURE(inside);
    CHECK(some.contain(inside));
  }
  for (auto outside : {"11.0.0.0", "192.168.1.2", "fe00::1", "172.32.0.1", "", "x", "10.0.0"}) {
    CAPTURE(outside);
    CHECK_FALSE(some.contain(outside));
  }
  CHECK(networks({"0.0.0.0/0"}).contain("1.2.3.4"));
  CHECK_FALSE(networks({"0.0.0.0/0"}).contain("::1"));
  CHECK(networks({"10.0.0.0/8"}).contain("::ffff:10.1.1.1"));
}

TEST_CASE("a network that is none is said so") {
  for (auto text : {"", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8x", "::/129", "example.com"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(networks({text}), std::invalid_argument);
  }
}

TEST_CASE("the client is the last address that is no balancer of ours") {
  CHECK(client_behind("") == "10.0.0.1");
  CHECK(client_behind("1.2.3.4") == "1.2.3.4");
  CHECK(client_behind("1.2.3.4, 10.9.9.9, 192.168.1.1") == "1.2.3.4");
  CHECK(client_behind("1.2.3.4:5678") == "1.2.3.4");
  CHECK(client_behind("[2001:db8::1]:443") == "2001:db8::1");
  CHECK(client_behind("2001:db8::1") == "2001:db8::1");
  SUBCASE("whatever the client wrote in front of it") {
    CHECK(client_behind("8.8.8.8, 1.2.3.4") == "1.2.3.4");
    CHECK(client_behind("nonsense, 1.2.3.4, 10.1.1.1") == "1.2.3.4");
  }
  SUBCASE("what is no address ends the search") {
    CHECK(client_behind("1.2.3.4, unknown") == "10.0.0.1");
    CHECK(client_behind("1.2.3.4, unknown, 10.1.1.1") == "10.1.1.1");
  }
  SUBCASE("all are ours") { CHECK(client_behind("10.0.0.3, 10.0.0.2") == "10.0.0.3"); }
}

TEST_CASE("PROXY, version 1") {
  auto header = parse_proxy_header("PROXY TCP4 1.2.3.4 5.6.7.8 1111 443\r\nGET /");
  CHECK(header.state == kind::complete);
  CHECK(header.size == 37);
  CHECK(header.address == "1.2.3.4");
  CHECK(header.port == 1111);
  CHECK(parse_proxy_header("PROXY TCP6 ::1 ::2 1 2\r\n").address == "::1");
  CHECK(parse_proxy_header("PROXY UNKNOWN\r\n").state == kind::complete);
  CHECK(parse_proxy_header("PROXY UNKNOWN a b c d\r\n").address.empty());
  for (auto text :
       {"GET / HTTP/1.1\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n", "PROXY TCP4 x 5.6.7.8 1 2\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 70000 2\r\n", "PROXY \r\n", "PROXZ"}) {
    CAPTURE(text);
    CHECK(parse_proxy_header(text).state == kind::malformed);
  }
  CHECK(parse_proxy_header("PROXY " + std::string(200, 'x')).state == kind::malformed);
}

TEST_CASE("PROXY, version 2") {
  std::string v4("\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57\x01\xbb", 12);
  auto header = parse_proxy_header(binary_header(0x21, 0x11, v4) + "more");
  CHECK(header.state == kind::complete);
  CHECK(header.size == 28);
  CHECK(header.address == "1.2.3.4");
  CHECK(header.port == 1111);
  std::string v6(36, '\0');
  v6[15] = 1;
  CHECK(parse_proxy_header(binary_header(0x21, 0x21, v6)).address == "::1");
  CHECK(parse_proxy_header(binary_header(0x21, 0x11, v4 + "a TLV")).size == 33);
  SUBCASE("the balancer's own checks") {
    auto local = parse_proxy_header(binary_header(0x20, 0x00, ""));
    CHECK(local.state == kind::complete);
    CHECK(local.address.empty());
  }
  CHECK(parse_proxy_header(binary_header(0x31, 0x11, v4)).state == kind::malformed);
  CHECK(parse_proxy_header(binary_header(0x22, 0x11, v4)).state == kind::malformed);
  CHECK(parse_proxy_header(binary_header(0x21, 0x11, "short")).state == kind::malformed);
  CHECK(
      parse_proxy_header(binary_header(0x21, 0x11, std::string(600, 'x'))).state ==
      kind::malformed);
}

TEST_CASE("a PROXY header that comes in pieces is waited for") {
  std::string addresses("\x01\x02\x03\x04\x05\x06\x07\x08\x04\x57\x01\xbb", 12);
  for (auto& whole :
       {std::string("PROXY TCP4 1.2.3.4 5.6.7.8 1111 443\r\n"),
        binary_header(0x21, 0x11, addresses)})
    for (std::size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      CHECK(parse_proxy_header(std::string_view(whole).substr(0, size)).state == kind::incomplete);
    }
}
