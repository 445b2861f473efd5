#include "runtime/distribution/net_kernel.hpp"
#include "runtime/distribution/distribution.hpp"
#include "runtime/process_core.hpp"

namespace roost::detail {

init_result<net_kernel> net_kernel::init() {
  never_wait_for_links();
  return net_kernel{};
}

call_result<node::ping_result> net_kernel::handle_call(
    const ping& question, from<node::ping_result> client) {
  auto& nodes = distribution::instance();
  nodes.connect(
      question.node,
      [me = server<net_kernel>(self()), node = question.node, client](bool connected) {
        cast(me, pinged{node, connected, client});
      });
  return noreply();
}

call_result<node::connect_result> net_kernel::handle_call(
    const connect& question, from<node::connect_result> client) {
  distribution::instance().connect(question.node, [client](bool connected) {
    client.reply(connected ? node::connect_result::connected : node::connect_result::failed);
  });
  return noreply();
}

/// A connection alone is no answer: the node has to be able to run a process.
void net_kernel::handle_cast(const pinged& outcome) {
  auto client = outcome.client;
  if (!outcome.connected) return client.reply(node::ping_result::pang);
  call(server<net_kernel>("net_kernel", outcome.node), is_auth{})
      .then(
          [client](bool) { client.reply(node::ping_result::pong); },
          [client](const exit_reason& reason) {
            // This node itself is not asked through itself.
            client.reply(
                reason == exit_reason("calling_self") ? node::ping_result::pong
                                                      : node::ping_result::pang);
          });
}

pid start_net_kernel() {
  start_request request;
  request.name = process_name("net_kernel");
  request.owned = true;
  auto outcome = start_process(make_server<net_kernel>(), std::move(request));
  if (outcome.status != start_status::ready)
    throw std::runtime_error("expected the name net_kernel to be free, got another process");
  return outcome.process;
}

}  // namespace roost::detail
