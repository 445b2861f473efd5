#include "channels/client.hpp"
#include "channels/client/client_messages.hpp"
#include "channels/client/client_process.hpp"
#include "channels/json_scanner.hpp"

namespace roost {
namespace {

template <class R, class M>
pending<R> ask(pid client, M question, std::chrono::milliseconds timeout, std::string_view what) {
  return pending<R>(detail::request{
      client, detail::make_message<M>(detail::message_kind::call, std::move(question)), timeout,
      what});
}

std::unique_ptr<detail::behavior> make_client(std::shared_ptr<const client_options> options) {
  return std::make_unique<detail::client_process>(std::move(options));
}

std::shared_ptr<const client_options> checked(client_options options) {
  detail::validate(options);
  return std::make_shared<const client_options>(std::move(options));
}

}  // namespace

// --- a channel -----------------------------------------------------------------------------------

// The client answers in time, so the caller needs no clock of its own: `infinity`.

pending<client_reply> client_channel::joined(std::chrono::milliseconds timeout) const {
  return ask<client_reply>(
      client_, detail::client_await_join{{id_, topic_}, timeout}, infinity,
      "roost::client_channel::joined");
}

void client_channel::push(std::string_view event, payload payload) const {
  roost::send(
      client_,
      detail::client_push{{id_, topic_}, std::string(event), std::move(payload), std::nullopt});
}

pending<client_reply> client_channel::call(
    std::string_view event, payload payload,
    std::optional<std::chrono::milliseconds> timeout) const {
  return ask<client_reply>(
      client_, detail::client_push{{id_, topic_}, std::string(event), std::move(payload), timeout},
      infinity, "roost::client_channel::call");
}

pending<std::optional<client_event>> client_channel::receive(
    std::chrono::milliseconds timeout) const {
  return ask<std::optional<client_event>>(
      client_, detail::client_receive{{id_, topic_}, timeout}, infinity,
      "roost::client_channel::receive");
}

void client_channel::leave() const { roost::send(client_, detail::client_leave{{id_, topic_}}); }

pending<client_reply> client_channel::left(std::chrono::milliseconds timeout) const {
  return ask<client_reply>(
      client_, detail::client_await_leave{{id_, topic_}, timeout}, infinity,
      "roost::client_channel::left");
}

// --- the client ----------------------------------------------------------------------------------

child_spec client::child_spec(options options) {
  auto name = options.name;
  auto shared = checked(std::move(options));
  return {
      .id = name.empty() ? "client" : name.text(),
      .start = detail::starter([shared] { return make_client(shared); }, name)};
}

client client::start_link(options options) {
  auto name = options.name;
  return client(detail::start_server(
      make_client(checked(std::move(options))), start_options{.name = std::move(name)},
      detail::attachment::link, "roost::client"));
}

client_channel client::join(std::string topic, payload params, client_on on) const {
  if (topic.empty() || !is_utf8(topic))
    throw std::invalid_argument("expected the topic of a join to be UTF-8, got another text");
  if (params.is_binary())
    throw std::invalid_argument("expected the params of a join to be JSON, got bytes");
  client_channel channel(process_, make_ref(), std::move(topic));
  const bool functions = on.event || on.status;
  const auto owner = inside_process() && !functions ? self() : pid{};
  roost::send(
      process_,
      detail::client_join{{channel.id_, channel.topic_}, std::move(params), owner, std::move(on)});
  return channel;
}

void client::connect() const { roost::send(process_, detail::client_connect{}); }

void client::disconnect() const { roost::send(process_, detail::client_disconnect{}); }

pending<client_info> client::info() const {
  return ask<client_info>(process_, detail::client_ask_info{}, call_timeout, "roost::client::info");
}

}  // namespace roost
