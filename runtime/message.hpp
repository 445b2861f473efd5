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

struct message_deleter {
  void operator()(message* message) const noexcept { message->type->destroy(message); }
};
using message_ptr = std::unique_ptr<message, message_deleter>;

template <class M>
struct message_of final : message {
  template <class... Args>
  explicit message_of(message_kind kind, Args&&... args);

  M value;
};

template <class M>
inline constexpr message_type type_of{
    type_name<M>(), [](message* erased) noexcept { delete static_cast<message_of<M>*>(erased); },
    [](const message& erased, std::string& out) {
      print(out, static_cast<const message_of<M>&>(erased).value, 0);
    }};

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

/// The value inside, or null when the message holds something else.
template <class M>
M* value_of(message& message) noexcept {
  return message.type == &type_of<M> ? &static_cast<message_of<M>&>(message).value : nullptr;
}

}  // namespace roost::detail
