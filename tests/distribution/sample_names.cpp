// A node for the tests of groups and global names: takes its options as key=value, then obeys one
// command per line and answers one line, `ok …` or `error …`. See nodes.py.
//
//   sample_names name=a@127.0.0.1 cookie=… epmd_port=4000 ticktime=1000
#include "runtime/distribution/global.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/distribution/pg.hpp"
#include "runtime/runtime.hpp"
#include <algorithm>
#include <future>
#include <iostream>
#include <iterator>
#include <map>
#include <mutex>
#include <sstream>

using namespace std::chrono_literals;
namespace names = roost::global_names;
namespace pg = roost::pg;

namespace {

std::mutex events_mutex;
std::vector<std::string> events;

void happened(const std::string& what) {
  auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::lock_guard guard{events_mutex};
  events.push_back(std::to_string(static_cast<double>(now.count()) / 1000.0) + " " + what);
}

std::string drained_events() {
  std::lock_guard guard{events_mutex};
  std::string text;
  for (auto& one : std::exchange(events, {})) text += (text.empty() ? "" : "|") + one;
  return text;
}

// --- processes -----------------------------------------------------------------------------------

/// Does what it is told, and writes down what it hears.
struct worker {
  struct act { std::function<void()> what; };
  struct where { using reply = std::string; };
  using messages = roost::messages<act, where>;
  using infos = roost::messages<roost::global_name_conflict, pg::joined, pg::left, std::string>;

  std::string label;

