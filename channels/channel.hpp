// channels/channel.hpp
//
// A channel: one client's conversation about one topic, in a process of its own. Write a plain
// struct; its members are the state, one line lists the events that clients may send, and each
// event has its overload.
//
//   struct room_channel {
//     using events     = roost::events<"new_msg", "ping">;   // from the client
//     using intercepts = roost::events<"new_msg">;           // broadcasts that handle_out rewrites
//
//     std::string room_id;
//
//     roost::join_result join(std::string_view topic, const roost::payload& params,
//                             roost::socket& socket) {
//       if (!params.contains("token")) return roost::error({{"reason", "unauthorized"}});
//       room_id = topic.substr(5);
//       return roost::ok();
//     }
//     roost::in_result handle_in(roost::event<"new_msg">, const roost::payload& message,
//                                roost::socket& socket) {
//       roost::broadcast(socket, "new_msg", message);
//       return roost::noreply();
//     }
//     roost::in_result handle_in(roost::event<"ping">, const roost::payload& message,
//                                roost::socket&) {
//       return roost::ok(message);
//     }
//     roost::out_result handle_out(roost::event<"new_msg">, const roost::payload& message,
//                                  roost::socket& socket) {
//       roost::push(socket, "new_msg", message);
//       return roost::noreply();
//     }
//   };
//
// Only join is required. The rest is found by name:
//   in_result handle_in(std::string_view event, const payload&, socket&)   events not in the list
//   out_result handle_info(M, socket&)      for M of `using infos = messages<…>`, and for down,
//                                           exited, timeout and broadcast_message
//   void terminate(const exit_reason&, socket&)
//
// Answering later. `auto ref = roost::ref(socket);` names the event that is being handled; return
// noreply() and call `roost::reply(ref, roost::ok(…))` from any process. In join, return
// `roost::later(ref)` and answer with ok or error the same way: other topics go on meanwhile, and
// messages for this one wait. The channel hears broadcasts from the moment its join is accepted;
// what was broadcast while the answer was on its way is not repeated, as in Phoenix.
//
// Errors. A handler that throws, and an event that nobody handles, crash the channel: the client
// gets phx_error and joins again; the socket and its other channels go on. A join that throws is
// answered with {"reason": "join crashed"}.
//
// Thread safety: handlers of one channel never run at the same time. `socket` is for its handlers
// only; `socket_ref` and `broadcast` are for everyone.
// Source: Phoenix.Channel.
#pragma once
#include "channels/pub_sub.hpp"
#include "channels/topic_router.hpp"

namespace roost {

// --- names of events -----------------------------------------------------------------------------

template <std::size_t N>
struct fixed_string {
  char text[N];
  consteval fixed_string(const char (&from)[N]) {
    for (std::size_t i = 0; i < N; ++i) text[i] = from[i];
  }
  constexpr std::string_view view() const { return {text, N - 1}; }
};

template <fixed_string Name>
struct event { static constexpr std::string_view name = Name.view(); };

template <fixed_string... Names>
struct events {};

// --- what handlers answer ------------------------------------------------------------------------

/// A reply with its status, which is "ok" or "error" for phoenix.js, or any other word.
struct reply_with {
  std::string status;
  roost::payload payload;
};
struct ok_reply : reply_with {};
struct error_reply : reply_with {};

inline ok_reply ok(payload response = {}) { return {{"ok", std::move(response)}}; }
inline error_reply error(payload response) { return {{"error", std::move(response)}}; }
inline reply_with reply(std::string status, payload response = {}) {
  return {std::move(status), std::move(response)};
}

class socket;

/// A client's event that can be answered once, later, from any process.
struct socket_ref {
  pid channel;
  std::string ref;  // JSON text, as it came
};

struct joining_later {};
/// From join: the answer comes through `ref`.
inline joining_later later(const socket_ref&) { return {}; }

/// What join may answer: ok(reply), error(reason), later(ref).
class join_result {
 public:
  join_result(ok_reply reply) : reply(std::move(reply)), accepted(true) {}
  join_result(error_reply reply) : reply(std::move(reply)) {}
  join_result(joining_later) : later(true) {}

  reply_with reply;
  bool accepted = false;
  bool later = false;
};

/// What handle_in may answer: ok, error or reply(status, …), noreply(), stop(reason),
/// stop(reason, reply).
class in_result {
 public:
  in_result(reply_with now) : reply(std::move(now)) {}
  in_result(noreply wait) : timeout(wait.timeout) {}
  in_result(stopping<> stopping) : stop(std::move(stopping.reason)) {}
  template <std::derived_from<reply_with> R>
  in_result(stopping<R> stopping)
      : reply(std::move(stopping.last)), stop(std::move(stopping.reason)) {}

