// The server that roost_load and bench/channels measure: channels that do nothing but what their
// client asks, in an ordinary application with everything that one has: supervisors, presence,
// operations, a cluster.
#include "channels/endpoint.hpp"
#include "channels/presence.hpp"
#include "channels/pub_sub.hpp"
#include "operations/health.hpp"
#include "operations/metrics.hpp"
#include "operations/operations.hpp"

namespace load_node {
namespace {

using namespace std::chrono_literals;
using roost::payload;
using roost::socket;

class room_channel {
 public:
  using events = roost::events<"echo", "shout", "presence", "crash">;

  static roost::join_result join(std::string_view /*topic*/, const payload&, socket&) {
    return roost::ok();
  }
  static roost::in_result handle_in(roost::event<"echo">, const payload& message, socket&) {
    return roost::ok(message);
  }
  static roost::in_result handle_in(roost::event<"shout">, const payload& message, socket& socket) {
    roost::broadcast(socket, "shout", message);
    return roost::noreply();
  }
  static roost::in_result handle_in(roost::event<"crash">, const payload&, socket&) {
    throw std::runtime_error("the client asked for it");
  }

  roost::in_result handle_in(roost::event<"presence">, const payload& message, socket& socket) {
    auto key = to_string(roost::self());
    if (std::exchange(is_tracked_, true))
      who_.update(socket, key, message);
    else
      who_.track(socket, key, message.value());
    return roost::ok(message);
  }

 private:
  roost::presence who_{"presence"};
  bool is_tracked_ = false;
};

struct client_socket {
  static constexpr roost::topic_router channels{{{"room:*", roost::channel<room_channel>}}};

  static roost::connect_result<client_socket> connect(
      const roost::params&, const roost::connect_info&) {
    return client_socket{};
  }
};

std::vector<roost::http_route> routes() {
  auto all = roost::health_routes();
  all.push_back(roost::metrics_route());
  return all;
}

roost::supervisor_spec load_supervisor() {
  return {
      .strategy = roost::one_for_one,
      .children = {
          roost::child<roost::pub_sub>({.name = "load"}),
          roost::child<roost::presence>({.pub_sub = "load"}),
          roost::child<roost::endpoint>(
              {.pub_sub = "load",
               // The clients measure what the server can do, so nothing holds them back.
               .sockets = {roost::socket_at<client_socket>(
                   "/socket", {.max_outbound = 16 << 20,
                               .message_rate = 1'000'000,
                               .message_burst = 1'000'000,
                               .byte_rate = 0,
                               .log = false})},
               .routes = routes()}),
      }};
}

}  // namespace
}  // namespace load_node

int main(int argc, char** argv) {
  return roost::run_application(
      {.name = "load_node", .config = "conf/load_node.yaml", .extensions = {roost::operations()}},
      load_node::load_supervisor, argc, argv);
}
