// A node for the tests of the cluster: takes its options as key=value, then obeys one command per
// line and answers one line, `ok …` or `error …`. What happens to it meanwhile is kept as events.
//
//   sample_node name=a@127.0.0.1 cookie=… epmd_port=4000 ticktime=1000 tls=psk
#include "runtime/discovery/cluster.hpp"
#include "runtime/discovery/epmd.hpp"
#include "runtime/distribution/rpc.hpp"
#include "runtime/process_info.hpp"
#include "runtime/telemetry.hpp"
#include "tests/distribution/sample_processes.hpp"
#include "tests/distribution/sample_shared.hpp"
#include <unistd.h>
#include <fstream>
#include <future>
#include <iostream>
#include <iterator>
#include <map>
#include <semaphore>
#include <sstream>

using namespace roost::test;
using namespace std::chrono_literals;

namespace {

using words = std::vector<std::string>;
std::map<std::string, roost::pid> pids;  // tokens that the test uses
std::counting_semaphore<> losses_to_tell{0};

roost::pid destination(const std::string& word, const std::string& node) {
  auto known = pids.find(word);
  return known != pids.end() ? known->second : roost::name_on(word, node);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (auto& part : parts) text += (text.empty() ? "" : " ") + part;
  return text;
}

std::string memory() {
  std::ifstream in("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  in >> size >> resident;
  return std::to_string(resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
}

roost::node::which kind_of(const std::string& word) {
  using which = roost::node::which;
  return word == "hidden"      ? which::hidden
         : word == "connected" ? which::connected
         : word == "known"     ? which::known
         : word == "this"      ? which::this_node
                               : which::visible;
}

roost::server<watcher> the_watcher() { return roost::server<watcher>("watcher"); }

std::string serve(const std::string& name) {
  return to_string(roost::start<sample>({.name = name}).process());
}

std::string call_with_time(roost::pid to, const std::string& text) {
  auto start = std::chrono::steady_clock::now();
  auto answer = roost::call(roost::server<sample>(to), sample::echo{text}, 10s).get();
  auto took = std::chrono::steady_clock::now() - start;
  return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(took).count()) + " " +
         answer.substr(0, 60);
}

std::string sent_with(roost::pid to, const std::string& option) {
  auto status = roost::send(
      to, std::string("optional"),
      {.nosuspend = option == "nosuspend", .noconnect = option == "noconnect"});
  return status == roost::send_status::ok          ? "sent"
         : status == roost::send_status::nosuspend ? "nosuspend"
                                                   : "noconnect";
}

/// Sends more in one handler than the hard limit lets through.
std::string overrun(roost::pid to, std::size_t size, int count) {
  auto result = std::make_shared<std::promise<std::string>>();
  auto text = result->get_future();
  roost::spawn([=] {
    int sent = 0;
    try {
      for (; sent < count; ++sent)
        roost::send(to, numbered{roost::self(), 0, std::string(size, 'y')});
      result->set_value("sent all");
    } catch (const roost::busy&) {
      result->set_value("busy after " + std::to_string(sent));
    }
  });
  return text.get();
}

std::string obey(const words& w) {
  auto& what = w[0];
  auto ping = [](const std::string& node) {
    return roost::node::ping(node).get() == roost::node::ping_result::pong ? "pong" : "pang";
  };
  if (what == "self") return roost::node::self();
  if (what == "list") return joined(roost::node::list(kind_of(w.size() > 1 ? w[1] : "")));
  if (what == "ping") return ping(w.at(1));
  if (what == "connect") {
    auto result = roost::node::connect(w.at(1)).get();
    using outcome = roost::node::connect_result;
    return result == outcome::connected ? "true" : result == outcome::failed ? "false" : "ignored";
  }
  if (what == "disconnect") return roost::node::disconnect(w.at(1)).get() ? "true" : "false";
  if (what == "subscribe")
    return roost::call(the_watcher(), watcher::subscribe{true}).get() ? "yes" : "no";
  if (what == "events") return drained_events();
  if (what == "hold_losses") {  // until each is told by `tell_loss`
    roost::telemetry::attach(
        "hold", "roost.node.down", [](auto, auto&, auto&) { losses_to_tell.acquire(); });
    return "held";
  }
  if (what == "tell_loss") {
    losses_to_tell.release();
    return "told";
  }
  if (what == "serve") return serve(w.at(1));
  if (what == "pid") {  // pid TOKEN NAME NODE
    pids[w.at(1)] = roost::call(roost::server<sample>(w.at(2), w.at(3)), sample::me{}, 10s).get();
    return to_string(pids[w.at(1)]);
  }
  if (what == "call") return call_with_time(destination(w.at(1), w.at(2)), w.at(3));
  if (what == "big")
    return call_with_time(destination(w.at(1), w.at(2)), std::string(std::stoul(w.at(3)), 'b'));
  if (what == "greet")
    return roost::call(
               roost::server<sample>(destination(w.at(1), w.at(2))),
               greeting{
                   w.at(3)
#ifdef NEWER
                       ,
                   2026,
                   {"a", "b"}
#endif
               },
               10s)
        .get();
#ifdef NEWER
  if (what == "news")
    return std::to_string(
        roost::call(roost::server<sample>(destination(w.at(1), w.at(2))), news{"x"}, 10s).get());
#endif
  if (what == "send") {
    roost::send(destination(w.at(1), w.at(2)), w.at(3));
    return "sent";
  }
  if (what == "send_with") return sent_with(destination(w.at(1), w.at(2)), w.at(3));
  if (what == "crash") {
    roost::cast(roost::server<sample>(destination(w.at(1), w.at(2))), sample::crash{});
    return "sent";
  }
  if (what == "kill") {
    roost::exit(destination(w.at(1), w.at(2)), roost::exit_reason::kill);
    return "sent";
  }
  if (what == "link") {  // link NAME TOKEN: our server NAME links the process behind TOKEN
    roost::cast(roost::server<sample>(w.at(1)), sample::link_to{pids.at(w.at(2))});
    return "sent";
  }
  if (what == "monitor")
    return roost::call(the_watcher(), watcher::watch_name{w.at(1), w.at(2)}).get();
  if (what == "monitor_pid") {
    roost::cast(the_watcher(), watcher::watch_pid{pids.at(w.at(1))});
    return "sent";
  }
  if (what == "monitor_node") {
    roost::cast(the_watcher(), watcher::watch_node{w.at(1)});
    return "sent";
  }
  if (what == "flood") {  // flood NAME NODE PROCESSES MESSAGES BYTES
    for (int i = 0; i < std::stoi(w.at(3)); ++i)
      roost::start<flooder>(
          destination(w.at(1), w.at(2)), std::uint64_t{std::stoul(w.at(4))},
          std::size_t{std::stoul(w.at(5))});
    return "started";
  }
  if (what == "trickle") {  // trickle NAME NODE MS
    roost::start<trickle>(
        destination(w.at(1), w.at(2)), std::chrono::milliseconds(std::stoi(w.at(3))));
    return "started";
  }
  if (what == "overrun")
    return overrun(destination(w.at(1), w.at(2)), std::stoul(w.at(3)), std::stoi(w.at(4)));
  if (what == "stats") return roost::call(roost::server<sample>(w.at(1)), sample::stats{}).get();
  if (what == "rpc")
    return std::to_string(
        roost::rpc::call<int>({w.at(1), 10s}, w.at(2), std::stoi(w.at(3)), std::stoi(w.at(4)))
            .get());
  if (what == "multi_rpc") {
    auto all = roost::rpc::multi_call<int>({w.begin() + 1, w.end()}, 10s, "add", 1, 2).get();
    return std::to_string(all.replies.size()) + " " + std::to_string(all.failures.size());
  }
  if (what == "spawn") {
    pids["spawned"] = roost::node::spawn(w.at(1), "note", w.at(2)).get();
    return to_string(pids["spawned"]);
  }
  if (what == "set_cookie") {
    roost::node::set_cookie(w.at(1), w.at(2));
    return "set";
  }
  if (what == "memory") return memory();
  if (what == "processes") return std::to_string(roost::processes().size());
  auto lost = [](const std::string& name) { happened("lost " + name); };
  if (auto answer = obey_shared(w, lost); !answer.empty()) return answer;
  throw std::invalid_argument("expected a known command, got " + what);
}

roost::node::options options_of(int argc, char** argv) {
  roost::node::options options;
  auto number = [](const std::string& text) { return std::stoul(text); };
  auto time = [&](const std::string& text) { return std::chrono::milliseconds(number(text)); };
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto key = word.substr(0, word.find('='));
    auto value = word.substr(word.find('=') + 1);
    if (key == "name") options.name = value;
    if (key == "cookie") options.cookie = value;
    if (key == "cookie_file") options.cookie_file = value;
    if (key == "epmd_port") options.epmd_port = static_cast<std::uint16_t>(number(value));
    if (key == "address") options.address = value;
    if (key == "ticktime") options.net_ticktime = time(value);
    if (key == "setuptime") options.net_setuptime = time(value);
    if (key == "buffer") options.buffer = number(value);
    if (key == "hard_limit") options.hard_limit = number(value);
    if (key == "hidden") options.hidden = value == "true";
    if (key == "connect_all") options.connect_all = value == "true";
    if (key == "overlapping") options.prevent_overlapping_partitions = value == "true";
    if (key == "allowed") options.allowed.push_back(value);
    if (key == "certificate") options.certificate = value;
    if (key == "key") options.key = value;
    if (key == "authority") options.authority = value;
    if (key == "tls")
      options.tls = value == "off"            ? roost::node::tls::off
                    : value == "certificates" ? roost::node::tls::certificates
                                              : roost::node::tls::psk;
  }
  return options;
}

std::vector<std::string> hosts_of(int argc, char** argv) {
  std::vector<std::string> hosts;
  for (int i = 1; i < argc; ++i)
    if (std::string word = argv[i]; word.starts_with("wants=")) hosts.push_back(word.substr(6));
  return hosts;
}

void answer(const std::string& text) { std::cout << text << std::endl; }

}  // namespace

int main(int argc, char** argv) {
  roost::runtime runtime{{.schedulers = 2}};
  try {
    auto options = options_of(argc, argv);
    if (!options.name.empty()) roost::node::start(options);
    if (auto hosts = hosts_of(argc, argv); !hosts.empty())
      roost::discovery::start_link(
          {.name = "test",
           .how = std::make_shared<roost::discovery::epmd>(
               roost::discovery::epmd::options{.hosts = hosts})});
    roost::start<watcher>({.name = "watcher"});
    roost::rpc::offer("add", [](int a, int b) { return a + b; });
    roost::rpc::offer("fail", [](int, int) -> int { throw std::runtime_error("no sum today"); });
    roost::rpc::offer("note", [](const std::string& text) { happened("note " + text); });
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
