#include "channels/pub_sub.hpp"
#include "channels/hub.hpp"
#include "channels/transport/frame_codec.hpp"
#include <algorithm>

namespace roost {
namespace detail {

// --- one broadcast -------------------------------------------------------------------------------

struct hub::cast {
  pid except;
  std::string topic;
  std::string event;
  roost::payload payload;
  shared_frame_ptr v2;
};

struct hub::local {
  std::uint32_t index = 0;
  topic_map<std::vector<fast_subscriber>> topics;
  std::mutex mutex;
  std::vector<std::shared_ptr<const cast>> inbox;
};

namespace {

shared_frame_ptr encode(
    enum protocol protocol, std::string_view topic, std::string_view event,
    const payload& payload) {
  std::string message;
  auto kind = encode_broadcast(protocol, message, topic, event, payload);
  if (kind == encoded::impossible) return nullptr;
  auto frame = std::make_shared<shared_frame>();
  auto header =
      encode_header(kind == encoded::text ? opcode::text : opcode::binary, message.size());
  frame->bytes.reserve(header.view().size() + message.size());
  frame->bytes.append(header.view()).append(message);
  return frame;
}

}  // namespace

// --- the table -----------------------------------------------------------------------------------

namespace {

std::mutex hubs_mutex;
topic_map<std::shared_ptr<hub>>& hubs() {
  static auto& all = *new topic_map<std::shared_ptr<hub>>;
  return all;
}

}  // namespace

hub::hub(std::string name) : name_(std::move(name)) {
  for (std::uint32_t i = 0; i < scheduler::instance()->size(); ++i) {
    locals_.push_back(std::make_unique<local>());
    locals_.back()->index = i;
  }
}

std::shared_ptr<hub> hub::create(const std::string& name) {
  std::lock_guard guard{hubs_mutex};
  auto& present = hubs()[name];
  // A new runtime in the same program (a test) may have another number of workers.
  if (!present || present->locals_.size() != scheduler::instance()->size())
    present = std::make_shared<hub>(name);
  return present;
}

std::shared_ptr<hub> hub::find(std::string_view name) {
  std::lock_guard guard{hubs_mutex};
  auto found = hubs().find(name);
  if (found != hubs().end()) return found->second;
  throw std::invalid_argument(
      "expected a pub_sub named \"" + std::string(name) +
      "\", got none: add roost::child<roost::pub_sub>({.name = \"" + std::string(name) +
      "\"}) to the supervisor, before its users");
}

void hub::drop_if_empty(shard& shard, std::string_view topic) {
  auto entry = shard.topics.find(topic);
  if (entry == shard.topics.end() || !entry->second.processes.empty()) return;
  auto& workers = entry->second.workers;
  if (std::all_of(workers.begin(), workers.end(), [](auto count) { return count == 0; }))
    shard.topics.erase(entry);
}

void hub::subscribe(std::string_view topic, pid process) {
  {
    auto& shard = shard_of(topic);
    std::unique_lock guard{shard.mutex};
    shard.topics[std::string(topic)].processes.push_back(process);
  }
  std::lock_guard guard{owner_mutex_};
  auto [entry, is_new] = topics_of_.try_emplace(process);
  entry->second.emplace_back(topic);
  // The owner drops us when we end.
  if (is_new && owner_) send(owner_, process);
}

void hub::unsubscribe(std::string_view topic, pid process) {
  {
    std::lock_guard guard{owner_mutex_};
    auto entry = topics_of_.find(process);
    if (entry != topics_of_.end()) std::erase(entry->second, topic);
  }
  auto& shard = shard_of(topic);
  std::unique_lock guard{shard.mutex};
  auto entry = shard.topics.find(topic);
  if (entry == shard.topics.end()) return;
  std::erase(entry->second.processes, process);
  drop_if_empty(shard, topic);
}

void hub::forget(pid process) {
  std::vector<std::string> topics;
  {
    std::lock_guard guard{owner_mutex_};
    auto entry = topics_of_.find(process);
    if (entry == topics_of_.end()) return;
    topics = std::move(entry->second);
    topics_of_.erase(entry);
  }
  for (auto& topic : topics) unsubscribe(topic, process);
}

void hub::set_owner(pid owner) {
  std::lock_guard guard{owner_mutex_};
  owner_ = owner;
}

std::vector<pid> hub::subscribers() const {
  std::lock_guard guard{owner_mutex_};
  std::vector<pid> all;
  for (auto& [process, topics] : topics_of_) all.push_back(process);
  return all;
}

void hub::count(std::string_view topic, std::uint32_t worker, int change) {
  auto& shard = shard_of(topic);
  std::unique_lock guard{shard.mutex};
  auto& workers = shard.topics[std::string(topic)].workers;
  if (workers.empty()) workers.resize(locals_.size());
  workers[worker] += static_cast<std::uint32_t>(change);
  if (change < 0) drop_if_empty(shard, topic);
}

void hub::join(std::string_view topic, fast_subscriber subscriber) {
  auto worker = worker::current()->index();
  locals_[worker]->topics[std::string(topic)].push_back(subscriber);
  count(topic, worker, 1);
}

void hub::leave(std::string_view topic, pid channel) {
  auto worker = worker::current()->index();
  auto& topics = locals_[worker]->topics;
  auto entry = topics.find(topic);
  if (entry == topics.end()) return;
  auto& list = entry->second;
  auto found = std::find_if(
      list.begin(), list.end(), [&](auto& subscriber) { return subscriber.channel == channel; });
  if (found == list.end()) return;
  *found = list.back();
  list.pop_back();
  if (list.empty()) topics.erase(entry);
  count(topic, worker, -1);
}

// --- broadcasting --------------------------------------------------------------------------------

void hub::deliver(local& here, const cast& cast) {
  auto entry = here.topics.find(cast.topic);
  if (entry == here.topics.end()) return;
  shared_frame_ptr v1;
  for (auto& subscriber : entry->second) {
    if (subscriber.channel == cast.except) continue;
    if (subscriber.intercepts != nullptr && subscriber.intercepts->intercepts(cast.event)) {
      send(subscriber.channel, intercepted{cast.event, cast.payload});
    } else if (subscriber.out->protocol() == protocol::v2) {
      if (cast.v2) subscriber.out->write(cast.v2);
    } else {
      if (!v1) v1 = encode(protocol::v1, cast.topic, cast.event, cast.payload);
      if (v1) subscriber.out->write(v1);
    }
  }
}

void hub::take_inbox(std::uint32_t worker) {
  auto& here = *locals_[worker];
  std::vector<std::shared_ptr<const cast>> casts;
  {
    std::lock_guard guard{here.mutex};
    casts.swap(here.inbox);
  }
  for (auto& cast : casts) deliver(here, *cast);
}

void hub::post(std::uint32_t worker, const std::shared_ptr<const cast>& cast) {
  auto& there = *locals_[worker];
  bool first;
  {
    std::lock_guard guard{there.mutex};
    first = there.inbox.empty();
    there.inbox.push_back(cast);
  }
  if (first)
    scheduler::instance()->at(worker).post_function(
        [hub = find(name_), worker] { hub->take_inbox(worker); });
}

void hub::broadcast(
    pid except, std::string_view topic, std::string_view event, const payload& payload) {
  if (!payload.is_binary() && !payload.is_object())
    throw std::invalid_argument(
        "expected the payload of " + std::string(event) + " to be a JSON object or binary, got " +
        std::string(payload.text().substr(0, 40)));
  std::array<std::uint32_t, 256> workers;
  std::size_t worker_count = 0;
  {
    auto& shard = shard_of(topic);
    std::shared_lock guard{shard.mutex};
    auto entry = shard.topics.find(topic);
    if (entry == shard.topics.end()) return;
    for (auto process : entry->second.processes)
      if (process != except)
        send(process, broadcast_message{std::string(topic), std::string(event), payload});
    auto& counts = entry->second.workers;
    for (std::uint32_t i = 0; i < counts.size() && worker_count < workers.size(); ++i)
      if (counts[i] > 0) workers[worker_count++] = i;
  }
  if (worker_count == 0) return;
  auto message = std::make_shared<const cast>(cast{
      except, std::string(topic), std::string(event), payload,
      encode(protocol::v2, topic, event, payload)});
  auto* here = worker::current();
  for (std::size_t i = 0; i < worker_count; ++i) {
    if (here == nullptr || here->index() != workers[i]) {
      post(workers[i], message);
      continue;
    }
    take_inbox(workers[i]);
    deliver(*locals_[workers[i]], *message);
  }
}

}  // namespace detail

// --- the process ---------------------------------------------------------------------------------

namespace {

/// Owns the table of one pub_sub and drops processes that have ended.
struct pub_sub_server {
  using messages = roost::messages<>;
  using infos = roost::messages<pid>;

