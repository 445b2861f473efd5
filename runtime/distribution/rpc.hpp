// runtime/distribution/rpc.hpp
//
// Functions that other nodes may call by name. What a node does not offer cannot be called.
//
//   roost::rpc::offer("math.add", [](int a, int b) { return a + b; });        // on b@host
//
//   roost::rpc::call<int>("b@host", "math.add", 1, 2).then([](int sum) { … });
//   roost::rpc::call<int>({.node = "b@host", .timeout = 1s}, "math.add", 1, 2).get();
//   roost::rpc::cast("b@host", "log.rotate");
//   roost::rpc::multi_call<int>({"a@host", "b@host"}, "math.add", 1, 2)
//       .then([](roost::rpc::answers<int> all) { all.replies; all.failures; });
//   roost::node::spawn("b@host", "import.run", file)                          // → pending<pid>
//
// Each call runs in a process of its own on the other node, so a function may crash, or take its
// time in `.then` and blocking(…) — what it returns is sent at once, though. Arguments are encoded
// as messages are: a function takes values, not references into the caller.
//
// Errors. A call fails with the reason of the remote process: {error, type, what, where} when it
// threw, `undef` when the node offers no such function, `badarg` when the arguments do not fit,
// `noconnection` when the node cannot be reached or is lost, `timeout`. There is no timeout unless
// one is given. After noconnection and timeout it is unknown whether the function has run.
//
// Thread safety: any process or thread. Source: OTP erpc.
#pragma once
#include "runtime/distribution/node.hpp"
#include <functional>
#include <future>

namespace roost {

namespace rpc {

/// Where to call, and how long to wait.
struct target {
  target(std::string node) : node(std::move(node)) {}
  target(const char* node) : node(node) {}
  target(std::string node, std::chrono::milliseconds timeout)
      : node(std::move(node)), timeout(timeout) {}

