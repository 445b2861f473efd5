// runtime/gen_event.hpp
//
// An event manager: a process that hands each event to all its handlers, which come and go while it
// runs. A handler is a plain struct; it lives in the manager and is called for the events that it
// has a handle_event for.
//
//   struct order_placed { int id; };
//   struct order_paid { int id; };
//   using orders = roost::gen_event<order_placed, order_paid>;   // the events of this manager
//
//   struct sales_log {
//     struct count { using reply = int; };
//     using messages = roost::messages<count>;                  // optional: calls to this handler
//     int paid = 0;
//     void handle_event(const order_paid&) { ++paid; }
//     int handle_call(count) const { return paid; }
//   };
//
//   auto events = roost::start_link<orders>({.name = "orders"});    // → server<orders>
//   roost::add_handler<sales_log>(events, 0).get();
//   roost::notify(events, order_paid{7});                           // returns at once
//   roost::sync_notify(events, order_paid{8}).get();                // all handlers have seen it
//   int n = roost::call<sales_log>(events, sales_log::count{}).get();
//
// The rest of a handler is optional and found by name:
//
//   static S init(Args…)                     else it is made from the arguments as an aggregate
//   handler_reply<void> handle_event(const E&)   may answer remove_handler() or
//                                                swap_to<Manager, H>(args…)
//   R handle_call(M), handler_reply<R> handle_call(M)   the reply, or remove_handler(reply)
//   void handle_info(const M&)               for M of `using infos = messages<…>`: what else is
//   sent void terminate(const exit_reason&)       its last word; what it returns is handed to
//   whoever deletes
//                                            or replaces it
//   std::string format_status() const
//
// Handlers are called in turn, the one added last first. A handler is known by its type, or by its
// type and an id: `add_handler<sales_log>(events, handler_id{"berlin"}, 0)`.
//
// Errors. A handler that throws, init included, is removed and reported; the manager and the other
// handlers go on. A handler that is not there fails its call with `bad_module`. A call to a handler
// has a timeout of 5 s, the other requests have none.
//
// Supervision. add_sup_handler links the manager and the calling process: when the process ends,
// its handler is removed; when the handler is removed, the process gets a gen_event_exit message.
//
// Thread safety: as gen_server. Source: OTP gen_event.
#pragma once
#include "runtime/gen_server.hpp"
#include <vector>

namespace roost {

/// The server type of an event manager for these events.
template <class... Events>
struct gen_event {
  using messages = roost::messages<>;
  template <class E>
  static constexpr bool has_event = (std::same_as<E, Events> || ...);
};

/// Tells handlers of the same type apart.
struct handler_id {
  std::string text = {};
};

/// Who a handler is: its type as text, and its id.
struct handler_info {
  std::string type;
  std::string id;
  friend bool operator==(const handler_info&, const handler_info&) = default;
};
std::string to_string(const handler_info& handler);

/// To the process that has added a handler with add_sup_handler: it is no longer there. The reason
/// is `normal` when it was deleted or has removed itself, `shutdown` when its manager ends,
/// `{swapped, …}` when another one has taken its place, else its crash.
struct gen_event_exit {
  pid manager;
  handler_info handler;
  exit_reason reason;
};

// --- what a handler may answer -------------------------------------------------------------------

namespace detail {

class event_handler;

/// Makes a handler out of what its predecessor's terminate has returned, or of nothing.
using make_handler = std::function<std::unique_ptr<event_handler>(message* handed_over)>;

struct handler_change {
  bool remove = false;
  handler_info successor = {};
  make_handler make = {};  // with a successor
};

}  // namespace detail

template <class R = void>
struct removing_handler { std::optional<detail::value_or_unit<R>> last; };
/// From a callback: the handler goes, after terminate(normal).
inline removing_handler<> remove_handler() { return {}; }
template <class R>
removing_handler<R> remove_handler(R last) {
  return {std::move(last)};
}

struct swapping_handler { detail::handler_change change; };
/// From a callback: a handler of type H, in a manager of type Manager, takes the place of this one.
template <class Manager, class H, class... Args>
swapping_handler swap_to(Args... args);

/// What a handler's callback may return: its reply, remove_handler(…), or swap_to<Manager, H>(…)
/// where there is no reply.
template <class R = void>
class handler_reply {
 public:
  using value = detail::value_or_unit<R>;

