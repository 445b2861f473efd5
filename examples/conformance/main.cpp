// The application that the conformance kit talks to, as tests/conformance/app.md describes it.
#include "channels/endpoint.hpp"
#include "channels/presence.hpp"
#include "channels/pub_sub.hpp"
#include "examples/conformance/routes.hpp"
#include "examples/conformance/user_socket.hpp"
#include "operations/health.hpp"
#include "operations/operations.hpp"

namespace conformance {
namespace {

using namespace std::chrono_literals;

std::vector<roost::http_route> all_routes() {
  auto all = routes();
  for (auto& route : roost::health_routes()) all.push_back(route);
  return all;
}

std::vector<roost::socket_mount> sockets() {
  return {
      roost::socket_at<user_socket>("/socket", {.longpoll = roost::longpoll_options{}}),
      roost::socket_at<user_socket>(
          "/small", {.longpoll = roost::longpoll_options{.window = 1s, .pubsub_timeout = 1s},
                     .timeout = 2s,
                     .max_frame_size = 65'536}),
      roost::socket_at<user_socket>("/wsonly/:room"),
      roost::socket_at<user_socket>("/deflate", {.compress = true}),
      roost::socket_at<load_socket>("/load", {.timeout = roost::infinity, .log = false}),
  };
}

roost::supervisor_spec conformance_supervisor() {
  return {
      .strategy = roost::one_for_one,
      .children = {
          roost::child<roost::pub_sub>({.name = "conformance"}),
          roost::child<roost::presence>({.pub_sub = "conformance"}),
          roost::child<roost::endpoint>({
              .pub_sub = "conformance",
              .sockets = sockets(),
              .routes = all_routes(),
          }),
      }};
}

}  // namespace
}  // namespace conformance

int main(int argc, char** argv) {
  return roost::run_application(
      {.name = "conformance",
       .config = "conf/conformance.yaml",
       .extensions = {roost::operations()}},
      conformance::conformance_supervisor, argc, argv);
}
