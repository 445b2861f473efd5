// Mistakes that must not compile, each with the sentence its author reads.
//
//   #ifdef MISTAKE_call_used_for_a_cast
//   // expect: this message has no `reply`, so it is a cast: use cast()
//   void mistake(roost::server<counter> c) { roost::call(c, counter::bump{}); }
//   #endif
//
// CTest compiles this file once per mistake, with -DMISTAKE_name, and passes when compilation fails
// and says every `expect` line of that block. Compiled without any mistake, the file must be
// correct, or else something other than the mistake might be what does not compile.
#include "channels/endpoint.hpp"
#include "supervision/dynamic_supervisor.hpp"
#include "supervision/supervisor.hpp"

namespace {

// --- what is correct -----------------------------------------------------------------------------

struct counter {
  struct get { using reply = int; };
  struct clear { using reply = void; };
  struct bump { int by = 1; };
  struct tick {};
  using messages = roost::messages<get, clear, bump>;
  using infos = roost::messages<tick>;

  int value = 0;

  int handle_call(get) const { return value; }
  void handle_call(clear) { value = 0; }
  void handle_cast(bump message) { value += message.by; }
  void handle_info(tick) { ++value; }
};

struct room_channel {
  struct tick {};
  using events = roost::events<"new_msg">;
  using intercepts = roost::events<"new_msg">;
  using infos = roost::messages<tick>;

  roost::join_result join(std::string_view, const roost::payload&, roost::socket&) {
    return roost::ok();
  }
  roost::in_result handle_in(
      roost::event<"new_msg">, const roost::payload& message, roost::socket&) {
    return roost::ok(message);
  }
  roost::out_result handle_out(roost::event<"new_msg">, const roost::payload&, roost::socket&) {
    return roost::noreply();
  }
  void handle_info(tick, roost::socket&) {}
};

struct user_socket {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<room_channel>},
      {"lobby", roost::channel<room_channel>},
  }};
  static roost::connect_result<user_socket> connect(
      const roost::params&, const roost::connect_info&) {
    return user_socket{};
  }
};

[[maybe_unused]] roost::supervisor_spec correct() {
  roost::server<counter> c = roost::start_link<counter>({.name = "counter"}, 10);
  roost::cast(c, counter::bump{.by = 5});
  roost::call(c, counter::get{}).then([](int) {});
  roost::call(c, counter::clear{}).then([] {}, [](const roost::exit_reason&) {});
  auto endpoint = roost::child<roost::endpoint>(
      {.pub_sub = "chat", .sockets = {roost::socket_at<user_socket>("/socket")}});
  return {.children = {roost::child<counter>(0), endpoint}};
}

// --- using a server ------------------------------------------------------------------------------

#ifdef MISTAKE_message_not_listed
// expect: this server does not list the message in its `messages`
struct reset {};
void mistake(roost::server<counter> c) { roost::cast(c, reset{}); }
#endif

#ifdef MISTAKE_call_of_a_message_not_listed
// expect: this server does not list the message in its `messages`
struct reset { using reply = int; };
void mistake(roost::server<counter> c) { roost::call(c, reset{}).get(); }
#endif

#ifdef MISTAKE_call_used_for_a_cast
// expect: this message has no `reply`, so it is a cast: use cast()
void mistake(roost::server<counter> c) { roost::call(c, counter::bump{}).get(); }
#endif

#ifdef MISTAKE_cast_used_for_a_call
// expect: this message has a `reply`: use call()
void mistake(roost::server<counter> c) { roost::cast(c, counter::get{}); }
#endif

#ifdef MISTAKE_answer_of_another_type
// expect: then() needs a function that takes the reply
void mistake(roost::server<counter> c) {
  roost::call(c, counter::get{}).then([](std::string) {});
}
#endif

#ifdef MISTAKE_answer_without_its_value
// expect: then() needs a function that takes the reply
void mistake(roost::server<counter> c) {
  roost::call(c, counter::get{}).then([] {});
}
#endif

#ifdef MISTAKE_failure_that_takes_nothing
// expect: the second function of then() takes  const roost::exit_reason&
void mistake(roost::server<counter> c) {
  roost::call(c, counter::get{}).then([](int) {}, [] {});
}
#endif

// --- writing a server ----------------------------------------------------------------------------

#ifdef MISTAKE_server_without_messages
// expect: a server lists what it understands: `using messages = roost::messages<...>;`
struct shy { int value = 0; };
void mistake() { roost::start<shy>(); }
#endif