  std::string node;
  std::chrono::milliseconds timeout = infinity;
};

/// The outcome of a multi_call, in the order of the nodes.
template <class R>
struct answers {
  std::vector<std::pair<std::string, R>> replies;
  std::vector<std::pair<std::string, exit_reason>> failures;
};

}  // namespace rpc

namespace detail {

/// A function behind its name: reads its arguments, answers the reply.
using rpc_function = std::function<message_ptr(wire_reader&)>;
/// `arguments`: the shape of its arguments, a tuple; null when a shell cannot make them.
void offer_function(std::string name, rpc_function function, const shape* arguments = nullptr);

struct offered_function {
  std::string name;
  const shape* arguments;
};
std::vector<offered_function> offered_functions();

struct rpc_request {
  using reply = unit;  // what comes is what the function returns
  std::string function;
  std::string arguments;
};
struct rpc_cast {
  std::string function;
  std::string arguments;
};
struct rpc_spawn {
  using reply = pid;
  std::string function;
  std::string arguments;
};

pid start_rex();
pid rex_on(const std::string& node);

template <class... Args>
std::string encode_arguments(const Args&... args) {
  static_assert(
      (is_encodable<Args> && ...),
      "the arguments of a remote function are values that can be encoded: numbers, texts, "
      "containers, pids, structs of such");
  wire_buffer bytes;
  wire_writer out{bytes};
  encode(out, std::tuple<const Args&...>(args...));
  return std::string(bytes.view());
}

template <class F>
struct function_traits : function_traits<decltype(&F::operator())> {};
template <class R, class... Args>
struct function_traits<R (*)(Args...)> {
  using result = R;
  using arguments = std::tuple<std::decay_t<Args>...>;
};
template <class R, class C, class... Args>
struct function_traits<R (C::*)(Args...) const> : function_traits<R (*)(Args...)> {};
template <class R, class C, class... Args>
struct function_traits<R (C::*)(Args...)> : function_traits<R (*)(Args...)> {};

/// Texts of any kind travel as std::string.
template <class T>
decltype(auto) as_value(const T& value) {
  if constexpr (std::convertible_to<const T&, std::string_view> && !std::same_as<T, std::string>)
    return std::string(std::string_view(value));
  else
    return (value);
}

}  // namespace detail

namespace rpc {

/// Lets other nodes (and this one) call the function by name. A second function of the same name
/// takes the place of the first.
template <class F>
void offer(std::string name, F function) {
  using traits = detail::function_traits<std::decay_t<F>>;
  using R = typename traits::result;
  using V = detail::value_or_unit<R>;
  static_assert(
      detail::is_encodable<V>, "what a remote function returns is a value that can be encoded");
  detail::offer_function(
      std::move(name),
      [function = std::move(function)](detail::wire_reader& in) {
        typename traits::arguments arguments;
        detail::decode(in, arguments);
        if constexpr (std::is_void_v<R>) {
          std::apply(function, std::move(arguments));
          return detail::message_ptr(detail::make_message<V>(detail::message_kind::reply));
        } else {
          return detail::message_ptr(detail::make_message<V>(
              detail::message_kind::reply, std::apply(function, std::move(arguments))));
        }
      },
      detail::find_shape<typename traits::arguments>());
}

/// No longer offers it.
void withdraw(std::string_view name);

/// Calls a function that returns R.
template <class R, class... Args>
pending<R> call(target where, std::string function, const Args&... args) {
  return pending<R>(detail::request{
      detail::rex_on(where.node),
      detail::make_message<detail::rpc_request>(
          detail::message_kind::call, std::move(function),
          detail::encode_arguments(detail::as_value(args)...)),
      where.timeout, "rpc"});
}

/// Calls a function and does not wait for it.
template <class... Args>
void cast(const std::string& node, std::string function, const Args&... args) {
  detail::enqueue(
      detail::rex_on(node), detail::make_message<detail::rpc_cast>(
                                detail::message_kind::cast, std::move(function),
                                detail::encode_arguments(detail::as_value(args)...)));
}

/// Answers that have not come yet. Nothing is sent until one of its functions is called.
template <class R>
class [[nodiscard(
    "say how to take the answers: .then(...) in a process, .get() outside")]] pending_answers {
 public:
  using value = detail::value_or_unit<R>;

  pending_answers(
      std::vector<std::string> nodes, std::string function, std::string arguments,
      std::chrono::milliseconds timeout)
      : nodes_(std::move(nodes)),
        function_(std::move(function)),
        arguments_(std::move(arguments)),
        timeout_(timeout) {}

  /// Runs `on_answers(answers<R>)` in this process when every node has answered or failed.
  template <class F>
  void then(F on_answers)&& {
    struct gathering {
      std::vector<std::string> nodes;
      std::vector<std::variant<std::monostate, value, exit_reason>> outcomes;
      std::size_t missing = 0;
      F on_answers;
      void arrived(std::size_t index, std::variant<std::monostate, value, exit_reason> outcome) {
        outcomes[index] = std::move(outcome);
        if (--missing == 0) finish();
      }
      void finish() {
        answers<value> all;
        for (std::size_t i = 0; i < nodes.size(); ++i)
          if (auto* reply = std::get_if<1>(&outcomes[i]))
            all.replies.emplace_back(nodes[i], std::move(*reply));
          else
            all.failures.emplace_back(nodes[i], std::get<2>(std::move(outcomes[i])));
        on_answers(std::move(all));
      }
    };
    auto count = nodes_.size();
    auto all = std::make_shared<gathering>(gathering{
        nodes_, std::vector<std::variant<std::monostate, value, exit_reason>>(count), count,
        std::move(on_answers)});
    if (count == 0) return all->finish();
    for (std::size_t i = 0; i < count; ++i)
      pending<value>(detail::request{
                         detail::rex_on(nodes_[i]),
                         detail::make_message<detail::rpc_request>(
                             detail::message_kind::call, function_, arguments_),
                         timeout_, "rpc"})
          .then(
              [all, i](value reply) {
                all->arrived(
                    i, std::variant<std::monostate, value, exit_reason>(
                           std::in_place_index<1>, std::move(reply)));
              },
              [all, i](const exit_reason& reason) {
                all->arrived(
                    i, std::variant<std::monostate, value, exit_reason>(
                           std::in_place_index<2>, reason));
              });
  }

  /// Waits for the answers; only outside processes.
  answers<value> get()&& {
    if (inside_process())
      throw std::logic_error(
          "expected .get() to be called outside processes, got a process, where it would stall "
          "others: use .then(…)");
    auto result = std::make_shared<std::promise<answers<value>>>();
    auto answer = result->get_future();
    spawn([result, self = std::move(*this)]() mutable {
      std::move(self).then([result](answers<value> all) { result->set_value(std::move(all)); });
    });
    return answer.get();
  }

 private:
  std::vector<std::string> nodes_;
  std::string function_;
  std::string arguments_;
  std::chrono::milliseconds timeout_;
};

/// Calls a function on several nodes at the same time; each has the whole time.
template <class R, class... Args>
pending_answers<R> multi_call(
    std::vector<std::string> nodes, std::string function, const Args&... args) {
  return {
      std::move(nodes), std::move(function), detail::encode_arguments(detail::as_value(args)...),
      infinity};
}
template <class R, class... Args>
pending_answers<R> multi_call(
    std::vector<std::string> nodes, std::chrono::milliseconds timeout, std::string function,
    const Args&... args) {
  return {
      std::move(nodes), std::move(function), detail::encode_arguments(detail::as_value(args)...),
      timeout};
}

}  // namespace rpc

namespace node {

/// Runs an offered function in a new process of a node, and answers its pid: link or monitor it as
/// any other. Source: erlang:spawn/4.
template <class... Args>
pending<pid> spawn(std::string node, std::string function, const Args&... args) {
  return pending<pid>(detail::request{
      detail::rex_on(node),
      detail::make_message<detail::rpc_spawn>(
          detail::message_kind::call, std::move(function),
          detail::encode_arguments(detail::as_value(args)...)),
      infinity, "spawn"});
}

}  // namespace node
}  // namespace roost
