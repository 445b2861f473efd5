#include "channels/debug.hpp"
#include "channels/socket_process.hpp"
#include "runtime/process_info.hpp"
#include <stdexcept>

namespace roost::debug {
namespace {

/// What a process of this kind answers; nothing if it is none.
template <class Behavior, class Answer, class F>
std::optional<Answer> ask(pid process, F about) {
  using reply = std::optional<Answer>;
  return detail::inspect<reply>(
             process,
             [about](detail::process* found) {
               auto* does = found != nullptr ? dynamic_cast<Behavior*>(found->does.get()) : nullptr;
               return detail::make_message<reply>(
                   detail::message_kind::reply, does != nullptr ? reply(about(*does)) : reply());
             })
      .get();
}

template <class Answer>
Answer expected(std::optional<Answer> answer, std::string_view what, pid process) {
  if (answer) return std::move(*answer);
  throw std::invalid_argument(
      "expected " + to_string(process) + " to be a " + std::string(what) + ", got another process");
}

std::optional<socket_details> details_of(pid process) {
  return ask<detail::socket_process, socket_details>(
      process, [process](const detail::socket_process& socket) {
        return socket_details{process, std::string(socket.initial_call()), socket.id()};
      });
}

}  // namespace

std::vector<socket_details> list_sockets() {
  std::vector<socket_details> all;
  for (auto process : processes())
    if (auto details = details_of(process)) all.push_back(std::move(*details));
  return all;
}

std::vector<channel_details> list_channels(pid socket) {
  return expected(
      ask<detail::socket_process, std::vector<channel_details>>(
          socket, [](const detail::socket_process& found) { return found.channels(); }),
      "socket", socket);
}

bool is_socket(pid process) { return details_of(process).has_value(); }

bool is_channel(pid process) {
  return ask<detail::channel_process, bool>(process, [](auto&) { return true; }).has_value();
}

pid socket_of(pid channel) {
  return expected(
      ask<detail::channel_process, pid>(
          channel, [](detail::channel_process& process) { return process.state().socket; }),
      "channel", channel);
}

}  // namespace roost::debug
