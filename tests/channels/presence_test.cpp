// Trackers and presences with processes and real clients, on one node.
#include "channels/presence.hpp"
#include "channels/endpoint.hpp"
#include "supervision/supervisor.hpp"
#include "tests/channels/test_client.hpp"
#include "tests/support.hpp"
#include <map>

using namespace roost;
using namespace roost::test;

namespace {

/// What handle_diff was told, and what it leads to.
struct watched {
  std::mutex mutex;
  std::map<std::string, std::vector<std::string>> seen = {};  // by topic: references
  int diffs = 0;
  int mistakes = 0;
  int crashes_wanted = 0;

  void take(const std::vector<topic_diff>& topics) {
    std::lock_guard guard{mutex};
    if (crashes_wanted > 0 && crashes_wanted--) throw std::runtime_error("told to crash");
    ++diffs;
    for (auto& topic : topics) {
      auto& refs = seen[topic.topic];
      for (auto& one : topic.joins) refs.push_back(one.meta.get<std::string>("phx_ref"));
      for (auto& one : topic.leaves)
        if (std::erase(refs, one.meta.get<std::string>("phx_ref")) != 1) ++mistakes;
    }
  }
  std::size_t count(const std::string& topic) {
    std::lock_guard guard{mutex};
    return seen[topic].size();
  }
};

struct idle { using messages = roost::messages<>; };

struct tracking : node {
  std::shared_ptr<watched> told = std::make_shared<watched>();
  pid top = start({.pool_size = 2});
  roost::tracker who{"who"};

  pid start(gossip_options gossip) {
    return start_link(supervisor_spec{
        .children = {
            child<pub_sub>({.name = "test"}),
            child<roost::tracker>(
                {.name = "who",
                 .pub_sub = "test",
                 .handle_diff = [told = told](auto& topics) { told->take(topics); },
                 .gossip = gossip})}});
  }
  pid someone() { return roost::start<idle>().process(); }
};

std::vector<std::string> keys(const std::vector<presence_entry>& entries) {
  std::vector<std::string> all;
  for (auto& one : entries) all.push_back(one.key);
  return all;
}
using strings = std::vector<std::string>;

}  // namespace

// --- trackers ------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(tracking, "who is tracked is listed at once, and handle_diff is told") {
  auto ann = someone(), ben = someone();
  auto first = who.track(ann, "room:1", "u", {{"n", 1}});
  CHECK(first.status == track_status::ok);
  CHECK(who.track(ann, "room:1", "u", {}).status == track_status::already_tracked);
  CHECK(who.track(ben, "room:1", "a", {}));
  CHECK(keys(who.list("room:1")) == strings{"a", "u"});
  CHECK(who.list("room:1")[1].meta["phx_ref"] == first.phx_ref);
  CHECK(who.get_by_key("room:1", "u").size() == 1);
  CHECK(who.count("room:1") == 2);
  CHECK(who.count() == 2);
  CHECK(eventually([&] { return told->count("room:1") == 2; }));
  auto second = who.update(ann, "room:1", "u", [](const payload& meta) {
    return payload{{"n", meta.get<int>("n") + 1}};
  });
  CHECK(second.phx_ref != first.phx_ref);
  auto meta = who.get_by_key("room:1", "u").at(0);
  CHECK(meta["n"] == 2);
  CHECK(meta["phx_ref_prev"] == first.phx_ref);
  CHECK(who.update(ben, "room:1", "u", {}).status == track_status::nopresence);
  CHECK(who.untrack(ann, "room:1", "u"));
  CHECK_FALSE(who.untrack(ann, "room:1", "u"));
  CHECK(eventually([&] { return told->count("room:1") == 1; }));
  CHECK(told->mistakes == 0);
}

TEST_CASE_FIXTURE(tracking, "a process that ends is untracked everywhere") {
  auto ann = someone();
  for (int i = 0; i < 20; ++i) who.track(ann, "room:" + std::to_string(i), "u", {});
  CHECK(who.count() == 20);
  exit(ann, exit_reason::kill);
  CHECK(eventually([&] { return who.count() == 0; }));
  who.track(ann, "room:1", "u", {});  // it has ended already
  CHECK(eventually([&] { return who.count() == 0; }));
  auto ben = someone();
  who.track(ben, "room:1", "u", {});
  who.untrack(ben);
  who.track(ben, "room:1", "u", {});
  CHECK(eventually([&] { return told->count("room:1") == 1; }));
  exit(ben, exit_reason::kill);
  CHECK(eventually([&] { return told->count("room:1") == 0; }));
  CHECK(told->mistakes == 0);
}

TEST_CASE_FIXTURE(tracking, "a crash of the tracker's process loses nobody") {
  log_capture log;
  auto ann = someone(), ben = someone();
  who.track(ann, "room:1", "u", {});
  CHECK(eventually([&] { return told->count("room:1") == 1; }));
  {
    std::lock_guard guard{told->mutex};
    told->crashes_wanted = 1;
  }
  who.track(ben, "room:1", "v", {});
  CHECK(eventually([&] {
    std::lock_guard guard{told->mutex};
    return told->crashes_wanted == 0;
  }));
  CHECK(who.count("room:1") == 2);
  exit(ann, exit_reason::kill);
  CHECK(eventually([&] { return who.count("room:1") == 1; }));
}

