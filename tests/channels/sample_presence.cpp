// A node for the tests of presence: takes its options as key=value, then obeys one command per line
// and answers one line, `ok …` or `error …`. See presence_test.py.
//
//   sample_presence name=a@127.0.0.1 cookie=… epmd_port=4000 adapter=pg wants=b@127.0.0.1
#include "channels/pub_sub.hpp"
#include "channels/redis_adapter.hpp"
#include "channels/tracker.hpp"
#include "runtime/discovery/cluster.hpp"
#include "runtime/discovery/epmd.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/runtime.hpp"
#include "supervision/supervisor.hpp"
#include <unistd.h>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

using namespace std::chrono_literals;

namespace {

struct idle { using messages = roost::messages<>; };

// --- what handle_diff was told -------------------------------------------------------------------

double now() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::mutex mutex;
std::string happened;
std::multiset<std::string> seen;
std::size_t mistakes = 0;
std::size_t joins = 0;
bool keeps_events = true;

void take(const std::vector<roost::topic_diff>& topics) {
  std::lock_guard guard{mutex};
  auto note = [](const char* what, const roost::topic_diff& topic, const std::string& key) {
    if (!keeps_events) return;
    happened += std::to_string(now()) + " " + what + " " + topic.topic + " " + key + "|";
  };
  for (auto& topic : topics) {
    for (auto& one : topic.joins) {
      ++joins;
      seen.insert(one.meta.get<std::string>("phx_ref"));
      note("join", topic, one.key);
    }
    for (auto& one : topic.leaves) {
      auto found = seen.find(one.meta.get<std::string>("phx_ref"));
      found == seen.end() ? void(++mistakes) : void(seen.erase(found));
      note("leave", topic, one.key);
    }
  }
}

std::size_t joins_told() {
  std::lock_guard guard{mutex};
  return joins;
}

void wait_until_told(std::size_t count) {
  while (joins_told() < count) std::this_thread::sleep_for(1ms);
}

// --- commands ------------------------------------------------------------------------------------

using words = std::vector<std::string>;
std::map<std::string, roost::pid> holders;

roost::pid holder(const std::string& label) {
  auto& one = holders[label];
  if (!one || !is_alive(one)) one = roost::start<idle>().process();
  return one;
}

std::size_t resident_memory() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

std::string obey(const words& w) {
  auto& what = w[0];
  if (what == "list") {
    std::string all;
    for (auto& node : roost::node::list()) all += (all.empty() ? "" : " ") + node;
    return all;
  }
  roost::tracker who{"who"};
  if (what == "join") {  // join TOPIC KEY; answers when
    auto at = std::to_string(now());
    if (!who.track(holder(w.at(2)), w.at(1), w.at(2), {{"n", 1}})) return "already tracked";
    return at;
  }
  if (what == "leave") {  // leave TOPIC KEY
    return who.untrack(holder(w.at(2)), w.at(1), w.at(2)) ? "untracked" : "was not there";
  }
  if (what == "end") {  // end KEY
    roost::exit(holder(w.at(1)), roost::exit_reason::kill);
    return "ended";
  }
  if (what == "join_many") {  // join_many COUNT TOPICS
    auto process = holder("many");
    auto topics = std::stoul(w.at(2));
    for (std::size_t i = 0; i < std::stoul(w.at(1)); ++i)
      who.track(
          process, "t" + std::to_string(i % topics), "k" + std::to_string(i), {{"online_at", i}});
    return "joined";
  }
  if (what == "churn") {  // churn COUNT TOPICS
    auto process = holder("churn");
    auto before = joins_told();
    auto topics = std::stoul(w.at(2));
    for (std::size_t i = 0; i < std::stoul(w.at(1)); ++i) {
      auto topic = "t" + std::to_string(i % topics);
      who.track(process, topic, "churn", {{"online_at", i}});
      who.untrack(process, topic, "churn");
      if (i % 1000 == 999) wait_until_told(before + i + 1);
    }
    return "churned";
  }
  if (what == "present") {
    std::string keys;
    for (auto& one : who.list(w.at(1))) keys += " " + one.key;
    return "-" + keys;
  }
  if (what == "count") return std::to_string(w.size() > 1 ? who.count(w.at(1)) : who.count());
  if (what == "told") {  // how many handle_diff believes to be there, and what made no sense
    std::lock_guard guard{mutex};
    return std::to_string(seen.size()) + " " + std::to_string(mistakes);
  }
  if (what == "quiet") {
    std::lock_guard guard{mutex};
    keeps_events = false;
    return "quiet";
  }
  if (what == "events") {
    std::lock_guard guard{mutex};
    return std::exchange(happened, {});
  }
  if (what == "memory") return std::to_string(resident_memory());
  throw std::invalid_argument("expected a known command, got " + what);
}

// --- starting ------------------------------------------------------------------------------------

struct settings {
  roost::node::options node = {};
  std::vector<std::string> wants = {};
  std::string adapter = "pg";
  std::string redis = {};
  roost::gossip_options gossip = {};
};

settings settings_of(int argc, char** argv) {
  settings result;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto key = word.substr(0, word.find('='));
    auto value = word.substr(word.find('=') + 1);
    if (key == "name") result.node.name = value;
    if (key == "cookie") result.node.cookie = value;
    if (key == "epmd_port") result.node.epmd_port = static_cast<std::uint16_t>(std::stoul(value));
    if (key == "ticktime") result.node.net_ticktime = std::chrono::milliseconds(std::stoul(value));
    if (key == "wants") result.wants.push_back(value);
    if (key == "address") result.node.address = value;
    if (key == "adapter") result.adapter = value;
    if (key == "redis") result.redis = value;
    if (key == "goodbye") result.gossip.permdown_on_shutdown = value == "true";
    if (key == "pool") result.gossip.pool_size = static_cast<std::uint32_t>(std::stoul(value));
  }
  return result;
}

roost::pub_sub_adapter_spec adapter_of(const settings& settings) {
  if (settings.adapter == "redis") return roost::redis_adapter({.url = settings.redis});
  return settings.adapter == "interest" ? roost::interest_adapter() : roost::pg_adapter();
}

void answer(const std::string& text) { std::cout << text << std::endl; }

}  // namespace

int main(int argc, char** argv) {
  roost::runtime runtime{{.schedulers = 2}};
  try {
    auto settings = settings_of(argc, argv);
    roost::node::start(settings.node);
    auto top = roost::start_link(roost::supervisor_spec{
        .children = {
            roost::child<roost::pub_sub>({.name = "bus", .adapter = adapter_of(settings)}),
            roost::child<roost::tracker>(
                {.name = "who", .pub_sub = "bus", .handle_diff = take, .gossip = settings.gossip}),
        }});
    roost::discovery::start_link(
        {.name = "test",
         .how = std::make_shared<roost::discovery::epmd>(
             roost::discovery::epmd::options{.hosts = settings.wants})});
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
    roost::stop(top).get();
    roost::node::stop();
  } catch (const std::exception& error) {
    answer(std::string("error ") + error.what());
    return 1;
  }
}