  std::optional<reply_with> reply;
  std::optional<exit_reason> stop;
  std::chrono::milliseconds timeout{-1};
};

/// What handle_out and handle_info may answer: noreply(), stop(reason).
class out_result {
 public:
  out_result(noreply wait) : timeout(wait.timeout) {}
  out_result(stopping<> stopping) : stop(std::move(stopping.reason)) {}

  std::optional<exit_reason> stop;
  std::chrono::milliseconds timeout{-1};
};

// --- the socket, as a channel sees it
// --------------------------------------------------------------

/// The connection that a channel belongs to. Lives as long as the channel.
class socket {
 public:
  std::string_view topic() const noexcept;

  /// The state that `connect` made, shared by all channels of the connection. Throws
  /// std::logic_error if it is of another type.
  template <class S>
  const S& assigns() const {
    return *static_cast<const S*>(checked_assigns(detail::type_name<S>()));
  }

  explicit socket(detail::channel_process& channel) noexcept : channel_(&channel) {}

 private:
  friend class detail::channel_process;
  friend void push(socket&, std::string_view, const payload&);
  friend void broadcast(socket&, std::string_view, const payload&);
  friend void broadcast_from(socket&, std::string_view, const payload&);
  friend socket_ref ref(const socket&);

  const void* checked_assigns(std::string_view type) const;

  detail::channel_process* channel_;
};

/// Sends an event to this client only. Not in join: the client does not know the channel yet.
void push(socket& socket, std::string_view event, const payload& payload);

/// Sends an event to everyone on this channel's topic, this client included. The payload must be a
/// JSON object or binary; anything else throws std::invalid_argument.
void broadcast(socket& socket, std::string_view event, const payload& payload);

/// … except this client.
void broadcast_from(socket& socket, std::string_view event, const payload& payload);

/// The event (or the join) that is being handled, to be answered later.
socket_ref ref(const socket& socket);

/// Answers it, from any process or thread.
void reply(const socket_ref& ref, reply_with reply);

// --- from a struct to a channel
// --------------------------------------------------------------------

namespace detail {

struct channel_state;  // what the runtime keeps for a channel

/// The process of a channel; the typed part is in channel_of below.
class channel_process : public behavior {
 public:
  channel_process();
  ~channel_process() override;

  init_outcome init() final;
  void handle(message& message) final;
  void terminate(const exit_reason& reason) final;

  virtual bool intercepts_some() const noexcept = 0;
  virtual bool intercepts(std::string_view event) const noexcept = 0;
  channel_state& state() noexcept { return *state_; }
  socket& handle_to_socket() noexcept { return socket_; }

 protected:
  virtual join_result join(std::string_view topic, const payload& params) = 0;
  /// Nothing: the channel has no handler for it.
  virtual std::optional<in_result> handle_in(std::string_view event, const payload& payload) = 0;
  virtual std::optional<out_result> handle_out(std::string_view event, const payload& payload) = 0;
  virtual std::optional<out_result> handle_info(message& message) = 0;
  virtual void handle_terminate(const exit_reason& reason) = 0;

  socket socket_{*this};

 private:
  std::unique_ptr<channel_state> state_;
};

template <class C, class E>
concept takes_in = requires(C& c, E e, const payload& p, socket& s) {
  c.handle_in(e, p, s);
};
template <class C, class E>
concept handles_in = requires(C& c, E e, const payload& p, socket& s) {
  { c.handle_in(e, p, s) } -> std::convertible_to<in_result>;
};
template <class C, class E>
concept handles_out = requires(C& c, E e, const payload& p, socket& s) {
  { c.handle_out(e, p, s) } -> std::convertible_to<out_result>;
};
template <class A>
concept answers_info = std::is_void_v<A> || std::convertible_to<A, out_result>;
template <class C, class M>
concept takes_channel_info = requires(C& c, M& m, socket& s) {
  c.handle_info(std::move(m), s);
};
template <class C, class M>
concept handles_channel_info = requires(C& c, M& m, socket& s) {
  { c.handle_info(std::move(m), s) } -> answers_info;
};
template <class C>
concept joins = requires(C& c, std::string_view topic, const payload& p, socket& s) {
  { c.join(topic, p, s) } -> std::convertible_to<join_result>;
};

template <class C>
constexpr bool check_channel() {
  static_assert(
      std::default_initializable<C>,
      "a channel begins without arguments: give its members defaults, join sets them");
  static_assert(
      joins<C>,
      "a channel needs  roost::join_result join(std::string_view topic, const "
      "roost::payload& params, roost::socket&)");
  if constexpr (takes_in<C, std::string_view>)
    static_assert(
        handles_in<C, std::string_view>,
        "handle_in for all other events is  in_result handle_in(std::string_view event, "
        "const roost::payload&, roost::socket&)");
  if constexpr (requires { &C::terminate; })
    static_assert(
        requires(C & c, const exit_reason& r, socket& s) { c.terminate(r, s); },
        "terminate is  void terminate(const roost::exit_reason&, roost::socket&)");
  return true;
}

template <class C>
class channel_of final : public channel_process {
 public:
  static_assert(check_channel<C>());

