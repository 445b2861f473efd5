// runtime/gen_statem.hpp
//
// A state machine: a server whose handlers depend on the state that it is in. Write a plain struct,
// as for gen_server; its members are the data, an enum of its own lists the states, and each
// overload of handle_event says what an event means in a state.
//
//   struct code_lock {
//     enum class state { locked, open };               // it begins in the first
//
//     struct button { int digit; };
//     struct length { using reply = std::size_t; };
//     struct relock {};
//     using messages  = roost::messages<button, length>;  // calls and casts, as in gen_server
//     using internals = roost::messages<relock>;          // what it tells itself
//     using result    = roost::event_result<code_lock>;
//
//     std::string code;
//     std::string entered = {};
//
//     result handle_event(roost::in<state::locked>, button b) {
//       entered += std::to_string(b.digit);
//       if (entered != code) return roost::keep_state();
//       return roost::next_state(state::open, roost::state_timeout(10s, relock{}));
//     }
//     result handle_event(roost::in<state::open>, button) { return roost::postpone(); }
//     result handle_event(roost::in<state::open>, relock) { return
//     roost::next_state(state::locked); } std::size_t handle_event(state, length) { return
//     code.size(); }   // in every other state
//
//     void handle_enter(roost::in<state::locked>, state) { entered.clear(); }
//   };
//
//   auto lock = roost::start_link<code_lock>({.name = "lock"}, "42");   // → server<code_lock>
//   roost::cast(lock, code_lock::button{4});
//
// An overload for `in<state::x>` is the state function of x; one for `state` is for all states that
// have none. To write it as one function per event, take `state` everywhere and switch. Every state
// must handle every message and info: what is missing does not compile.
//
//   result handle_event(where, M)              an event: a cast, an info, one of `internals`, down,
//   exited result handle_event(where, M, from<R>)     a call: answer with from, now or later R
//   handle_event(where, M)              a call that is answered at once; the state stays void
//   handle_enter(where, state before)   when the state is entered; may return enter_result<S>
//   static statem_init<S> init(args…)          {state, data, actions…}, ignore() or stop(reason)
//   void   terminate(const exit_reason&[, state])
//   std::string format_status() const          what shells and crash reports show of the data
//
// A handler returns nothing, next_state(s, actions…), keep_state(actions…), repeat_state(actions…),
// one action (with keep_state), or stop(reason). The actions are at the end of this file.
//
// Order. After a handler: replies are sent; the state changes and is entered; a postponed event
// waits for the next change of state, when all that were postponed are tried again, oldest first;
// events of next_event come before these; then time-outs are started. Nothing from the mailbox is
// looked at before all of these are done.
//
// Events are given to handlers as const references or copies, since they may be postponed. Errors
// and thread safety: as gen_server. Continuations of `.then` cannot return a new state: they send
// the machine an event, `roost::send(roost::self(), arrived{…})`.
//
// Source: OTP gen_statem.
#pragma once
#include "runtime/gen_server.hpp"
#include <array>
#include <deque>
#include <vector>

namespace roost {

/// The state that a state function is for. Converts to that state.
template <auto State>
struct in {
  constexpr operator decltype(State)() const noexcept { return State; }
};

namespace detail {

// --- what a handler wants, without types ---------------------------------------------------------

enum class timeout_kind : std::uint8_t { state, event, generic };

/// Sets, updates or cancels one time-out.
struct timeout_order {
  timeout_kind kind;
  std::string name;                    // of a generic one
  std::chrono::milliseconds delay{0};  // negative: cancel
  bool is_absolute = false;
  bool only_content = false;  // update what is running
  message_ptr content;
};

struct reply_order {
  pid caller;
  reference ref;
  message_ptr reply;
};

/// Everything that one handler wants. Not inline: every machine has it in many places.
struct statem_plan {
  enum class move : std::uint8_t { keep, next, repeat, stop };

  statem_plan() noexcept;
  statem_plan(statem_plan&&) noexcept;
  statem_plan& operator=(statem_plan&&) noexcept;
  ~statem_plan();
  void answer(pid caller, reference ref, message_ptr reply);
  void insert(message_ptr event);
  void set_timeout(timeout_order order, message_ptr content);