  template <class T>
  requires(!std::is_void_v<R> && std::convertible_to<T, value>) handler_reply(T&& answer)
      : answer_(std::forward<T>(answer)) {}
  handler_reply(noreply) requires std::is_void_v<R> : answer_(value{}) {}
  handler_reply(removing_handler<>) requires std::is_void_v<R> : answer_(value{}) {
    change_.remove = true;
  }
  handler_reply(removing_handler<R> removing) requires(!std::is_void_v<R>)
      : answer_(std::move(removing.last)) {
    change_.remove = true;
  }
  handler_reply(swapping_handler swap) requires std::is_void_v<R>
      : answer_(value{}), change_(std::move(swap.change)) {}

  std::optional<value>& answer() noexcept { return answer_; }
  detail::handler_change& change() noexcept { return change_; }

 private:
  std::optional<value> answer_;
  detail::handler_change change_;
};

// --- behind the templates ------------------------------------------------------------------------

namespace detail {

/// A handler without its type.
class event_handler {
 public:
  event_handler() = default;
  event_handler(const event_handler&) = delete;
  event_handler& operator=(const event_handler&) = delete;
  virtual ~event_handler() = default;

  virtual void on_event(message& event, handler_change& change) = 0;
  virtual bool on_info(message& info, handler_change& change) = 0;  // false: not one of its own
  virtual message_ptr on_call(message& call, handler_change& change) = 0;
  virtual message_ptr end(const exit_reason& reason) = 0;  // what terminate returns
  virtual std::string state_text() const = 0;
};

class event_core;

/// Something to do in the manager; answers the reply, if there is one.
struct event_request { std::function<message_ptr(event_core&, const message&)> run; };

/// A call to one handler.
struct event_call {
  handler_info handler;
  message_ptr message;
};

class event_core : public behavior {
 public:
  event_core();
  ~event_core() override;

  init_outcome init() override;
  void handle(message& message) override;
  void terminate(const exit_reason& reason) override;
  std::string state_text() const override;

  message_ptr add(handler_info who, const make_handler& make, pid supervisor);
  message_ptr swap(
      const handler_info& old, handler_info next, const make_handler& make,
      const exit_reason& reason, pid supervisor);
  message_ptr remove(const handler_info& who, const exit_reason& reason);
  std::vector<handler_info> list() const;

 protected:
  /// Whether the message is one of the events that the manager lists.
  virtual bool is_event(const message& message) const noexcept = 0;

 private:
  struct entry;

  entry* find(const handler_info& who) noexcept;
  void on_event(message& message);
  void on_info(message& message);
  void on_call(message& message, event_call& call);
  void on_exit(const exited& exit);
  template <class F>
  void each(F call, const message& last);
  void apply(const handler_info& who, handler_change& change);
  void crashed(const handler_info& who, std::string_view last, const exit_reason& reason);
  message_ptr take_out(const handler_info& who, const exit_reason& reason, const exit_reason& told);
  void put_in(
      std::size_t place, handler_info who, const make_handler& make, message* handed_over,
      pid supervisor);
  void forget_supervisor(pid supervisor);

  std::vector<std::unique_ptr<entry>> handlers_;  // the one added last first
};

template <class H>
constexpr auto terminate_result() {
  if constexpr (requires(H & h, const exit_reason& r) { h.terminate(r); })
    return std::type_identity<decltype(std::declval<H&>().terminate(
        std::declval<const exit_reason&>()))>{};
  else
    return std::type_identity<void>{};
}
/// What H hands over when it ends; void: nothing.
template <class H>
using last_word = typename decltype(terminate_result<H>())::type;

template <class H, class E>
concept sees_event = requires(H& h, const E& e) {
  h.handle_event(e);
};
template <class H, class E>
concept answers_event = requires(H& h, const E& e) {
  requires std::is_void_v<decltype(h.handle_event(e))> ||
      std::convertible_to<decltype(h.handle_event(e)), handler_reply<>>;
};
template <class H, class M>
concept handler_handles_call = requires(H& h, M& m) {
  requires std::convertible_to<
      decltype(h.handle_call(std::move(m))), handler_reply<typename M::reply>> ||
      (std::is_void_v<typename M::reply> && std::is_void_v<decltype(h.handle_call(std::move(m)))>);
};

template <class H, class M>
constexpr bool check_handler_call() {
  static_assert(
      call_message<M>,
      "a message in the `messages` of an event handler is a call: give it "
      "`using reply = ...`");
  if constexpr (call_message<M>)
    static_assert(
        handler_handles_call<H, M>,
        "a call in the `messages` of an event handler needs  M::reply handle_call(M)  (or "
        "handler_reply<M::reply> handle_call(M))");
  return true;
}
template <class H, class... Ms>
constexpr bool check_handler_calls(messages<Ms...>) {
  return (check_handler_call<H, Ms>() && ...);
}
template <class H, class M>
constexpr bool check_handler_info() {
  static_assert(
      requires(H & h, const M& m) { h.handle_info(m); },
      "a message in the `infos` of an event handler needs  void handle_info(const M&)");
  return true;
}
template <class H, class... Ms>
constexpr bool check_handler_infos(messages<Ms...>) {
  return (check_handler_info<H, Ms>() && ...);
}
template <class H, class E>
constexpr bool check_seen_event() {
  if constexpr (sees_event<H, E>)
    static_assert(
        answers_event<H, E>,
        "handle_event is  void handle_event(const E&)  (or handler_reply<> "
        "handle_event(const E&))");
  return true;
}
template <class H, class... Es>
constexpr bool check_event_handler() {
  static_assert(
      (sees_event<H, Es> || ...),
      "an event handler needs  void handle_event(const E&)  for at least one of the "
      "manager's events");
  static_assert((check_seen_event<H, Es>() && ...));
  if constexpr (requires { typename H::messages; })
    static_assert(check_handler_calls<H>(typename H::messages{}));
  if constexpr (requires { typename H::infos; })
    static_assert(check_handler_infos<H>(typename H::infos{}));
  return true;
}

template <class H, class... Es>
class typed_event_handler final : public event_handler {
 public:
  static_assert(check_event_handler<H, Es...>());