TEST_CASE_FIXTURE(tracking, "many that join at once are few diffs") {
  auto ann = someone();
  for (int i = 0; i < 1000; ++i) who.track(ann, "room:1", std::to_string(i), {});
  CHECK(eventually([&] { return told->count("room:1") == 1000; }));
  CHECK(told->diffs < 200);
}

TEST_CASE_FIXTURE(tracking, "many threads track, list and end at the same time") {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        auto process = someone();
        auto topic = "room:" + std::to_string(i % 7);
        who.track(process, topic, std::to_string(t), {{"i", i}});
        who.update(process, topic, std::to_string(t), {{"j", i}});
        CHECK(who.list(topic).size() <= 4 * 500);
        if (i % 2 == 0)
          exit(process, exit_reason::kill);
        else
          who.untrack(process, topic, std::to_string(t));
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(eventually([&] { return who.count() == 0; }));
  for (int i = 0; i < 7; ++i)
    CHECK(eventually([&] { return told->count("room:" + std::to_string(i)) == 0; }));
  CHECK(told->mistakes == 0);
}

TEST_CASE_FIXTURE(tracking, "wrong use is told in a sentence") {
  CHECK_THROWS_WITH_AS(
      roost::tracker("nobody"),
      "expected a tracker or presence named \"nobody\", got none: add "
      "roost::child<roost::presence>({.name = \"nobody\", .pub_sub = …}) to the supervisor, after "
      "its pub_sub",
      std::invalid_argument);
  CHECK_THROWS_AS(who.track(pid{}, "t", "k", {}), std::invalid_argument);
  CHECK_THROWS_AS(who.track(someone(), "t", "k", payload(json(1))), std::invalid_argument);
  CHECK_THROWS_AS(who.track(someone(), "t", "\xFF", {}), std::invalid_argument);
  CHECK(who.count() == 0);
  auto options = [](gossip_options gossip) {
    return roost::tracker::options{.name = "x", .pub_sub = "y", .gossip = gossip};
  };
  CHECK_THROWS_WITH_AS(
      roost::tracker::child_spec(options({.pool_size = 0})),
      "expected a tracker's .pool_size to be 1 to 64, got 0", std::invalid_argument);
  CHECK_THROWS_WITH_AS(
      roost::tracker::child_spec(options({.down_period = 15s})),
      "expected a tracker's .down_period to be longer than max_silent_periods of "
      "broadcast_period, got 15000 ms",
      std::invalid_argument);
  CHECK_THROWS_WITH_AS(
      presence::child_spec({.name = "x"}),
      "expected presence's .pub_sub to be set, got an empty one", std::invalid_argument);
}