  move what = move::keep;
  bool postpone = false;
  bool consumed = false;  // the event was moved into its handler
  int next = 0;
  exit_reason reason;
  std::vector<reply_order> replies;
  std::vector<message_ptr> next_events;
  std::vector<timeout_order> timeouts;
};

// --- actions -------------------------------------------------------------------------------------

struct statem_action {};
template <class A>
concept is_action = std::derived_from<A, statem_action>;

// A handler's result that is no plain keep_state.
template <class State, class... As>
struct changing_state {
  State to;
  std::tuple<As...> actions;
};
template <class... As>
struct keeping_state { std::tuple<As...> actions; };
template <class... As>
struct repeating_state { std::tuple<As...> actions; };

struct postponing : statem_action {};

template <class M>
struct inserting : statem_action {
  explicit inserting(M event, pid caller = {}, reference ref = {})
      : event(std::move(event)), caller(caller), ref(ref) {}
  M event;
  pid caller;  // of a call
  reference ref;
};

template <class R>
struct answering : statem_action {
  answering(from<R> client, value_or_unit<R> value) : client(client), value(std::move(value)) {}
  from<R> client;
  value_or_unit<R> value;
};

template <class M>
struct timing : statem_action {
  timing(timeout_order order, M content) : order(std::move(order)), content(std::move(content)) {}
  timeout_order order;
  M content;
};
struct cancelling : statem_action {
  explicit cancelling(timeout_order order) : order(std::move(order)) {}
  timeout_order order;
};

// --- states --------------------------------------------------------------------------------------

/// The name of an enumerator as the compiler prints it; values without one print as a cast.
template <auto V>
constexpr std::string_view enumerator_name() {
  std::string_view text = __PRETTY_FUNCTION__;
  auto from = text.find("V = ") + 4;
  auto name = text.substr(from, text.find_first_of(";]", from) - from);
  auto last = name.substr(name.find_last_of(":)") + 1);
  return last.front() == '-' || (last.front() >= '0' && last.front() <= '9') ? std::string_view{}
                                                                             : last;
}

inline constexpr std::size_t most_states = 64;

template <class E, std::size_t... Vs>
constexpr auto names_of_states(std::index_sequence<Vs...>) {
  return std::array<std::string_view, sizeof...(Vs)>{enumerator_name<static_cast<E>(Vs)>()...};
}
template <class E>
inline constexpr auto state_names = names_of_states<E>(std::make_index_sequence<most_states>());

template <class E>
constexpr std::size_t count_states() {
  std::size_t count = 0;
  for (auto name : state_names<E>) count += name.empty() ? 0 : 1;
  return count;
}
/// The states of the enum, those from 0 to 63.
template <class E>
constexpr auto list_states() {
  std::array<E, count_states<E>()> list{};
  std::size_t count = 0;
  for (std::size_t i = 0; i < most_states; ++i)
    if (!state_names<E>[i].empty()) list[count++] = static_cast<E>(i);
  return list;
}
template <class E>
inline constexpr auto all_states = list_states<E>();
template <class E>
using state_indices = std::make_index_sequence<count_states<E>()>;

/// Calls f(in<state>{}) for the state of this value. Answers false when there is no such state.
template <class E, class F, std::size_t... Is>
bool visit_state(int value, F&& f, std::index_sequence<Is...>) {
  return (
      (value == static_cast<int>(all_states<E>[Is]) && (f(in<all_states<E>[Is]> {}), true)) || ...);
}
template <class E, class F>
bool visit_state(int value, F&& f) {
  return visit_state<E>(value, f, state_indices<E>());
}

// --- the events of a machine ---------------------------------------------------------------------

template <class S>
struct no_list { using type = messages<>; };
template <class S>
struct messages_list { using type = typename S::messages; };
template <class S>
struct infos_list { using type = typename S::infos; };
template <class S>
struct internals_list { using type = typename S::internals; };
template <class S>
using statem_messages = typename std::conditional_t < requires {
  typename S::messages;
}
, messages_list<S>, no_list < S >> ::type;
template <class S>
using statem_infos = typename std::conditional_t < requires {
  typename S::infos;
}
, infos_list<S>, no_list < S >> ::type;
template <class S>
using statem_internals = typename std::conditional_t < requires {
  typename S::internals;
}
, internals_list<S>, no_list < S >> ::type;
using statem_built_in = messages<timeout, down, exited>;

template <class S, class M>
inline constexpr bool is_own_event =
    statem_internals<S>::template contain<M> || std::same_as<M, roost::timeout>;
template <class S, class M>
inline constexpr bool is_event = statem_messages<S>::template contain<M> ||
                                 statem_infos<S>::template contain<M> || is_own_event<S, M>;

template <class S, class M>
message_ptr make_event(M event, pid caller = {}, reference ref = {}) {
  auto kind = !statem_messages<S>::template contain<M> ? message_kind::info
              : call_message<M>                        ? message_kind::call
                                                       : message_kind::cast;
  auto made = make_message<M>(kind, std::move(event));
  made->from = caller;
  made->ref = ref;
  return made;
}

// --- from actions to a plan ----------------------------------------------------------------------

template <class S>
void plan_action(statem_plan& plan, postponing) {
  plan.postpone = true;
}
template <class S, class M>
void plan_action(statem_plan& plan, inserting<M> action) {
  static_assert(
      is_event<S, M>,
      "next_event needs an event that the machine lists in `messages`, `infos` or "
      "`internals`");
  plan.insert(make_event<S>(std::move(action.event), action.caller, action.ref));
}
template <class S, class R>
void plan_action(statem_plan& plan, answering<R> action) {
  plan.answer(
      action.client.caller(), action.client.ref(),
      make_message<value_or_unit<R>>(message_kind::reply, std::move(action.value)));
}
template <class S, class M>
void plan_action(statem_plan& plan, timing<M> action) {
  static_assert(
      is_event<S, M>,
      "a time-out needs an event that the machine lists: `using internals = "
      "roost::messages<...>;`");
  plan.set_timeout(std::move(action.order), make_event<S>(std::move(action.content)));
}
template <class S>
void plan_action(statem_plan& plan, cancelling action) {
  plan.set_timeout(std::move(action.order), nullptr);
}

template <class S, class... As>
void plan_actions(statem_plan& plan, std::tuple<As...> actions) {
  std::apply([&](auto&... action) { (plan_action<S>(plan, std::move(action)), ...); }, actions);
}

}  // namespace detail

// --- what handlers return ------------------------------------------------------------------------

/// What handle_event may return for a machine of type S.
template <class S>
class event_result {
 public:
  template <class State, class... As>
  requires std::same_as<State, typename S::state> event_result(
      detail::changing_state<State, As...> result) {
    plan.what = detail::statem_plan::move::next;
    plan.next = static_cast<int>(result.to);
    detail::plan_actions<S>(plan, std::move(result.actions));
  }
  template <class... As>
  event_result(detail::keeping_state<As...> result) {
    detail::plan_actions<S>(plan, std::move(result.actions));
  }
  template <class... As>
  event_result(detail::repeating_state<As...> result) {
    plan.what = detail::statem_plan::move::repeat;
    detail::plan_actions<S>(plan, std::move(result.actions));
  }
  template <detail::is_action A>
  event_result(A action) {
    detail::plan_action<S>(plan, std::move(action));
  }
  event_result(stopping<> stop) {
    plan.what = detail::statem_plan::move::stop;
    plan.reason = std::move(stop.reason);
  }

