// Clients that poll.
#include "tests/channels/endpoint_fixtures.hpp"

using namespace roost;
using namespace roost::test;

TEST_CASE_FIXTURE(endpoint_server, "a poll waits for messages, and the newest poll gets them") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 5s}, .log = false})}});
  http_connection polls(port), newer(port), posts(port);
  auto opened = poll(polls, "");
  CHECK(opened["status"] == 410);
  auto token = opened.get<std::string>("token");
  polls.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  newer.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  CHECK(eventually([] { return endpoint::statistics().connections == 3; }));
  CHECK(publish(posts, token, join_line)["status"] == 200);
  // Which of the two came later is up to their workers.
  int empty = 0, messages = 0;
  for (auto* connection : {&polls, &newer}) {
    auto answer = read_json(connection->answer().body);
    empty += answer["status"] == 204;
    messages += static_cast<int>(answer["messages"].size());
  }
  CHECK(empty == 1);
  CHECK(messages == 1);
  CHECK(endpoint::statistics().sockets == 1);
}

TEST_CASE_FIXTURE(
    endpoint_server, "a session whose client stays away ends, and its token makes it come back") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 200ms}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  CHECK(poll(connection, token)["status"] == 204);
  CHECK(eventually([] { return endpoint::statistics().sockets == 0; }));
  CHECK(publish(connection, token, join_line)["status"] == 410);
  // A new session at once would leave phoenix.js with channels that only it believes in.
  CHECK(poll(connection, token)["status"] == 500);
  CHECK(endpoint::statistics().sockets == 0);
  CHECK(poll(connection, "")["status"] == 410);
}

TEST_CASE_FIXTURE(
    endpoint_server, "a client that hangs up is not waited for, and the next poll is answered") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 60s}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  {
    http_connection gone(port);
    gone.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  }
  CHECK(eventually([] { return endpoint::statistics().connections == 1; }));
  CHECK(publish(connection, token, join_line)["status"] == 200);
  CHECK(poll(connection, token)["messages"].size() == 1);
}

TEST_CASE_FIXTURE(
    endpoint_server, "nobody makes a token, and nobody's token fits another session") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.longpoll = longpoll_options{}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  auto changed = token;
  changed[token.size() / 2] = changed[token.size() / 2] == 'A' ? 'B' : 'A';
  for (auto& bad : {changed, token.substr(1), std::string("x"), token + "A"}) {
    CHECK(publish(connection, bad, join_line)["status"] == 410);
    CHECK(poll(connection, bad)["status"] == 410);
  }
  CHECK(publish(connection, token, join_line)["status"] == 200);
}

TEST_CASE_FIXTURE(
    endpoint_server,
    "a batch that cannot be read is refused whole; a malformed message ends the session") {
  start(
      {.sockets = {
           socket_at<mirror_socket>("/socket", {.longpoll = longpoll_options{}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  CHECK(publish(connection, token, std::string(join_line) + "\nneither")["http"] == 400);
  CHECK(publish(connection, token, "[\"1\",\"1\",\"room:\xcd\",\"phx_join\",{}]")["http"] == 400);
  CHECK(publish(connection, token, join_line)["status"] == 200);
  CHECK(poll(connection, token)["messages"].size() == 1);
  CHECK(publish(connection, token, "[1,2]")["status"] == 410);
  CHECK(poll(connection, token)["status"] == 500);
  CHECK(connection.request("PUT", "/socket/longpoll?vsn=2.0.0").status == 400);
}

TEST_CASE_FIXTURE(
    endpoint_server,
    "a disconnect by id ends the session, and a waiting poll hears of it at once") {
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{.window = 60s}, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  connection.send_request("GET", "/socket/longpoll?vsn=2.0.0&token=" + token);
  broadcast("test", "mirror", "disconnect", {});
  auto answer = read_json(connection.answer().body);
  CHECK(answer["status"] == 500);
  CHECK(endpoint::statistics().sockets == 0);
}

TEST_CASE_FIXTURE(
    endpoint_server, "a client that polls too rarely for what it is sent loses its session") {
  log_capture log;
  start(
      {.sockets = {socket_at<mirror_socket>(
           "/socket", {.longpoll = longpoll_options{}, .max_outbound = 10'000, .log = false})}});
  http_connection connection(port);
  auto token = poll(connection, "").get<std::string>("token");
  publish(connection, token, join_line);
  for (int i = 0; i < 3; ++i)
    broadcast("test", "room:1", "news", {{"text", std::string(5000, 'x')}});
  CHECK(eventually([] { return endpoint::statistics().slow_consumers == 1; }));
  CHECK(poll(connection, token)["status"] == 500);
}
