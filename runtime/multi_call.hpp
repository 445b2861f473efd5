// runtime/multi_call.hpp
//
// One question to the servers of the same name on several nodes, and one message to all of them.
//
//   roost::multi_call({"a@host", "b@host"}, "rooms", rooms::count{}, 1s)
//       .then([this](roost::multi_replies<int> all) {
//         for (auto& [node, count] : all.replies) total += count;
//         report_missing(all.bad_nodes);
//       });
//   roost::abcast({"a@host", "b@host"}, "rooms", rooms::reload{});
//   roost::multi_call<rooms>("rooms", rooms::count{}).get();    // this node and all that it knows
//
// A node is bad when it cannot be reached, when nobody has the name there, or when its server ends
// or does not answer in time. `replies` and `bad_nodes` keep the order of the nodes asked. There is
// no timeout unless one is given. Given the type of the server, as in the last line, it is checked
// that the server lists the message.
//
// Errors. None but those of `.then` and `.get()` at the wrong place: who does not answer is in
// `bad_nodes`. Today only this node answers.
//
// Thread safety: from any process (`.then`) or thread (`.get()`).
// Source: gen_server:multi_call/4, gen_server:abcast/3.
#pragma once
#include "runtime/gen_server.hpp"
#include <future>
#include <vector>

namespace roost {

/// What the servers of one name have answered.
template <class R>
struct multi_replies {
  std::vector<std::pair<std::string, R>> replies;  // by node
  std::vector<std::string> bad_nodes;
};

namespace detail {

/// This node and those that it is connected to.
std::vector<std::string> known_nodes();

/// Throws std::logic_error inside a process.
void require_outside_processes();

/// The answers of one multi_call while they come in. Only its process touches it.
template <class R, class F>
class multi_gathering {
 public:
  multi_gathering(std::vector<std::string> nodes, F on_answers)
      : nodes_(std::move(nodes)),
        values_(nodes_.size()),
        on_answers_(std::move(on_answers)),
        missing_(nodes_.size()) {}

  const std::vector<std::string>& nodes() const noexcept { return nodes_; }

  void arrived(std::size_t from, std::optional<R> value) {
    values_[from] = std::move(value);
    if (--missing_ == 0) finish();
  }

  void finish() {
    multi_replies<R> all;
    for (std::size_t i = 0; i < nodes_.size(); ++i)
      if (values_[i])
        all.replies.emplace_back(std::move(nodes_[i]), std::move(*values_[i]));
      else
        all.bad_nodes.push_back(std::move(nodes_[i]));
    on_answers_(std::move(all));
  }

 private:
  std::vector<std::string> nodes_;
  std::vector<std::optional<R>> values_;
  F on_answers_;
  std::size_t missing_;
};

template <class S, class M>
constexpr bool check_multi_call() {
  if constexpr (!std::is_void_v<S>)
    static_assert(
        S::messages::template contain<M>,
        "this server does not list the message in its `messages`");
  static_assert(
      call_message<M>,
      "this message has no `reply`, so it is a cast: use abcast(), or give it "
      "`using reply = ...`");
  static_assert(
      std::copy_constructible<M>, "a message to several nodes is copied: make it copyable");
  return true;
}

}  // namespace detail

/// Answers that have not come yet. Nothing is sent until one of its functions is called.
template <class M>
class [[nodiscard(
    "say how to take the answers: .then(...) in a process, .get() outside")]] pending_replies {
 public:
  using reply_type = detail::value_or_unit<typename detail::reply_of<M>::type>;
  using answer = multi_replies<reply_type>;

  pending_replies(
      std::vector<std::string> nodes, std::string name, M message,
      std::chrono::milliseconds timeout)
      : nodes_(std::move(nodes)),
        name_(std::move(name)),
        message_(std::move(message)),
        timeout_(timeout) {}

  /// Runs `on_answers(multi_replies<R>)` in this process when every node has answered or is known
  /// to be bad. Other messages are handled meanwhile.
  template <class F>
  void then(F on_answers)&& {
    static_assert(
        std::invocable<F&, answer>,
        "then() needs a function that takes the replies: "
        ".then([](roost::multi_replies<R> all) { ... })");
    using gathering = detail::multi_gathering<reply_type, F>;
    auto all = std::make_shared<gathering>(std::move(nodes_), std::move(on_answers));
    if (all->nodes().empty()) return all->finish();
    auto nodes = all->nodes();
    for (std::size_t i = 0; i < nodes.size(); ++i)
      pending<reply_type>(detail::request{
                              detail::whereis_on(nodes[i], name_),
                              detail::make_message<M>(detail::message_kind::call, message_),
                              timeout_, detail::type_name<M>()})
          .then(
              [all, i](reply_type value) { all->arrived(i, std::move(value)); },
              [all, i](const exit_reason&) { all->arrived(i, std::nullopt); });
  }

  /// Waits for the answers; only outside processes.
  answer get()&& {
    detail::require_outside_processes();
    auto result = std::make_shared<std::promise<answer>>();
    auto answers = result->get_future();
    spawn([result, self = std::move(*this)]() mutable {
      std::move(self).then([result](answer all) { result->set_value(std::move(all)); });
    });
    return answers.get();
  }

 private:
  std::vector<std::string> nodes_;
  std::string name_;
  M message_;
  std::chrono::milliseconds timeout_;
};

/// Asks the server called `name` on each of these nodes.
template <class S = void, class M>
pending_replies<M> multi_call(
    std::vector<std::string> nodes, std::string name, M message,
    std::chrono::milliseconds timeout = infinity) {
  static_assert(detail::check_multi_call<S, M>());
  return {std::move(nodes), std::move(name), std::move(message), timeout};
}

/// … on this node and on every node that it is connected to.
template <class S = void, class M>
pending_replies<M> multi_call(
    std::string name, M message, std::chrono::milliseconds timeout = infinity) {
  return multi_call<S>(detail::known_nodes(), std::move(name), std::move(message), timeout);
}

/// Tells the server called `name` on each of these nodes. Never fails: where nobody has the name,
/// nobody hears it.
template <class S = void, class M>
void abcast(const std::vector<std::string>& nodes, std::string_view name, M message) {
  if constexpr (!std::is_void_v<S>)
    static_assert(
        S::messages::template contain<M>,
        "this server does not list the message in its `messages`");
  static_assert(!call_message<M>, "this message has a `reply`: use multi_call()");
  static_assert(
      std::copy_constructible<M>, "a message to several nodes is copied: make it copyable");
  for (auto& node : nodes)
    if (auto process = detail::whereis_on(node, name))
      detail::enqueue(process, detail::make_message<M>(detail::message_kind::cast, message));
}

/// … on this node and on every node that it is connected to.
template <class S = void, class M>
void abcast(std::string_view name, M message) {
  abcast<S>(detail::known_nodes(), name, std::move(message));
}

}  // namespace roost
