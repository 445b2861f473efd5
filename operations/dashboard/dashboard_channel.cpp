#include "operations/dashboard/dashboard_channel.hpp"
#include "channels/endpoint.hpp"
#include "operations/console/console_server.hpp"
#include "operations/console/dynamic.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr int most_on_their_way = 16;

/// What the page has buttons for. Nothing else is asked with an admin's rights.
constexpr std::string_view destructive[] = {
    "Endpoint.drain",
    "Errors.clear",
    "Logger.set_level",
    "Process.exit",
    "sys.replace_state",
    "sys.resume",
    "sys.suspend",
    "Supervisor.restart_child",
    "Supervisor.terminate_child",
};

error_reply because(std::string_view reason) { return error({{"reason", reason}}); }

bool known(const std::string& node) {
  if (node.empty() || node == node::self()) return true;
  auto others = node::list();
  return std::find(others.begin(), others.end(), node) != others.end();
}

std::uint64_t milliseconds_now() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

void answer(const socket_ref& asked, const console_answer& answer) {
  if (!answer.ok) return reply(asked, because(answer.text));
  auto value = payload::parse("{\"value\":" + answer.text + "}");
  reply(asked, value ? reply_with(ok(*value)) : because("expected JSON as the answer"));
}

}  // namespace

join_result dashboard_channel::join(
    std::string_view /*topic*/, const payload& /*params*/, socket& socket) {
  who = socket.assigns<dashboard_socket>().who;
  logger::info("somebody looks at the dashboard", {{"who", who}});
  return ok(
      {{"node", node::self()},
       {"who", who},
       {"open", current_dashboard().open()},
       {"allow_destructive_actions", current_dashboard().settings().allow_destructive_actions}});
}

in_result dashboard_channel::handle_in(event<"ask">, const payload& question, socket& socket) {
  auto& function = question["function"];
  auto& arguments = question["arguments"];
  auto& where = question["node"];
  if (!function.is_string() || !(arguments.is_array() || arguments.is_null()) ||
      !(where.is_string() || where.is_null()))
    return because("expected {function: text, arguments: list, node: text}");
  if (!rate.take(milliseconds_now())) return because("slow down");
  if (on_their_way >= most_on_their_way) return because("too many questions at once");
  ask_console ask{.function = function.as_string(), .who = "dashboard: " + who};
  if (arguments.is_array()) ask.arguments = arguments.dump();
  if (where.is_string()) ask.node = where.as_string();
  // Only where somebody has connected this node to: a page must not make it call others.
  auto of_pid = arguments[0].is_string() ? node_in_text(arguments[0].as_string()) : std::string();
  if (!known(ask.node) || !known(of_pid)) return because("expected a node of the cluster");
  bool changes = std::find(std::begin(destructive), std::end(destructive), ask.function) !=
                 std::end(destructive);
  bool may = changes && current_dashboard().settings().allow_destructive_actions;
  ask.role = may ? console::role::admin : console::role::read_only;
  ++on_their_way;
  call(server<console_server>(console_server::name), std::move(ask), std::chrono::seconds(20))
      .then(
          [this, asked = ref(socket)](const console_answer& reply) {
            --on_their_way;
            answer(asked, reply);
          },
          [this, asked = ref(socket)](const exit_reason& reason) {
            --on_their_way;
            reply(asked, because("the console does not answer: " + reason.to_string()));
          });
  return noreply();
}

connect_result<dashboard_socket> dashboard_socket::connect(
    const params& /*params*/, const connect_info& info) {
  auto who = current_dashboard().who_has(info.auth_token.value_or(""));
  if (!who) return refuse("no token of the dashboard, or one that is too old");
  return dashboard_socket{*who + " from " + info.peer_address};
}

}  // namespace roost::detail