  detail::statem_plan plan;
};

namespace detail {
template <class A>
inline constexpr bool may_be_in_enter = true;
template <>
inline constexpr bool may_be_in_enter<postponing> = false;
template <class M>
inline constexpr bool may_be_in_enter<inserting<M>> = false;
}  // namespace detail

/// What handle_enter may return: keep_state(…) with replies and time-outs, or stop(reason).
template <class S>
class enter_result {
 public:
  template <class... As>
  enter_result(detail::keeping_state<As...> result) {
    static_assert(
        (detail::may_be_in_enter<As> && ...),
        "a state that is being entered may not postpone or insert events: there is none "
        "that it handles");
    detail::plan_actions<S>(plan, std::move(result.actions));
  }
  template <detail::is_action A>
  enter_result(A action) : enter_result(detail::keeping_state<A>{{std::move(action)}}) {}
  enter_result(stopping<> stop) {
    plan.what = detail::statem_plan::move::stop;
    plan.reason = std::move(stop.reason);
  }

  detail::statem_plan plan;
};

/// What init may return: the first state and the data, ignore(), stop(reason).
template <class S, class State = typename S::state>
class statem_init {
 public:
  template <class... As>
  statem_init(State state, S data, As... actions) : data(std::move(data)), state(state) {
    (detail::plan_action<S>(plan, std::move(actions)), ...);
  }
  statem_init(ignoring) { outcome.status = detail::init_status::ignore; }
  statem_init(stopping<> stop) : outcome{detail::init_status::stop, std::move(stop.reason)} {}