  explicit typed_event_handler(H state) : state_(std::move(state)) {}

  void on_event(message& event, handler_change& change) override {
    (one_event<Es>(event, change) || ...);
  }

  bool on_info(message& info, handler_change& change) override {
    if constexpr (requires { typename H::infos; })
      return listed_info(info, change, typename H::infos{});
    else
      return false;
  }

  message_ptr on_call(message& call, handler_change& change) override {
    message_ptr reply;
    if constexpr (requires { typename H::messages; })
      listed_call(call, change, reply, typename H::messages{});
    return reply;
  }

  message_ptr end(const exit_reason& reason) override {
    if constexpr (requires { state_.terminate(reason); }) {
      if constexpr (std::is_void_v<last_word<H>>)
        state_.terminate(reason);
      else
        return make_message<std::optional<last_word<H>>>(
            message_kind::reply, state_.terminate(reason));
    }
    return make_message<bool>(message_kind::reply, true);
  }

  std::string state_text() const override {
    if constexpr (requires {
                    { state_.format_status() } -> std::convertible_to<std::string>;
                  })
      return state_.format_status();
    else
      return to_text(state_);
  }

 private:
  template <class F>
  static void run(F callback, handler_change& change) {
    if constexpr (std::is_void_v<decltype(callback())>) {
      callback();
    } else {
      handler_reply<> result = callback();
      change = std::move(result.change());
    }
  }

  template <class E>
  bool one_event(message& event, handler_change& change) {
    auto* value = value_of<E>(event);
    if (value == nullptr) return false;
    if constexpr (sees_event<H, E>)
      run([&]() -> decltype(auto) { return state_.handle_event(std::as_const(*value)); }, change);
    return true;
  }

  template <class... Ms>
  bool listed_info(message& info, handler_change& change, messages<Ms...>) {
    return (one_info<Ms>(info, change) || ...);
  }
  template <class M>
  bool one_info(message& info, handler_change& change) {
    auto* value = value_of<M>(info);
    if (value == nullptr) return false;
    run([&]() -> decltype(auto) { return state_.handle_info(std::as_const(*value)); }, change);
    return true;
  }

  template <class... Ms>
  void listed_call(message& call, handler_change& change, message_ptr& reply, messages<Ms...>) {
    (one_call<Ms>(call, change, reply) || ...);
  }
  template <class M>
  bool one_call(message& call, handler_change& change, message_ptr& reply) {
    auto* value = value_of<M>(call);
    if (value == nullptr) return false;
    using R = typename M::reply;
    using V = value_or_unit<R>;
    if constexpr (std::is_void_v<decltype(state_.handle_call(std::move(*value)))>) {
      state_.handle_call(std::move(*value));
      reply = make_message<V>(message_kind::reply);
    } else {
      handler_reply<R> result = state_.handle_call(std::move(*value));
      change = std::move(result.change());
      if (result.answer())
        reply = make_message<V>(message_kind::reply, std::move(*result.answer()));
    }
    return true;
  }

  H state_;
};

template <class... Es>
class event_manager final : public event_core {
 public:
  std::string_view initial_call() const noexcept override { return "roost::gen_event"; }

