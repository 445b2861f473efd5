#include "operations/observe/observe.hpp"
#include "operations/observe/keys.hpp"
#include "operations/observe/looks.hpp"
#include "operations/observe/screen.hpp"
#include "operations/observe/terminal.hpp"
#include "operations/shell/node_connection.hpp"
#include <unistd.h>
#include <iostream>
#include <thread>

namespace roost::detail {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto interval = 1'000ms;
constexpr std::size_t picture_width = 120;

class console_asker final : public asker {
 public:
  explicit console_asker(node_connection& to) : to_(to) {}

  json ask(const std::string& function, const json& arguments, const std::string& node) override {
    return to_.ask(function, arguments, node, given_up);
  }

  std::function<bool()> given_up = {};

 private:
  node_connection& to_;
};

/// Two looks, as there is no rate in one.
int print_picture(asker& asked) {
  std::vector<std::pair<page, look>> all;
  for (std::size_t at = 0; at < page_count; ++at) {
    looks taken(asked);
    choice chosen{.shown = static_cast<page>(at)};
    taken.take(chosen, clock::now());
    std::this_thread::sleep_for(interval / page_count);
    all.emplace_back(chosen.shown, taken.take(chosen, clock::now()));
  }
  std::cout << picture_of(all, picture_width) << std::flush;
  return 0;
}

/// Until somebody wants to leave. Nobody answers any more: throws.
void watch(terminal& shown, looks& taken) {
  choice chosen;
  auto seen = taken.take(chosen, clock::now());
  auto next = clock::now() + interval;
  for (;;) {
    auto size = shown.size();
    shown.show(screen_of(seen, chosen, size), size);
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - clock::now());
    shown.wait(chosen.paused ? 60'000ms : std::max(left, 0ms));
    bool again = !chosen.paused && clock::now() >= next;
    for (auto key : shown.take_keys()) {
      auto wanted = apply(key, chosen, seen, size);
      if (wanted == wish::leave) return;
      again |= wanted == wish::look;
    }
    if (shown.told_to_end()) return;
    shown.take_resized();
    if (!again) continue;
    seen = taken.take(chosen, clock::now());
    next = clock::now() + interval;
  }
}

int observe(const command_call& call) {
  try {
    auto role = call.switches.empty() ? console::role::admin : console::role::read_only;
    node_connection node(call, role);
    console_asker asked(node);
    if (::isatty(STDOUT_FILENO) == 0 || ::isatty(STDIN_FILENO) == 0) return print_picture(asked);
    terminal shown;
    asked.given_up = [&shown] { return shown.told_to_end(); };
    looks taken(asked);
    try {
      watch(shown, taken);
    } catch (const std::runtime_error&) {
      if (!shown.told_to_end()) throw;  // else somebody did not want to wait for the answer
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << call.program << ": " << error.what() << "\n";
    return 1;
  }
}

}  // namespace

program_command observe_command() {
  return {
      .name = "observe",
      .description = "Show a running node and its cluster in the terminal, as top does",
      .switches = {{"--read-only", "As a guest (distribution.guest_cookie_file)"}},
      .run = observe};
}

}  // namespace roost::detail
