#include "examples/conformance/room_channel.hpp"
#include "examples/conformance/late_reply.hpp"
#include "examples/conformance/user_socket.hpp"
#include "supervision/application.hpp"

namespace conformance {
namespace {

using std::chrono::milliseconds;

// Where Elixir has a pattern in the function's head, these say what fits; what does not is a crash.

const roost::payload& json_only(const roost::payload& message) {
  if (!message.is_json()) throw std::invalid_argument("expected JSON, got binary data");
  return message;
}

const roost::payload& object_only(const roost::payload& message) {
  if (!message.is_object())
    throw std::invalid_argument("expected a JSON object, got another value");
  return message;
}

const roost::payload& binary_only(const roost::payload& message) {
  if (!message.is_binary()) throw std::invalid_argument("expected binary data, got JSON");
  return message;
}

/// C++ has no value of the wrong type to return; what comes closest is to return none at all.
[[noreturn]] void return_nonsense() { throw std::logic_error("expected a result, got nonsense"); }

}  // namespace

roost::join_result room_channel::join(
    std::string_view topic, const payload& params, socket& socket) {
  if (params["deny"] == true) return roost::error({{"reason", "unauthorized"}});
  if (params["join_raise"] == true) throw std::runtime_error("join raises, as the client asked");
  if (params["join_badret"] == true) return_nonsense();
  if (params["join_noreply"] == true) return roost::ok();
  if (params.contains("join_slow")) {
    auto delay = params.get<int>("join_slow");
    auto ref = roost::ref(socket);
    reply_after(milliseconds(delay), ref, roost::ok({{"slow", delay}}));
    return roost::later(ref);
  }
  return roost::ok({{"echo", params.value()}, {"topic", topic}, {"node", roost::node_name()}});
}

// --- replies, now and later
// ------------------------------------------------------------------------

roost::in_result room_channel::handle_in(roost::event<"ping">, const payload& message, socket&) {
  return roost::ok(json_only(message));
}

roost::in_result room_channel::handle_in(
    roost::event<"ping_error">, const payload& message, socket&) {
  return roost::error(json_only(message));
}

roost::in_result room_channel::handle_in(roost::event<"ping_bare">, const payload&, socket&) {
  return roost::ok();
}

roost::in_result room_channel::handle_in(
    roost::event<"ping_custom">, const payload& message, socket&) {
  return roost::reply("weird_status", json_only(message));
}

roost::in_result room_channel::handle_in(roost::event<"noreply">, const payload&, socket&) {
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"async_reply">, const payload& message, socket& socket) {
  milliseconds delay(object_only(message).get_or("ms", 100));
  auto answer = message.value();
  answer["late"] = true;
  roost::send_after(delay, roost::self(), answer_is_due{roost::ref(socket), answer});
  return roost::noreply();
}

roost::out_result room_channel::handle_info(answer_is_due due, socket&) {
  roost::reply(due.ref, roost::ok(due.answer));
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"task_reply">, const payload& message, socket& socket) {
  reply_after(milliseconds(20), roost::ref(socket), roost::ok(json_only(message)));
  return roost::noreply();
}

// --- pushes and broadcasts
// ---------------------------------------------------------------------------

roost::in_result room_channel::handle_in(
    roost::event<"push_me">, const payload& message, socket& socket) {
  roost::push(socket, "pushed", json_only(message));
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"shout">, const payload& message, socket& socket) {
  roost::broadcast(socket, "shout", object_only(message));
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"shout_reply">, const payload& message, socket& socket) {
  roost::broadcast(socket, "shout", object_only(message));
  return roost::ok({{"done", true}});
}

roost::in_result room_channel::handle_in(
    roost::event<"shout_from">, const payload& message, socket& socket) {
  roost::broadcast_from(socket, "shout_from", object_only(message));
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"shout_intercepted">, const payload& message, socket& socket) {
  roost::broadcast(socket, "intercepted", object_only(message));
  return roost::noreply();
}

roost::out_result room_channel::handle_out(
    roost::event<"intercepted">, const payload& message, socket& socket) {
  auto seen = message.value();
  seen["seen_by"] = "\"" + std::string(socket.topic()) + "\"";
  roost::push(socket, "intercepted", seen);
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"ext_broadcast">, const payload& message, socket&) {
  roost::broadcast("conformance", object_only(message).get<std::string>("topic"), "ext", message);
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"disconnect_me">, const payload&, socket& socket) {
  roost::broadcast("conformance", socket.assigns<user_socket>().id().value(), "disconnect", {});
  return roost::noreply();
}

// --- bytes instead of JSON
// ---------------------------------------------------------------------------

roost::in_result room_channel::handle_in(roost::event<"binary">, const payload& message, socket&) {
  if (message.is_json()) return roost::error({{"not_binary", message.value()}});
  return roost::ok(message);
}

roost::in_result room_channel::handle_in(
    roost::event<"binary_error">, const payload& message, socket&) {
  return roost::error(binary_only(message));
}

roost::in_result room_channel::handle_in(
    roost::event<"binary_shout">, const payload& message, socket& socket) {
  roost::broadcast(socket, "binary_shout", binary_only(message));
  return roost::noreply();
}

roost::in_result room_channel::handle_in(
    roost::event<"binary_push">, const payload& message, socket& socket) {
  roost::push(socket, "binary_push", binary_only(message));
  return roost::noreply();
}

// --- ends, orderly and not
// ---------------------------------------------------------------------------

roost::in_result room_channel::handle_in(roost::event<"crash">, const payload&, socket&) {
  throw std::runtime_error("crashes, as the client asked");
}

roost::in_result room_channel::handle_in(roost::event<"exit_shutdown">, const payload&, socket&) {
  roost::exit(roost::exit_reason::shutdown);
}

roost::in_result room_channel::handle_in(roost::event<"stop">, const payload&, socket&) {
  return roost::stop(roost::exit_reason::normal);
}

roost::in_result room_channel::handle_in(
    roost::event<"stop_reply">, const payload& message, socket&) {
  return roost::stop(roost::exit_reason::normal, roost::ok(json_only(message)));
}

roost::in_result room_channel::handle_in(roost::event<"stop_shutdown">, const payload&, socket&) {
  return roost::stop(roost::exit_reason::shutdown);
}

roost::in_result room_channel::handle_in(roost::event<"stop_shutdown_t">, const payload&, socket&) {
  return roost::stop(roost::exit_reason::shutdown_with("detail"));
}

roost::in_result room_channel::handle_in(roost::event<"stop_bad">, const payload&, socket&) {
  return roost::stop("bad");
}

roost::in_result room_channel::handle_in(roost::event<"badreturn">, const payload&, socket&) {
  return_nonsense();
}

}  // namespace conformance
