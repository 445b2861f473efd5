#include "examples/conformance/presence_channel.hpp"
#include "examples/conformance/user_socket.hpp"

namespace conformance {
namespace {

/// As Elixir prints it, which the kit compares.
std::string described(
    const roost::track_result& result, std::string_view topic, std::string_view key) {
  if (result) return "{:ok, \"" + result.phx_ref + "\"}";
  return "{:error, {:already_tracked, #PID" + to_string(roost::self()) + ", \"" +
         std::string(topic) + "\", \"" + std::string(key) + "\"}}";
}

}  // namespace

roost::join_result presence_channel::join(
    std::string_view /*topic*/, const payload& params, socket& socket) {
  auto of_socket = socket.assigns<user_socket>().uid.value_or("anon");
  uid = params.get_or("uid", of_socket);
  roost::send(roost::self(), after_join{});
  return roost::ok();
}

void presence_channel::handle_info(after_join, socket& socket) {
  who.track(socket, uid, {{"online_at", 1}, {"status", "on"}});
  roost::push(socket, "presence_state", who.list(socket));
}

roost::in_result presence_channel::handle_in(roost::event<"list">, const payload&, socket& socket) {
  return roost::ok(who.list(socket));
}

roost::in_result presence_channel::handle_in(
    roost::event<"update">, const payload& message, socket& socket) {
  return roost::ok({{"ref", who.update(socket, uid, message).phx_ref}});
}

roost::in_result presence_channel::handle_in(
    roost::event<"untrack">, const payload&, socket& socket) {
  who.untrack(socket, uid);
  return roost::ok();
}

roost::in_result presence_channel::handle_in(
    roost::event<"track_again">, const payload& message, socket& socket) {
  auto key = message.get<std::string>("key");
  auto meta = message.value();
  meta.erase("key");
  return roost::ok({{"result", described(who.track(socket, key, meta), socket.topic(), key)}});
}

}  // namespace conformance
