// runtime/gen_server.hpp
//
// A server: a process that owns a state and answers calls. Write a plain struct; its members are
// the state, its overloads are the handlers, and one line lists the messages that it understands.
//
//   struct counter {
//     struct get  { using reply = int; };           // has a reply: a call
//     struct bump { int by = 1; };                  // has none: a cast
//     using messages = roost::messages<get, bump>;  // the whole protocol
//
//     int value = 0;
//
//     int  handle_call(get) const    { return value; }
//     void handle_cast(bump message) { value += message.by; }
//   };
//
//   auto c = roost::start_link<counter>({.name = "counter"}, 10);   // → server<counter>
//   roost::cast(c, counter::bump{.by = 5});
//   roost::call(c, counter::get{}).then([this](int n) { … });       // inside a process
//   int n = roost::call(c, counter::get{}).get();                   // outside: blocks
//
// The rest is optional and found by name:
//
//   static init_result<S> init(Args…)            ready state, ignore() or stop(reason);
//   static init_result<S> init(Args…, init_ref<S>)   … or later(ref), finished from any
//   continuation call_result<R> handle_call(M, from<R>)       may answer later: return noreply()
//   cast_result handle_cast(M)                   may stop: return stop(reason)
//   cast_result handle_info(M)                   for M of `using infos = messages<…>`, and for
//   down,
//                                                exited and timeout
//   cast_result handle_continue(M)               for M of `using continues = messages<…>`, after
//                                                continue_with(M{}) and before anything that waits
//   void terminate(const exit_reason&)
//   std::string format_status() const            what shells and crash reports show of the state
//
// Errors. A handler that throws crashes its process: its state is dropped, its links and monitors
// are told. A call that is not answered throws process_exit in its caller, which crashes too unless
// `.then` was given a second function; after a timeout it is unknown whether the call was handled.
// An unexpected message that is not a call or cast is logged and dropped.
//
// Thread safety: handles are values; handlers of one server never run at the same time.
//
// Source: OTP gen_server, Elixir GenServer.
#pragma once
#include "runtime/spawn.hpp"
#include <concepts>
#include <type_traits>
#include <variant>

namespace roost {

// --- what a handler may answer -------------------------------------------------------------------

/// Answers later, through a `from`; with a time, a `timeout` message comes unless another does
/// first.
struct noreply {
  std::chrono::milliseconds timeout{-1};
};

/// Ends the server after this handler; with a reply, the caller gets it first.
template <class R = std::monostate>
struct stopping {
  exit_reason reason;
  std::optional<R> last;
};
inline stopping<> stop(exit_reason reason) { return {std::move(reason), {}}; }
template <class R>
stopping<R> stop(exit_reason reason, R last) {
  return {std::move(reason), std::move(last)};
}

/// An answer together with a receive timeout.
template <class R>
struct replying {
  R value;
  std::chrono::milliseconds timeout;
};
template <class R>
replying<R> reply(R value, std::chrono::milliseconds timeout) {
  return {std::move(value), timeout};
}

namespace detail {
/// `void` as a value.
struct unit {};
template <class R>
using value_or_unit = std::conditional_t<std::is_void_v<R>, unit, R>;

/// What every result comes down to. The alternatives that do not fit a handler do not convert.
template <class R>
struct handler_result {
  std::optional<R> answer;
  std::optional<exit_reason> stop;
  std::chrono::milliseconds timeout{-1};
};
}  // namespace detail

/// What handle_call may return: the reply, reply(r, timeout), noreply(), stop(reason),
/// stop(reason, reply).
template <class R>
class call_result : public detail::handler_result<R> {
 public:
  template <class T>
  requires std::convertible_to<T, R> call_result(T&& value) {
    this->answer.emplace(std::forward<T>(value));
  }
  call_result(replying<R> reply) {
    this->answer.emplace(std::move(reply.value));
    this->timeout = reply.timeout;
  }
  call_result(noreply wait) { this->timeout = wait.timeout; }
  call_result(stopping<> stop) { this->stop = std::move(stop.reason); }
  call_result(stopping<R> stop) {
    this->stop = std::move(stop.reason);
    this->answer = std::move(stop.last);
  }
};

/// What handle_cast and handle_info may return: nothing, noreply(), stop(reason).
class cast_result : public detail::handler_result<std::monostate> {
 public:
  cast_result(noreply wait) { timeout = wait.timeout; }
  cast_result(stopping<> stopping) { stop = std::move(stopping.reason); }
};

struct ignoring {};
/// From init: start nothing, and tell the supervisor that this is no failure.
inline ignoring ignore() { return {}; }

template <class S>
class init_ref;
template <class S>
struct starting_later {};
/// From init: the process goes on initializing until `ref` is finished.
template <class S>
starting_later<S> later(const init_ref<S>&) {
  return {};
}

/// What a server's init may return: its state, ignore(), stop(reason), later(ref).
template <class S>
class init_result {
 public:
  init_result(S state) : state(std::move(state)) {}
  init_result(S state, std::chrono::milliseconds timeout)
      : state(std::move(state)), timeout(timeout) {}
  init_result(ignoring) { outcome.status = detail::init_status::ignore; }
  init_result(stopping<> stop) : outcome{detail::init_status::stop, std::move(stop.reason)} {}
  init_result(starting_later<S>) { outcome.status = detail::init_status::later; }

