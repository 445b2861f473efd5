// runtime/telemetry.hpp
//
// Events for metrics, traces and logs: code says what happens, with numbers and context, and
// whoever wants to know attaches a handler. An event that nobody listens to costs a few
// nanoseconds.
//
//   static const roost::telemetry::event joined{"phoenix.channel_joined"};
//   roost::telemetry::execute(joined, {{"duration", took}}, {{"topic", topic}});
//
//   roost::telemetry::attach("my-metrics", "phoenix.channel_joined",
//       [](std::string_view event, const roost::telemetry::values& measurements,
//          const roost::telemetry::values& metadata) {
//         joins.observe(measurements["duration"].integer(), metadata["topic"].text());
//       });
//
//   static const roost::telemetry::span_event request{"my_app.request"};
//   auto answer = roost::telemetry::span(request, {{"path", path}}, [&] { return handle(path); });
//   // my_app.request.start, then my_app.request.stop or my_app.request.exception
//
// Names are Elixir's lists joined by dots: [:phoenix, :channel_joined] is "phoenix.channel_joined".
// Handlers run where the event is executed, in the order of attaching; a process is held up by
// them, so they should count or send, not work. Times are integers, in nanoseconds.
//
// A handler that throws is detached from all its events and logged once, "telemetry handler
// failed"; the event "telemetry.handler.failure" follows, with event_name, handler_id, kind and
// reason. The code that executed the event does not notice.
//
// Values are views: they refer to what the caller has, so a handler copies what it keeps.
// Thread safety: everything may be called from any thread and from handlers.
// Source: Erlang's telemetry 1.x.
#pragma once
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace roost::telemetry {

// --- values --------------------------------------------------------------------------------------

template <class T>
concept integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

namespace detail {
template <class T>
inline constexpr char type_tag{};
}

/// A number, a text, or any object, by reference.
class value {
 public:
  template <std::same_as<bool> T>
  value(T boolean) noexcept : kind_(kind::boolean), boolean_(boolean) {}

  template <integer T>
  value(T number) noexcept
      : kind_(std::signed_integral<T> ? kind::integer : kind::natural),
        integer_(static_cast<std::int64_t>(number)) {}

  template <std::floating_point T>
  value(T number) noexcept : kind_(kind::real), real_(static_cast<double>(number)) {}

  template <class R, class P>
  value(std::chrono::duration<R, P> time)
      : value(static_cast<std::int64_t>(
            std::chrono::duration_cast<std::chrono::nanoseconds>(time).count())) {}

  value(const char* text) noexcept : kind_(kind::text), text_(text != nullptr ? text : "(null)") {}
  value(std::string_view text) noexcept : kind_(kind::text), text_(text) {}
  value(const std::string& text) noexcept : kind_(kind::text), text_(text) {}

  template <class T>
  requires std::is_class_v<T> value(const T& object)
  noexcept : kind_(kind::object), object_{&object, &detail::type_tag<T>} {}

  // What it holds. Anything else throws std::invalid_argument, which detaches the handler.
  std::int64_t integer() const;
  double real() const;  // of integers too
  bool boolean() const;
  std::string_view text() const;

  /// The object, or null when it is of another type.
  template <class T>
  const T* as() const noexcept {
    bool same = kind_ == kind::object && object_.type == &detail::type_tag<T>;
    return same ? static_cast<const T*>(object_.address) : nullptr;
  }

  /// For people. An object reads (object).
  std::string to_string() const;

 private:
  enum class kind : char { text, integer, natural, real, boolean, object };
  struct reference_to {
    const void* address;
    const char* type;
  };

  [[noreturn]] void throw_not(std::string_view wanted) const;

  kind kind_;
  union {
    std::string_view text_;
    std::int64_t integer_;  // of a natural, its bits
    double real_;
    bool boolean_;
    reference_to object_;
  };
};

struct argument {
  std::string_view name;
  telemetry::value value;
};
using arguments = std::initializer_list<argument>;

/// The measurements or the metadata of an event.
class values {
 public:
  values() noexcept = default;
  values(const argument* first, std::size_t size) noexcept : first_(first), size_(size) {}
  values(const std::vector<argument>& list) noexcept : values(list.data(), list.size()) {}

  /// The value, or null.
  const value* find(std::string_view name) const noexcept;

  /// The value. Throws std::out_of_range when there is none with this name.
  const value& operator[](std::string_view name) const;

  const argument* begin() const noexcept { return first_; }
  const argument* end() const noexcept { return first_ + size_; }
  std::size_t size() const noexcept { return size_; }

 private:
  const argument* first_ = nullptr;
  std::size_t size_ = 0;
};

// --- attaching -----------------------------------------------------------------------------------

using handler =
    std::function<void(std::string_view event, const values& measurements, const values& metadata)>;

/// The id of a handler is taken.
class already_exists : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// Runs the handler at every execution of the event, from now on. Throws already_exists.
void attach(std::string_view id, std::string_view event, handler handler);

/// … of any of these events.
void attach_many(std::string_view id, const std::vector<std::string>& events, handler handler);

/// Takes the handler from all its events. Answers whether there was one. When it returns, the
/// handler is not running, unless a handler called detach or it ran for more than 5 s.
bool detach(std::string_view id);

struct handler_info {
  std::string id;
  std::string event;
};

/// The handlers of all events that are or begin with this name: "phoenix" has those of
/// "phoenix.channel_joined".
std::vector<handler_info> list_handlers(std::string_view prefix = {});

// --- executing -----------------------------------------------------------------------------------

namespace detail {

struct handler_list;

/// What all events of one name share. Never freed.
struct event_point {
  std::string name;
  std::atomic<const handler_list*> handlers{nullptr};  // null: none
};

event_point& point_of(std::string_view prefix, std::string_view suffix);
void execute(const event_point& point, const values& measurements, const values& metadata);

}  // namespace detail

/// The name of an event, and whether anybody listens. Make it static: it looks its name up once.
/// The name is not copied before that.
class event {
 public:
  constexpr explicit event(std::string_view name) noexcept : prefix_(name) {}
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  const std::string& name() const { return point().name; }

  /// Whether it has a handler: worth asking before computing what only handlers need.
  bool enabled() const { return point().handlers.load(std::memory_order_relaxed) != nullptr; }

  /// For the library.
  constexpr event(std::string_view prefix, std::string_view suffix) noexcept
      : prefix_(prefix), suffix_(suffix) {}
  const detail::event_point& point() const {
    auto* known = point_.load(std::memory_order_acquire);
    return known != nullptr ? *known : find_point();
  }

 private:
  const detail::event_point& find_point() const;

  std::string_view prefix_;
  std::string_view suffix_;
  mutable std::atomic<const detail::event_point*> point_{nullptr};
};

inline void execute(const event& event, arguments measurements, arguments metadata = {}) {
  if (event.enabled()) [[unlikely]]
    detail::execute(
        event.point(), values(measurements.begin(), measurements.size()),
        values(metadata.begin(), metadata.size()));
}

/// … with lists that are put together while the program runs.
inline void execute(const event& event, const values& measurements, const values& metadata) {
  if (event.enabled()) [[unlikely]]
    detail::execute(event.point(), measurements, metadata);
}

/// By name: for names that are not known before. Takes a lock.
void execute(std::string_view event, arguments measurements, arguments metadata = {});

// --- spans ---------------------------------------------------------------------------------------

/// The three events of a span: prefix.start, prefix.stop and prefix.exception.
class span_event {
 public:
  constexpr explicit span_event(std::string_view prefix) noexcept
      : start(prefix, ".start"), stop(prefix, ".stop"), exception(prefix, ".exception") {}

  bool enabled() const { return start.enabled() || stop.enabled() || exception.enabled(); }

  event start;
  event stop;
  event exception;
};

/// What a span has learned on its way, for its stop event.
class outcome {
 public:
  void measure(std::string_view name, std::int64_t number) { add(measurements_, name, number); }
  void measure(std::string_view name, double number) { add(measurements_, name, number); }
  void note(std::string_view name, std::string text);
  template <class T>
  requires std::is_arithmetic_v<T>
  void note(std::string_view name, T number) { add(metadata_, name, number); }

 private:
  friend class running_span;
  struct owned {
    std::string name;
    std::string text;
    telemetry::value value;
  };
  void add(std::vector<owned>& to, std::string_view name, telemetry::value value);

  std::vector<owned> measurements_;
  std::vector<owned> metadata_;
};

/// A span that has started. For the library; write span(…).
class running_span {
 public:
  running_span(const span_event& event, const values& metadata);
  void stop(const outcome& outcome = {});
  void failed();  // in a catch clause

 private:
  std::vector<argument> context() const;

  const span_event& event_;
  values metadata_;
  std::uint64_t context_;
  std::chrono::steady_clock::time_point begin_;
};

/// Runs the function and answers its result. Executes start before (monotonic_time, system_time),
/// and stop or exception after it (duration, monotonic_time); exception has kind and reason besides
/// the metadata, and the exception goes on. All three carry telemetry_span_context, a number that
/// tells one span from another. The function may take an `outcome&` to add to the stop event.
template <class F>
auto span(const span_event& event, arguments metadata, F function) {
  constexpr bool adds = std::invocable<F&, outcome&>;
  static_assert(
      adds || std::invocable<F&>, "span runs a function of () or of (roost::telemetry::outcome&)");
  outcome found;
  auto run = [&]() -> decltype(auto) {
    if constexpr (adds)
      return function(found);
    else
      return function();
  };
  if (!event.enabled()) return run();
  running_span span{event, values(metadata.begin(), metadata.size())};
  try {
    if constexpr (std::is_void_v<decltype(run())>) {
      run();
      span.stop(found);
    } else {
      auto result = run();
      span.stop(found);
      return result;
    }
  } catch (...) {
    span.failed();
    throw;
  }
}

}  // namespace roost::telemetry
