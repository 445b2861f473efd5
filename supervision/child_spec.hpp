// supervision/child_spec.hpp
//
// How a supervisor starts, restarts and stops one child. `child<S>(arguments…)` makes the spec of a
// server, of another supervisor, or of anything that offers a `child_spec` of its own; `with`
// changes what its author chose.
//
//   roost::child<counter>(0)
//   roost::child<counter>({.name = "counter"}, 0)
//   roost::child<roost::pub_sub>({.name = "chat"})
//   roost::with(roost::child<counter>(0), {.restart = roost::transient, .shutdown = 10s})
//   roost::with(roost::child<feed>(url), {.backoff = roost::backoff{.min = 1s, .max = 60s}})
//
// A server states its own defaults with a member
// `static constexpr roost::child_options child_options{.restart = roost::temporary};`
//
// The arguments are copied: a restart needs them again.
//
// Source: OTP supervisor, "Child Specification"; Elixir Supervisor.
#pragma once
#include "runtime/gen_server.hpp"
#include "runtime/shutdown_time.hpp"
#include "supervision/restart_plan.hpp"

namespace roost {

enum class child_type { worker, supervisor };

/// What `with` may change; what is left out stays as it was.
struct child_options {
  std::optional<std::string_view> id = {};
  std::optional<enum restart> restart = {};
  std::optional<shutdown_time> shutdown = {};
  std::optional<bool> significant = {};
  std::optional<struct backoff> backoff = {};
};

struct child_spec {
  /// Starts the child, linked to the calling process. A child that finishes its init later says so,
  /// and calls the function when it has, from its own thread.
  using start_function =
      std::function<detail::start_outcome(std::function<void(detail::start_outcome)>)>;

  std::string id;
  start_function start;
  enum restart restart = permanent;
  shutdown_time shutdown = std::chrono::milliseconds(5000);  // a supervisor: infinity
  bool significant = false;  // only with transient or temporary: see auto_shutdown
  child_type type = child_type::worker;
  std::optional<struct backoff> backoff = {};  // instead of the supervisor's
};

/// Throws std::invalid_argument, with one reason, if no supervisor could use the spec: missing_id,
/// missing_start, invalid_shutdown, invalid_backoff, bad_combination.
void validate(const child_spec& spec);

/// The spec with some of its values changed.
child_spec with(child_spec spec, const child_options& options);

/// What a dynamic supervisor gives to each of its children: see dynamic_supervisor.hpp.
template <class... Ts>
using extra_arguments = std::tuple<Ts...>;

/// Values of any types, for all children of a supervisor.
class argument_list {
 public:
  argument_list() = default;
  template <class... Ts>
  argument_list(extra_arguments<Ts...> values)
      : values_(std::make_shared<const std::tuple<Ts...>>(std::move(values))),
        type_(detail::type_name<std::tuple<Ts...>>()) {}

  std::string_view type() const noexcept { return type_; }  // empty: none were given
  const void* values() const noexcept { return values_.get(); }

 private:
  std::shared_ptr<const void> values_;
  std::string_view type_;
};

namespace detail {

/// The extra arguments of the supervisor that starts a child just now. Throws std::invalid_argument
/// if they are of another type.
const void* find_extra_arguments(std::string_view type);

/// Makes them known while it lives.
class extra_arguments_scope {
 public:
  explicit extra_arguments_scope(const argument_list* arguments) noexcept;
  extra_arguments_scope(const extra_arguments_scope&) = delete;
  extra_arguments_scope& operator=(const extra_arguments_scope&) = delete;
  ~extra_arguments_scope();

 private:
  const argument_list* before_;
};

/// An S from its supervisor's extra arguments, if it wants them, and its own.
template <class S, class... Args>
std::unique_ptr<behavior> make_child(const Args&... args) {
  if constexpr (requires { typename S::extra_arguments; }) {
    using extra = typename S::extra_arguments;
    auto* values = static_cast<const extra*>(find_extra_arguments(type_name<extra>()));
    return std::apply(
        [&](const auto&... first) { return make_server<S>(first..., args...); }, *values);
  } else {
    return make_server<S>(args...);
  }
}

/// Throw std::invalid_argument if no supervisor could work like this.
void check_intensity(int max_restarts, std::chrono::milliseconds max_seconds);
void check_backoff(const backoff& options, std::string_view whose);

/// "chat::counter" → "counter": what people call the child.
std::string short_name(std::string_view type);

/// A pinned child stays on the worker that starts it.
child_spec::start_function starter(
    std::function<std::unique_ptr<behavior>()> make, process_name name, bool pinned = false);
/// … with everything else that a server may be started with.
child_spec::start_function starter(
    std::function<std::unique_ptr<behavior>()> make, start_options options, bool pinned = false);

template <class S, class... Args>
child_spec server_spec(start_options options, Args... args) {
  static_assert(
      (std::copy_constructible<Args> && ...),
      "start arguments are copied, because a restart needs them again: make them "
      "copyable, or pass a shared_ptr");
  child_spec spec{
      .id = options.name.empty() ? short_name(type_name<S>()) : options.name.text(),
      .start = starter([args...] { return make_child<S>(args...); }, options)};
  if constexpr (requires { S::child_options; }) spec = with(std::move(spec), S::child_options);
  return spec;
}

template <class S>
concept has_own_spec = requires(typename S::options options) {
  child_spec{S::child_spec(std::move(options))};
};

/// What lies below this layer cannot name a child_spec: it says how its process is made.
template <class S>
concept makes_its_process = requires(typename S::options options) {
  std::unique_ptr<behavior>{S::make_process(std::move(options))};
};

}  // namespace detail

template <class S>
requires detail::has_own_spec<S> child_spec child(typename S::options options) {
  return S::child_spec(std::move(options));
}

template <class S>
requires detail::makes_its_process<S> child_spec child(typename S::options options) {
  return {
      .id = options.name,
      .start = detail::starter([options] { return S::make_process(options); }, options.name)};
}

template <class S, class... Args>
requires(!detail::has_own_spec<S> && !detail::makes_its_process<S>) child_spec
    child(start_options options, Args... args) {
  return detail::server_spec<S>(std::move(options), std::move(args)...);
}

template <class S, class... Args>
requires(!detail::has_own_spec<S> && !detail::makes_its_process<S>) child_spec child(Args... args) {
  return detail::server_spec<S>(start_options{}, std::move(args)...);
}

}  // namespace roost
