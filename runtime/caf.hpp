// runtime/caf.hpp: the door to CAF. The one public header that includes it, and no other includes
// this.
//
// Processes beside CAF actors, for those who have both. A process is a CAF actor, so existing
// actors use it with CAF's own functions, through the handle that to_caf answers:
//
//   caf::actor counting = roost::to_caf(c.process());
//   self->send(counting, 5);                                       // arrives as a caf_message
//   self->request(counting, 1s, "total").then([](int n) { … });    // caf_message::reply answers
//   self->monitor(counting);  self->link_to(counting);
//
//   struct counter {
//     using messages = roost::messages<…>;
//     using infos = roost::messages<roost::caf_message>;
//     void handle_info(roost::caf_message m) {
//       if (auto by = m.as<int>()) value += *by;
//       if (m.is<std::string>()) m.reply(value);
//     }
//   };
//
// A process uses an actor with the words of process.hpp:
//
//   caf::actor adder = roost::caf_system().spawn(adding);          // on the same worker threads
//   roost::send(adder, "hello");
//   roost::request<int>(adder, 1s, 1, 2).then([this](int sum) { … });
//   auto ref = roost::monitor(adder);                              // handle_info(const
//   roost::down&) roost::link(adder);                                            // exit signals,
//   both ways
//
// Guarantees. Messages and signals between one actor and one process arrive in the order of
// sending, in both directions; CAF's priorities make no difference to a process. Every request that
// reaches a process is answered: by reply(), or with an error as soon as nobody can reply any more,
// which is sec::request_receiver_down when the process has ended and sec::unexpected_message when
// it lives. A handle may outlive its process, and then behaves as CAF's own do.
//
// In the code of an actor use CAF's functions; what names the caller, such as roost::self, monitor
// or link, is for processes.
//
// Thread safety: every function may be called from any process; caf_system, to_caf, to_pid, send,
// exit and `request(…).get()` from any thread. Source: the CAF manual, 0.17, Actors and Message
// Passing.
#pragma once
#include "runtime/gen_server.hpp"
#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/error.hpp>
#include <caf/make_message.hpp>
#include <caf/message.hpp>
#include <tuple>

namespace roost {

/// The actor system of the running roost::runtime. Its actors share the workers with the processes.
/// The runtime does not wait for them when it ends: an actor that should end before is told so, for
/// example by a link to a process.
caf::actor_system& caf_system();

/// The handle of a process that lives, or an invalid one.
caf::actor to_caf(pid process);

/// The pid of a process, from its handle; for any other actor, a pid that stands for it in `down`,
/// `exited`, unlink and the like. Messages to such a pid are dropped.
pid to_pid(const caf::actor& actor);

/// Exit reasons of the other world. normal is CAF's `none`, shutdown is user_shutdown, kill and
/// killed are kill, noproc is unknown, noconnection is unreachable, timeout is
/// sec::request_timeout; any other reason is sec::runtime_error with the reason as its context.
/// to_exit_reason undoes to_caf.
caf::error to_caf(const exit_reason& reason);
exit_reason to_exit_reason(const caf::error& error);

// --- from an actor to a process ------------------------------------------------------------------

namespace detail {
class caf_promise;
void send_to_caf(const caf::actor& to, caf::message content);

template <class... Ts>
struct caf_values { using type = std::tuple<Ts...>; };
template <class T>
struct caf_values<T> {
  using type = T;
};
}  // namespace detail

/// What an actor sent to a process: an info of the type caf_message.
class caf_message {
 public:
  caf::actor sender;  // invalid when it was sent anonymously
  caf::message content;

  /// Whether the content is of these types.
  template <class... Ts>
  bool is() const noexcept {
    return content.size() == sizeof...(Ts) && content.match_elements<Ts...>();
  }

  /// The content, as one value or as a tuple, if it is of these types.
  template <class... Ts>
  std::optional<typename detail::caf_values<Ts...>::type> as() const {
    if (!is<Ts...>()) return std::nullopt;
    return std::apply(
        [](const Ts&... values) { return typename detail::caf_values<Ts...>::type{values...}; },
        content.get_as_tuple<Ts...>());
  }

  bool is_request() const noexcept { return promise_ != nullptr; }

  /// Answers a request, from any process or thread, now or later. The first answer counts; a
  /// caf::error is a failure. What is no request is answered with a message to the sender.
  template <class... Ts>
  void reply(Ts&&... values) const {
    answer(caf::make_message(std::forward<Ts>(values)...));
  }

  caf_message(caf::actor sender, caf::message content, std::shared_ptr<detail::caf_promise> promise)
      : sender(std::move(sender)), content(std::move(content)), promise_(std::move(promise)) {}

 private:
  void answer(caf::message content) const;

  std::shared_ptr<detail::caf_promise> promise_;  // of a request; shared by copies of the message
};

std::string to_string(const caf_message& message);

// --- from a process to an actor ------------------------------------------------------------------

namespace detail {

/// Makes the reply that a pending<R> expects, or null when the content is something else.
using caf_unpacker = message_ptr (*)(caf::message& content);

template <class R>
struct caf_unpack {
  static message_ptr from(caf::message& content) {
    if (content.size() != 1 || !content.match_elements<R>()) return nullptr;
    return make_message<R>(message_kind::reply, content.move_if_unshared<R>(0));
  }
};
template <>
struct caf_unpack<void> {
  static message_ptr from(caf::message& content) {
    return content.empty() ? make_message<unit>(message_kind::reply) : nullptr;
  }
};
template <>
struct caf_unpack<caf::message> {
  static message_ptr from(caf::message& content) {
    return make_message<caf::message>(message_kind::reply, std::move(content));
  }
};
template <class... Ts>
struct caf_unpack<std::tuple<Ts...>> {
  static message_ptr from(caf::message& content) {
    if (content.size() != sizeof...(Ts) || !content.match_elements<Ts...>()) return nullptr;
    return make_message<std::tuple<Ts...>>(message_kind::reply, content.get_as_tuple<Ts...>());
  }
};

request request_of_caf(
    const caf::actor& to, caf::message content, std::chrono::milliseconds timeout,
    caf_unpacker unpack, std::string_view expected);

}  // namespace detail

/// Sends to an actor; from a process, in its name. Never blocks, never fails.
template <class... Ts>
void send(const caf::actor& to, Ts&&... values) {
  detail::send_to_caf(to, caf::make_message(std::forward<Ts>(values)...));
}

/// Asks an actor. R is the type of its answer: void for an empty one, a std::tuple for several
/// values, caf::message for any. Fails with `noproc` when the actor has gone, with `timeout` when
/// it does not answer in time (infinity: as long as it takes), with its error when it answers one.
template <class R, class... Ts>
pending<R> request(const caf::actor& to, std::chrono::milliseconds timeout, Ts&&... values) {
  return pending<R>(detail::request_of_caf(
      to, caf::make_message(std::forward<Ts>(values)...), timeout, &detail::caf_unpack<R>::from,
      detail::type_name<R>()));
}

/// As for a process: one `down` when the actor ends, `noproc` at once when it already has.
/// demonitor(ref) takes it back. Only in a process.
reference monitor(const caf::actor& actor);

/// As for a process: when one crashes, the other gets an exit signal, which a process may trap.
/// CAF's rule for its own side: an actor cannot trap the exit of a process that was killed. Only in
/// a process.
void link(const caf::actor& actor);
void unlink(const caf::actor& actor);

/// Sends an exit signal to an actor.
void exit(const caf::actor& actor, exit_reason reason);

}  // namespace roost
