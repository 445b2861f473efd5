#include "runtime/distribution/frames.hpp"
#include "runtime/node_table.hpp"
#include "runtime/process_core.hpp"

namespace roost::detail {
namespace {

// Kinds and flags as they are on the wire; never renumbered.
enum class wire_kind : std::uint8_t {
  info = 1,
  cast,
  call,
  reply,
  no_reply,
  down,
  link,
  unlink,
  unlinked,
  monitor,
  demonitor,
  exit,
  call_done,
};

constexpr std::uint8_t has_reference = 1;
constexpr std::uint8_t to_a_name = 2;
constexpr std::uint8_t for_an_alias = 4;
constexpr std::uint8_t from_the_server = 8;
constexpr std::uint8_t through_a_link = 16;
constexpr std::uint8_t known_flags = 31;

std::optional<wire_kind> wire_kind_of(message_kind kind) noexcept {
  switch (kind) {
    case message_kind::info:
      return wire_kind::info;
    case message_kind::cast:
      return wire_kind::cast;
    case message_kind::call:
      return wire_kind::call;
    case message_kind::reply:
      return wire_kind::reply;
    case message_kind::no_reply:
      return wire_kind::no_reply;
    case message_kind::down:
      return wire_kind::down;
    case message_kind::link:
      return wire_kind::link;
    case message_kind::unlink:
      return wire_kind::unlink;
    case message_kind::unlinked:
      return wire_kind::unlinked;
    case message_kind::monitor:
      return wire_kind::monitor;
    case message_kind::demonitor:
      return wire_kind::demonitor;
    case message_kind::exit:
      return wire_kind::exit;
    case message_kind::call_done:
      return wire_kind::call_done;
    default:
      return std::nullopt;
  }
}

message_kind message_kind_of(std::uint8_t byte) {
  constexpr message_kind kinds[] = {
      message_kind::info,     message_kind::cast,    message_kind::call,      message_kind::reply,
      message_kind::no_reply, message_kind::down,    message_kind::link,      message_kind::unlink,
      message_kind::unlinked, message_kind::monitor, message_kind::demonitor, message_kind::exit,
      message_kind::call_done};
  if (byte == 0 || byte > std::size(kinds))
    throw decode_error("expected a kind of signal, got " + std::to_string(byte));
  return kinds[byte - 1];
}

bool has_value(message_kind kind) noexcept {
  return kind == message_kind::info || kind == message_kind::cast || kind == message_kind::call ||
         kind == message_kind::reply;
}

std::uint8_t flags_of(pid to, const message& message) noexcept {
  std::uint8_t flags = 0;
  if (message.ref) flags |= has_reference;
  if (to.is_name()) flags |= to_a_name;
  if (message.kind == message_kind::info && message.flag == through_alias) flags |= for_an_alias;
  if (message.kind == message_kind::reply && (message.flag & by_server) != 0)
    flags |= from_the_server;
  return flags;
}

void put_value(wire_writer& out, const message& message) {
  out.fixed64(message.type->wire_hash);
  message.type->encode(message, out);
}

message_ptr plain_signal(message_kind kind) {
  static constexpr message_type plain{"signal", [](message* message) noexcept { delete message; }};
  return message_ptr{new message(kind, &plain)};
}

void read_value(incoming_signal& signal, wire_reader& in) {
  signal.type_hash = in.fixed64();
  auto* type = find_wire_type(signal.type_hash);
  if (type == nullptr || type->decode == nullptr) {
    signal.trouble = type == nullptr ? "unknown type" : std::string(type->name);
    return;
  }
  try {
    signal.message = type->decode(signal.kind, in);
  } catch (const std::exception& error) {
    signal.trouble = std::string(type->wire_name) + ": " + error.what();
  }
}

message_ptr read_ending(incoming_signal& signal, wire_reader& in, bool linked) {
  exit_reason reason;
  decode(in, reason);
  if (signal.kind == message_kind::no_reply)
    return make_message<death_notice>(signal.kind, std::move(reason));
  if (signal.kind == message_kind::down)
    return make_message<down>(signal.kind, signal.ref, signal.from, std::move(reason));
  return make_message<exit_signal>(signal.kind, std::move(reason), linked);
}

}  // namespace

void put_frame(std::string& out, frame_type type, std::string_view body) {
  auto length = static_cast<std::uint32_t>(body.size() + 1);
  char header[frame_header];
  for (int i = 0; i < 4; ++i) header[i] = static_cast<char>(length >> (8 * i));
  header[4] = static_cast<char>(type);
  out.append(header, frame_header).append(body);
}

std::optional<frame> take_frame(std::string_view& in, std::size_t largest) {
  if (in.size() < 4) return std::nullopt;
  std::uint32_t length = 0;
  for (int i = 0; i < 4; ++i)
    length |= std::uint32_t{static_cast<std::uint8_t>(in[static_cast<std::size_t>(i)])} << (8 * i);
  if (length == 0 || length > largest)
    throw decode_error(
        "expected a frame of 1 to " + std::to_string(largest) + " bytes, got " +
        std::to_string(length));
  if (in.size() - 4 < length) return std::nullopt;
  frame found{static_cast<frame_type>(in[4]), in.substr(frame_header, length - 1)};
  in.remove_prefix(4 + length);
  return found;
}

bool can_travel(const message& message) noexcept {
  return wire_kind_of(message.kind) &&
         (!has_value(message.kind) || message.type->encode != nullptr);
}

void put_signal(wire_writer& out, pid to, const message& message) {
  auto flags = flags_of(to, message);
  auto* exit = message.kind == message_kind::exit
                   ? value_of<exit_signal>(const_cast<detail::message&>(message))
                   : nullptr;
  if (exit != nullptr && exit->linked) flags |= through_a_link;
  out.byte(static_cast<std::uint8_t>(*wire_kind_of(message.kind)));
  out.byte(flags);
  if (to.is_name())
    out.text(name_of(to));
  else
    out.fixed64(to.id);
  out.fixed64(message.from.is_local() ? message.from.id : 0);
  if (message.ref) out.ref(message.ref);
  auto& mutable_message = const_cast<detail::message&>(message);  // value_of has no const form
  if (has_value(message.kind))
    put_value(out, message);
  else if (exit != nullptr)
    encode(out, exit->reason);
  else if (auto* notice = value_of<death_notice>(mutable_message))
    encode(out, notice->reason);
  else if (auto* end = value_of<down>(mutable_message))
    encode(out, end->reason);
}

incoming_signal take_signal(std::string_view body, std::uint32_t sender) {
  wire_reader in{body, sender};
  incoming_signal signal;
  signal.kind = message_kind_of(in.byte());
  auto flags = in.byte();
  if ((flags & ~known_flags) != 0)
    throw decode_error("expected known flags of a signal, got " + std::to_string(flags));
  if ((flags & to_a_name) != 0)
    signal.name = in.text();
  else
    signal.to = pid{in.fixed64(), 0};
  if (signal.to.is_name()) throw decode_error("expected the id of a process, got that of a name");
  if (auto id = in.fixed64(); id != 0) signal.from = pid{id, sender};
  if (signal.from.is_name()) throw decode_error("expected the id of a sender, got that of a name");
  if ((flags & has_reference) != 0) signal.ref = in.ref();
  auto kind = signal.kind;
  if (has_value(kind))
    read_value(signal, in);
  else if (
      kind == message_kind::no_reply || kind == message_kind::down || kind == message_kind::exit)
    signal.message = read_ending(signal, in, (flags & through_a_link) != 0);
  else
    signal.message = plain_signal(kind);
  if (!signal.message) return signal;
  signal.message->from = signal.from;
  signal.message->ref = signal.ref;
  if ((flags & for_an_alias) != 0 && kind == message_kind::info)
    signal.message->flag = through_alias;
  if ((flags & from_the_server) != 0 && kind == message_kind::reply)
    signal.message->flag = by_server;
  return signal;
}

}  // namespace roost::detail