  void handle_cast(const act& message) { message.what(); }
  std::string handle_call(where) { return label + " on " + roost::node::self(); }
  void handle_info(const roost::global_name_conflict& conflict) {
    happened("conflict " + conflict.name + " " + label);
  }
  void handle_info(const pg::joined& event) {
    happened("joined " + event.group + " " + std::to_string(event.processes.size()));
  }
  void handle_info(const pg::left& event) {
    happened("left " + event.group + " " + std::to_string(event.processes.size()));
  }
  void handle_info(const std::string& text) { happened("message " + label + " " + text); }
};

std::map<std::string, roost::pid> workers;  // by label

roost::pid worker_named(const std::string& label) {
  auto& process = workers[label];
  if (!process || !is_alive(process)) process = roost::start<worker>(label).process();
  return process;
}

/// Runs the function in the process, and answers what it gives to its argument.
std::string in(roost::pid process, std::function<void(std::function<void(std::string)>)> what) {
  auto promise = std::make_shared<std::promise<std::string>>();
  auto result = promise->get_future();
  roost::cast(roost::server<worker>(process), worker::act{[promise, what] {
                what([promise](std::string text) { promise->set_value(std::move(text)); });
              }});
  if (result.wait_for(30s) != std::future_status::ready) return "no answer";
  return result.get();
}

std::string told(const roost::exit_reason& reason) { return "failed: " + reason.to_string(); }

// --- commands ------------------------------------------------------------------------------------

using words = std::vector<std::string>;

std::string text_of(std::vector<std::string> all) {
  std::sort(all.begin(), all.end());
  std::string text;
  for (auto& one : all) text += (text.empty() ? "" : " ") + one;
  return text;
}

/// The nodes of processes, each as often as it comes.
std::string nodes_of(const std::vector<roost::pid>& processes) {
  std::vector<std::string> all;
  for (auto process : processes) all.push_back(node_of(process));
  return text_of(all);
}

std::string group(const words& w) {
  auto& what = w[0];
  if (what == "join") {
    pg::join(w.at(1), worker_named(w.at(2)));
    return "joined";
  }
  if (what == "leave")
    return pg::leave(w.at(1), worker_named(w.at(2))) == pg::leave_result::ok ? "ok" : "not_joined";
  if (what == "join_many") {  // join_many GROUP PROCESSES GROUPS
    auto groups = std::stoi(w.at(3));
    std::vector<std::vector<roost::pid>> members(static_cast<std::size_t>(groups));
    for (int i = 0; i < std::stoi(w.at(2)); ++i)
      members[static_cast<std::size_t>(i % groups)].push_back(
          roost::start<worker>(std::string("many")).process());
    for (std::size_t i = 0; i < members.size(); ++i)
      pg::join(w.at(1) + std::to_string(i), members[i]);
    return "joined";
  }
  if (what == "members") return nodes_of(pg::get_members(w.at(1)));
  if (what == "count") return std::to_string(pg::get_members(w.at(1)).size());
  if (what == "groups") return text_of(pg::which_groups());
  if (what == "watch")
    return in(worker_named("watcher"), [g = w.at(1)](auto answer) {
      pg::monitor(g).then(
          [answer](pg::group_monitor monitor) { answer(std::to_string(monitor.members.size())); });
    });
  if (what == "crash_scope") {
    auto scope = roost::whereis("pg");
    roost::exit(scope, roost::exit_reason::kill);
    while (roost::whereis("pg")) std::this_thread::sleep_for(1ms);
    pg::start_link();
    return "restarted";
  }
  if (what == "send_group") {
    for (auto process : pg::get_members(w.at(1))) roost::send(process, w.at(2));
    return "sent";
  }
  return "";
}

std::string resolver_in(const words& w, std::size_t at) {
  return w.size() > at ? w[at] : std::string(names::random_exit_name);
}

std::string yes_or_no(roost::pending<bool> answer) {
  try {
    return std::move(answer).get() ? "yes" : "no";
  } catch (const roost::process_exit& exit) {
    return told(exit.reason());
  }
}

/// Registers many names at the same time, each for a process of its own, and tells for which the
/// answer was yes.
std::string race(const std::string& prefix, int count) {
  std::vector<std::future<std::pair<std::string, std::string>>> answers;
  for (int i = 0; i < count; ++i) {
    auto name = prefix + std::to_string(i);
    auto process = roost::start<worker>(name).process();
    auto promise = std::make_shared<std::promise<std::pair<std::string, std::string>>>();
    answers.push_back(promise->get_future());
    roost::cast(roost::server<worker>(process), worker::act{[=] {
                  names::register_name(name, process)
                      .then(
                          [=](bool yes) {
                            promise->set_value({name, yes ? "yes" : "no"});
                          },
                          [=](const roost::exit_reason& reason) {
                            promise->set_value({name, told(reason)});
                          });
                }});
  }
  std::vector<std::string> won;
  for (auto& one : answers) {
    auto [name, answer] = one.get();
    if (answer == "yes") won.push_back(name);
    if (answer != "yes" && answer != "no") won.push_back(name + "!" + answer);
  }
  return text_of(won);
}

std::string name(const words& w) {
  auto& what = w[0];
  if (what == "register")  // register NAME LABEL [RESOLVER]
    return yes_or_no(names::register_name(w.at(1), worker_named(w.at(2)), resolver_in(w, 3)));
  if (what == "re_register")
    return yes_or_no(names::re_register_name(w.at(1), worker_named(w.at(2)), resolver_in(w, 3)));
  if (what == "register_owner_of")  // register_owner_of NAME OTHER: OTHER for the process of NAME
    return yes_or_no(names::register_name(w.at(2), names::whereis_name(w.at(1))));
  if (what == "unregister") {
    names::unregister_name(w.at(1)).get();
    return "done";
  }
  if (what == "whereis") {
    auto owner = names::whereis_name(w.at(1));
    return owner ? node_of(owner) : "nobody";
  }
  if (what == "names") return text_of(names::registered_names());
  if (what == "ask")
    return roost::call(roost::server<worker>{roost::global(w.at(1))}, worker::where{}, 5s).get();
  if (what == "tell") {
    names::send(w.at(1), w.at(2));
    return "sent";
  }
  if (what == "start") {
    try {
      return to_string(roost::start<worker>({.name = roost::global(w.at(1))}, w.at(2)).process());
    } catch (const roost::start_error& error) {
      auto owner = error.already_started();
      return owner ? "already_started " + node_of(owner) : error.reason().to_string();
    }
  }
  if (what == "race") return race(w.at(1), std::stoi(w.at(2)));
  if (what == "sync") {
    names::sync().get();
    return "done";
  }
  if (what == "alive") return is_alive(workers[w.at(1)]) ? "yes" : "no";
  if (what == "end") {
    roost::exit(worker_named(w.at(1)), roost::exit_reason::kill);
    return "sent";
  }
  if (what == "lock")  // lock RESOURCE LABEL RETRIES
    return in(worker_named(w.at(2)), [w](auto answer) {
      auto retries = static_cast<unsigned>(std::stoul(w.at(3)));
      names::set_lock({w.at(1)}, {.retries = retries}).then([answer](bool has_it) {
        answer(has_it ? "yes" : "no");
      });
    });
  if (what == "unlock")
    return in(worker_named(w.at(2)), [w](auto answer) {
      names::del_lock({w.at(1)});
      answer("done");
    });
  return "";
}

std::string obey(const words& w) {
  auto& what = w[0];
  if (what == "list") return text_of(roost::node::list());
  if (what == "connect") {
    auto result = roost::node::connect(w.at(1)).get();
    return result == roost::node::connect_result::connected ? "true" : "false";
  }
  if (what == "disconnect") return roost::node::disconnect(w.at(1)).get() ? "true" : "false";
  if (what == "events") return drained_events();
  for (auto* commands : {group, name})
    if (auto answer = commands(w); !answer.empty()) return answer;
  if (what == "members" || what == "groups" || what == "names" || what == "race") return "";
  throw std::invalid_argument("expected a known command, got " + what);
}

roost::node::options options_of(int argc, char** argv) {
  roost::node::options options;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto key = word.substr(0, word.find('='));
    auto value = word.substr(word.find('=') + 1);
    if (key == "name") options.name = value;
    if (key == "cookie") options.cookie = value;
    if (key == "address") options.address = value;
    if (key == "epmd_port") options.epmd_port = static_cast<std::uint16_t>(std::stoul(value));
    if (key == "ticktime") options.net_ticktime = std::chrono::milliseconds(std::stoul(value));
    if (key == "auto_connect") options.auto_connect = value == "true";
    if (key == "connect_all") options.connect_all = value == "true";
    if (key == "hidden") options.hidden = value == "true";
  }
  return options;
}

void answer(const std::string& text) { std::cout << text << std::endl; }

}  // namespace

int main(int argc, char** argv) {
  roost::runtime runtime{{.schedulers = 2}};
  try {
    names::offer_resolver("first_node", [](const std::string&, roost::pid one, roost::pid other) {
      return node_of(one) < node_of(other) ? one : other;
    });
    roost::node::start(options_of(argc, argv));
    answer("ok " + roost::node::self());
    std::string line;
    while (std::getline(std::cin, line)) {
      std::istringstream in(line);
      words parsed{std::istream_iterator<std::string>(in), {}};
      if (parsed.empty()) continue;
      try {
        answer("ok " + obey(parsed));
      } catch (const std::exception& error) {
        answer(std::string("error ") + error.what());
      }
    }
    roost::node::stop();
  } catch (const std::exception& error) {
    answer(std::string("error ") + error.what());
    return 1;
  }
}
