// A libFuzzer target: any bytes as the path and query of a request.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined \
//     tests/fuzz/routes_fuzz.cpp channels/transport/routes.cpp -o routes_fuzz
//   ./routes_fuzz -max_total_time=60 tests/fuzz/corpus/routes
//
// What must hold: decoding undoes encoding and refuses what nobody encodes; a query is read back as
// the pairs it was made of; a path that fits a socket or a route has its parameters and none else,
// however many slashes it has.
#include "channels/transport/routes.hpp"
#include <fuzzer/FuzzedDataProvider.h>
#include <algorithm>
#include <cstdlib>

namespace {

using namespace roost;
using namespace roost::detail;

void require(bool condition) {
  if (!condition) std::abort();
}

std::string encoded(std::string_view text) {
  static constexpr char digits[] = "0123456789aBcDeF";
  std::string result;
  for (unsigned char byte : text) {
    result += '%';
    result += digits[byte >> 4];
    result += digits[byte & 15];
  }
  return result;
}

bool is_hex(char c) {
  return std::string_view("0123456789abcdefABCDEF").find(c) != std::string::npos;
}

bool well_formed(std::string_view text) {
  for (auto at = text.find('%'); at != text.npos; at = text.find('%', at + 3))
    if (at + 3 > text.size() || !is_hex(text[at + 1]) || !is_hex(text[at + 2])) return false;
  return true;
}

void check_decoding(std::string_view text, bool plus_is_space) {
  require(percent_decode(encoded(text), plus_is_space) == text);
  // In a buffer of its own, so that reading past its end shows.
  std::vector<char> exact(text.begin(), text.end());
  auto decoded = percent_decode({exact.data(), exact.size()}, plus_is_space);
  require(decoded.has_value() == well_formed(text));
  if (decoded)
    require(decoded->size() + 2 * std::count(text.begin(), text.end(), '%') == text.size());
}

void check_query(std::string_view query) {
  auto entries = parse_query(query).entries();
  require(
      entries.size() <= 1 + static_cast<std::size_t>(std::count(query.begin(), query.end(), '&')));
  std::string again = "&bad=%4";
  for (auto& [name, value] : entries) {
    require(!name.empty());
    again += "&" + encoded(name) + "=" + encoded(value);
  }
  require(parse_query(again).entries() == entries);
}

const std::vector<socket_mount>& sockets() {
  static const std::vector<socket_mount> sockets{
      {"/socket", nullptr, {}},
      {"/socket/:room/", nullptr, {}},
      {"/", nullptr, {}},
      {"//:a/x/:b", nullptr, {}}};
  return sockets;
}

const std::vector<http_route>& routes() {
  static const std::vector<http_route> routes{
      get("/hello", {}), post("/hello/:name", {}), any("/any", {}), get("/:a/:b", {})};
  return routes;
}

bool takes(const http_route& route, std::string_view method) {
  return route.method.empty() || route.method == method ||
         (route.method == "GET" && method == "HEAD");
}

/// The path that a pattern and its parameters stand for. All of a parameter is encoded, so that it
/// fits no fixed segment of another pattern.
std::string path_of(std::string_view pattern, const std::vector<params::entry>& parameters) {
  std::string path;
  std::size_t next = 0;
  for (auto segment : path_segments(pattern)) {
    if (!segment.starts_with(':')) {
      path.append("/").append(segment);
      continue;
    }
    auto& [name, value] = parameters.at(next++);
    require(name == segment.substr(1));
    require(!value.empty());
    path += "/" + encoded(value);
  }
  require(next == parameters.size());
  return path;
}

std::string with_more_slashes(std::string_view path) {
  std::string slashes;
  for (char c : path) slashes.append(c == '/' ? "//" : std::string_view(&c, 1));
  return slashes + "/";
}

void check_segments(std::string_view path) {
  std::string joined, plain;
  for (auto segment : path_segments(path)) {
    require(!segment.empty() && segment.find('/') == segment.npos);
    joined += segment;
  }
  for (char c : path)
    if (c != '/') plain += c;
  require(joined == plain);
}

void check_socket(std::string_view path, std::string_view transport) {
  auto match = match_socket(sockets(), path, transport);
  auto same = match_socket(sockets(), with_more_slashes(path), transport);
  require(match.has_value() == same.has_value());
  if (!match) return;
  require(same->mount == match->mount && same->path_parameters == match->path_parameters);
  auto whole = path_of(match->mount->path, match->path_parameters) + "/" + std::string(transport);
  auto again = match_socket(sockets(), whole, transport);
  require(again && again->mount == match->mount);
  require(again->path_parameters == match->path_parameters);
}

void check_route(std::string_view method, std::string_view path) {
  auto match = match_route(routes(), method, path);
  auto same = match_route(routes(), method, with_more_slashes(path));
  require(match.has_value() == same.has_value());
  if (!match) return;
  require(same->route == match->route && same->path_parameters == match->path_parameters);
  require(takes(*match->route, method));
  auto whole = path_of(match->route->path, match->path_parameters);
  auto again = match_route(routes(), method, whole);
  require(again && again->route == match->route);
  require(again->path_parameters == match->path_parameters);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider fuzz(data, size);
  static constexpr const char* methods[] = {"GET", "HEAD", "POST", "PUT", ""};
  std::string method = fuzz.PickValueInArray(methods);
  std::string transport = fuzz.ConsumeBool() ? "websocket" : "longpoll";
  auto path = fuzz.ConsumeRemainingBytesAsString();
  std::string query;
  if (auto mark = path.find('?'); mark != path.npos) {
    query = path.substr(mark + 1);
    path.resize(mark);
  }
  for (bool plus : {false, true}) {
    check_decoding(path, plus);
    check_decoding(query, plus);
  }
  check_query(query);
  check_segments(path);
  check_socket(path, transport);
  check_route(method, path);
  return 0;
}
