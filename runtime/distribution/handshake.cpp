#include "runtime/distribution/handshake.hpp"
#include "runtime/node_table.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr std::string_view magic = "roost";
constexpr std::uint8_t hidden_flag = 1;
constexpr std::size_t longest_reason = 200;

}  // namespace

std::string encode_hello(const hello& hello) {
  wire_buffer bytes;
  wire_writer out{bytes};
  out.raw(magic);
  out.fixed32(hello.oldest | std::uint32_t{hello.newest} << 16);
  out.byte(hello.hidden ? hidden_flag : 0);
  out.text(hello.node);
  out.fixed64(hello.incarnation);
  out.fixed32(hello.ticktime_ms);
  out.fixed64(hello.max_message);
  return std::string(bytes.view());
}

hello decode_hello(std::string_view body) {
  wire_reader in{body};
  if (in.raw(magic.size()) != magic)
    throw decode_error("expected a node of roost, got something else");
  hello hello;
  auto versions = in.fixed32();
  hello.oldest = static_cast<std::uint16_t>(versions);
  hello.newest = static_cast<std::uint16_t>(versions >> 16);
  hello.hidden = (in.byte() & hidden_flag) != 0;
  hello.node = in.text();
  hello.incarnation = in.fixed64();
  hello.ticktime_ms = in.fixed32();
  hello.max_message = in.fixed64();
  if (!is_node_name(hello.node) || hello.incarnation == 0)
    throw decode_error("expected the name of a node, got another text");
  return hello;  // a newer version may say more
}

verdict_code arbitrate(const standing& standing) noexcept {
  if (standing.leaving) return verdict_code::refused;
  if (standing.dialling && standing.own_name > standing.peer_name)
    return verdict_code::simultaneous;
  return verdict_code::taken;
}

handshake::handshake(side side, hello mine, std::string expected)
    : side_(side), mine_(std::move(mine)), expected_(std::move(expected)) {}

void handshake::start(std::string& out) { put_frame(out, frame_type::hello, encode_hello(mine_)); }

handshake::step handshake::refuse(std::string why) {
  error_ = std::move(why);
  return step::refused;
}

bool handshake::agree() {
  version_ = std::min(mine_.newest, peer_.newest);
  return version_ >= std::max(mine_.oldest, peer_.oldest);
}

handshake::step handshake::take_hello(std::string_view body) {
  peer_ = decode_hello(body);
  has_peer_ = true;
  return step::decide;
}

handshake::step handshake::answer(const verdict& verdict, std::string& out) {
  auto code = verdict.code;
  auto reason = verdict.reason;
  if (code == verdict_code::taken && !agree()) {
    code = verdict_code::refused;
    reason = "expected version " + std::to_string(mine_.oldest) + " to " +
             std::to_string(mine_.newest) + " of the protocol";
  }
  if (reason.size() > longest_reason) reason.resize(longest_reason);
  wire_buffer bytes;
  wire_writer writer{bytes};
  writer.byte(static_cast<std::uint8_t>(code));
  writer.text(reason);
  writer.text(encode_hello(mine_));
  put_frame(out, frame_type::verdict, bytes.view());
  taken_ = code == verdict_code::taken;
  return taken_ ? step::more : refuse(std::move(reason));
}

handshake::step handshake::take_verdict(std::string_view body, std::string& out) {
  wire_reader in{body};
  auto code = in.byte();
  auto reason = in.text();
  auto hello = in.text();
  if (code == static_cast<std::uint8_t>(verdict_code::simultaneous)) return step::waits;
  if (code != static_cast<std::uint8_t>(verdict_code::taken))
    return refuse("refused by the other node: " + std::string(reason));
  peer_ = decode_hello(hello);
  has_peer_ = true;
  if (peer_.node != expected_)
    return refuse("expected the node " + expected_ + ", got " + peer_.node);
  if (!agree()) return refuse("expected a version of the protocol that both nodes speak, got none");
  put_frame(out, frame_type::ready, {});
  return step::up;
}

handshake::step handshake::received(const frame& frame, std::string& out) {
  if (side_ == side::client) {
    if (frame.type == frame_type::verdict && !has_peer_) return take_verdict(frame.body, out);
  } else {
    if (frame.type == frame_type::hello && !has_peer_) return take_hello(frame.body);
    if (frame.type == frame_type::ready && taken_) return step::up;
  }
  throw decode_error(
      "expected the next frame of a handshake, got type " +
      std::to_string(static_cast<unsigned>(frame.type)));
}

}  // namespace roost::detail
