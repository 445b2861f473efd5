// Broadcasts of one turn travel together, and nobody can tell: the order of what a client is sent
// is the order of the sends, and who comes or goes between two broadcasts gets what is due to them.
#include "tests/channels/endpoint_fixtures.hpp"

namespace {

using namespace roost;
using namespace roost::test;

constexpr int many = 30;  // clients, so that on each of the two workers broadcasts wait

/// Does, in one turn, what its client lists: broadcasts, pushes, comings and goings.
struct busy_channel {
  using events = roost::events<"do">;

  join_result join(std::string_view, const payload&, roost::socket&) { return ok(); }
  in_result handle_in(event<"do">, const payload& message, roost::socket& socket) {
    for (auto& step : message["steps"].items()) {
      auto what = step.as_string();
      if (what.starts_with("all ")) broadcast(socket, "news", payload{{"n", what.substr(4)}});
      if (what.starts_with("much "))
        broadcast(
            socket, "news", payload{{"n", what.substr(5)}, {"filler", std::string(200'000, 'x')}});
      if (what.starts_with("others "))
        broadcast_from(socket, "news", payload{{"n", what.substr(7)}});
      if (what.starts_with("me ")) push(socket, "news", payload{{"n", what.substr(3)}});
      if (what == "quiet") return noreply();
      if (what == "stop") return stop(exit_reason::normal);
      if (what == "disconnect") broadcast("test", "everybody", "disconnect", {});
    }
    return ok();
  }
};

struct busy_socket {
  static constexpr topic_router channels{{{"room:*", channel<busy_channel>}}};
  static connect_result<busy_socket> connect(const params&, const connect_info&) {
    return busy_socket{};
  }
  std::optional<std::string> id() const { return "everybody"; }
};

class crowd : public endpoint_server {
 public:
  crowd() {
    start(
        {.sockets = {socket_at<busy_socket>(
             "/socket", {.longpoll = longpoll_options{}, .compress = true, .log = false})}});
    for (int i = 0; i < many; ++i) clients.push_back(join(ws));
  }

  std::unique_ptr<test_client> join(const std::string& path) const {
    auto client = std::make_unique<test_client>(port, path);
    client->send(
        path.find("vsn=1") != path.npos
            ? R"({"topic":"room:1","event":"phx_join","payload":{},"ref":"1"})"
            : join_line);
    client->receive();
    return client;
  }
  static std::string steps(std::string_view list) {
    return R"(["1","2","room:1","do",{"steps":[)" + std::string(list) + "]}]";
  }

  std::vector<std::unique_ptr<test_client>> clients;
};

/// What the client hears next, in short: the numbers of news, or the event.
std::string heard(test_client& client) {
  auto text = client.receive();
  auto message = *json::parse(text);
  auto is_list = message.is_array();
  auto event = is_list ? message[3].as_string() : message.get<std::string>("event");
  return event == "news" ? (is_list ? message[4] : message["payload"]).get<std::string>("n")
                         : event;
}
std::string heard(test_client& client, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += (i == 0 ? "" : " ") + heard(client);
  return all;
}

}  // namespace

TEST_CASE_FIXTURE(crowd, "a client hears what its channel broadcasts before what it replies") {
  clients[0]->send(steps(R"("all 1","all 2","all 3")"));
  CHECK(heard(*clients[0], 4) == "1 2 3 phx_reply");
  for (int i = 1; i < many; ++i) CHECK(heard(*clients[static_cast<std::size_t>(i)], 3) == "1 2 3");
}

TEST_CASE_FIXTURE(
    crowd, "neither one who does not read nor those who go cost the others a message") {
  log_capture log;
  for (int round = 0; endpoint::statistics().slow_consumers == 0; ++round) {
    REQUIRE(round < 1000);
    clients[0]->send(steps("\"much " + std::to_string(round) + "\""));
    for (int i = 0; i < many; ++i) {
      auto& client = clients[static_cast<std::size_t>(i)];
      if (i != 3 && client) CHECK(heard(*client) == std::to_string(round));
    }
    CHECK(heard(*clients[0]) == "phx_reply");
    if (round == 5) clients[7].reset();
    if (round == 10) clients[8].reset();
  }
  CHECK(clients[3]->close_code_received() == 1013);
}

TEST_CASE_FIXTURE(
    crowd, "pushes and broadcasts to the others keep their places between broadcasts") {
  clients[0]->send(steps(R"("all 1","me 2","all 3","others 4","all 5","all 6","me 7")"));
  CHECK(heard(*clients[0], 7) == "1 2 3 5 6 7 phx_reply");
  CHECK(heard(*clients[1], 5) == "1 3 4 5 6");
}

TEST_CASE_FIXTURE(crowd, "what a client was pushed before a broadcast is sent before it") {
  clients[0]->send(steps(R"("me 1","much 2","quiet")"));
  clients[0]->send(steps(R"("me 3","all 4","quiet")"));
  CHECK(heard(*clients[0], 4) == "1 2 3 4");
  CHECK(heard(*clients[1], 2) == "2 4");
}

TEST_CASE_FIXTURE(crowd, "messages of one client that come together are told in their order") {
  clients[0]->send_together(
      {steps(R"("all 1")"), steps(R"("all 2","all 3")"), steps(R"("all 4","me 5")")});
  CHECK(heard(*clients[0], 8) == "1 phx_reply 2 3 phx_reply 4 5 phx_reply");
  CHECK(heard(*clients[1], 4) == "1 2 3 4");
}

TEST_CASE_FIXTURE(
    crowd, "clients of protocol 1 and compressed ones hear each broadcast by itself") {
  auto old = join("/socket/websocket?vsn=1.0.0");
  clients[0]->send(steps(R"("all 1","all 2","all 3")"));
  CHECK(heard(*old, 3) == "1 2 3");
}

TEST_CASE_FIXTURE(crowd, "a poll brings each broadcast as a message of its own") {
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  publish(connection, token, join_line);
  CHECK(poll(connection, token)["messages"].size() == 1);
  clients[0]->send(steps(R"("all 1","all 2","all 3")"));
  CHECK(heard(*clients[0], 4) == "1 2 3 phx_reply");
  std::size_t polled = 0;
  while (polled < 3) polled += poll(connection, token)["messages"].size();
  CHECK(polled == 3);
}

TEST_CASE_FIXTURE(crowd, "who leaves after a broadcast has heard it; its end comes behind") {
  clients[0]->send(steps(R"("all 1","all 2","stop")"));
  CHECK(heard(*clients[0], 3) == "1 2 phx_close");
  CHECK(heard(*clients[1], 2) == "1 2");
  clients[1]->send(steps(R"("all 3")"));
  CHECK(heard(*clients[1]) == "3");
  CHECK(clients[0]->silent_for(50ms));
}

TEST_CASE_FIXTURE(crowd, "who joins hears what is broadcast from then on") {
  clients[0]->send(steps(R"("all 1","all 2")"));
  CHECK(heard(*clients[0], 3) == "1 2 phx_reply");
  auto late = join(ws);
  clients[1]->send(steps(R"("all 3")"));
  CHECK(heard(*late) == "3");
  CHECK(heard(*clients[2], 3) == "1 2 3");
}

TEST_CASE_FIXTURE(crowd, "a closed socket has been told what was broadcast before") {
  clients[0]->send(steps(R"("all 1","all 2","disconnect")"));
  CHECK(heard(*clients[0], 3) == "1 2 phx_reply");
  for (auto& client : clients) {
    if (client != clients[0]) CHECK(heard(*client, 2) == "1 2");
    CHECK(client->close_code_received() == 1000);
  }
}

TEST_CASE_FIXTURE(crowd, "clients that come and go in any order are all found") {
  // The list of a topic fills its holes from behind.
  for (int hole : {3, 0, 10, 5}) clients[static_cast<std::size_t>(hole)].reset();
  CHECK(eventually([] { return endpoint::statistics().sockets == many - 4; }));
  for (int i = 0; i < 6; ++i) clients.push_back(join(ws));
  clients.back()->send(steps(R"("all 1","all 2")"));
  for (auto& client : clients)
    if (client) CHECK(heard(*client, 2) == "1 2");
}
