// Crash it, watch it return. A small shop: its till and its clerk are workers, its kitchen and its
// scales are supervisors of their own, and so is the list of its guests, who come and go. The
// program breaks one after the other and shows who comes back, as what.
//
//   shop (one_for_one)
//   ├─ till
//   ├─ clerk
//   ├─ kitchen (rest_for_one)
//   │  ├─ oven
//   │  └─ waiter
//   ├─ scales (one_for_all)
//   │  ├─ left
//   │  └─ right
//   └─ guests (dynamic)
#include "supervision/supervision_tree.hpp"
#include "runtime/logger.hpp"
#include "runtime/runtime.hpp"
#include "supervision/dynamic_supervisor.hpp"
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

roost::supervisor_spec scales() {
  return {
      .name = "scales",
      .strategy = roost::one_for_all,  // one side without the other weighs nothing
      .children = {
          roost::child<worker>({.name = "left"}),
          roost::child<worker>({.name = "right"}),
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
          roost::child<roost::supervisor>(scales()),
          roost::child<roost::dynamic_supervisor>({.name = "guests", .max_children = 3}),
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

/// The tree as it is now, with an indent.
void print_tree() {
  roost::logger::flush();  // reports first
  auto text = roost::supervision_tree_of("shop").get().to_text();
  for (std::size_t from = 0; from < text.size();) {
    auto to = text.find('\n', from);
    std::printf("  %s\n", text.substr(from, to - from).c_str());
    from = to + 1;
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

void show_children_by_hand() {
  roost::supervisor shop("shop");
  auto print = [](const char* what, const roost::child_result& result) {
    std::printf("  %-36s %s\n", what, result.to_string().c_str());
  };
  print("terminate_child(\"clerk\")", shop.terminate_child("clerk").get());
  print("start_child(a clerk)", shop.start_child(roost::child<worker>({.name = "clerk"})).get());
  print("restart_child(\"clerk\")", shop.restart_child("clerk").get());
  print("delete_child(\"clerk\")", shop.delete_child("clerk").get());
}

void show_guests() {
  roost::dynamic_supervisor guests("guests");
  for (auto name : {"ann", "bob", "cleo", "dan"}) {
    auto seated = guests.start_child<worker>({.name = name}).get();
    std::printf("  %-5s %s\n", name, seated.to_string().c_str());
  }
  crash("bob");
  auto left = guests.terminate_child(roost::whereis("ann")).get();
  std::printf("  ann leaves: %s\n", left.to_string().c_str());
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
  print_tree();

  say("The till crashes. one_for_one: its supervisor starts a new one, the others go on.");
  show_a_crash();
  print_tree();

  say("The oven crashes. rest_for_one: the waiter, started after it, gets a new start as well.");
  crash("oven");
  print_tree();

  say("One side of the scales crashes. one_for_all: the other side starts afresh as well.");
  crash("left");
  print_tree();

  say("The clerk goes home, by hand: terminated, a child stays in the list until it is deleted.");
  show_children_by_hand();

  say("Guests are children of a dynamic supervisor: they come and go, and there are at most "
      "three.\n"
      "bob crashes and is back, ann leaves for good.");
  show_guests();
  print_tree();

  say("The oven crashes again and again. After three restarts in five seconds the kitchen ends as\n"
      "well; its own supervisor, the shop, starts a new kitchen.");
  show_the_limit();
  print_tree();

  say("The shop closes: children are stopped in reverse order.");
}