  std::optional<S> data;
  State state{};
  detail::statem_plan plan;
  detail::init_outcome outcome;
};

/// Goes to a state. If it is another one, postponed events are tried again, the state time-out is
/// cancelled, and the state is entered.
template <class State, detail::is_action... As>
requires std::is_enum_v<State>
[[nodiscard("return it from the handler")]] detail::changing_state<State, As...> next_state(
    State to, As... actions) {
  return {to, {std::move(actions)...}};
}

/// Stays.
template <detail::is_action... As>
[[nodiscard("return it from the handler")]] detail::keeping_state<As...> keep_state(As... actions) {
  return {{std::move(actions)...}};
}
/// The same: the data is the struct itself.
template <detail::is_action... As>
[[nodiscard("return it from the handler")]] detail::keeping_state<As...> keep_state_and_data(
    As... actions) {
  return {{std::move(actions)...}};
}

/// Stays, and is entered again.
template <detail::is_action... As>
[[nodiscard("return it from the handler")]] detail::repeating_state<As...> repeat_state(
    As... actions) {
  return {{std::move(actions)...}};
}

// --- actions -------------------------------------------------------------------------------------

/// Handles the event again after the next change of state.
[[nodiscard("return it from the handler")]] inline detail::postponing postpone() { return {}; }

/// Inserts an event that is handled before everything that waits; several come in their order.
template <class M>
[[nodiscard("return it from the handler")]] detail::inserting<M> next_event(M event) {
  static_assert(
      !call_message<M>, "this event is a call: give its caller too, next_event(event, from)");
  return detail::inserting<M>(std::move(event));
}
template <call_message M>
[[nodiscard("return it from the handler")]] detail::inserting<M> next_event(
    M event, const from<typename M::reply>& client) {
  return detail::inserting<M>(std::move(event), client.caller(), client.ref());
}

/// Answers a call. `client.reply(value)` does so at once.
template <class R, class V>
[[nodiscard(
    "return it from the handler; client.reply(value) answers at once")]] detail::answering<R>
reply(const from<R>& client, V value) {
  return {client, std::move(value)};
}

/// When a time-out comes: after a while, or at a time. `infinity` cancels it.
class timeout_time {
 public:
  template <class Rep, class Period>
  timeout_time(std::chrono::duration<Rep, Period> after)
      : value_(std::chrono::ceil<std::chrono::milliseconds>(after)) {}
  template <class Duration>
  timeout_time(std::chrono::time_point<std::chrono::steady_clock, Duration> at)
      : value_(std::chrono::ceil<std::chrono::milliseconds>(at.time_since_epoch())),
        is_absolute_(true) {}

  /// For the library.
  detail::timeout_order order(detail::timeout_kind kind, std::string name = {}) const {
    return {kind, std::move(name), value_, is_absolute_, false, nullptr};
  }