  std::optional<S> state;
  std::chrono::milliseconds timeout{-1};
  detail::init_outcome outcome;
};

/// Finishes an init that returned later(ref). Use it from a continuation of the same process.
template <class S>
class init_ref {
 public:
  void finish(S state) const {
    place_->emplace(std::move(state));
    detail::finish_init({});
  }
  void ignore() const { detail::finish_init({detail::init_status::ignore, {}}); }
  void stop(exit_reason reason) const {
    detail::finish_init({detail::init_status::stop, std::move(reason)});
  }

  explicit init_ref(std::optional<S>* place) noexcept : place_(place) {}

 private:
  std::optional<S>* place_;  // inside the process, which is where continuations run
};

// --- the protocol of a server --------------------------------------------------------------------

template <class... Ms>
struct messages {
  template <class M>
  static constexpr bool contain = (std::same_as<M, Ms> || ...);
};

template <class M>
concept call_message = requires {
  typename M::reply;
};

namespace detail {
/// void for a cast, so that a wrong call is one error and not ten.
template <class M>
struct reply_of { using type = void; };
template <call_message M>
struct reply_of<M> {
  using type = typename M::reply;
};
}  // namespace detail

/// The caller of a call that is answered later. May be copied, kept, and answered once from any
/// process or thread; later answers are dropped, as are answers to a caller that has given up.
template <class R>
class from {
 public:
  from() noexcept = default;
  from(pid caller, reference ref) noexcept : caller_(caller), ref_(ref) {}

  void reply(detail::value_or_unit<R> value) const;
  void reply() const requires std::is_void_v<R> { reply(detail::unit{}); }
  pid caller() const noexcept { return caller_; }
  reference ref() const noexcept { return ref_; }

  // Between nodes: see codec.hpp.
  friend void wire_encode(detail::wire_writer& out, const from& client) {
    out.pid(client.caller_);
    out.ref(client.ref_);
  }
  friend void wire_decode(detail::wire_reader& in, from& client) {
    client.caller_ = in.pid();
    client.ref_ = in.ref();
  }

 private:
  pid caller_;
  reference ref_;
};

/// A handle to a running server of type S: by pid, by registered name, or by via(…).
template <class S>
class server {
 public:
  server() noexcept = default;
  explicit server(pid process) noexcept : process_(process) {}
  explicit server(process_name name) : name_(std::move(name)) {}
  /// {name, node}: whoever has the name there when a message arrives.
  server(std::string_view name, std::string_view node) : name_(name), node_(node) {}

  /// The process behind the handle; nobody if the name is not registered.
  pid process() const noexcept {
    if (name_.empty()) return process_;
    return node_.empty() ? name_.process() : detail::whereis_on(node_, name_.text());
  }
  explicit operator bool() const noexcept { return static_cast<bool>(process()); }

