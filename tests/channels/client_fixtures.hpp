// Servers for a client, a real endpoint and a scripted one, and a process that joins.
#pragma once
#include "channels/client.hpp"
#include "channels/endpoint.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/scripted_server.hpp"
#include "tests/support.hpp"

namespace roost::test {

inline std::atomic<int> terminated{0};
inline std::atomic<bool> locked{false};

struct room_channel {
  using events = roost::events<"echo", "shout", "later", "nothing", "crash", "stop", "odd">;

  join_result join(std::string_view topic, const payload& params, roost::socket&) {
    if (params.contains("deny") || (topic == "room:locked" && locked))
      return error({{"reason", "unauthorized"}});
    return ok({{"topic", topic}, {"params", params.value()}});
  }
  in_result handle_in(event<"echo">, const payload& p, roost::socket&) { return ok(p); }
  in_result handle_in(event<"shout">, const payload& p, roost::socket& s) {
    broadcast(s, "shout", p);
    return noreply();
  }
  in_result handle_in(event<"later">, const payload& p, roost::socket& s) {
    spawn([ref = roost::ref(s), p] { roost::reply(ref, ok(p)); });
    return noreply();
  }
  in_result handle_in(event<"nothing">, const payload&, roost::socket&) { return noreply(); }
  in_result handle_in(event<"crash">, const payload&, roost::socket&) {
    throw std::runtime_error("told to crash");
  }
  in_result handle_in(event<"stop">, const payload&, roost::socket&) {
    return stop(exit_reason::normal);
  }
  in_result handle_in(event<"odd">, const payload&, roost::socket&) {
    return roost::reply("maybe", {{"odd", true}});
  }
  void terminate(const exit_reason&, roost::socket&) { terminated.fetch_add(1); }
};

struct user_socket {
  static constexpr topic_router channels{{{"room:*", channel<room_channel>}}};
  std::string user;
  static connect_result<user_socket> connect(const params& p, const connect_info&) {
    if (p["refuse"]) return refuse("because");
    return user_socket{std::string(p["user"].value_or(""))};
  }
  std::optional<std::string> id() const {
    return user.empty() ? std::nullopt : std::optional("user:" + user);
  }
};

inline pid start_endpoint(int port) {
  return roost::start_link(supervisor_spec{
      .children = {
          child<pub_sub>({.name = "test"}),
          child<endpoint>(
              {.pub_sub = "test",
               .http = {.port = port},
               .sockets = {socket_at<user_socket>("/socket", {.log = false})},
               .drainer = {.shutdown = 2s}})}});
}

struct room_server : node {
  log_capture log;
  pid top = start_endpoint(0);
  int port = endpoint_port();

  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port) + "/socket"; }
  client connect(client_options options = {}) const {
    options.url = url();
    if (!options.rejoin_after) options.rejoin_after = [](unsigned) { return 5ms; };
    return client::start_link(std::move(options));
  }
  void stop() const {
    roost::detail::stop_root(top, exit_reason::shutdown);
    REQUIRE(eventually([&] { return !is_alive(top) && endpoint_port() == 0; }));
  }
};

/// A node with a client of a scripted server, quick to come back.
struct scripted : node {
  log_capture log;

  static client connect(const scripted_server& server, client_options options = {}) {
    if (options.url.empty()) options.url = server.url();
    if (!options.reconnect_after) options.reconnect_after = [](unsigned) { return 5ms; };
    if (!options.rejoin_after) options.rejoin_after = [](unsigned) { return 5ms; };
    return client::start_link(std::move(options));
  }
  static bool fails_with(const client& client, std::string_view text) {
    std::string last;
    bool failed = eventually([&] {
      last = client.info().get().last_error;
      return last.find(text) != last.npos;
    });
    CAPTURE(last);
    CHECK(failed);
    return failed;
  }
};

/// What a process that joins gets, as text.
class notes {
 public:
  void add(std::string note) {
    std::lock_guard guard{mutex_};
    notes_.push_back(std::move(note));
  }
  std::vector<std::string> all() const {
    std::lock_guard guard{mutex_};
    return notes_;
  }
  bool become(const std::vector<std::string>& expected) const {
    bool same = eventually([&] { return all() == expected; });
    if (!same) MESSAGE("got " << doctest::toString(all().size()));
    for (auto& note : all()) CAPTURE(note);
    return same;
  }
  bool have(std::string_view note) const {
    return eventually([&] {
      auto now = all();
      return std::find(now.begin(), now.end(), note) != now.end();
    });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> notes_;
};

inline std::string note_of(const client_status& status) {
  using kind = client_status::kind;
  return std::string(
             status.now == kind::joined    ? "joined "
             : status.now == kind::errored ? "errored "
                                           : "closed ") +
         status.topic;
}

/// A process that joins a room and says what it gets.
struct member {
  struct ask {
    using reply = client_reply;
    std::string event;
    roost::payload payload;
  };
  struct say {
    std::string event;
    roost::payload payload;
  };
  using messages = roost::messages<ask, say>;
  using infos = roost::messages<client_event, client_status>;

  client_channel room;
  std::shared_ptr<notes> seen;

  static init_result<member> init(client client, std::string topic, std::shared_ptr<notes> seen) {
    return member{client.join(std::move(topic), {{"name", "ann"}}), std::move(seen)};
  }
  call_result<client_reply> handle_call(const ask& question, from<client_reply> asker) {
    room.call(question.event, question.payload).then([asker](client_reply reply) {
      asker.reply(std::move(reply));
    });
    return noreply();
  }
  void handle_cast(const say& what) { room.push(what.event, what.payload); }
  void handle_info(const client_event& event) {
    seen->add(event.topic + " " + event.event + " " + std::string(event.payload.text()));
  }
  void handle_info(const client_status& status) { seen->add(note_of(status)); }
};

}  // namespace roost::test