 private:
  std::chrono::milliseconds value_;
  bool is_absolute_ = false;
};

// A time-out is an event of the machine's own that comes later: roost::timeout unless another is
// given. There is one state time-out, one event time-out, and one generic time-out of each name;
// starting one again replaces it.

/// Cancelled when the state changes.
template <class M = timeout>
[[nodiscard("return it from the handler")]] detail::timing<M> state_timeout(
    timeout_time time, M event = {}) {
  return {time.order(detail::timeout_kind::state), std::move(event)};
}
/// Cancelled by any other event.
template <class M = timeout>
[[nodiscard("return it from the handler")]] detail::timing<M> event_timeout(
    timeout_time time, M event = {}) {
  return {time.order(detail::timeout_kind::event), std::move(event)};
}
/// Runs until it is cancelled.
template <class M = timeout>
[[nodiscard("return it from the handler")]] detail::timing<M> generic_timeout(
    std::string name, timeout_time time, M event = {}) {
  return {time.order(detail::timeout_kind::generic, std::move(name)), std::move(event)};
}

[[nodiscard("return it from the handler")]] inline detail::cancelling cancel_state_timeout() {
  return detail::cancelling(timeout_time(infinity).order(detail::timeout_kind::state));
}
[[nodiscard("return it from the handler")]] inline detail::cancelling cancel_event_timeout() {
  return detail::cancelling(timeout_time(infinity).order(detail::timeout_kind::event));
}
[[nodiscard("return it from the handler")]] inline detail::cancelling cancel_generic_timeout(
    std::string name) {
  return detail::cancelling(
      timeout_time(infinity).order(detail::timeout_kind::generic, std::move(name)));
}

/// Changes the event of a time-out that is running, and not its time. Comes at once if none is.
template <class M>
[[nodiscard("return it from the handler")]] detail::timing<M> update_state_timeout(M event) {
  auto action = state_timeout(std::chrono::milliseconds(0), std::move(event));
  action.order.only_content = true;
  return action;
}
template <class M>
[[nodiscard("return it from the handler")]] detail::timing<M> update_generic_timeout(
    std::string name, M event) {
  auto action = generic_timeout(std::move(name), std::chrono::milliseconds(0), std::move(event));
  action.order.only_content = true;
  return action;
}

// --- from a struct to a behavior -----------------------------------------------------------------

namespace detail {

/// The machine without its types: the order of events, postponed ones and time-outs.
class statem_engine : public behavior {
 public:
  statem_engine();
  ~statem_engine() override;
  void handle(message& message) final;

 protected:
  enum class outcome : std::uint8_t { handled, unknown, unhandled };

  virtual outcome on_event(message& event, statem_plan& plan) = 0;
  virtual void on_enter(int before, statem_plan& plan) = 0;
  /// The event in a message of its own, since the one that comes belongs to the mailbox; null for
  /// what is no event.
  virtual message_ptr adopt(message& event) = 0;
  virtual std::string_view state_name() const = 0;

  /// The first state is entered as if from itself.
  void begin(int state, statem_plan plan);
  int current() const noexcept { return state_; }

 private:
  struct active_timeout {
    timeout_kind kind;
    std::string name;
    reference ref;
    message_ptr content;
    timer clock;  // none: it waits in the queue
  };
  struct queued {
    message_ptr event;
    reference timeout;  // instead: of one that has come
  };
  struct timeout_fired { reference ref; };
  struct go_on {};

  void receive(message& message);
  void run_queue();
  void run(message& event, message_ptr own);
  void on_timeout_fired(reference ref);
  message_ptr take_timeout(reference ref);
  void transition(message& event, message_ptr own, statem_plan plan);
  bool enter(int before, statem_plan& plan);
  void set_timeout(timeout_order order);
  active_timeout* find(timeout_kind kind, std::string_view name);
  void cancel(timeout_kind kind, std::string_view name = {});

