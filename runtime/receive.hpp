// runtime/receive.hpp
//
// A plain process with selective receive: a struct whose functions each handle one message and say
// which messages they want next. Messages that nobody wants stay in the mailbox, in order, for
// later.
//
//   struct fetcher {
//     std::string head = {};
//
//     roost::receiving<fetcher> start() {
//       return roost::receive(&fetcher::on_header).after(5s, &fetcher::on_silence);
//     }
//     roost::receiving<fetcher> on_header(header h) {
//       head = h.text;
//       return roost::receive(&fetcher::on_body);        // a body that came first has waited
//     }
//     roost::receiving<fetcher> on_body(body b) { return roost::finished(); }
//     roost::receiving<fetcher> on_silence() { roost::exit("no header"); }
//   };
//   auto pid = roost::spawn_process<fetcher>();
//
// `.when(predicate, function)` takes only messages that the predicate likes. Clauses are tried in
// order for the oldest message, then for the next, as in Erlang; looking costs time in proportion
// to the messages that wait. `after` counts from the moment that the process begins to wait. DOWN
// and trapped exits are messages like others: `receive(&S::on_down)` with a `roost::down`
// parameter.
//
// Thread safety: the functions of one process never run at the same time.
// Source: Erlang reference manual, Expressions, "Receive".
#pragma once
#include "runtime/gen_server.hpp"
#include <vector>

namespace roost {

struct finished_t {};
/// Ends the process with `normal`.
inline finished_t finished() { return {}; }

template <class S>
class receiving {
 public:
  struct clause {
    std::function<bool(const detail::message&)> wants;
    std::function<receiving(S&, detail::message&)> run;
  };

  receiving(finished_t) : ends(true) {}

  template <class M>
  explicit receiving(receiving (S::*function)(M)) {
    add_any(function);
  }

  /// Also takes an M.
  template <class M>
  receiving&& on(receiving (S::*function)(M)) && {
    add_any(function);
    return std::move(*this);
  }

  /// Also takes an M that the predicate likes.
  template <class F, class M>
  receiving&& when(F predicate, receiving (S::*function)(M)) && {
    add<M>(function, [predicate](const std::remove_cvref_t<M>& value) { return predicate(value); });
    return std::move(*this);
  }

  /// If nothing wanted comes in this time.
  receiving&& after(std::chrono::milliseconds time, receiving (S::*function)()) && {
    limit = time;
    late = [function](S& state) { return (state.*function)(); };
    return std::move(*this);
  }

  std::vector<clause> clauses;
  std::chrono::milliseconds limit{-1};
  std::function<receiving(S&)> late;
  bool ends = false;

  receiving() = default;

 private:
  template <class M>
  void add_any(receiving (S::*function)(M)) {
    add<M>(function, [](const std::remove_cvref_t<M>&) { return true; });
  }

  template <class M, class F>
  void add(receiving (S::*function)(M), F likes) {
    using value_type = std::remove_cvref_t<M>;
    clauses.push_back(
        {[likes](const detail::message& message) {
           auto* value = detail::value_of<value_type>(const_cast<detail::message&>(message));
           return value != nullptr && likes(*value);
         },
         [function](S& state, detail::message& message) {
           return (state.*function)(std::move(*detail::value_of<value_type>(message)));
         }});
  }
};

/// Takes an M next.
template <class S, class M>
receiving<S> receive(receiving<S> (S::*function)(M)) {
  return receiving<S>(function);
}

/// Takes an M that the predicate likes next.
template <class S, class F, class M>
receiving<S> receive_when(F predicate, receiving<S> (S::*function)(M)) {
  return receiving<S>().when(std::move(predicate), function);
}

namespace detail {

/// The receive's own clock; `turn` tells a late one from the present one.
struct receive_expired { std::uint64_t turn; };

template <class S>
class plain_process final : public behavior {
 public:
  explicit plain_process(S state) : state_(std::move(state)) {}

  std::string_view initial_call() const noexcept override { return type_name<S>(); }
  std::string state_text() const override { return to_text(state_); }

  init_outcome init() override {
    receive_selectively();
    return {};
  }

  bool wants(const message& message) const override {
    if (message.kind == message_kind::start) return true;
    if (message.type == &type_of<receive_expired>) return true;
    for (auto& clause : next_.clauses)
      if (clause.wants(message)) return true;
    return false;
  }

  void handle(message& message) override {
    if (message.kind == message_kind::start) return wait_for(state_.start());
    if (auto* expired = value_of<receive_expired>(message)) {
      if (expired->turn == turn_) wait_for(std::exchange(next_, {}).late(state_));
      return;
    }
    for (auto& clause : next_.clauses) {
      if (!clause.wants(message)) continue;
      auto run = std::move(clause.run);  // running replaces the clauses
      return wait_for(run(state_, message));
    }
  }

 private:
  void wait_for(receiving<S> next) {
    ++turn_;
    timer_.cancel();
    next_ = std::move(next);
    if (next_.ends) return stop_self(exit_reason::normal);
    if (next_.limit.count() >= 0) timer_ = send_after(next_.limit, self(), receive_expired{turn_});
  }

  S state_;
  receiving<S> next_;
  timer timer_;
  std::uint64_t turn_ = 0;
};

pid spawn_plain(std::unique_ptr<behavior> behavior, attachment attach);

}  // namespace detail

/// Starts a plain process; its start() runs as its first turn.
template <class S, class... Args>
pid spawn_process(Args... args) {
  return detail::spawn_plain(
      std::make_unique<detail::plain_process<S>>(S{std::move(args)...}), detail::attachment::none);
}
template <class S, class... Args>
pid spawn_process_link(Args... args) {
  return detail::spawn_plain(
      std::make_unique<detail::plain_process<S>>(S{std::move(args)...}), detail::attachment::link);
}

}  // namespace roost