  // Between nodes (codec.hpp): a name stays one, a key in another table becomes whoever has it now.
  friend void wire_encode(detail::wire_writer& out, const server& to) {
    if (to.name_.empty() || to.name_.is_via()) return out.pid(to.process());
    out.name(to.name_.text(), to.node_);
  }
  friend void wire_decode(detail::wire_reader& in, server& to) {
    std::string_view local;
    to = server(in.pid_or_name(local));
    if (!local.empty()) to.name_ = local;
  }

 private:
  pid process_;
  process_name name_;
  std::string node_;
};

// --- waiting for an answer -----------------------------------------------------------------------

namespace detail {

class call_waiter;

/// What was asked of whom: sent when it is known who takes the answer, and how.
struct request {
  pid to;
  message_ptr message;
  std::chrono::milliseconds timeout;
  std::string_view what;
};
void ask(request request, std::unique_ptr<call_waiter> waiter);
message_ptr wait_for_answer(request request);
[[noreturn]] void throw_unanswered(const exit_reason& reason, std::string_view what);
void send_reply(pid caller, reference ref, message_ptr reply);

class call_waiter {
 public:
  call_waiter() = default;
  call_waiter(const call_waiter&) = delete;
  call_waiter& operator=(const call_waiter&) = delete;
  virtual ~call_waiter() = default;
  virtual void answered(message& reply) = 0;
  virtual void failed(const exit_reason& reason) = 0;
};

template <class R, class F>
void give(F& function, message& reply) {
  auto* value = value_of<value_or_unit<R>>(reply);
  if (value == nullptr)
    throw std::logic_error(
        "expected a reply of type " + std::string(type_name<R>()) + ", got " +
        std::string(reply.type->name));
  if constexpr (std::is_void_v<R>)
    function();
  else
    function(std::move(*value));
}

template <class F, class R>
concept takes_answer =
    (std::is_void_v<R> && std::invocable<F&>) || std::invocable<F&, value_or_unit<R>>;
template <class G>
concept takes_failure = std::same_as<G, std::monostate> || std::invocable<G&, const exit_reason&>;

template <class R, class F, class G>
class continuation final : public call_waiter {
 public:
  continuation(F on_answer, G on_failure, std::string_view what)
      : on_answer_(std::move(on_answer)), on_failure_(std::move(on_failure)), what_(what) {}
  void answered(message& reply) override { give<R>(on_answer_, reply); }
  void failed(const exit_reason& reason) override {
    if constexpr (std::same_as<G, std::monostate>)
      throw_unanswered(reason, what_);
    else
      on_failure_(reason);
  }

 private:
  F on_answer_;
  [[no_unique_address]] G on_failure_;
  std::string_view what_;
};

}  // namespace detail

/// An answer that has not come yet. Nothing is sent until one of its functions is called.
template <class R>
class [[nodiscard("say how to take the answer: .then(...) in a process, .get() outside")]] pending {
 public:
  explicit pending(detail::request request) noexcept : request_(std::move(request)) {}

  /// Runs `on_answer(R)` in this process when the answer comes. If none comes, this process crashes
  /// with the reason. Other messages are handled meanwhile.
  template <class F>
  void then(F on_answer)&& {
    then_or(std::move(on_answer), std::monostate{});
  }

  /// As above, and runs `on_failure(const exit_reason&)` when no answer comes.
  template <class F, class G>
  void then(F on_answer, G on_failure)&& {
    then_or(std::move(on_answer), std::move(on_failure));
  }

  /// Waits for the answer; only outside processes. Throws process_exit when there is none.
  R get()&& {
    auto what = request_.what;
    auto answer = detail::wait_for_answer(std::move(request_));
    if constexpr (std::is_void_v<R>) {
      auto nothing = [] {};
      detail::give<R>(nothing, *answer);
    } else {
      std::optional<R> result;
      auto keep = [&](R value) { result.emplace(std::move(value)); };
      detail::give<R>(keep, *answer);
      (void)what;
      return std::move(*result);
    }
  }