  int state_ = 0;
  std::deque<queued> queue_;
  std::vector<message_ptr> postponed_;
  std::vector<active_timeout> timeouts_;
  bool goes_on_ = false;
};

template <class S, class E, class M>
concept handled_with_from = requires(S& s, E where, M& m, from<typename M::reply> client) {
  {s.handle_event(where, std::as_const(m), client)};
};
template <class S, class E, class M>
concept handled_by_reading = requires(S& s, E where, M& m) {
  {s.handle_event(where, std::as_const(m))};
};
template <class S, class E, class M>
concept handled_by_moving = requires(S& s, E where, M& m) {
  {s.handle_event(where, std::move(m))};
};

template <class S, class A>
concept is_event_result = std::is_void_v<A> || std::convertible_to<A, event_result<S>>;

/// Whether the machine handles this event in this state, with a result that makes sense.
template <class S, class E, class M>
constexpr bool handles_event() {
  if constexpr (call_message<M>) {
    if constexpr (handled_with_from<S, E, M>) {
      return is_event_result<
          S, decltype(std::declval<S&>().handle_event(
                 E{}, std::declval<const M&>(), std::declval<from<typename M::reply>>()))>;
    } else if constexpr (handled_by_reading<S, E, M>) {
      using A = decltype(std::declval<S&>().handle_event(E{}, std::declval<const M&>()));
      using R = typename M::reply;
      if constexpr (std::is_void_v<A>)
        return std::is_void_v<R>;
      else
        return std::same_as<A, postponing> || (!std::is_void_v<R> && std::convertible_to<A, R>);
    } else {
      return false;
    }
  } else if constexpr (handled_by_reading<S, E, M>) {
    return is_event_result<
        S, decltype(std::declval<S&>().handle_event(E{}, std::declval<const M&>()))>;
  } else if constexpr (handled_by_moving<S, E, M>) {
    return is_event_result<S, decltype(std::declval<S&>().handle_event(E{}, std::declval<M>()))>;
  } else {
    return false;
  }
}

/// One assertion per state and message: the compiler's note names both.
template <class S, class E, class M>
constexpr bool check_event() {
  if constexpr (call_message<M>)
    static_assert(
        handles_event<S, E, M>(),
        "in one of its states the machine does not handle a call in `messages`: it needs  "
        "M::reply handle_event(in<state>, M)  or  event_result<S> handle_event(in<state>, "
        "M, from<M::reply>),  with `state` instead of in<state> for all other states");
  else
    static_assert(
        handles_event<S, E, M>(),
        "in one of its states the machine does not handle a message in `messages` or "
        "`infos`: it needs  event_result<S> handle_event(in<state>, M),  with `state` "
        "instead of in<state> for all other states");
  return true;
}
template <class S, class E, class... Ms>
constexpr bool check_events(messages<Ms...>) {
  return (check_event<S, E, Ms>() && ...);
}
template <class S, std::size_t... Is>
constexpr bool check_states(std::index_sequence<Is...>) {
  constexpr auto& states = all_states<typename S::state>;
  return (
      (check_events<S, in<states[Is]>>(statem_messages<S>{}) &&
       check_events<S, in<states[Is]>>(statem_infos<S>{})) &&
      ...);
}

template <class S, class M, std::size_t... Is>
constexpr bool handled_somewhere(std::index_sequence<Is...>) {
  return (handles_event<S, in<all_states<typename S::state>[Is]>, M>() || ...);
}
template <class S, class M>
constexpr bool check_internal() {
  static_assert(
      handled_somewhere<S, M>(state_indices<typename S::state>()),
      "no state handles an event in `internals`: one needs  event_result<S> "
      "handle_event(in<state>, M)");
  return true;
}
template <class S, class... Ms>
constexpr bool check_internals(messages<Ms...>) {
  return (check_internal<S, Ms>() && ...);
}

template <class S>
constexpr bool check_statem() {
  constexpr bool lists_messages = requires { typename S::messages; };
  static_assert(
      lists_messages,
      "a machine lists what it understands: `using messages = roost::messages<...>;`");
  constexpr bool has_first_state = !state_names<typename S::state>[0].empty();
  static_assert(
      has_first_state,
      "a machine's states are an enum of its own that counts from 0: `enum class state { "
      "first, ... };`");
  static_assert(
      std::move_constructible<S>,
      "a machine's data is moved into its process: make it movable, or keep what is not "
      "in a unique_ptr");
  if constexpr (lists_messages && has_first_state) {
    check_states<S>(state_indices<typename S::state>());
    check_internals<S>(statem_internals<S>{});
  }
  return true;
}

[[noreturn]] void throw_unknown_state(std::string_view machine, int state);

template <class S>
class statem_core : public statem_engine {
 public:
  using state_type = typename S::state;
  static_assert(check_statem<S>());