  std::shared_ptr<detail::hub> hub;

  static init_result<pub_sub_server> init(std::string name) {
    auto hub = detail::hub::create(name);
    hub->set_owner(self());
    for (auto process : hub->subscribers()) monitor(process);
    return pub_sub_server{std::move(hub)};
  }

  void handle_info(pid subscriber) { monitor(subscriber); }
  void handle_info(const down& down) { hub->forget(down.process); }
};

}  // namespace

child_spec pub_sub::child_spec(options options) {
  if (options.name.empty())
    throw std::invalid_argument("expected pub_sub's .name to be set, got an empty one");
  auto spec = detail::server_spec<pub_sub_server>(start_options{}, options.name);
  spec.id = options.name;
  return spec;
}

void subscribe(std::string_view pub_sub, std::string_view topic) {
  if (!inside_process())
    throw std::logic_error("expected subscribe to be called in a process, got an outside thread");
  detail::hub::find(pub_sub)->subscribe(topic, self());
}

void unsubscribe(std::string_view pub_sub, std::string_view topic) {
  detail::hub::find(pub_sub)->unsubscribe(topic, self());
}

void broadcast(
    std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload) {
  detail::hub::find(pub_sub)->broadcast({}, topic, event, payload);
}

void broadcast_from(
    std::string_view pub_sub, pid from, std::string_view topic, std::string_view event,
    const payload& payload) {
  detail::hub::find(pub_sub)->broadcast(from, topic, event, payload);
}

}  // namespace roost