 private:
  template <class F, class G>
  void then_or(F on_answer, G on_failure) {
    static_assert(
        detail::takes_answer<F, R>,
        "then() needs a function that takes the reply: .then([](R reply) { ... }), or "
        ".then([] { ... }) when `reply` is void");
    static_assert(
        detail::takes_failure<G>, "the second function of then() takes  const roost::exit_reason&");
    auto what = request_.what;
    detail::ask(
        std::move(request_), std::make_unique<detail::continuation<R, F, G>>(
                                 std::move(on_answer), std::move(on_failure), what));
  }

  detail::request request_;
};

// --- using a server ------------------------------------------------------------------------------

inline constexpr std::chrono::milliseconds call_timeout{5000};
inline constexpr std::chrono::milliseconds infinity{-1};

/// Asks the server and answers what it replied. Default timeout 5 s.
template <class S, class M>
auto call(const server<S>& to, M message, std::chrono::milliseconds timeout = call_timeout) {
  static_assert(
      S::messages::template contain<M>, "this server does not list the message in its `messages`");
  static_assert(
      call_message<M>,
      "this message has no `reply`, so it is a cast: use cast(), or give it "
      "`using reply = ...`");
  using R = typename detail::reply_of<M>::type;
  return pending<R>(detail::request{
      to.process(), detail::make_message<M>(detail::message_kind::call, std::move(message)),
      timeout, detail::type_name<M>()});
}

/// Tells the server something. Never fails: a server that has gone does not hear it.
template <class S, class M>
void cast(const server<S>& to, M message) {
  static_assert(
      S::messages::template contain<M>, "this server does not list the message in its `messages`");
  static_assert(!call_message<M>, "this message has a `reply`: use call()");
  detail::enqueue(
      to.process(), detail::make_message<M>(detail::message_kind::cast, std::move(message)));
}

template <class R>
void from<R>::reply(detail::value_or_unit<R> value) const {
  detail::send_reply(
      caller_, ref_,
      detail::make_message<detail::value_or_unit<R>>(
          detail::message_kind::reply, std::move(value)));
}

// --- from a struct to a behavior -----------------------------------------------------------------

namespace detail {

template <class A, class R>
concept answers_call = (std::is_void_v<A> && std::is_void_v<R>) ||
                       std::convertible_to<A, call_result<value_or_unit<R>>>;
template <class A>
concept answers_cast = std::is_void_v<A> || std::convertible_to<A, cast_result>;

template <class S, class M>
concept replies_now = requires(S& s, M& m) {
  { s.handle_call(std::move(m)) } -> answers_call<typename M::reply>;
};
template <class S, class M>
concept replies_later = requires(S& s, M& m, from<typename M::reply> f) {
  {
    s.handle_call(std::move(m), f)
    } -> std::convertible_to<call_result<value_or_unit<typename M::reply>>>;
};
template <class S, class M>
concept handles_call = replies_now<S, M> || replies_later<S, M>;
template <class S, class M>
concept handles_cast = requires(S& s, M& m) {
  { s.handle_cast(std::move(m)) } -> answers_cast;
};
template <class S, class M>
concept takes_info = requires(S& s, M& m) {
  s.handle_info(std::move(m));
};
template <class S, class M>
concept handles_info = requires(S& s, M& m) {
  { s.handle_info(std::move(m)) } -> answers_cast;
};

/// Names the exact (server, message) pair that is wrong; one assertion per listed message.
template <class S, class M>
constexpr bool check_handler() {
  if constexpr (call_message<M>)
    static_assert(
        handles_call<S, M>,
        "a call in `messages` needs  M::reply handle_call(M)  (or "
        "call_result<M::reply> handle_call(M, from<M::reply>))");
  else
    static_assert(
        handles_cast<S, M>,
        "a cast in `messages` needs  void handle_cast(M)  (or "
        "cast_result handle_cast(M))");
  return true;
}
template <class S, class M>
constexpr bool check_info() {
  static_assert(
      handles_info<S, M>,
      "a message in `infos` needs  void handle_info(M)  (or cast_result "
      "handle_info(M)), as do down, exited and timeout");
  return true;
}
template <class S, class... Ms>
constexpr bool check_handlers(messages<Ms...>) {
  return (check_handler<S, Ms>() && ...);
}
template <class S, class... Ms>
constexpr bool check_infos(messages<Ms...>) {
  return (check_info<S, Ms>() && ...);
}
template <class S>
constexpr bool check_server() {
  constexpr bool lists_messages = requires { typename S::messages; };
  static_assert(
      lists_messages,
      "a server lists what it understands: `using messages = roost::messages<...>;`");
  static_assert(
      std::move_constructible<S>,
      "a server's state is moved into its process: make it movable, or keep what is not "
      "in a unique_ptr");
  if constexpr (requires { &S::terminate; })
    static_assert(
        requires(S & s, const exit_reason& reason) { s.terminate(reason); },
        "terminate is  void terminate(const roost::exit_reason&)");
  if constexpr (lists_messages) check_handlers<S>(typename S::messages{});
  if constexpr (requires { typename S::infos; }) check_infos<S>(typename S::infos{});
  return true;
}

void apply_timeout(std::chrono::milliseconds timeout);
void continue_soon(message_ptr message);
void unexpected(const message& message, std::string_view server);
[[noreturn]] void crash_unexpected(const message& message, std::string_view server);
bool is_parent_exit(const exited& exit) noexcept;

template <class R>
void apply(handler_result<R>& result) {
  apply_timeout(result.timeout);
  if (result.stop) stop_self(std::move(*result.stop));
}

template <class S>
class server_core : public behavior {
 public:
  std::string_view initial_call() const noexcept override { return type_name<S>(); }

