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
#include "runtime/distribution/replicated_ets.hpp"
#include "runtime/gen_event.hpp"
#include "runtime/gen_statem.hpp"
#include "runtime/multi_call.hpp"
#include "runtime/registry.hpp"
#include "runtime/sys.hpp"
#include "supervision/dynamic_supervisor.hpp"
#include "supervision/supervisor.hpp"
#include "supervision/task_supervisor.hpp"

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

struct lamp {
  enum class state { off, on };
  struct press {};
  struct is_on { using reply = bool; };
  struct burnt_out {};
  using messages = roost::messages<press, is_on>;
  using internals = roost::messages<burnt_out>;
  using result = roost::event_result<lamp>;

  int presses = 0;

  result handle_event(roost::in<state::off>, press) {
    return roost::next_state(state::on, roost::state_timeout(std::chrono::hours(1), burnt_out{}));
  }
  result handle_event(roost::in<state::on>, press) { return roost::next_state(state::off); }
  result handle_event(roost::in<state::on>, burnt_out) { return roost::next_state(state::off); }
  bool handle_event(state now, is_on) { return now == state::on; }
};

struct order_paid { int id; };
struct order_lost {};
using orders = roost::gen_event<order_paid>;

struct sales {
  struct count { using reply = int; };
  using messages = roost::messages<count>;
  int paid = 0;
  void handle_event(const order_paid&) { ++paid; }
  int handle_call(count) const { return paid; }
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
  auto l = roost::start<lamp>();
  roost::cast(l, lamp::press{});
  roost::await(roost::async([] { return 1; })).then([](int) {});
  roost::registry rooms{"rooms"};
  (void)rooms.match<int>("lobby", [](int n) { return n > 1; });
  auto events = roost::start<orders>();
  roost::add_handler<sales>(events, 0).get();
  roost::notify(events, order_paid{1});
  roost::call<sales>(events, sales::count{}).get();
  roost::multi_call<counter>("counter", counter::get{}).get();
  roost::abcast<counter>("counter", counter::bump{});
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

// --- several nodes -------------------------------------------------------------------------------

#ifdef MISTAKE_multi_call_of_a_message_not_listed
// expect: this server does not list the message in its `messages`
struct reset { using reply = int; };
void mistake() { roost::multi_call<counter>("counter", reset{}).get(); }
#endif

#ifdef MISTAKE_multi_call_used_for_a_cast
// expect: this message has no `reply`, so it is a cast: use abcast()
void mistake() { roost::multi_call("counter", counter::bump{}).get(); }
#endif

#ifdef MISTAKE_abcast_used_for_a_call
// expect: this message has a `reply`: use multi_call()
void mistake() { roost::abcast("counter", counter::get{}); }
#endif

#ifdef MISTAKE_abcast_of_what_cannot_be_copied
// expect: a message to several nodes is copied: make it copyable
struct parcel { std::unique_ptr<int> value; };
void mistake() { roost::abcast("counter", parcel{}); }
#endif

#ifdef MISTAKE_installed_function_that_answers_nothing
// expect: install() needs a function that answers whether it goes on
void mistake(roost::server<counter> c) {
  roost::sys::install(c, "watch", [](const roost::trace_event&, const counter&) {}).get();
}
#endif

// --- state machines ------------------------------------------------------------------------------

#ifdef MISTAKE_machine_without_messages
// expect: a machine lists what it understands: `using messages = roost::messages<...>;`
struct shy_lamp {
  enum class state { off, on };
  void handle_event(state, int) {}
};
void mistake() { roost::start<shy_lamp>(); }
#endif

#ifdef MISTAKE_event_that_one_state_does_not_handle
// expect: in one of its states the machine does not handle a message in `messages` or `infos`
struct half_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  roost::event_result<half_lamp> handle_event(roost::in<state::off>, lamp::press) {
    return roost::next_state(state::on);
  }
};
void mistake() { roost::start<half_lamp>(); }
#endif