TEST_CASE("many that come and go leave nobody behind") {
  tracking all;
  auto churn = [&](int count) {
    for (int i = 0; i < count; ++i) {
      auto topic = "room:" + std::to_string(i % 1000);
      auto ref = all.who.track(roost::self(), topic, "k", {{"i", i}});
      if (!ref) FAIL("already tracked");
      all.who.untrack(roost::self(), topic, "k");
    }
  };
  churn(10'000);
  CHECK(eventually([&] { return all.told->count("room:1") == 0; }));
  CHECK(all.who.count() == 0);
}

// --- presences -----------------------------------------------------------------------------------

namespace {

struct after_join {};

struct lobby_channel {
  using events = roost::events<"update", "untrack", "again">;
  using infos = roost::messages<after_join>;

  std::string user = {};
  presence who{"presence"};

  join_result join(std::string_view, const payload& params, roost::socket&) {
    user = params.get<std::string>("user");
    send(self(), after_join{});
    return ok();
  }
  void handle_info(after_join, roost::socket& socket) {
    who.track(socket, user, {{"status", "on"}});
    push(socket, "presence_state", who.list(socket));
  }
  in_result handle_in(event<"update">, const payload& p, roost::socket& socket) {
    return ok({{"ref", who.update(socket, user, p).phx_ref}});
  }
  in_result handle_in(event<"untrack">, const payload&, roost::socket& socket) {
    return ok({{"was_there", who.untrack(socket, user)}});
  }
  in_result handle_in(event<"again">, const payload&, roost::socket& socket) {
    return ok({{"again", bool(who.track(socket, user, {}))}});
  }
};

struct lobby_socket {
  static constexpr topic_router channels{{{"lobby:*", channel<lobby_channel>}}};
  static connect_result<lobby_socket> connect(const params&, const connect_info&) {
    return lobby_socket{};
  }
};

struct lobby : node {
  explicit lobby(presence::options options = {}) {
    options.pub_sub = "test";
    top = start_link(supervisor_spec{
        .children = {
            child<pub_sub>({.name = "test"}), child<presence>(std::move(options)),
            child<endpoint>(
                {.pub_sub = "test",
                 .http = {.port = 0},
                 .sockets = {socket_at<lobby_socket>("/socket", {.log = false})},
                 .drainer = {.shutdown = 2s}})}});
    port = endpoint_port();
  }
  pid top;
  int port = 0;
};

/// A client of one topic, with what it was told.
struct member {
  member(int port, const std::string& user) : client(port) {
    client.send("[\"1\",\"1\",\"lobby:1\",\"phx_join\",{\"user\":\"" + user + "\"}]");
  }
  /// The payload of the next event of this name.
  json next(std::string_view event) {
    for (;;) {
      auto message = *json::parse(client.receive()).value;
      if (message[3] == event) return message[4];
    }
  }
  void ask(std::string_view event, std::string_view params = "{}") {
    client.send(
        "[\"1\",\"2\",\"lobby:1\",\"" + std::string(event) + "\"," + std::string(params) + "]");
  }
  test_client client;
};

}  // namespace

TEST_CASE("a member gets the list, and all get each change") {
  lobby all;
  member ann(all.port, "ann");
  CHECK(ann.next("presence_state")["ann"]["metas"][0]["status"] == "on");
  auto joined = ann.next("presence_diff");
  CHECK(joined["joins"].contains("ann"));
  CHECK(joined["leaves"] == json::object());
  {
    member ben(all.port, "ben");
    CHECK(ben.next("presence_state").size() == 2);
    auto ref = ann.next("presence_diff")["joins"]["ben"]["metas"][0]["phx_ref"];
    ben.ask("update", "{\"status\":\"away\"}");
    auto updated = ann.next("presence_diff");
    CHECK(updated["joins"]["ben"]["metas"][0]["status"] == "away");
    CHECK(updated["joins"]["ben"]["metas"][0]["phx_ref_prev"] == ref);
    CHECK(updated["leaves"]["ben"]["metas"][0]["phx_ref"] == ref);
    CHECK(updated["leaves"]["ben"]["metas"][0]["status"] == "on");
    ben.ask("again");
    ben.next("phx_reply");  // of update
    CHECK(ben.next("phx_reply")["response"]["again"] == false);
  }
  CHECK(ann.next("presence_diff")["leaves"]["ben"]["metas"][0]["status"] == "away");
  presence who;
  CHECK(who.list("lobby:1").value().size() == 1);
  CHECK(who.get_by_key("lobby:1", "ann")["metas"].size() == 1);
  CHECK(who.get_by_key("lobby:1", "ben") == payload());
  CHECK(who.count("lobby:1") == 1);
}

TEST_CASE("one key of two members is one entry with two metas") {
  lobby all;
  member one(all.port, "u");
  one.next("presence_state");
  {
    member other(all.port, "u");
    CHECK(other.next("presence_state")["u"]["metas"].size() == 2);
  }
  for (;;) {
    auto diff = one.next("presence_diff");
    if (diff["leaves"].empty()) continue;
    CHECK(diff["leaves"]["u"]["metas"].size() == 1);
    break;
  }
  CHECK(presence().get_by_key("lobby:1", "u")["metas"].size() == 1);
}

TEST_CASE("fetch adds what is known elsewhere, once for all keys; handle_metas is told") {
  auto calls = std::make_shared<std::atomic<int>>(0);
  auto metas = std::make_shared<std::vector<std::string>>();
  auto mutex = std::make_shared<std::mutex>();
  auto is_ready = std::make_shared<std::atomic<bool>>(false);
  lobby all(
      {.fetch =
           [calls](std::string_view topic, std::vector<presence_metas>& entries) {
             CHECK(topic == "lobby:1");
             ++*calls;
             for (auto& one : entries) {
               if (one.key == "bad") throw std::runtime_error("no such user");
               one.more = {{"name", "Dr. " + one.key}};
             }
           },
       .handle_metas =
           [metas, mutex, number = 0](const metas_diff& diff) mutable {
             std::lock_guard guard{*mutex};
             ++number;
             for (auto& one : diff.joins)
               metas->push_back(std::to_string(number) + " " + one.more.get<std::string>("name"));
           },
       .init = [is_ready] { *is_ready = inside_process(); }});
  CHECK(*is_ready);
  member ann(all.port, "ann");
  auto state = ann.next("presence_state");
  CHECK(state["ann"]["name"] == "Dr. ann");
  CHECK(state["ann"]["metas"].size() == 1);
  CHECK(ann.next("presence_diff")["joins"]["ann"]["name"] == "Dr. ann");
  CHECK(presence().get_by_key("lobby:1", "ann")["name"] == "Dr. ann");
  CHECK(eventually([&] {
    std::lock_guard guard{*mutex};
    return *metas == strings{"1 Dr. ann"};
  }));
  CHECK(*calls == 3);
  log_capture log;
  auto process = roost::self();
  presence().track(process, "lobby:1", "bad", {});
  auto plain = ann.next("presence_diff");
  CHECK(plain["joins"]["bad"]["metas"].size() == 1);
  CHECK_FALSE(plain["joins"]["bad"].contains("name"));
  presence().untrack(process, "lobby:1", "bad");
}
