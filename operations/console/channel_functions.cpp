// PubSub, Presence and Endpoint: who is connected, and to what.
#include "channels/debug.hpp"
#include "channels/endpoint.hpp"
#include "channels/presence.hpp"
#include "channels/pub_sub.hpp"
#include "operations/console/console_server.hpp"
#include "operations/console/dynamic.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

using console::arguments;
using console::role;

std::size_t limit_in(const arguments& given, std::size_t at, std::int64_t fallback) {
  auto& limit = given.option(at, "limit");
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(limit.is_int() ? limit.as_int() : fallback, 1, 10'000));
}

json pub_subs(const arguments&) {
  auto list = json::array();
  for (auto& name : pub_sub::names()) {
    auto counts = pub_sub::statistics(name);
    list.push_back(
        {{"name", name},
         {"node_name", node_name(name)},
         {"sent", counts.sent},
         {"received", counts.received},
         {"unwanted", counts.unwanted},
         {"gaps", counts.gaps},
         {"unreachable", counts.unreachable}});
  }
  return list;
}

json topics(const arguments& given) {
  auto all = pub_sub::topics(given.text(0, "the name of a pub_sub"));
  if (auto& find = given.option(1, "find"); find.is_string())
    std::erase_if(
        all, [&](auto& one) { return one.topic.find(find.as_string()) == one.topic.npos; });
  auto size = [](const pub_sub::topic_info& one) { return one.processes + one.channels; };
  std::sort(all.begin(), all.end(), [&](auto& left, auto& right) {
    return size(left) != size(right) ? size(left) > size(right) : left.topic < right.topic;
  });
  if (auto most = limit_in(given, 1, 100); all.size() > most) all.resize(most);
  auto list = json::array();
  for (auto& one : all)
    list.push_back(
        {{"topic", one.topic}, {"channels", one.channels}, {"processes", one.processes}});
  return list;
}

json send_broadcast(const arguments& given) {
  auto outcome = broadcast(
      given.text(0, "the name of a pub_sub"), given.text(1, "a topic"), given.text(2, "an event"),
      given[3].is_null() ? json::object() : given[3]);
  return json(outcome == broadcast_result::ok ? "ok" : "unreachable");
}

json presences(const arguments& given) {
  auto topic = given.text(0, "a topic");
  auto name = given[1].is_null() ? std::string("presence") : given.text(1, "a presence");
  auto parsed = json::parse(presence(name).list(topic).contents());
  return parsed ? *parsed : json::object();
}

std::string endpoint_in(const arguments& given, std::size_t at) {
  return given[at].is_null() ? std::string("endpoint") : given.text(at, "the name of an endpoint");
}

json show_endpoint(const std::string& name) {
  auto now = endpoint::statistics(name);
  return {
      {"name", name},
      {"port", endpoint_port(name)},
      {"https_port", endpoint_https_port(name)},
      {"ready", endpoint::ready(name)},
      {"connections", now.connections},
      {"sockets", now.sockets},
      {"accepted", now.accepted},
      {"connected", now.connected},
      {"refused_connections", now.refused_connections},
      {"refused_sockets", now.refused_sockets},
      {"refused_by_address", now.refused_by_address},
      {"refused_by_rate", now.refused_by_rate},
      {"refused_draining", now.refused_draining},
      {"slow_handshakes", now.slow_handshakes},
      {"too_many_channels", now.too_many_channels},
      {"too_many_joins", now.too_many_joins},
      {"join_timeouts", now.join_timeouts},
      {"messages_too_big", now.messages_too_big},
      {"throttled", now.throttled},
      {"slow_consumers", now.slow_consumers},
      {"idle_timeouts", now.idle_timeouts}};
}

json endpoints(const arguments&) {
  auto list = json::array();
  for (auto& name : endpoint::names()) list.push_back(show_endpoint(name));
  return list;
}

json sockets(const arguments& given) {
  auto all = debug::list_sockets();
  auto total = all.size();
  if (auto most = limit_in(given, 0, 100); all.size() > most) all.resize(most);
  auto list = json::array();
  for (auto& one : all)
    list.push_back(
        {{"pid", pid_json(one.process)},
         {"socket", one.socket},
         {"id", one.id ? json(*one.id) : json()}});
  return {{"total", total}, {"sockets", std::move(list)}};
}

json channels(const arguments& given) {
  auto list = json::array();
  for (auto& one : debug::list_channels(given.process(0)))
    list.push_back(
        {{"pid", pid_json(one.process)},
         {"topic", one.topic},
         {"channel", one.channel},
         {"joined", one.joined}});
  return list;
}

json drain(const arguments& given) {
  auto name = endpoint_in(given, 0);
  if (!endpoint::drain(name))
    throw std::invalid_argument("expected the name of an endpoint, got \"" + name + '"');
  return json(true);
}

json renew(const arguments& given) {
  auto name = endpoint_in(given, 0);
  if (!endpoint::reload_certificates(name))
    throw std::invalid_argument("expected the name of an endpoint, got \"" + name + '"');
  return json(true);
}

}  // namespace

void offer_channel_functions() {
  console::offer("PubSub.list", pub_subs, {.usage = "() the pub_subs and what they have counted"});
  console::offer(
      "PubSub.topics", topics,
      {.usage = "(pub_sub [, {limit = 100, find = text}]) the topics with most listeners"});
  console::offer(
      "PubSub.broadcast", send_broadcast,
      {.needs = role::admin, .usage = "(pub_sub, topic, event, payload) to all nodes"});
  console::offer(
      "Presence.list", presences, {.usage = "(topic [, presence]) who is there, on all nodes"});
  console::offer(
      "Endpoint.list", endpoints, {.usage = "() the endpoints and what they have counted"});
  console::offer("Endpoint.sockets", sockets, {.usage = "([{limit = 100}]) who is connected"});
  console::offer("Endpoint.channels", channels, {.usage = "(socket) what it has joined"});
  console::offer(
      "Endpoint.drain", drain,
      {.needs = role::admin, .usage = "([endpoint]) sends its clients elsewhere"});
  console::offer(
      "Endpoint.reload_certificates", renew,
      {.needs = role::admin, .usage = "([endpoint]) takes its certificate files as they are now"});
}

}  // namespace roost::detail