  std::string_view initial_call() const noexcept override { return type_name<S>(); }

  void* state_place(std::string_view type) noexcept override {
    return type == type_name<S>() ? &data_ : nullptr;
  }

  /// "open code_lock{code: 42}"
  std::string state_text() const override {
    if (!data_) return {};
    auto text = std::string(state_name()) + " ";
    if constexpr (requires(const S& s) {
                    { s.format_status() } -> std::convertible_to<std::string>;
                  })
      return text + std::string(data_->format_status());
    else
      return text + to_text(*data_);
  }

  void hibernate() override {
    if constexpr (requires(S & s) { s.hibernate(); })
      if (data_) data_->hibernate();
  }

  void terminate(const exit_reason& reason) override {
    if (!data_) return;
    if constexpr (requires(S & s, state_type state) { s.terminate(reason, state); })
      data_->terminate(reason, static_cast<state_type>(current()));
    else if constexpr (requires(S & s) { s.terminate(reason); })
      data_->terminate(reason);
  }

 protected:
  outcome on_event(message& event, statem_plan& plan) override {
    auto result = outcome::unknown;
    auto in_state = [&](auto where) { result = in_this_state(where, event, plan); };
    if (!visit_state<state_type>(current(), in_state))
      throw_unknown_state(type_name<S>(), current());
    return result;
  }

  void on_enter(int before, statem_plan& plan) override {
    auto from = static_cast<state_type>(before);
    auto in_state = [&](auto where) {
      if constexpr (requires(S & s) { s.handle_enter(where, from); }) {
        using A = decltype(data_->handle_enter(where, from));
        static_assert(
            std::is_void_v<A> || std::convertible_to<A, enter_result<S>>,
            "handle_enter is  void handle_enter(in<state>, state before)  (or "
            "enter_result<S>): a state that is being entered cannot go to another");
        if constexpr (std::is_void_v<A>)
          data_->handle_enter(where, from);
        else if constexpr (std::convertible_to<A, enter_result<S>>)
          plan = enter_result<S>(data_->handle_enter(where, from)).plan;
      }
    };
    if (!visit_state<state_type>(current(), in_state))
      throw_unknown_state(type_name<S>(), current());
  }

  message_ptr adopt(message& event) override {
    message_ptr own;
    auto all = [&]<class... Ms>(messages<Ms...>) {
      return ((own = adopt_one<Ms>(event), own != nullptr) || ...);
    };
    if (!all(statem_messages<S>{}) && !all(statem_infos<S>{}) && !all(statem_internals<S>{}))
      all(statem_built_in{});
    return own;
  }

  std::string_view state_name() const override {
    auto at = static_cast<std::size_t>(current());
    return at < most_states ? state_names<state_type>[at] : std::string_view{};
  }

  std::optional<S> data_;

 private:
  template <class M>
  static message_ptr adopt_one(message& event) {
    auto* value = value_of<M>(event);
    if (value == nullptr) return nullptr;
    auto own = make_message<M>(event.kind, std::move(*value));
    own->from = event.from;
    own->ref = event.ref;
    return own;
  }

  template <class E>
  outcome in_this_state(E where, message& event, statem_plan& plan) {
    auto result = outcome::unknown;
    auto all = [&]<class... Ms>(messages<Ms...>) {
      return ((result = one<E, Ms>(where, event, plan), result != outcome::unknown) || ...);
    };
    if (!all(statem_messages<S>{}) && !all(statem_infos<S>{}) && !all(statem_internals<S>{}))
      all(statem_built_in{});
    return result;
  }

