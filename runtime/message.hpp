// runtime/message.hpp
//
// What travels between processes: one heap block that holds the value, its type, and the links of
// the queue that it waits in. User code never touches it; it is here because the typed edge of the
// library (gen_server.hpp, process.hpp) builds and reads messages in templates.
//
// A message belongs to exactly one owner at any time: the sender until it is enqueued, then the
// receiver's mailbox, then the handler.
#pragma once
#include "runtime/exit_reason.hpp"
#include "runtime/pid.hpp"
#include "runtime/print.hpp"
#include "runtime/shape.hpp"
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace roost::detail {

/// Signals act the moment they are sorted out of the intake; everything else waits in order.
enum class message_kind : std::uint8_t {
  info,          // sent with send() or by a timer
  cast,          // gen_server cast
  call,          // gen_server call: `from` and `ref` say who waits for which answer
  reply,         // the answer to `ref`
  no_reply,      // a death_notice: the server of `ref` ended before it answered
  call_timeout,  // the caller's own timer for `ref` ran out
  continued,     // from continue_with: before everything that waits
  start,         // the first turn of a function process
  task,          // runs a function inside the process, in order with the messages
  sys,           // a system request: in order, but a suspended process takes it too
  foreign,       // a CAF actor's message
  down,          // a monitor fired
  exited,        // a trapped exit signal
  first_signal,
  link = first_signal,
  unlink,
  unlinked,  // the other end knows of our unlink
  monitor,
  demonitor,
  exit,
  call_done,  // the caller of `ref` no longer waits
  inspect,    // asks or changes the process at once, whatever waits in its queue
  node_lost,  // a node_loss: nothing more comes from there, see remote.hpp
};

class message;
struct message_deleter { void operator()(message* message) const noexcept; };
using message_ptr = std::unique_ptr<message, message_deleter>;

// Values of message::flag for the kind `info`.
inline constexpr std::uint8_t through_alias = 1;
inline constexpr std::uint8_t from_timeout = 2;
// … for the kind `reply`: it comes from the process that took the call.
inline constexpr std::uint8_t by_server = 4;

/// One static instance per C++ type. Two types are the same if their addresses are.
struct message_type {
  std::string_view name;
  void (*destroy)(message*) noexcept;
  void (*print)(const message&, std::string&) = nullptr;  // null: prints as its name
  // For messages from and to other nodes. Types are known there by the hash of their wire name.
  std::string_view wire_name = {};
  std::uint64_t wire_hash = 0;
  void (*encode)(const message&, wire_writer&) = nullptr;       // null: cannot be encoded
  message_ptr (*decode)(message_kind, wire_reader&) = nullptr;  // null: cannot be decoded
  const detail::shape* shape = nullptr;                         // null: cannot be encoded
};

class message {
 public:
  message(message_kind kind, const message_type* type) noexcept : type(type), kind(kind) {}
  message(const message&) = delete;
  message& operator=(const message&) = delete;

  bool is_signal() const noexcept { return kind >= message_kind::first_signal; }

  message* next = nullptr;
  const message_type* type;
  std::uint64_t to = 0;  // whom it was meant for: its slot may have a new tenant by now
  pid from;
  reference ref;
  message_kind kind;
  std::uint8_t flag = 0;
};

inline void message_deleter::operator()(message* message) const noexcept {
  message->type->destroy(message);
}

template <class M>
struct message_of final : message {
  template <class... Args>
  explicit message_of(message_kind kind, Args&&... args);

  M value;
};

template <class M>
consteval auto encoder_of() -> void (*)(const message&, wire_writer&) {
  if constexpr (is_encodable<M>)
    return [](const message& erased, wire_writer& out) {
      detail::encode_root(out, static_cast<const message_of<M>&>(erased).value);
    };
  else
    return nullptr;
}

template <class M>
message_ptr decode_message(message_kind kind, wire_reader& in);

/// Whether a message with such a value can be made of bytes.
template <class M>
inline constexpr bool is_wire_message = is_decodable<M>&& std::is_default_constructible_v<M>;

template <class M>
consteval auto decoder_of() -> message_ptr (*)(message_kind, wire_reader&) {
  if constexpr (is_wire_message<M>)
    return decode_message<M>;
  else
    return nullptr;
}

template <class M>
inline constexpr message_type type_of{
    type_name<M>(),
    [](message* erased) noexcept { delete static_cast<message_of<M>*>(erased); },
    [](const message& erased, std::string& out) {
      print(out, static_cast<const message_of<M>&>(erased).value, 0);
    },
    find_wire_name<M>(),
    wire_hash_of(find_wire_name<M>()),
    encoder_of<M>(),
    decoder_of<M>(),
    find_shape<M>()};

/// Makes M known by its wire name before main runs.
template <class M>
inline wire_registration registration_of{type_of<M>};

/// The message as text, for people.
std::string describe(const message& message);

template <class M>
template <class... Args>
message_of<M>::message_of(message_kind kind, Args&&... args)
    : message(kind, &type_of<M>), value{std::forward<Args>(args)...} {}

template <class M, class... Args>
std::unique_ptr<message_of<M>, message_deleter> make_message(message_kind kind, Args&&... args) {
  return std::unique_ptr<message_of<M>, message_deleter>(
      new message_of<M>(kind, std::forward<Args>(args)...));
}

template <class M>
message_ptr decode_message(message_kind kind, wire_reader& in) {
  auto fresh = make_message<M>(kind);
  detail::decode_root(in, fresh->value);
  return fresh;
}

/// The value inside, or null when the message holds something else. Whoever asks is a handler of M,
/// so that M may come from other nodes.
template <class M>
M* value_of(message& message) noexcept {
  if constexpr (is_wire_message<M>) static_cast<void>(&registration_of<M>);
  return message.type == &type_of<M> ? &static_cast<message_of<M>&>(message).value : nullptr;
}

}  // namespace roost::detail
