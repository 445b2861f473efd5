// What runs, and who restarts it.
#include "channels/endpoint.hpp"
#include "channels/pub_sub.hpp"
#include "counter.hpp"
#include "room_channel.hpp"
#include "supervision/application.hpp"
#include <chrono>

using namespace std::chrono_literals;

/// One connected client.
struct user_socket {
  static constexpr roost::topic_router channels{{
      {"room:*", roost::channel<room_channel>},
  }};

  static roost::connect_result<user_socket> connect(
      const roost::params& /*params*/, const roost::connect_info& /*info*/) {
    return user_socket{};
  }
};

roost::supervisor_spec app_supervisor() {
  return {
      .strategy = roost::one_for_one,
      .max_restarts = 3,
      .max_seconds = 5s,
      .children = {
          roost::child<roost::pub_sub>({.name = "@NAME@"}),
          roost::child<counter>({.name = "counter"}, 0),
          roost::child<roost::endpoint>({
              .pub_sub = "@NAME@",
              .http = {.ip = "127.0.0.1", .port = 4000},
              .sockets = {roost::socket_at<user_socket>("/socket")},
          }),
      }};
}

int main(int argc, char** argv) {
  return roost::run_application(
      {.name = "@NAME@", .config = "conf/@NAME@.yaml"}, app_supervisor, argc, argv);
}