 private:
  bool is_event(const message& message) const noexcept override {
    return ((message.type == &type_of<Es>) || ...);
  }
};

template <class... Es, class... Args>
struct behavior_of<gen_event<Es...>, Args...> {
  static_assert(sizeof...(Args) == 0, "an event manager starts without arguments");
  using type = event_manager<Es...>;
};

template <class H, class... As>
H make_handler_state(As&&... args) {
  if constexpr (requires { H::init(std::forward<As>(args)...); }) {
    return H::init(std::forward<As>(args)...);
  } else {
    constexpr bool has_init = requires { &H::init; };
    constexpr bool initialises = !has_init && requires { H{std::forward<As>(args)...}; };
    static_assert(
        initialises,
        "the event handler cannot be made from these arguments: give it "
        "`static H init(...)` or members to initialise");
    return H{std::forward<As>(args)...};
  }
}

template <class H, class Manager>
struct handler_in;
template <class H, class... Es>
struct handler_in<H, gen_event<Es...>> {
  using type = typed_event_handler<H, Es...>;
};

/// Makes an H for this kind of manager.
template <class H, class Manager, class... Args>
make_handler handler_maker(Args... args) {
  auto kept = std::make_shared<std::tuple<Args...>>(std::move(args)...);
  return [kept](message*) -> std::unique_ptr<event_handler> {
    return std::make_unique<typename handler_in<H, Manager>::type>(
        std::apply([](auto&... each) { return make_handler_state<H>(std::move(each)...); }, *kept));
  };
}

/// … in the place of a handler of type Old, whose last word comes first if it has one.
template <class Old, class H, class Manager, class... Args>
make_handler successor_maker(Args... args) {
  using R = last_word<Old>;
  if constexpr (std::is_void_v<R>) {
    return handler_maker<H, Manager>(std::move(args)...);
  } else {
    auto kept = std::make_shared<std::tuple<Args...>>(std::move(args)...);
    return [kept](message* handed_over) -> std::unique_ptr<event_handler> {
      std::optional<R> last;
      if (auto* value = handed_over ? value_of<std::optional<R>>(*handed_over) : nullptr)
        last = std::move(*value);
      return std::make_unique<typename handler_in<H, Manager>::type>(std::apply(
          [&](auto&... each) { return make_handler_state<H>(std::move(last), std::move(each)...); },
          *kept));
    };
  }
}

template <class H>
handler_info info_of(handler_id id) {
  return {std::string(type_name<H>()), std::move(id.text)};
}

message_ptr make_event_request(std::function<message_ptr(event_core&, const message&)> run);
message_ptr handlers_reply(const event_core& core);
void require_process(std::string_view what);

template <class R>
pending<R> manage(
    pid manager, std::chrono::milliseconds timeout, std::string_view what,
    std::function<message_ptr(event_core&, const message&)> run) {
  return pending<R>(request{manager, make_event_request(std::move(run)), timeout, what});
}

template <class H, class Manager>
pending<void> add_event_handler(
    const server<Manager>& to, handler_id id, make_handler make, bool supervised) {
  return manage<void>(
      to.process(), infinity, "add_handler",
      [who = info_of<H>(std::move(id)), make = std::move(make), supervised](
          event_core& core, const message& question) {
        return core.add(who, make, supervised ? question.from : pid{});
      });
}

}  // namespace detail

template <class Manager, class H, class... Args>
swapping_handler swap_to(Args... args) {
  return {
      {.successor = detail::info_of<H>({}),
       .make = detail::handler_maker<H, Manager>(std::move(args)...)}};
}

// --- events --------------------------------------------------------------------------------------

/// Tells all handlers of the manager. Never fails: a manager that has gone does not hear it.
template <class... Es, class E>
void notify(const server<gen_event<Es...>>& manager, E event) {
  static_assert(
      gen_event<Es...>::template has_event<E>,
      "this event manager does not list the event: gen_event<..., E>");
  detail::enqueue(
      manager.process(), detail::make_message<E>(detail::message_kind::cast, std::move(event)));
}

/// … and answers when all of them have handled it.
template <class... Es, class E>
pending<void> sync_notify(
    const server<gen_event<Es...>>& manager, E event,
    std::chrono::milliseconds timeout = infinity) {
  static_assert(
      gen_event<Es...>::template has_event<E>,
      "this event manager does not list the event: gen_event<..., E>");
  return pending<void>(detail::request{
      manager.process(), detail::make_message<E>(detail::message_kind::call, std::move(event)),
      timeout, detail::type_name<E>()});
}

// --- handlers ------------------------------------------------------------------------------------

/// Adds a handler made from these arguments. Fails with what its init throws, and with
/// `already_present` when there is one of this type and id.
template <class H, class... Es, class... Args>
pending<void> add_handler(const server<gen_event<Es...>>& manager, handler_id id, Args... args) {
  return detail::add_event_handler<H>(
      manager, std::move(id), detail::handler_maker<H, gen_event<Es...>>(std::move(args)...),
      false);
}
template <class H, class... Es, class... Args>
pending<void> add_handler(const server<gen_event<Es...>>& manager, Args... args) {
  return add_handler<H>(manager, handler_id{}, std::move(args)...);
}

/// As add_handler, and links the manager and the calling process: see "Supervision" above. Throws
/// std::logic_error outside processes.
template <class H, class... Es, class... Args>
pending<void> add_sup_handler(
    const server<gen_event<Es...>>& manager, handler_id id, Args... args) {
  detail::require_process("add_sup_handler");
  return detail::add_event_handler<H>(
      manager, std::move(id), detail::handler_maker<H, gen_event<Es...>>(std::move(args)...), true);
}
template <class H, class... Es, class... Args>
pending<void> add_sup_handler(const server<gen_event<Es...>>& manager, Args... args) {
  return add_sup_handler<H>(manager, handler_id{}, std::move(args)...);
}

/// Removes a handler, whose terminate gets the reason. Answers what terminate returns, as an
/// optional, or whether there was a handler when it returns nothing.
template <class H, class... Es>
auto delete_handler(
    const server<gen_event<Es...>>& manager, handler_id id = {},
    exit_reason reason = exit_reason::normal) {
  using last = detail::last_word<H>;
  using R =
      std::conditional_t<std::is_void_v<last>, bool, std::optional<detail::value_or_unit<last>>>;
  return detail::manage<R>(
      manager.process(), infinity, "delete_handler",
      [who = detail::info_of<H>(std::move(id)), reason = std::move(reason)](
          detail::event_core& core, const detail::message&) -> detail::message_ptr {
        if (auto answer = core.remove(who, reason)) return answer;
        return detail::make_message<R>(detail::message_kind::reply);
      });
}

/// Puts a New in the place of Old, which ends with `{swapped}`. When Old's terminate returns an R,
/// the new one is made from a std::optional<R> followed by the arguments; the optional is empty
/// when there was no Old: the new handler is added all the same.
template <class Old, class New, class... Es, class... Args>
pending<void> swap_handler(const server<gen_event<Es...>>& manager, Args... args) {
  return detail::manage<void>(
      manager.process(), infinity, "swap_handler",
      [make = detail::successor_maker<Old, New, gen_event<Es...>>(std::move(args)...)](
          detail::event_core& core, const detail::message&) {
        return core.swap(detail::info_of<Old>({}), detail::info_of<New>({}), make, "swapped", {});
      });
}
template <class Old, class New, class... Es, class... Args>
pending<void> swap_sup_handler(const server<gen_event<Es...>>& manager, Args... args) {
  detail::require_process("swap_sup_handler");
  return detail::manage<void>(
      manager.process(), infinity, "swap_sup_handler",
      [make = detail::successor_maker<Old, New, gen_event<Es...>>(std::move(args)...)](
          detail::event_core& core, const detail::message& question) {
        return core.swap(
            detail::info_of<Old>({}), detail::info_of<New>({}), make, "swapped", question.from);
      });
}

/// The handlers, the one added last first.
template <class... Es>
pending<std::vector<handler_info>> which_handlers(const server<gen_event<Es...>>& manager) {
  return detail::manage<std::vector<handler_info>>(
      manager.process(), infinity, "which_handlers",
      [](detail::event_core& core, const detail::message&) {
        return detail::handlers_reply(core);
      });
}

/// Asks one handler. Fails with `bad_module` when it is not there.
template <class H, class... Es, class M>
auto call(
    const server<gen_event<Es...>>& manager, handler_id id, M message,
    std::chrono::milliseconds timeout = call_timeout) {
  static_assert(
      H::messages::template contain<M>,
      "this event handler does not list the message in its `messages`");
  using R = typename detail::reply_of<M>::type;
  return pending<R>(detail::request{
      manager.process(),
      detail::make_message<detail::event_call>(
          detail::message_kind::call, detail::info_of<H>(std::move(id)),
          detail::message_ptr(
              detail::make_message<M>(detail::message_kind::call, std::move(message)))),
      timeout, detail::type_name<M>()});
}
template <class H, class... Es, class M>
requires(!std::same_as<M, handler_id>) auto call(
    const server<gen_event<Es...>>& manager, M message,
    std::chrono::milliseconds timeout = call_timeout) {
  return call<H>(manager, handler_id{}, std::move(message), timeout);
}

}  // namespace roost