  void handle(message& message) override {
    if (message.kind == message_kind::call || message.kind == message_kind::cast) {
      if (!dispatch(message)) crash_unexpected(message, type_name<S>());
    } else if (!info(message)) {
      unexpected(message, type_name<S>());
    }
  }

  std::string state_text() const override {
    if (!state_) return {};
    if constexpr (requires(const S& s) {
                    { s.format_status() } -> std::convertible_to<std::string>;
                  })
      return state_->format_status();
    else
      return to_text(*state_);
  }

  void hibernate() override {
    if constexpr (requires(S & s) { s.hibernate(); })
      if (state_) state_->hibernate();
  }

  void* state_place(std::string_view type) noexcept override {
    return type == type_name<S>() ? &state_ : nullptr;
  }

  std::span<const state_field> state_fields() const noexcept override {
    return state_fields_of<S>();
  }
  void* state_address() noexcept override { return state_ ? &*state_ : nullptr; }
  std::span<const understood_message> understands() const noexcept override {
    if constexpr (requires { typename S::messages; })
      return list_messages(typename S::messages{});
    else
      return {};
  }

  void terminate(const exit_reason& reason) override {
    if constexpr (requires(S & s) { s.terminate(reason); })
      if (state_) state_->terminate(reason);
  }

 protected:
  std::optional<S> state_;

 private:
  // What check_server complains about is left out here, so that its sentences stand alone.
  bool dispatch(message& message) {
    if constexpr (requires { typename S::messages; })
      return listed(message, typename S::messages{});
    else
      return false;
  }
  template <class... Ms>
  static std::span<const understood_message> list_messages(messages<Ms...>) noexcept {
    static constexpr understood_message list[] = {
        {&type_of<Ms>, call_message<Ms>}..., {nullptr, false}};
    return {list, sizeof...(Ms)};
  }

  template <class... Ms>
  bool listed(message& message, messages<Ms...>) {
    return (one<Ms>(message) || ...);
  }

  template <class M>
  bool one(message& message) {
    auto* value = value_of<M>(message);
    if (value == nullptr) return false;
    if constexpr (call_message<M>) {
      if constexpr (handles_call<S, M>) answer(message, *value);
    } else if constexpr (handles_cast<S, M>) {
      run([&]() -> decltype(auto) { return state_->handle_cast(std::move(*value)); });
    }
    return true;
  }

  template <class M>
  void answer(message& message, M& value) {
    using R = typename M::reply;
    using V = value_or_unit<R>;
    from<R> client{message.from, message.ref};
    if constexpr (replies_later<S, M>) {
      call_result<V> result = state_->handle_call(std::move(value), client);
      finish(client, result);
    } else if constexpr (std::is_void_v<decltype(state_->handle_call(std::move(value)))>) {
      state_->handle_call(std::move(value));
      client.reply(V{});
    } else if constexpr (std::same_as<
                             std::remove_cvref_t<decltype(state_->handle_call(std::move(value)))>,
                             R>) {
      client.reply(state_->handle_call(std::move(value)));  // the common case, nothing in between
    } else {
      call_result<V> result = state_->handle_call(std::move(value));
      finish(client, result);
    }
  }