#ifdef MISTAKE_call_that_one_state_does_not_handle
// expect: in one of its states the machine does not handle a call in `messages`
struct half_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::is_on>;
  bool handle_event(roost::in<state::off>, lamp::is_on) { return false; }
};
void mistake() { roost::start<half_lamp>(); }
#endif

#ifdef MISTAKE_event_whose_handler_answers_a_number
// expect: in one of its states the machine does not handle a message in `messages` or `infos`
struct odd_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  int handle_event(state, lamp::press) { return 1; }
};
void mistake() { roost::start<odd_lamp>(); }
#endif

#ifdef MISTAKE_internal_event_without_handler
// expect: no state handles an event in `internals`
struct deaf_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  using internals = roost::messages<lamp::burnt_out>;
  void handle_event(state, lamp::press) {}
};
void mistake() { roost::start<deaf_lamp>(); }
#endif

#ifdef MISTAKE_time_out_with_an_event_not_listed
// expect: a time-out needs an event that the machine lists
struct late_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  roost::event_result<late_lamp> handle_event(state, lamp::press) {
    return roost::next_state(state::on, roost::state_timeout(std::chrono::hours(1), order_lost{}));
  }
};
void mistake() { roost::start<late_lamp>(); }
#endif

#ifdef MISTAKE_next_event_not_listed
// expect: next_event needs an event that the machine lists
struct pushy_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  roost::event_result<pushy_lamp> handle_event(state, lamp::press) {
    return roost::keep_state(roost::next_event(order_lost{}));
  }
};
void mistake() { roost::start<pushy_lamp>(); }
#endif

#ifdef MISTAKE_enter_that_goes_to_another_state
// expect: handle_enter is  void handle_enter(in<state>, state before)
struct restless_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  void handle_event(state, lamp::press) {}
  roost::event_result<restless_lamp> handle_enter(state, state) {
    return roost::next_state(state::on);
  }
};
void mistake() { roost::start<restless_lamp>(); }
#endif

#ifdef MISTAKE_machine_whose_data_cannot_move
// expect: a machine's data is moved into its process
struct heavy_lamp {
  enum class state { off, on };
  using messages = roost::messages<lamp::press>;
  std::atomic<int> presses{0};
  void handle_event(state, lamp::press) {}
};
void mistake() { roost::start<heavy_lamp>(); }
#endif

#ifdef MISTAKE_machine_from_other_arguments
// expect: the machine cannot be made from these arguments
void mistake() { roost::start<lamp>(std::string("ten")); }
#endif

// --- event managers ------------------------------------------------------------------------------

#ifdef MISTAKE_event_not_listed
// expect: this event manager does not list the event
void mistake(roost::server<orders> events) { roost::notify(events, order_lost{}); }
#endif

#ifdef MISTAKE_handler_of_no_event
// expect: an event handler needs  void handle_event(const E&)  for at least one
struct bored {
  void handle_event(const order_lost&) {}
};
void mistake(roost::server<orders> events) { roost::add_handler<bored>(events).get(); }
#endif

#ifdef MISTAKE_event_handler_that_answers_a_number
// expect: handle_event is  void handle_event(const E&)
struct chatty {
  int handle_event(const order_paid&) { return 1; }
};
void mistake(roost::server<orders> events) { roost::add_handler<chatty>(events).get(); }
#endif

#ifdef MISTAKE_event_handler_without_its_call
// expect: a call in the `messages` of an event handler needs  M::reply handle_call(M)
struct mute {
  using messages = roost::messages<sales::count>;
  void handle_event(const order_paid&) {}
};
void mistake(roost::server<orders> events) { roost::add_handler<mute>(events).get(); }
#endif

#ifdef MISTAKE_event_handler_from_other_arguments
// expect: the event handler cannot be made from these arguments
void mistake(roost::server<orders> events) {
  roost::add_handler<sales>(events, std::string("ten")).get();
}
#endif

