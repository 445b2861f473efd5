#include "channels/testing/inbox.hpp"
#include <algorithm>

namespace roost::detail {
namespace {

constexpr std::size_t most_shown_messages = 30;
constexpr std::size_t most_shown_bytes = 300;

std::string shortened(std::string text) {
  if (text.size() <= most_shown_bytes) return text;
  auto size = std::to_string(text.size());
  return text.substr(0, most_shown_bytes) + "... (" + size + " bytes)";
}

}  // namespace

std::string shown(const payload& payload) {
  if (!payload.is_binary()) return shortened(std::string(payload.text()));
  return std::to_string(payload.bytes().size()) + " bytes of binary data";
}

namespace {

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string what_was_sent(const test_inbox& inbox, std::string_view ref) {
  auto number = static_cast<std::size_t>(std::atoll(std::string(ref).c_str()));
  auto known = number > 0 && number <= inbox.sent.size();
  return (known ? quoted(inbox.sent[number - 1]) : "?") + " (ref " + std::string(ref) + ")";
}

}  // namespace

std::string describe(const wanted_message& wanted, const test_inbox& inbox) {
  std::string text = wanted.kind == came_as::push    ? "push"
                     : wanted.kind == came_as::reply ? "reply"
                                                     : "broadcast";
  if (wanted.name) text += " " + quoted(*wanted.name);
  if (auto payload = wanted.payload->to_string(); !payload.empty()) text += " with " + payload;
  if (!wanted.ref.empty()) text += " to " + what_was_sent(inbox, wanted.ref);
  if (wanted.join != nullptr) text += " on " + quoted(wanted.join->topic);
  return text;
}

std::string describe(const received& message, const test_inbox& inbox) {
  auto text = message.kind == came_as::push    ? "push "
              : message.kind == came_as::reply ? "reply "
                                               : std::string("broadcast ");
  text += quoted(message.name) + " " + shown(message.payload);
  if (message.kind == came_as::reply) text += " to " + what_was_sent(inbox, message.ref);
  return text + " on " + quoted(message.topic);
}

/// What the client has seen, for the one who misses something in it.
std::string all_that_came(const test_inbox& inbox) {
  std::string text;
  auto total = static_cast<std::size_t>(std::count_if(
      inbox.messages.begin(), inbox.messages.end(),
      [](auto& message) { return !message.expected; }));
  if (total == 0) text += " nothing";
  auto left_out = total > most_shown_messages ? total - most_shown_messages : 0;
  if (left_out > 0) text += "\n  (" + std::to_string(left_out) + " earlier ones)";
  std::size_t seen = 0;
  for (auto& message : inbox.messages)
    if (!message.expected && seen++ >= left_out) text += "\n  " + describe(message, inbox);
  if (auto before = inbox.messages.size() - total; before > 0)
    text += "\n  besides " + std::to_string(before) + " that the test has expected already";
  for (auto& join : inbox.joins)
    if (join->ended)
      text +=
          "\n  the channel of " + quoted(join->topic) + " has ended: " + join->ended->to_string();
  if (inbox.closed) text += "\n  the socket was closed with " + std::to_string(*inbox.closed);
  return text;
}

}  // namespace roost::detail