#ifdef MISTAKE_call_without_handler
// expect: a call in `messages` needs  M::reply handle_call(M)
struct deaf {
  struct get { using reply = int; };
  using messages = roost::messages<get>;
};
void mistake() { roost::start<deaf>(); }
#endif

#ifdef MISTAKE_call_that_replies_something_else
// expect: a call in `messages` needs  M::reply handle_call(M)
struct muddled {
  struct get { using reply = int; };
  using messages = roost::messages<get>;
  std::string handle_call(get) { return "forty-two"; }
};
void mistake() { roost::start<muddled>(); }
#endif

#ifdef MISTAKE_call_of_void_that_replies
// expect: a call in `messages` needs  M::reply handle_call(M)
struct talkative {
  struct clear { using reply = void; };
  using messages = roost::messages<clear>;
  int handle_call(clear) { return 1; }
};
void mistake() { roost::start<talkative>(); }
#endif

#ifdef MISTAKE_cast_without_handler
// expect: a cast in `messages` needs  void handle_cast(M)
struct lazy {
  struct bump {};
  using messages = roost::messages<bump>;
  void handle_call(bump) {}
};
void mistake() { roost::start<lazy>(); }
#endif

#ifdef MISTAKE_cast_that_replies
// expect: a cast in `messages` needs  void handle_cast(M)
struct eager {
  struct bump {};
  using messages = roost::messages<bump>;
  int handle_cast(bump) { return 1; }
};
void mistake() { roost::start<eager>(); }
#endif

#ifdef MISTAKE_info_without_handler
// expect: a message in `infos` needs  void handle_info(M)
struct absent {
  struct tick {};
  using messages = roost::messages<>;
  using infos = roost::messages<tick>;
};
void mistake() { roost::start<absent>(); }
#endif

#ifdef MISTAKE_info_that_replies
// expect: a message in `infos` needs  void handle_info(M)
struct chatty {
  using messages = roost::messages<>;
  using infos = roost::messages<counter::tick>;
  int handle_info(counter::tick) { return 1; }
};
void mistake() { roost::start<chatty>(); }
#endif

#ifdef MISTAKE_arguments_that_do_not_fit
// expect: the server cannot be made from these arguments
void mistake() { roost::start<counter>(std::string("ten")); }
#endif

#ifdef MISTAKE_init_with_other_arguments
// expect: the server cannot be made from these arguments
struct strict {
  using messages = roost::messages<>;
  static roost::init_result<strict> init(int, std::string) { return strict{}; }
};
void mistake() { roost::start<strict>(1); }
#endif

#ifdef MISTAKE_init_left_out
// expect: the server cannot be made from these arguments
struct strict {
  using messages = roost::messages<>;
  int value = 0;
  static roost::init_result<strict> init(int) { return strict{}; }
};
void mistake() { roost::start<strict>(); }
#endif

#ifdef MISTAKE_terminate_without_reason
// expect: terminate is  void terminate(const roost::exit_reason&)
struct abrupt {
  using messages = roost::messages<>;
  void terminate() {}
};
void mistake() { roost::start<abrupt>(); }
#endif

#ifdef MISTAKE_state_that_cannot_move
// expect: a server's state is moved into its process
struct heavy {
  using messages = roost::messages<>;
  std::atomic<int> value{0};
};
void mistake() { roost::start<heavy>(); }
#endif

// --- supervision ---------------------------------------------------------------------------------

#ifdef MISTAKE_arguments_that_cannot_be_copied
// expect: start arguments are copied, because a restart needs them again
struct owner {
  using messages = roost::messages<>;
  std::unique_ptr<int> value;
};
void mistake() { roost::child<owner>(std::make_unique<int>(1)); }
#endif

#ifdef MISTAKE_dynamic_child_that_is_no_server
// expect: start_child<S> is for servers
void mistake(roost::dynamic_supervisor rooms) {
  (void)rooms.start_child<roost::supervisor>(roost::supervisor_spec{}).get();
}
#endif

#ifdef MISTAKE_dynamic_child_of_moved_arguments
// expect: start arguments are copied, because a restart needs them again
void mistake(roost::dynamic_supervisor rooms) {
  (void)rooms.start_child<counter>(std::make_unique<int>(1)).get();
}
#endif

#ifdef MISTAKE_child_without_messages
// expect: a server lists what it understands: `using messages = roost::messages<...>;`
struct shy { int value = 0; };
void mistake() { roost::child<shy>(); }
#endif