  template <class R, class V>
  void finish(const from<R>& client, call_result<V>& result) {
    if (result.answer) client.reply(std::move(*result.answer));
    apply(result);
  }

  template <class F>
  void run(F handler) {
    if constexpr (std::is_void_v<decltype(handler())>) {
      handler();
    } else {
      cast_result result = handler();
      apply(result);
    }
  }

  template <class... Ms>
  bool continued(message& message, messages<Ms...>) {
    return (one_continue<Ms>(message) || ...);
  }
  template <class M>
  bool one_continue(message& message) {
    static_assert(
        requires(S & s, M & m) { s.handle_continue(std::move(m)); },
        "a type in `continues` needs  void handle_continue(M)");
    auto* value = value_of<M>(message);
    if (value == nullptr) return false;
    run([&]() -> decltype(auto) { return state_->handle_continue(std::move(*value)); });
    return true;
  }

  template <class M>
  bool one_info(message& message) {
    static_assert(check_info<S, M>());
    auto* value = value_of<M>(message);
    if (value == nullptr) return false;
    if constexpr (handles_info<S, M>)
      run([&]() -> decltype(auto) { return state_->handle_info(std::move(*value)); });
    return true;
  }
  template <class... Ms>
  bool listed_infos(message& message, messages<Ms...>) {
    return (one_info<Ms>(message) || ...);
  }

  bool info(message& message) {
    if (message.kind == message_kind::continued) {
      if constexpr (requires { typename S::continues; })
        return continued(message, typename S::continues{});
      return false;
    }
    // gen_server ends with its parent, whether or not the state looks at exits.
    if (auto* exit = value_of<exited>(message); exit != nullptr && is_parent_exit(*exit)) {
      stop_self(exit->reason);
      return true;
    }
    if constexpr (requires { typename S::infos; })
      if (listed_infos(message, typename S::infos{})) return true;
    if constexpr (takes_info<S, down>)
      if (one_info<down>(message)) return true;
    if constexpr (takes_info<S, exited>)
      if (one_info<exited>(message)) return true;
    if constexpr (takes_info<S, roost::timeout>)
      if (one_info<roost::timeout>(message)) return true;
    return false;
  }
};

template <class S, class Args>
class server_behavior;

template <class S, class... Args>
class server_behavior<S, std::tuple<Args...>> final : public server_core<S> {
 public:
  static_assert(check_server<S>());

  explicit server_behavior(Args... args) : args_(std::in_place, std::move(args)...) {}

  init_outcome init() override {
    auto outcome = std::apply([this](auto&... args) { return start(std::move(args)...); }, *args_);
    args_.reset();
    return outcome;
  }

 private:
  template <class... As>
  init_outcome start(As&&... args) {
    auto& state = this->state_;
    if constexpr (requires { S::init(std::forward<As>(args)..., init_ref<S>(&state)); }) {
      return take(S::init(std::forward<As>(args)..., init_ref<S>(&state)));
    } else if constexpr (requires { S::init(std::forward<As>(args)...); }) {
      return take(S::init(std::forward<As>(args)...));
    } else {
      // A server that has an init is not started past it.
      constexpr bool has_init = requires { &S::init; };
      constexpr bool initialises = !has_init && requires { S{std::forward<As>(args)...}; };
      static_assert(
          initialises,
          "the server cannot be made from these arguments: give it "
          "`static roost::init_result<S> init(...)` or members to initialise");
      if constexpr (initialises) state.emplace(S{std::forward<As>(args)...});
      return {};
    }
  }

  init_outcome take(init_result<S> result) {
    if (result.state) this->state_.emplace(std::move(*result.state));
    if (result.state) apply_timeout(result.timeout);
    return std::move(result.outcome);
  }

