// runtime/agent.hpp
//
// A process that holds a value, for state that several processes share and that needs no protocol
// of its own: functions are sent to the value, one runs at a time.
//
//   using hits = roost::agent<std::map<std::string, int>>;
//
//   auto h = roost::start_link<hits>({.name = "hits"});            // an empty map
//   roost::child<roost::agent<int>>({.name = "next_id"}, 1)         // … supervised, beginning with
//   1 roost::child<roost::agent<table>>({.name = "prices"}, load)     // … with what load() answers
//
//   roost::cast(h, [](auto& hits) { ++hits["/"]; });
//   roost::update(h, [](auto& hits) { hits.clear(); }).then([] { … });
//   roost::get(h, [](const auto& hits) { return hits.size(); }).then([this](std::size_t n) { … });
//   roost::get_and_update(next_id, [](int& id) { return id++; }).get();    // outside a process
//
// The functions run in the agent: keep them short, and capture by value. `get` reads; `update`
// changes the value in place or returns the new one. The default timeout is 5 s.
//
// Errors. A function that throws crashes the agent, and its caller learns the reason, as with any
// call.
//
// Thread safety: as gen_server. Source: Elixir Agent.
#pragma once
#include "runtime/gen_server.hpp"

namespace roost {

/// A server that holds a T: start_link<agent<T>>(…) gives a server<agent<T>>.
template <class T>
struct agent { using messages = roost::messages<>; };

namespace detail {

/// A function on its way to the value; answers the reply to a call.
template <class T>
class agent_job {
 public:
  agent_job() = default;
  agent_job(const agent_job&) = delete;
  agent_job& operator=(const agent_job&) = delete;
  virtual ~agent_job() = default;
  virtual message_ptr run(T& value) = 0;
};

template <class T, class F>
class agent_function final : public agent_job<T> {
 public:
  explicit agent_function(F function) : function_(std::move(function)) {}
  message_ptr run(T& value) override {
    using R = decltype(function_(value));
    if constexpr (std::is_void_v<R>) {
      function_(value);
      return make_message<unit>(message_kind::reply);
    } else {
      return make_message<std::decay_t<R>>(message_kind::reply, function_(value));
    }
  }

 private:
  F function_;
};

template <class T>
struct agent_request { std::unique_ptr<agent_job<T>> job; };

/// The message that runs `function` in the agent.
template <class T, class F>
message_ptr agent_message(message_kind kind, F function) {
  return make_message<agent_request<T>>(
      kind, std::make_unique<agent_function<T, F>>(std::move(function)));
}

template <class R, class T, class F>
pending<R> ask_agent(
    const server<agent<T>>& to, F function, std::chrono::milliseconds timeout,
    std::string_view what) {
  return pending<R>(request{
      to.process(), agent_message<T>(message_kind::call, std::move(function)), timeout, what});
}

/// What `update` makes of its function: a change in place.
template <class T, class F>
auto in_place(F function) {
  return [function = std::move(function)](T& value) mutable {
    if constexpr (std::is_void_v<decltype(function(value))>)
      function(value);
    else
      value = function(value);
  };
}

template <class F, class T>
concept updates = std::invocable<F&, T&> &&
    (std::is_void_v<std::invoke_result_t<F&, T&>> ||
     std::is_assignable_v<T&, std::invoke_result_t<F&, T&>>);

template <class T, class... Args>
class agent_behavior final : public behavior {
 public:
  explicit agent_behavior(Args... args) : args_(std::in_place, std::move(args)...) {}
  std::string_view initial_call() const noexcept override { return "roost::agent"; }
  std::string state_text() const override { return value_ ? to_text(*value_) : std::string(); }

  init_outcome init() override {
    std::apply([this](auto&... args) { begin(std::move(args)...); }, *args_);
    args_.reset();
    return {};
  }

  void handle(message& message) override {
    if (auto* request = value_of<agent_request<T>>(message))
      answer(message, *request->job);
    else if (auto* exit = value_of<exited>(message); exit != nullptr && is_parent_exit(*exit))
      stop_self(exit->reason);
    else
      unexpected(message, initial_call());
  }

 private:
  template <class... As>
  void begin(As&&... args) {
    if constexpr (sizeof...(As) == 1 && (std::invocable<As> && ...)) {
      value_.emplace((std::forward<As>(args)(), ...));
    } else if constexpr (sizeof...(As) == 1 && std::constructible_from<T, As...>) {
      value_.emplace(std::forward<As>(args)...);
    } else {
      static_assert(
          requires { T{std::forward<As>(args)...}; },
          "an agent begins with its value, or with a function that answers it");
      if constexpr (requires { T{std::forward<As>(args)...}; })
        value_.emplace(T{std::forward<As>(args)...});
    }
  }

  void answer(message& message, agent_job<T>& job) {
    auto reply = job.run(*value_);
    if (message.kind == message_kind::call) send_reply(message.from, message.ref, std::move(reply));
  }

  std::optional<T> value_;
  std::optional<std::tuple<Args...>> args_;
};

template <class T, class... Args>
struct behavior_of<agent<T>, Args...> {
  using type = agent_behavior<T, Args...>;
};

}  // namespace detail

/// Answers `function(const T&)`.
template <class T, class F>
auto get(
    const server<agent<T>>& from, F function, std::chrono::milliseconds timeout = call_timeout) {
  static_assert(
      std::invocable<F&, const T&>,
      "get() needs a function that reads the agent's value: [](const T& value) { "
      "return ...; }");
  using R = std::decay_t<std::invoke_result_t<F&, const T&>>;
  return detail::ask_agent<R>(
      from,
      [function = std::move(function)](T& value) mutable -> R {
        return function(std::as_const(value));
      },
      timeout, "agent get");
}

/// Changes the value: `void function(T&)`, or `T function(const T&)` that answers the new one.
template <class T, class F>
pending<void> update(
    const server<agent<T>>& in, F function, std::chrono::milliseconds timeout = call_timeout) {
  static_assert(
      detail::updates<F, T>,
      "update() needs a function that changes the agent's value or returns a new one: "
      "[](T& value) { ... }");
  return detail::ask_agent<void>(
      in, detail::in_place<T>(std::move(function)), timeout, "agent update");
}

/// Changes the value in place and answers what the function returns: `R function(T&)`.
template <class T, class F>
auto get_and_update(
    const server<agent<T>>& in, F function, std::chrono::milliseconds timeout = call_timeout) {
  static_assert(
      std::invocable<F&, T&>,
      "get_and_update() needs a function that changes the agent's value and returns the "
      "answer: [](T& value) { return ...; }");
  using R = std::decay_t<std::invoke_result_t<F&, T&>>;
  return detail::ask_agent<R>(in, std::move(function), timeout, "agent get_and_update");
}

/// As update, without waiting for it.
template <class T, class F>
void cast(const server<agent<T>>& to, F function) {
  static_assert(
      detail::updates<F, T>,
      "cast() to an agent needs a function that changes its value or returns a new one: "
      "[](T& value) { ... }");
  detail::enqueue(
      to.process(), detail::agent_message<T>(
                        detail::message_kind::cast, detail::in_place<T>(std::move(function))));
}

}  // namespace roost
