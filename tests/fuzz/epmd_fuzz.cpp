// A libFuzzer target: any bytes as requests to a port mapper, and as its answers.
//
//   clang++-14 -std=c++20 -O1 -g -I. -fsanitize=fuzzer,address,undefined \
//     tests/fuzz/epmd_fuzz.cpp runtime/distribution/epmd_protocol.cpp -o epmd_fuzz
//   ./epmd_fuzz -max_total_time=60
//
// What must hold: no access outside the bytes that came; what was decoded and is encoded again
// decodes to the same; more bytes never make a malformed request whole; a server's answers can be
// decoded, its table stays within its limit, and it finds who has registered until the connection
// is closed.
#include "runtime/distribution/epmd_protocol.hpp"
#include <cstdlib>

namespace {

using namespace roost::detail;
using namespace roost::detail::epmd;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Memory of exactly this size, so that reading past its end shows.
std::vector<char> exactly(std::string_view bytes) { return {bytes.begin(), bytes.end()}; }

std::string_view view(const std::vector<char>& bytes) { return {bytes.data(), bytes.size()}; }

void check_again(const request& decoded) {
  request again;
  if (auto* which = std::get_if<register_request>(&decoded)) {
    require(is_name(which->entry.name) && which->entry.extra.size() <= longest_extra);
    require(decode_request(encode_register(which->entry), again) == progress::complete);
    require(std::get<register_request>(again).entry == which->entry);
  } else if (auto* lookup = std::get_if<lookup_request>(&decoded)) {
    require(is_name(lookup->name));
    require(decode_request(encode_lookup(lookup->name), again) == progress::complete);
    require(std::get<lookup_request>(again).name == lookup->name);
  }
}

void check_request(std::string_view bytes) {
  request decoded;
  auto state = decode_request(bytes, decoded);
  if (state == progress::complete) check_again(decoded);
  if (state == progress::incomplete) require(bytes.size() < longest_request);
  if (state == progress::malformed)
    require(decode_request(std::string(bytes) + "more", decoded) == progress::malformed);
}

void check_answers(std::string_view bytes) {
  registration registered;
  decode_registration(bytes, registered);
  std::optional<port_entry> found;
  if (decode_lookup_answer(bytes, found) == progress::complete && found) {
    std::optional<port_entry> again;
    require(decode_lookup_answer(encode_lookup_answer(&*found), again) == progress::complete);
    require(again == found);
  }
  std::vector<port_entry> names;
  if (decode_names_answer(bytes, names) == progress::complete)
    for (auto& one : names) require(is_name(one.name));
}

void check_reply(server& server, const request& request, const server::reply& reply) {
  if (auto* which = std::get_if<register_request>(&request); which && !reply.bytes.empty()) {
    registration answer;
    require(decode_registration(reply.bytes, answer) == progress::complete);
    require(answer.accepted == (reply.then == server::reply::next::keep));
    require(!answer.accepted || answer.creation != 0);
    auto found = server.answer({0, false}, lookup_request{which->entry.name});
    std::optional<port_entry> entry;
    require(decode_lookup_answer(found.bytes, entry) == progress::complete);
    require(entry || server.size() == server::most_entries);
    require(!answer.accepted || entry == which->entry);
  }
  if (std::holds_alternative<lookup_request>(request)) {
    std::optional<port_entry> entry;
    require(decode_lookup_answer(reply.bytes, entry) == progress::complete);
  }
  if (std::holds_alternative<names_request>(request)) {
    std::vector<port_entry> names;
    require(decode_names_answer(reply.bytes, names) == progress::complete);
    require(names.size() == server.size());
  }
}

/// One connection after the other: a byte says whether it is local and which earlier one ends.
void check_server(std::string_view bytes) {
  std::uint32_t number = 0;
  server server({.name = "own", .port = 1}, 4369, [&] { return number++; });
  server.is_primary(true);
  server::connection_id connection = 0;
  while (bytes.size() > 3) {
    auto control = static_cast<unsigned char>(bytes[0]);
    auto size = (static_cast<std::size_t>(static_cast<unsigned char>(bytes[1])) << 8 |
                 static_cast<unsigned char>(bytes[2])) +
                2;
    auto one = bytes.substr(1, size);
    bytes.remove_prefix(1 + one.size());
    request request;
    ++connection;
    if (decode_request(one, request) == progress::complete)
      check_reply(server, request, server.answer({connection, (control & 1) == 0}, request));
    if ((control & 2) != 0 && connection > control / 4U) server.closed(connection - control / 4U);
    require(server.size() <= server::most_entries);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = exactly({reinterpret_cast<const char*>(data), size});
  check_request(view(bytes));
  check_answers(view(bytes));
  check_server(view(bytes));
  return 0;
}