  std::optional<std::tuple<Args...>> args_;
};

}  // namespace detail

/// From a callback, init included: `handle_continue(message)` runs right after it, before anything
/// that waits. The server lists such types: `using continues = roost::messages<load>;`.
template <class M>
void continue_with(M message) {
  detail::continue_soon(
      detail::make_message<M>(detail::message_kind::continued, std::move(message)));
}

// --- starting a server ---------------------------------------------------------------------------

struct start_options {
  process_name name = {};  // registered before init runs; taken → start_error::already_started
  mailbox_options mailbox = {};  // a limit for the messages that wait; none by default
  /// For an init that answers later(ref): it ends with `timeout` when it is not finished by then.
  std::chrono::milliseconds timeout = infinity;
  std::chrono::milliseconds hibernate_after = infinity;  // of silence
  debug_options debug = {};                              // watched from the beginning: see sys.hpp
  process_priority priority = process_priority::normal;
};

/// Why a server did not start.
class start_error : public std::runtime_error {
 public:
  explicit start_error(detail::start_outcome outcome, std::string_view server);
  const exit_reason& reason() const noexcept { return outcome_.reason; }
  /// The present owner of the name; nobody when the reason is another one.
  pid already_started() const noexcept;

 private:
  detail::start_outcome outcome_;
};

namespace detail {

/// What runs an S. Other kinds of servers (gen_statem, agent) say so by a specialization.
template <class S, class... Args>
struct behavior_of { using type = server_behavior<S, std::tuple<Args...>>; };

template <class S, class... Args>
std::unique_ptr<behavior> make_server(Args... args) {
  return std::make_unique<typename behavior_of<S, Args...>::type>(std::move(args)...);
}

pid start_server(
    std::unique_ptr<behavior> behavior, start_options options, attachment attach,
    std::string_view server);
spawned start_monitored(
    std::unique_ptr<behavior> behavior, start_options options, std::string_view server);
start_request request_of(start_options options, attachment attach);

}  // namespace detail

/// Starts a server and links it to the calling process, if there is one. Init has run when this
/// returns. Throws start_error when init stops or throws, or when the name is taken; answers an
/// empty handle when init says ignore().
template <class S, class... Args>
server<S> start_link(start_options options, Args... args) {
  return server<S>(detail::start_server(
      detail::make_server<S>(std::move(args)...), std::move(options), detail::attachment::link,
      detail::type_name<S>()));
}
template <class S, class... Args>
server<S> start_link(Args... args) {
  return start_link<S>(start_options{}, std::move(args)...);
}

/// As start_link, without the link.
template <class S, class... Args>
server<S> start(start_options options, Args... args) {
  return server<S>(detail::start_server(
      detail::make_server<S>(std::move(args)...), std::move(options), detail::attachment::none,
      detail::type_name<S>()));
}
template <class S, class... Args>
server<S> start(Args... args) {
  return start<S>(start_options{}, std::move(args)...);
}

/// A server that its starter watches from the beginning. An empty handle has no reference.
template <class S>
struct monitored_server {
  server<S> handle;
  reference ref;
};

/// As start, and monitors the server: its end comes as a `down` with this reference. A server that
/// does not start sends none.
template <class S, class... Args>
monitored_server<S> start_monitor(start_options options, Args... args) {
  auto [process, ref] = detail::start_monitored(
      detail::make_server<S>(std::move(args)...), std::move(options), detail::type_name<S>());
  return {server<S>(process), ref};
}
template <class S, class... Args>
monitored_server<S> start_monitor(Args... args) {
  return start_monitor<S>(start_options{}, std::move(args)...);
}

// --- stopping a server ---------------------------------------------------------------------------

/// Ends a server with `reason`, after what waits in its mailbox and with terminate(), and answers
/// when it has ended. Fails with `noproc` when it is not there, with its own reason when it ends
/// with another one, and with `timeout`; there is none unless one is given.
pending<void> stop(
    pid process, exit_reason reason = exit_reason::normal,
    std::chrono::milliseconds timeout = infinity);
template <class S>
pending<void> stop(
    const server<S>& server, exit_reason reason = exit_reason::normal,
    std::chrono::milliseconds timeout = infinity) {
  return stop(server.process(), std::move(reason), timeout);
}

}  // namespace roost