  template <class E, class M>
  outcome one(E where, message& event, statem_plan& plan) {
    auto* value = value_of<M>(event);
    if (value == nullptr) return outcome::unknown;
    if constexpr (handles_event<S, E, M>()) {
      if constexpr (call_message<M>)
        call(where, event, *value, plan);
      else if constexpr (handled_by_reading<S, E, M>)
        take(plan, [&]() -> decltype(auto) {
          return data_->handle_event(where, std::as_const(*value));
        });
      else
        take(plan, [&]() -> decltype(auto) {
          plan.consumed = true;
          return data_->handle_event(where, std::move(*value));
        });
      return outcome::handled;
    } else {
      // What nobody has to handle: an event of its own is a mistake, others are dropped.
      return is_own_event<S, M> ? outcome::unhandled : outcome::unknown;
    }
  }

  template <class E, class M>
  void call(E where, message& event, M& value, statem_plan& plan) {
    using R = typename M::reply;
    from<R> client{event.from, event.ref};
    auto& message = std::as_const(value);
    if constexpr (handled_with_from<S, E, M>) {
      take(plan, [&]() -> decltype(auto) { return data_->handle_event(where, message, client); });
    } else if constexpr (std::same_as<decltype(data_->handle_event(where, message)), postponing>) {
      take(plan, [&] { return data_->handle_event(where, message); });
    } else if constexpr (std::is_void_v<R>) {
      data_->handle_event(where, message);
      client.reply(unit{});
    } else {
      client.reply(data_->handle_event(where, message));
    }
  }

  template <class F>
  static void take(statem_plan& plan, F handler) {
    if constexpr (std::is_void_v<decltype(handler())>) {
      handler();
    } else {
      event_result<S> result = handler();
      result.plan.consumed = plan.consumed;
      plan = std::move(result.plan);
    }
  }
};

template <class S, class Args>
class statem_behavior;

template <class S, class... Args>
class statem_behavior<S, std::tuple<Args...>> final : public statem_core<S> {
 public:
  explicit statem_behavior(Args... args) : args_(std::in_place, std::move(args)...) {}

  init_outcome init() override {
    auto outcome =
        std::apply([this](auto&... args) { return this->start(std::move(args)...); }, *args_);
    args_.reset();
    return outcome;
  }

 private:
  template <class... As>
  init_outcome start(As&&... args) {
    if constexpr (requires { S::init(std::forward<As>(args)...); }) {
      statem_init<S> result = S::init(std::forward<As>(args)...);
      if (!result.data) return std::move(result.outcome);
      this->data_.emplace(std::move(*result.data));
      this->begin(static_cast<int>(result.state), std::move(result.plan));
    } else {
      constexpr bool has_init = requires { &S::init; };
      constexpr bool initialises = !has_init && requires { S{std::forward<As>(args)...}; };
      static_assert(
          initialises,
          "the machine cannot be made from these arguments: give it `static "
          "roost::statem_init<S> init(...)` or members to initialise");
      if constexpr (initialises) {
        this->data_.emplace(S{std::forward<As>(args)...});
        this->begin(0, {});
      }
    }
    return {};
  }

  std::optional<std::tuple<Args...>> args_;
};

// A struct with handle_event and an enum `state` is a machine: a second base with the same member
// makes its name ambiguous, however many overloads there are.
struct has_one_too { void handle_event(); };
template <class S>
struct event_probe : S, has_one_too {};
template <class S>
concept has_handle_event = std::is_final_v<S> || !requires {
  &event_probe<S>::handle_event;
};

template <class S>
concept is_statem = std::is_class_v<S> && requires {
  typename S::state;
} && std::is_enum_v<typename S::state> && has_handle_event<S>;

template <class S, class... Args>
requires is_statem<S>
struct behavior_of<S, Args...> {
  using type = statem_behavior<S, std::tuple<Args...>>;
};

}  // namespace detail
}  // namespace roost
