// A node for the contract of pub_sub's adapters: takes its options as key=value, then obeys one
// command per line and answers one line, `ok …` or `error …`. See pub_sub_contract.py.
//
//   sample_pub_sub name=a@127.0.0.1 cookie=… epmd_port=4000 adapter=pg pool=1 wants=b@127.0.0.1
#include "channels/pub_sub.hpp"
#include "channels/redis_adapter.hpp"
#include "runtime/config.hpp"
#include "runtime/discovery/cluster.hpp"
#include "runtime/discovery/epmd.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/runtime.hpp"
#include "supervision/supervisor.hpp"
#include <future>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>

using namespace std::chrono_literals;

namespace {

/// Subscribes, and writes down what it hears.
struct listener {
  struct act {
    using reply = bool;
    std::function<void()> what;
  };
  struct heard { using reply = std::string; };
  struct disorder { using reply = std::string; };
  using messages = roost::messages<act, heard, disorder>;
  using infos = roost::messages<roost::broadcast_message, roost::pub_sub_gap>;

  std::string texts = {};
  std::map<std::string, std::uint64_t> last = {};  // by sender
  std::uint64_t count = 0;
  std::uint64_t wrong = 0;

  bool handle_call(const act& message) {
    message.what();
    return true;
  }
  std::string handle_call(heard) { return std::exchange(texts, {}); }
  std::string handle_call(disorder) { return std::to_string(count) + " " + std::to_string(wrong); }
  void handle_info(const roost::pub_sub_gap& gap) { texts += " gap:" + gap.topic; }
  void handle_info(const roost::broadcast_message& message) {
    if (message.event == "numbered") return take(message.payload);
    auto text = message.payload.is_binary() ? std::string(message.payload.contents())
                                            : message.payload.get<std::string>("text");
    texts += " " + message.topic + ":" + text;
  }

 private:
  void take(const roost::payload& payload) {
    ++count;
    auto& before = last[payload.get<std::string>("sender")];
    auto number = payload.get<std::uint64_t>("number");
    if (number != before + 1) ++wrong;
    before = number;
  }
};

/// Broadcasts numbers, a few per turn.
struct counter {
  struct go {};
  using messages = roost::messages<>;
  using infos = roost::messages<go>;

  std::string pub_sub;
  std::string topic;
  std::uint64_t total;
  std::uint64_t number = 0;

