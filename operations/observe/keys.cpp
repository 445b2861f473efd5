#include "operations/observe/keys.hpp"
#include <algorithm>

namespace roost::detail {

std::vector<pressed> keys_in(std::string& typed) {
  static constexpr struct {
    std::string_view code;
    key special;
  } known[] = {{"[A", key::up},       {"OA", key::up},         {"[B", key::down}, {"OB", key::down},
               {"[5~", key::page_up}, {"[6~", key::page_down}, {"[H", key::home}, {"OH", key::home},
               {"[1~", key::home},    {"[F", key::end},        {"OF", key::end},  {"[4~", key::end},
               {"[Z", key::back_tab}};
  std::vector<pressed> keys;
  while (!typed.empty()) {
    if (typed[0] != '\x1b') {
      keys.push_back(typed[0] == '\t' ? pressed{.special = key::tab} : pressed{.letter = typed[0]});
      typed.erase(0, 1);
      continue;
    }
    if (typed.size() < 3) break;  // more may follow
    auto rest = std::string_view(typed).substr(1);
    std::size_t size = 2;  // of a sequence: up to its last letter
    if (rest[0] == '[') {
      while (size <= rest.size() && !(rest[size - 1] >= '@' && rest[size - 1] <= '~')) ++size;
      if (size > rest.size() && rest.size() < 16) break;
      size = std::min(size, rest.size());
    }
    for (auto& one : known)
      if (rest.substr(0, size) == one.code) keys.push_back({.special = one.special});
    typed.erase(0, size + 1);
  }
  return keys;
}

wish apply(pressed what, choice& chosen, const look& seen, screen_size size) {
  auto page = room_in(size);
  auto turn_to = [&](std::size_t at) {
    chosen.shown = static_cast<detail::page>(at % page_count);
    chosen.scrolled = 0;
    chosen.help = false;
    return wish::look;
  };
  auto sort = [&](order by) {
    chosen.by = by;
    if (chosen.shown == detail::page::processes && !chosen.help) {
      chosen.scrolled = 0;
      return wish::look;
    }
    return turn_to(static_cast<std::size_t>(detail::page::processes));
  };
  auto other_node = [&](std::size_t step) {
    auto& all = seen.nodes;
    if (all.size() < 2) return wish::nothing;
    auto now = std::find(all.begin(), all.end(), seen.node);
    auto at = now == all.end() ? 0 : static_cast<std::size_t>(now - all.begin());
    chosen.node = all[(at + step) % all.size()];
    chosen.scrolled = 0;
    return wish::look;
  };
  auto scroll = [&](std::size_t to) {
    chosen.scrolled = to;
    return wish::redraw;
  };
  auto now = static_cast<std::size_t>(chosen.shown);
  switch (what.special) {
    case key::up:
      return scroll(chosen.scrolled - std::min<std::size_t>(chosen.scrolled, 1));
    case key::down:
      return scroll(chosen.scrolled + 1);
    case key::page_up:
      return scroll(chosen.scrolled - std::min(chosen.scrolled, page));
    case key::page_down:
      return scroll(chosen.scrolled + page);
    case key::home:
      return scroll(0);
    case key::end:
      return scroll(1'000'000);
    case key::tab:
      return turn_to(now + 1);
    case key::back_tab:
      return turn_to(now + page_count - 1);
    case key::none:
      break;
  }
  switch (what.letter) {
    case 'q':
    case 'Q':
    case '\x03':
      return wish::leave;
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
      return turn_to(static_cast<std::size_t>(what.letter - '1'));
    case 'm':
      return sort(order::memory);
    case 'b':
      return sort(order::mailbox);
    case 'r':
      return sort(order::reductions);
    case 'd':
      return sort(order::rate);
    case 'u':
      return sort(order::uptime);
    case 'n':
      return other_node(1);
    case 'N':
      return other_node(std::max<std::size_t>(seen.nodes.size(), 1) - 1);
    case 'j':
      return scroll(chosen.scrolled + 1);
    case 'k':
      return scroll(chosen.scrolled - std::min<std::size_t>(chosen.scrolled, 1));
    case ' ':
      chosen.paused = !chosen.paused;
      return chosen.paused ? wish::redraw : wish::look;
    case '?':
    case 'h':
      chosen.help = !chosen.help;
      chosen.scrolled = 0;
      return wish::redraw;
    default:
      return wish::nothing;
  }
}

}  // namespace roost::detail