#ifdef MISTAKE_child_that_cannot_start_again
// expect: the server cannot be made from these arguments
void mistake() { roost::child<counter>(std::string("ten")); }
#endif

// --- channels ------------------------------------------------------------------------------------

#ifdef MISTAKE_channel_without_join
// expect: a channel needs  roost::join_result join(std::string_view topic
struct closed_channel {};
constexpr roost::topic_router mistake{{{"closed", roost::channel<closed_channel>}}};
#endif

#ifdef MISTAKE_join_that_answers_nothing
// expect: a channel needs  roost::join_result join(std::string_view topic
struct mute_channel {
  void join(std::string_view, const roost::payload&, roost::socket&) {}
};
constexpr roost::topic_router mistake{{{"mute", roost::channel<mute_channel>}}};
#endif

#ifdef MISTAKE_event_without_handler
// expect: the channel lists this event but has no  in_result handle_in(roost::event<...>
struct idle_channel : room_channel {
  using events = roost::events<"new_msg", "ping">;
};
constexpr roost::topic_router mistake{{{"idle", roost::channel<idle_channel>}}};
#endif

#ifdef MISTAKE_event_that_answers_nothing
// expect: the channel lists this event but has no  in_result handle_in(roost::event<...>
struct mute_channel : room_channel {
  using events = roost::events<"ping">;
  void handle_in(roost::event<"ping">, const roost::payload&, roost::socket&) {}
};
constexpr roost::topic_router mistake{{{"mute", roost::channel<mute_channel>}}};
#endif

#ifdef MISTAKE_intercept_without_handler
// expect: the channel intercepts this event but has no  out_result
struct nosy_channel : room_channel {
  using intercepts = roost::events<"typing">;
};
constexpr roost::topic_router mistake{{{"nosy", roost::channel<nosy_channel>}}};
#endif

#ifdef MISTAKE_channel_info_without_handler
// expect: a message in `infos` needs  out_result handle_info(M, roost::socket&)
struct absent_channel : room_channel {
  using infos = roost::messages<counter::tick>;
};
constexpr roost::topic_router mistake{{{"absent", roost::channel<absent_channel>}}};
#endif

#ifdef MISTAKE_channel_with_arguments
// expect: a channel begins without arguments
struct greedy_channel : room_channel {
  explicit greedy_channel(int) {}
};
constexpr roost::topic_router mistake{{{"greedy", roost::channel<greedy_channel>}}};
#endif

#ifdef MISTAKE_other_events_that_answer_nothing
// expect: handle_in for all other events is  in_result handle_in(std::string_view event
struct vague_channel : room_channel {
  using events = roost::events<>;
  void handle_in(std::string_view, const roost::payload&, roost::socket&) {}
};
constexpr roost::topic_router mistake{{{"vague", roost::channel<vague_channel>}}};
#endif

#ifdef MISTAKE_channel_terminate_without_socket
// expect: terminate is  void terminate(const roost::exit_reason&, roost::socket&)
struct abrupt_channel : room_channel {
  void terminate(const roost::exit_reason&) {}
};
constexpr roost::topic_router mistake{{{"abrupt", roost::channel<abrupt_channel>}}};
#endif

// --- routes and sockets --------------------------------------------------------------------------

#ifdef MISTAKE_splat_in_the_middle
// expect: a topic pattern's * must be its last character, as in \"room:*\"
constexpr roost::topic_router mistake{{{"room:*:private", roost::channel<room_channel>}}};
#endif

#ifdef MISTAKE_pattern_claimed_twice
// expect: two channels claim the same topic pattern
constexpr roost::topic_router mistake{{
    {"room:*", roost::channel<room_channel>},
    {"lobby", roost::channel<room_channel>},
    {"room:*", roost::channel<room_channel>},
}};
#endif

#ifdef MISTAKE_socket_without_connect
// expect: a socket needs  static roost::connect_result<S> connect(const roost::params&
struct blank_socket {
  static constexpr roost::topic_router channels{{{"lobby", roost::channel<room_channel>}}};
};
auto mistake = roost::socket_at<blank_socket>("/socket");
#endif

#ifdef MISTAKE_socket_without_channels
// expect: a socket needs  static constexpr roost::topic_router channels
struct empty_socket {
  static roost::connect_result<empty_socket> connect(
      const roost::params&, const roost::connect_info&) {
    return empty_socket{};
  }
};
auto mistake = roost::socket_at<empty_socket>("/socket");
#endif

}  // namespace