  static roost::init_result<counter> init(
      std::string pub_sub, std::string topic, std::uint64_t total) {
    roost::send(roost::self(), go{});
    return counter{std::move(pub_sub), std::move(topic), total};
  }
  roost::cast_result handle_info(go) {
    auto sender = roost::node::self() + to_string(roost::self());
    for (int i = 0; i < 10 && number < total; ++i)
      roost::broadcast(pub_sub, topic, "numbered", {{"sender", sender}, {"number", ++number}});
    if (number == total) return roost::stop(roost::exit_reason::normal);
    roost::send(roost::self(), go{});
    return roost::noreply();
  }
};

// --- commands ------------------------------------------------------------------------------------

using words = std::vector<std::string>;
std::map<std::string, roost::server<listener>> listeners;

roost::server<listener> listener_named(const std::string& label) {
  auto& one = listeners[label];
  if (!one || !is_alive(one.process())) one = roost::start<listener>();
  return one;
}

void in(const std::string& label, std::function<void()> what) {
  roost::call(listener_named(label), listener::act{std::move(what)}).get();
}

std::string outcome(roost::broadcast_result result) {
  return result == roost::broadcast_result::ok ? "ok" : "unreachable";
}

roost::payload saying(const std::string& text) { return {{"text", text}}; }

roost::pid top;  // the supervisor

roost::pid bus_process() {
  auto child = roost::supervisor(top).which_child("bus").get();
  return child ? child->process : roost::pid{};
}

std::string obey(const words& w) {
  auto& what = w[0];
  std::string bus = "bus";
  if (what == "subscribe") {  // subscribe LABEL TOPIC [METADATA]
    in(w.at(1), [&] {
      roost::subscribe_options options{.gaps = true};
      if (w.size() > 3) options.metadata = w[3];
      roost::subscribe(bus, w.at(2), std::move(options));
    });
    return "subscribed";
  }
  if (what == "subscribe_other") {
    in(w.at(1), [&] { roost::subscribe("other", w.at(2)); });
    return "subscribed";
  }
  if (what == "subscribe_many") {  // subscribe_many LABEL PREFIX COUNT
    in(w.at(1), [&] {
      for (int i = 0; i < std::stoi(w.at(3)); ++i)
        roost::subscribe(bus, w.at(2) + std::to_string(i));
    });
    return "subscribed";
  }
  if (what == "unsubscribe") {
    in(w.at(1), [&] { roost::unsubscribe(bus, w.at(2)); });
    return "unsubscribed";
  }
  if (what == "end") {
    auto process = listener_named(w.at(1)).process();
    roost::exit(process, roost::exit_reason::kill);
    while (is_alive(process)) std::this_thread::sleep_for(1ms);
    return "ended";
  }
  if (what == "heard") return "-" + roost::call(listener_named(w.at(1)), listener::heard{}).get();
  if (what == "disorder") return roost::call(listener_named(w.at(1)), listener::disorder{}).get();
  if (what == "broadcast")
    return outcome(
        roost::broadcast(bus, w.at(1), "said", saying(w.at(2)), w.size() > 3 ? w[3] : ""));
  if (what == "binary")
    return outcome(roost::broadcast(bus, w.at(1), "said", roost::payload::binary(w.at(2))));
  if (what == "other") return outcome(roost::broadcast("other", w.at(1), "said", saying(w.at(2))));
  if (what == "from") {  // from LABEL TOPIC TEXT
    in(w.at(1),
       [&] { roost::broadcast_from(bus, roost::self(), w.at(2), "said", saying(w.at(3))); });
    return "sent";
  }
  if (what == "local") {
    roost::local_broadcast(bus, w.at(1), "said", saying(w.at(2)));
    return "sent";
  }
  if (what == "direct")
    return outcome(roost::direct_broadcast(w.at(1), bus, w.at(2), "said", saying(w.at(3))));
  if (what == "count") {  // count TOPIC SENDERS NUMBERS
    for (int i = 0; i < std::stoi(w.at(2)); ++i)
      roost::start<counter>(bus, w.at(1), std::uint64_t{std::stoul(w.at(3))});
    return "started";
  }
  if (what == "sync") return roost::pub_sub::sync(bus).get() ? "yes" : "no";
  if (what == "statistics") {
    auto all = roost::pub_sub::statistics(bus);
    std::ostringstream out;
    out << "sent=" << all.sent << " received=" << all.received << " unwanted=" << all.unwanted
        << " gaps=" << all.gaps << " unreachable=" << all.unreachable;
    return out.str();
  }
  if (what == "crash") {  // the pub_sub's process
    auto before = bus_process();
    roost::exit(before, roost::exit_reason::kill);
    while (!bus_process() || bus_process() == before) std::this_thread::sleep_for(1ms);
    return "restarted";
  }
  if (what == "node_name") return roost::node_name(bus);
  if (what == "list") {
    std::string all;
    for (auto& node : roost::node::list()) all += (all.empty() ? "" : " ") + node;
    return all;
  }
  throw std::invalid_argument("expected a known command, got " + what);
}

// --- starting ------------------------------------------------------------------------------------

struct settings {
  roost::node::options node = {};
  std::vector<std::string> wants = {};
  std::string adapter = "pg";
  roost::redis_options redis = {};
  std::uint32_t pool = 1;
};

settings settings_of(int argc, char** argv) {
  settings result;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto key = word.substr(0, word.find('='));
    auto value = word.substr(word.find('=') + 1);
    if (key == "name") result.node.name = value;
    if (key == "cookie") result.node.cookie = value;
    if (key == "address") result.node.address = value;
    if (key == "epmd_port") result.node.epmd_port = static_cast<std::uint16_t>(std::stoul(value));
    if (key == "ticktime") result.node.net_ticktime = std::chrono::milliseconds(std::stoul(value));
    if (key == "wants") result.wants.push_back(value);
    if (key == "conf") roost::set_application_config(roost::config::load_file(value));
    if (key == "adapter") result.adapter = value;
    if (key == "redis") result.redis.url = value;
    if (key == "ca_file") result.redis.ca_file = value;
    if (key == "redis_pool") result.redis.pool_size = static_cast<std::uint32_t>(std::stoul(value));
    if (key == "buffer_limit") result.redis.buffer_limit = std::stoul(value);
    if (key == "pool") result.pool = static_cast<std::uint32_t>(std::stoul(value));
  }
  return result;
}

roost::pub_sub_adapter_spec adapter_of(const settings& settings) {
  auto& name = settings.adapter;
  if (name == "pg") return roost::pg_adapter();
  if (name == "interest") return roost::interest_adapter();
  if (name == "configured") return {};
  if (name == "redis") return roost::redis_adapter(settings.redis);
  throw std::invalid_argument("expected a known adapter, got " + name);
}

/// Only those whose metadata is the text of the broadcast.
void dispatch_by_metadata(
    std::span<const roost::pub_sub_subscriber> subscribers, roost::pid /*from*/,
    const roost::broadcast_message& message) {
  for (auto& one : subscribers) {
    auto* text = one.metadata ? std::any_cast<std::string>(one.metadata.get()) : nullptr;
    if (text != nullptr && *text == message.payload.get<std::string>("text"))
      roost::send(one.process, message);
  }
}

void answer(const std::string& text) { std::cout << text << std::endl; }

}  // namespace

int main(int argc, char** argv) {
  roost::runtime runtime{{.schedulers = 2}};
  try {
    auto settings = settings_of(argc, argv);
    roost::offer_dispatcher("by_metadata", dispatch_by_metadata);
    if (!settings.node.name.empty()) roost::node::start(settings.node);
    auto adapter = adapter_of(settings);
    top = roost::start_link(roost::supervisor_spec{
        .strategy = roost::one_for_one,
        .children = {
            roost::child<roost::pub_sub>(
                {.name = "bus", .adapter = adapter, .pool_size = settings.pool}),
            roost::child<roost::pub_sub>({.name = "other", .adapter = adapter}),
        }});
    if (!settings.wants.empty())
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
    roost::node::stop();
  } catch (const std::exception& error) {
    answer(std::string("error ") + error.what());
    return 1;
  }
}
