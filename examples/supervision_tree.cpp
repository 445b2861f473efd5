// Crash it, watch it return. A small shop: its till and its clerk are workers, its kitchen is a
// supervisor of its own. The program breaks one after the other and shows who comes back, as what.
//
//   shop (one_for_one)
//   ├─ till
//   ├─ clerk
//   └─ kitchen (rest_for_one)
//      ├─ oven
//      └─ waiter
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include "supervision/supervisor.hpp"
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

/// Counts what it is given, and cannot take a negative amount.
struct worker {
  struct take { int amount = 0; };
  struct total { using reply = int; };
  using messages = roost::messages<take, total>;

  int sum = 0;

  void handle_cast(take message) {
    if (message.amount < 0) throw std::invalid_argument("nobody pays a negative amount");
    sum += message.amount;
  }
  int handle_call(total) const { return sum; }
};

namespace {

roost::supervisor_spec kitchen() {
  return {
      .name = "kitchen",
      .strategy = roost::rest_for_one,  // who was started after the oven depends on it
      .children = {
          roost::child<worker>({.name = "oven"}),
          roost::child<worker>({.name = "waiter"}),
      }};
}

roost::supervisor_spec shop() {
  return {
      .name = "shop",
      .strategy = roost::one_for_one,
      .max_restarts = 3,  // more than three within five seconds: restarting does not help
      .max_seconds = 5s,
      .children = {
          roost::child<worker>({.name = "till"}),
          roost::child<worker>({.name = "clerk"}),
          roost::child<roost::supervisor>(kitchen()),
      }};
}

// --- what the reader sees ------------------------------------------------------------------------

/// A part of the story.
void say(const char* text) { std::printf("\n%s\n", text); }

std::string text_in(const roost::log_event& event, std::string_view field) {
  auto* value = event.field(field);
  auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? "" : *text;
}

/// Supervisors report what happened as data; here it becomes one line with a mark.
void print_report(const roost::log_event& event) {
  if (event.kind != "supervisor_report") return;
  std::printf(
      "  ! %s: %s %s, %s\n", text_in(event, "supervisor").c_str(),
      text_in(event, "context").c_str(), text_in(event, "child").c_str(),
      text_in(event, "reason").c_str());
}

void print_tree(const std::string& name, const std::string& indent = "  ") {
  roost::logger::flush();  // reports first
  auto process = roost::whereis(name);
  std::printf("%s%-8s %s\n", indent.c_str(), name.c_str(), to_string(process).c_str());
  for (auto& child : roost::supervisor(process).which_children().get()) {
    if (child.type == roost::child_type::supervisor)
      print_tree(child.id, indent + "  ");
    else
      std::printf(
          "%s  %-8s %s\n", indent.c_str(), child.id.c_str(), to_string(child.process).c_str());
  }
}

/// Breaks a worker, and waits until somebody else answers to its name.
roost::pid crash(const char* name) {
  auto before = roost::whereis(name);
  roost::cast(roost::server<worker>(before), worker::take{.amount = -1});
  for (;;) {
    auto now = roost::whereis(name);
    if (now && now != before) return now;
    std::this_thread::sleep_for(1ms);
  }
}

void show_a_crash() {
  roost::server<worker> till("till");
  roost::cast(till, worker::take{.amount = 20});
  std::printf("  the till holds %d\n", roost::call(till, worker::total{}).get());
  auto before = till.process();
  auto after = crash("till");
  roost::logger::flush();
  std::printf(
      "  %s is gone; the till is %s now and holds %d: a restart begins with a fresh state\n",
      to_string(before).c_str(), to_string(after).c_str(),
      roost::call(till, worker::total{}).get());
}

void show_the_limit() {
  auto before = roost::whereis("kitchen");
  while (roost::is_alive(before)) crash("oven");
  while (!roost::whereis("waiter")) std::this_thread::sleep_for(1ms);
}

}  // namespace

int main() {
  roost::logger::detach(roost::logger::default_handler);
  roost::logger::attach(print_report);
  roost::runtime runtime;
  roost::start_link(shop());

  say("The shop is open.");
  print_tree("shop");

  say("The till crashes. one_for_one: its supervisor starts a new one, the others go on.");
  show_a_crash();
  print_tree("shop");

  say("The oven crashes. rest_for_one: the waiter, started after it, gets a new start as well.");
  crash("oven");
  print_tree("shop");

  say("The oven crashes again and again. After three restarts in five seconds the kitchen ends as\n"
      "well; its own supervisor, the shop, starts a new kitchen.");
  show_the_limit();
  print_tree("shop");

  say("The shop closes: children are stopped in reverse order.");
}