#ifdef MISTAKE_call_that_the_event_handler_does_not_list
// expect: this event handler does not list the message in its `messages`
void mistake(roost::server<orders> events) { roost::call<sales>(events, counter::get{}).get(); }
#endif

// --- tasks ---------------------------------------------------------------------------------------

#ifdef MISTAKE_task_result_of_another_type
// expect: then() needs a function that takes the task's result
void mistake() {
  roost::await(roost::async([] { return 1; })).then([](std::string) {});
}
#endif

#ifdef MISTAKE_task_failure_that_takes_nothing
// expect: the second function of then() takes  const roost::exit_reason&
void mistake() {
  roost::await(roost::async([] { return 1; })).then([](int) {}, [] {});
}
#endif

#ifdef MISTAKE_yield_without_the_optional
// expect: then() needs a function that takes  std::optional<roost::task_result<T>>
void mistake() {
  roost::yield(roost::async([] { return 1; })).then([](int) {});
}
#endif

#ifdef MISTAKE_stream_of_other_elements
// expect: async_stream needs a function that takes an element of the range
void mistake() {
  roost::async_stream(std::vector<int>{1}, [](std::string) { return 1; }).each([](auto) {});
}
#endif

#ifdef MISTAKE_stream_whose_result_is_taken_bare
// expect: each() needs a function that takes  roost::task_result<T>
void mistake() {
  roost::async_stream(std::vector<int>{1}, [](int n) { return n; }).each([](std::string) {});
}
#endif

#ifdef MISTAKE_child_task_that_cannot_be_copied
// expect: start_child copies its function, because a restart needs it again
void mistake() {
  roost::task_supervisor{"mails"}.start_child([mail = std::make_unique<int>(1)] {});
}
#endif

// --- registries ----------------------------------------------------------------------------------

#ifdef MISTAKE_registry_value_that_cannot_be_copied
// expect: the values of a registry are copied to those who ask
void mistake() {
  if (!roost::registry{"rooms"}.register_name("lobby", std::make_unique<int>(1))) return;
}
#endif

#ifdef MISTAKE_match_of_another_value
// expect: match<V>() needs a function that says which values fit
void mistake() {
  roost::registry{"rooms"}.match<int>("lobby", [](std::string) { return true; });
}
#endif

#ifdef MISTAKE_update_that_answers_nothing
// expect: update_value<V>() needs a function that answers the new value
void mistake() {
  roost::registry{"rooms"}.update_value<int>("lobby", [](int& n) { ++n; });
}
#endif

#ifdef MISTAKE_dispatch_to_a_single_process
// expect: dispatch() needs a function that takes the processes
void mistake() {
  roost::registry{"rooms"}.dispatch("lobby", [](roost::pid) {});
}
#endif

#ifdef MISTAKE_select_without_key_and_process
// expect: select<V>() needs a function that says which entries fit
void mistake() {
  roost::registry{"rooms"}.select<int>([](int) { return true; });
}
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

// --- replicated tables ---------------------------------------------------------------------------

#ifdef MISTAKE_replicated_bag
// expect: replicated tables are sets or ordered sets
struct visit { int day = 0; };
roost::replicated_ets<visit, &visit::day, roost::ets::kind::bag> mistake;
#endif

#ifdef MISTAKE_replicated_key_is_a_pid
// expect: the key of a replicated table is the same bytes on every node
struct member { roost::pid process; };
roost::replicated_ets<member, &member::process> mistake;
#endif

#ifdef MISTAKE_replicated_row_cannot_travel
// expect: the rows of a replicated table travel
struct job {
  int id = 0;
  void* work = nullptr;
};
roost::replicated_ets<job, &job::id> mistake;
#endif

#ifdef MISTAKE_merge_of_rows_without_equality
// expect: merged rows are compared: give the row `bool operator==(const row&) const = default;`
struct score {
  int id = 0;
  int points = 0;
};
roost::replicated_ets<score, &score::id> mistake{
    {.name = "scores", .merge = [](const score& a, const score&) { return a; }}};
#endif

}  // namespace
