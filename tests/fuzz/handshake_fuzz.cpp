// A libFuzzer target: any bytes as what stands before a WebSocket: a balancer's PROXY header, the
// addresses that it forwards, an offer of permessage-deflate, an origin; and as a compressed
// message.
//
// What must hold: a PROXY header that is complete is complete without what follows, and shorter
// pieces of it are incomplete; a client's address is the peer's or one that was forwarded; what is
// agreed on can be kept; no compressed message grows past the limit, and what is deflated inflates.
#include "channels/transport/client_address.hpp"
#include "channels/transport/deflate.hpp"
#include "channels/transport/handshake.hpp"
#include <cstdlib>
#include <vector>

namespace {

using namespace roost;
using namespace roost::detail;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_proxy_header(std::string_view bytes) {
  auto header = parse_proxy_header(bytes);
  if (header.state != proxy_header::kind::complete) return;
  require(header.size <= bytes.size() && header.size <= max_proxy_header);
  auto exact = parse_proxy_header(bytes.substr(0, header.size));
  require(exact.state == proxy_header::kind::complete && exact.address == header.address);
  for (std::size_t size = 0; size < header.size; ++size)
    require(parse_proxy_header(bytes.substr(0, size)).state == proxy_header::kind::incomplete);
}

void check_address(std::string_view bytes) {
  static const networks trusted({"10.0.0.0/8", "::1"});
  auto client = forwarded_client("10.0.0.1", bytes, trusted);
  require(client == "10.0.0.1" || bytes.find(client) != bytes.npos);
  (void)trusted.contain(bytes);
}

void check_deflate(std::string_view bytes) {
  if (auto agreed = agree_on_deflate(bytes))
    require(agreed->window_bits >= 9 && agreed->window_bits <= 15);
  std::string out;
  (void)inflate_message(bytes, 10'000, out);
  require(out.size() <= 10'000);
  std::string small, back;
  deflate_message(bytes, 9 + static_cast<int>(bytes.size() % 7), small);
  require(inflate_message(small, bytes.size(), back) == inflated::ok && back == bytes);
}

void check_origin(std::string_view bytes) {
  static const auto rules = allow_origins({"https://example.com", "//*.example.org"});
  (void)origin_allowed(bytes, rules, "localhost");
  (void)origin_allowed(bytes, {.check = origin_rules::same_origin}, "localhost", "http://x:1");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<char> exact(data, data + size);
  const std::string_view bytes{exact.data(), exact.size()};
  check_proxy_header(bytes);
  check_address(bytes);
  check_deflate(bytes);
  check_origin(bytes);
  return 0;
}
