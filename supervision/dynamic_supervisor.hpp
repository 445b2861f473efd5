// supervision/dynamic_supervisor.hpp
//
// A supervisor for children that come and go while the program runs: it begins with none, starts
// them on demand, restarts each on its own, and stops all of them at the same time. A hundred
// thousand are no problem: starting, restarting and stopping one costs the same however many there
// are.
//
//   roost::child<roost::dynamic_supervisor>({.name = "rooms", .max_children = 10'000})
//
//   roost::dynamic_supervisor rooms{"rooms"};                    // a handle: a name, a via name or
//   a pid rooms.start_child<room>({.name = "lobby"}, topic)            // quicker than a spec
//       .then([](roost::child_result started) { … });             // in a process
//   auto started = rooms.start_child(roost::child<room>(topic)).get();   // in a thread
//   rooms.terminate_child(started.process()).then(…);
//
// What all children need may be given to their supervisor, as extra_arguments. A server that wants
// them says of which types they are, and its init takes them before its own arguments:
//
//   struct room {
//     using extra_arguments = roost::extra_arguments<database>;
//     static roost::init_result<room> init(database db, std::string topic);
//     …
//   };
//   roost::child<roost::dynamic_supervisor>(
//       {.name = "rooms", .extra_arguments = roost::extra_arguments<database>{db}})
//
// Children have no ids: that of a spec is ignored. Their `significant` must be false. A child that
// ends and does not come back is forgotten; so is one that is terminated.
//
// Errors. What cannot be done is an answer (child_result): max_children, already_started for a name
// that is taken, start_failed, not_found. A spec or options that cannot work throw
// std::invalid_argument.
//
// Thread safety: call from any process (`.then`) or thread (`.get()`).
// Source: Elixir DynamicSupervisor; OTP supervisor, simple_one_for_one.
#pragma once
#include "supervision/child_result.hpp"

namespace roost {

namespace detail {

/// Makes one child, and makes it again if it is to come back.
class child_maker {
 public:
  child_maker() = default;
  child_maker(const child_maker&) = delete;
  child_maker& operator=(const child_maker&) = delete;
  virtual ~child_maker() = default;

  /// Starts it, linked to the calling process; may throw.
  virtual start_outcome start(std::function<void(start_outcome)> on_started) = 0;
};

start_outcome start_linked(
    std::unique_ptr<behavior> behavior, const process_name& name,
    std::function<void(start_outcome)> on_started);

template <class S, class... Args>
class server_maker : public child_maker {
 public:
  explicit server_maker(Args... args) : args_(std::move(args)...) {}

  start_outcome start(std::function<void(start_outcome)> on_started) override {
    return start_as({}, std::move(on_started));
  }

 protected:
  start_outcome start_as(const process_name& name, std::function<void(start_outcome)> on_started) {
    auto make = [](const Args&... args) { return make_child<S>(args...); };
    return start_linked(std::apply(make, args_), name, std::move(on_started));
  }

 private:
  std::tuple<Args...> args_;
};

template <class S, class... Args>
class named_server_maker final : public server_maker<S, Args...> {
 public:
  explicit named_server_maker(process_name name, Args... args)
      : server_maker<S, Args...>(std::move(args)...), name_(std::move(name)) {}

  start_outcome start(std::function<void(start_outcome)> on_started) override {
    return this->start_as(name_, std::move(on_started));
  }

 private:
  process_name name_;
};

/// What a dynamic supervisor has to know of a child.
struct child_request {
  std::unique_ptr<child_maker> maker;
  shutdown_time shutdown = std::chrono::milliseconds(5000);
  enum restart restart = permanent;
  child_type type = child_type::worker;
  std::unique_ptr<struct backoff> backoff = {};  // instead of the supervisor's
};

template <class S>
void apply_options(child_request& request) {
  if constexpr (requires { S::child_options; }) {
    const roost::child_options& options = S::child_options;
    if (options.restart) request.restart = *options.restart;
    if (options.shutdown) request.shutdown = *options.shutdown;
    if (options.backoff) request.backoff = std::make_unique<struct backoff>(*options.backoff);
  }
}

}  // namespace detail

class dynamic_supervisor {
 public:
  static constexpr std::size_t no_limit = static_cast<std::size_t>(-1);

  struct options {
    std::string name = {};                // registered name
    std::size_t max_children = no_limit;  // those that are being restarted included
    int max_restarts = 3;
    std::chrono::milliseconds max_seconds{5000};
    std::optional<struct backoff> backoff = {};  // a pause before each restart; none, as in OTP
    argument_list extra_arguments = {};          // see above
  };
  static roost::child_spec child_spec(options options);

  /// Starts one that is linked to the caller.
  static pid start_link(options options);

  explicit dynamic_supervisor(pid process) : process_(process) {}
  explicit dynamic_supervisor(process_name name) : name_(std::move(name)) {}

  /// Nobody, if the name is not registered.
  pid process() const noexcept { return name_.empty() ? process_ : name_.process(); }

  /// Starts a child; {ok, undefined} and nothing is kept if its init says ignore().
  pending<child_result> start_child(roost::child_spec spec) const;

  /// Starts an S, as child<S>(options, args…) would.
  template <class S, class... Args>
  pending<child_result> start_child(start_options options, Args... args) const {
    check_server<S, Args...>();
    if (options.name.empty()) return start_child<S>(std::move(args)...);
    detail::child_request request{std::make_unique<detail::named_server_maker<S, Args...>>(
        std::move(options.name), std::move(args)...)};
    detail::apply_options<S>(request);
    return start(std::move(request));
  }
  template <class S, class... Args>
  pending<child_result> start_child(Args... args) const {
    check_server<S, Args...>();
    detail::child_request request{
        std::make_unique<detail::server_maker<S, Args...>>(std::move(args)...)};
    detail::apply_options<S>(request);
    return start(std::move(request));
  }

  /// Stops a child as its `shutdown` says, or gives up its restart. not_found.
  pending<child_result> terminate_child(pid child) const;

  /// In no particular order.
  pending<std::vector<child_info>> which_children() const;
  pending<child_counts> count_children() const;

 private:
  template <class S, class... Args>
  static constexpr void check_server() {
    static_assert(
        (std::copy_constructible<Args> && ...),
        "start arguments are copied, because a restart needs them again: make them "
        "copyable, or pass a shared_ptr");
    static_assert(
        requires { typename S::messages; },
        "start_child<S> is for servers: for a supervisor and others, write "
        "start_child(roost::child<S>({…}))");
  }
  pending<child_result> start(detail::child_request request) const;

  pid process_;
  process_name name_;
};

}  // namespace roost