  std::string_view initial_call() const noexcept override { return type_name<C>(); }

  bool intercepts_some() const noexcept override {
    return requires { typename C::intercepts; };
  }
  bool intercepts(std::string_view event) const noexcept override {
    if constexpr (requires { typename C::intercepts; })
      return listed(event, typename C::intercepts{});
    else
      return false;
  }

 protected:
  join_result join(std::string_view topic, const payload& params) override {
    if constexpr (joins<C>)
      return channel_.join(topic, params, socket_);
    else
      return joining_later{};  // does not compile: see check_channel
  }

  std::optional<in_result> handle_in(std::string_view event, const payload& payload) override {
    std::optional<in_result> result;
    if constexpr (requires { typename C::events; })
      if (in(event, payload, result, typename C::events{})) return result;
    if constexpr (handles_in<C, std::string_view>)
      result.emplace(channel_.handle_in(event, payload, socket_));
    return result;
  }

  std::optional<out_result> handle_out(std::string_view event, const payload& payload) override {
    std::optional<out_result> result;
    if constexpr (requires { typename C::intercepts; })
      out(event, payload, result, typename C::intercepts{});
    return result;
  }

  std::optional<out_result> handle_info(message& message) override {
    std::optional<out_result> result;
    if constexpr (requires { typename C::infos; })
      if (infos(message, result, typename C::infos{})) return result;
    (void)(optional_info<down>(message, result) || optional_info<exited>(message, result) || optional_info<timeout>(message, result) || optional_info<broadcast_message>(message, result));
    return result;
  }

  void handle_terminate(const exit_reason& reason) override {
    if constexpr (requires(C & c, socket & s) { c.terminate(reason, s); })
      channel_.terminate(reason, socket_);
  }

 private:
  template <fixed_string... Names>
  static bool listed(std::string_view name, events<Names...>) noexcept {
    return ((name == event<Names>::name) || ...);
  }

  template <class E>
  bool in_one(std::string_view name, const payload& payload, std::optional<in_result>& result) {
    static_assert(
        handles_in<C, E>,
        "the channel lists this event but has no  in_result handle_in(roost::event<...>, "
        "const roost::payload&, roost::socket&)  for it");
    if (name != E::name) return false;
    if constexpr (handles_in<C, E>) result.emplace(channel_.handle_in(E{}, payload, socket_));
    return true;
  }
  template <fixed_string... Names>
  bool in(
      std::string_view name, const payload& payload, std::optional<in_result>& result,
      events<Names...>) {
    return (in_one<event<Names>>(name, payload, result) || ...);
  }

  template <class E>
  bool out_one(std::string_view name, const payload& payload, std::optional<out_result>& result) {
    static_assert(
        handles_out<C, E>,
        "the channel intercepts this event but has no  out_result "
        "handle_out(roost::event<...>, const roost::payload&, roost::socket&)  for it");
    if (name != E::name) return false;
    if constexpr (handles_out<C, E>) result.emplace(channel_.handle_out(E{}, payload, socket_));
    return true;
  }
  template <fixed_string... Names>
  bool out(
      std::string_view name, const payload& payload, std::optional<out_result>& result,
      events<Names...>) {
    return (out_one<event<Names>>(name, payload, result) || ...);
  }

  template <class M>
  bool info(message& message, std::optional<out_result>& result) {
    static_assert(
        handles_channel_info<C, M>,
        "a message in `infos` needs  out_result handle_info(M, roost::socket&)  (or "
        "void), as do down, exited, timeout and broadcast_message");
    auto* value = value_of<M>(message);
    if (value == nullptr) return false;
    if constexpr (handles_channel_info<C, M>) {
      if constexpr (std::is_void_v<decltype(channel_.handle_info(std::move(*value), socket_))>) {
        channel_.handle_info(std::move(*value), socket_);
        result.emplace(noreply());
      } else {
        result.emplace(channel_.handle_info(std::move(*value), socket_));
      }
    }
    return true;
  }
  template <class M>
  bool optional_info(message& message, std::optional<out_result>& result) {
    if constexpr (takes_channel_info<C, M>)
      return info<M>(message, result);
    else
      return false;
  }
  template <class... Ms>
  bool infos(message& message, std::optional<out_result>& result, messages<Ms...>) {
    return (info<Ms>(message, result) || ...);
  }

  C channel_{};
};

template <class C>
std::unique_ptr<channel_process> make_channel() {
  return std::make_unique<channel_of<C>>();
}

}  // namespace detail

/// Names a channel in a topic_router.
template <class C>
inline constexpr channel_type channel{detail::type_name<C>(), &detail::make_channel<C>};

}  // namespace roost
