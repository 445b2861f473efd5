#include "channels/hub.hpp"
#include "channels/dispatchers.hpp"
#include "channels/meters.hpp"
#include "channels/transport/frame_codec.hpp"
#include "runtime/distribution/node.hpp"
#include "runtime/logger.hpp"
#include <algorithm>
#include <numeric>

namespace roost::detail {

// --- one broadcast -------------------------------------------------------------------------------

struct hub::cast {
  pid except;
  std::string topic;
  std::string event;
  roost::payload payload;
  shared_frame_ptr v2;
};

struct hub::local {
  struct audience {
    std::vector<fast_subscriber> members;
    std::uint32_t intercepting = 0;  // of them
  };

  std::uint32_t index = 0;
  topic_map<audience> topics;
  std::mutex mutex;
  std::vector<std::shared_ptr<const cast>> inbox;

  // Writes to every member but one.
  void write(const audience& audience, const cast& cast) const;
  void write_all(std::span<const std::shared_ptr<const cast>> casts) const;
};

/// Broadcasts to one topic that wait for the end of the turn; each worker has one of these.
class hub::waiting_casts final : public flushable {
 public:
  static waiting_casts& here() {
    static thread_local waiting_casts casts;
    return casts;
  }

  bool empty() const noexcept { return casts_.empty(); }
  void add(std::shared_ptr<hub> hub, const local& local, std::shared_ptr<const cast> cast) {
    if (!casts_.empty() && (local_ != &local || casts_.front()->topic != cast->topic)) flush();
    hub_ = std::move(hub);
    local_ = &local;
    casts_.push_back(std::move(cast));
    worker::current()->flush_later(*this);
  }
  void flush() override {
    if (casts_.empty()) return;
    auto casts = std::exchange(casts_, {});
    auto alive = std::exchange(hub_, {});
    local_->write_all(casts);
    casts.clear();
    if (casts_.empty()) casts_ = std::move(casts);  // keeps its memory
  }

 private:
  std::shared_ptr<hub> hub_;
  const local* local_ = nullptr;
  std::vector<std::shared_ptr<const cast>> casts_;
};

void hub::deliver_waiting() {
  auto& waiting = waiting_casts::here();
  if (!waiting.empty()) waiting.flush();
}

void deliver_waiting_broadcasts() { hub::deliver_waiting(); }

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

void check(const outgoing_broadcast& message) {
  auto& payload = message.payload;
  if (!payload.is_binary() && !payload.is_object())
    throw std::invalid_argument(
        "expected the payload of " + std::string(message.event) +
        " to be a JSON object or binary, got " + std::string(payload.text().substr(0, 40)));
}

// --- the hubs ------------------------------------------------------------------------------------

std::shared_mutex hubs_mutex;
topic_map<std::shared_ptr<hub>>& hubs() {
  static auto& all = *new topic_map<std::shared_ptr<hub>>;
  return all;
}

}  // namespace

hub::hub(std::string name, std::uint32_t pool_size)
    : name_(std::move(name)), pool_size_(pool_size) {
  for (std::uint32_t i = 0; i < scheduler::instance()->size(); ++i) {
    locals_.push_back(std::make_unique<local>());
    locals_.back()->index = i;
  }
}

std::shared_ptr<hub> hub::create(const std::string& name, std::uint32_t pool_size) {
  std::lock_guard guard{hubs_mutex};
  auto& present = hubs()[name];
  // A new runtime in the same program (a test) may have another number of workers.
  if (!present || present->locals_.size() != scheduler::instance()->size() ||
      present->pool_size_ != pool_size)
    present = std::make_shared<hub>(name, pool_size);
  return present;
}

std::shared_ptr<hub> hub::find(std::string_view name) {
  std::shared_lock guard{hubs_mutex};
  auto found = hubs().find(name);
  if (found != hubs().end()) return found->second;
  throw std::invalid_argument(
      "expected a pub_sub named \"" + std::string(name) +
      "\", got none: add roost::child<roost::pub_sub>({.name = \"" + std::string(name) +
      "\"}) to the supervisor, before its users");
}

std::vector<std::string> hub::names() {
  std::shared_lock guard{hubs_mutex};
  std::vector<std::string> all;
  for (auto& [name, hub] : hubs())
    if (is_alive(hub->owner())) all.push_back(name);
  std::sort(all.begin(), all.end());
  return all;
}

// --- the table -----------------------------------------------------------------------------------

hub::topic_entry& hub::entry_of(shard& shard, std::string_view topic) {
  auto& entry = shard.topics[std::string(topic)];
  if (!entry.announced && shard.adapter != nullptr) {
    entry.announced = true;
    shard.adapter->subscribed(topic);
  }
  return entry;
}

void hub::drop_if_empty(shard& shard, std::string_view topic) {
  auto entry = shard.topics.find(topic);
  if (entry == shard.topics.end() || !entry->second.processes.empty()) return;
  auto& workers = entry->second.workers;
  if (std::any_of(workers.begin(), workers.end(), [](auto count) { return count != 0; })) return;
  if (entry->second.announced) shard.adapter->unsubscribed(topic);
  shard.topics.erase(entry);
}

void hub::subscribe(std::string_view topic, pid process, subscribe_options options) {
  subscription one{process, nullptr, options.gaps};
  if (options.metadata.has_value())
    one.metadata = std::make_shared<const std::any>(std::move(options.metadata));
  {
    auto& shard = shard_of(topic);
    std::unique_lock guard{shard.mutex};
    entry_of(shard, topic).processes.push_back(std::move(one));
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
  std::erase_if(
      entry->second.processes, [&](auto& subscription) { return subscription.process == process; });
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

pid hub::owner() const {
  std::lock_guard guard{owner_mutex_};
  return owner_;
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
  auto& workers = entry_of(shard, topic).workers;
  if (workers.empty()) workers.resize(locals_.size());
  workers[worker] += static_cast<std::uint32_t>(change);
  if (change < 0) drop_if_empty(shard, topic);
}

void hub::join(std::string_view topic, fast_subscriber subscriber) {
  deliver_waiting();
  auto worker = worker::current()->index();
  auto& audience = locals_[worker]->topics[std::string(topic)];
  *subscriber.place = static_cast<std::uint32_t>(audience.members.size());
  audience.members.push_back(subscriber);
  if (subscriber.intercepts != nullptr) ++audience.intercepting;
  count(topic, worker, 1);
}

void hub::leave(std::string_view topic, std::uint32_t place) {
  deliver_waiting();
  auto worker = worker::current()->index();
  auto& topics = locals_[worker]->topics;
  auto entry = topics.find(topic);
  auto& [members, intercepting] = entry->second;
  if (members[place].intercepts != nullptr) --intercepting;
  members[place] = members.back();
  *members[place].place = place;
  members.pop_back();
  if (members.empty()) topics.erase(entry);
  count(topic, worker, -1);
}

std::vector<std::string> hub::topics() const {
  std::vector<std::string> all;
  for (auto& shard : shards_) {
    std::shared_lock guard{shard.mutex};
    for (auto& [topic, entry] : shard.topics) all.push_back(topic);
  }
  return all;
}

std::vector<pub_sub::topic_info> hub::census() const {
  std::vector<pub_sub::topic_info> all;
  for (auto& shard : shards_) {
    std::shared_lock guard{shard.mutex};
    for (auto& [topic, entry] : shard.topics)
      all.push_back(
          {topic, entry.processes.size(),
           std::accumulate(entry.workers.begin(), entry.workers.end(), std::size_t{0})});
  }
  return all;
}

void hub::set_adapter(pub_sub_adapter* adapter) {
  for (auto& shard : shards_) {
    std::unique_lock guard{shard.mutex};
    if (adapter == nullptr && shard.adapter != nullptr && &shard == &shards_.front())
      sent_before_ += shard.adapter->sent();
    shard.adapter = adapter;
    for (auto& [topic, entry] : shard.topics) {
      entry.announced = adapter != nullptr;
      if (adapter != nullptr) adapter->subscribed(topic);
    }
  }
}

// --- to sockets ----------------------------------------------------------------------------------

namespace {

// For a few subscribers, waiting would cost more than it saves.
constexpr std::size_t many = 8;

/// The clients of a large topic lie all over the memory: those a little further on are fetched
/// while this one is written to.
void fetch_ahead(const fast_subscriber& subscriber, std::span<const fast_subscriber> all) {
  constexpr std::ptrdiff_t distance = 8;
  if (all.data() + all.size() - &subscriber > distance)
    __builtin_prefetch((&subscriber + distance)->out, 1);
}

fan_out_ptr fan_out(shared_frame_ptr frame) {
  if (!frame) return {};
  return fan_out_ptr(new fan_out_frame(std::move(frame)));
}

}  // namespace

void hub::local::write(const audience& audience, const cast& cast) const {
  auto v2 = fan_out(cast.v2);
  fan_out_ptr v1;
  for (auto& subscriber : audience.members) {
    fetch_ahead(subscriber, audience.members);
    if (cast.except == pid{subscriber.channel, 0}) continue;
    if (subscriber.intercepts != nullptr && subscriber.intercepts->intercepts(cast.event)) {
      send(pid{subscriber.channel, 0}, intercepted{cast.event, cast.payload});
    } else if (subscriber.out->protocol() == protocol::v2) {
      if (v2) subscriber.out->write(v2);
    } else {
      if (!v1) v1 = fan_out(encode(protocol::v1, cast.topic, cast.event, cast.payload));
      if (v1) subscriber.out->write(v1);
    }
  }
}

/// `casts` are of one topic, which nobody intercepts, and for everybody.
void hub::local::write_all(std::span<const std::shared_ptr<const cast>> casts) const {
  auto entry = topics.find(casts.front()->topic);
  if (entry == topics.end()) return;
  if (casts.size() == 1) return write(entry->second, *casts.front());
  std::string joined;
  std::uint32_t messages = 0;
  std::vector<fan_out_ptr> single, single_v1;
  for (auto& cast : casts) {
    if (!cast->v2) continue;
    joined += cast->v2->bytes;
    ++messages;
    single.push_back(fan_out(cast->v2));
  }
  fan_out_ptr all(new fan_out_frame(std::move(joined), messages));
  for (auto& subscriber : entry->second.members) {
    fetch_ahead(subscriber, entry->second.members);
    auto& out = *subscriber.out;
    if (out.protocol() == protocol::v2) {
      if (out.takes_several() && messages > 0)
        out.write(all);
      else
        for (auto& frame : single) out.write(frame);
      continue;
    }
    if (single_v1.empty())
      for (auto& cast : casts)
        single_v1.push_back(fan_out(encode(protocol::v1, cast->topic, cast->event, cast->payload)));
    for (auto& frame : single_v1)
      if (frame) out.write(frame);
  }
}

void hub::deliver_on(local& here, std::shared_ptr<const cast> cast) {
  auto entry = here.topics.find(cast->topic);
  if (entry == here.topics.end()) return;
  auto& audience = entry->second;
  bool may_wait = audience.members.size() >= many && audience.intercepting == 0 && !cast->except;
  if (may_wait) return waiting_casts::here().add(shared_from_this(), here, std::move(cast));
  deliver_waiting();
  here.write(audience, *cast);
}

void hub::take_inbox(std::uint32_t worker) {
  auto& here = *locals_[worker];
  std::vector<std::shared_ptr<const cast>> casts;
  {
    std::lock_guard guard{here.mutex};
    casts.swap(here.inbox);
  }
  for (auto& cast : casts) deliver_on(here, std::move(cast));
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
        [hub = shared_from_this(), worker] { hub->take_inbox(worker); });
}

void hub::dispatch_to_sockets(
    pid except, const outgoing_broadcast& message, const std::vector<std::uint32_t>& counts) {
  auto shared = std::make_shared<const cast>(cast{
      except, std::string(message.topic), std::string(message.event), message.payload,
      encode(protocol::v2, message.topic, message.event, message.payload)});
  auto* here = worker::current();
  for (std::uint32_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    if (here == nullptr || here->index() != i) {
      post(i, shared);
      continue;
    }
    take_inbox(i);
    deliver_on(*locals_[i], shared);
  }
}

// --- broadcasting --------------------------------------------------------------------------------

bool hub::dispatch(shard& shard, pid except, const outgoing_broadcast& message) {
  // What is called without the lock: it may subscribe, or a socket may close.
  static thread_local std::vector<std::uint32_t> spare;
  auto counts = std::move(spare);
  counts.clear();
  auto dispatcher = find_dispatcher(message.dispatcher);
  std::vector<pub_sub_subscriber> chosen_from;
  std::size_t processes = 0;
  {
    std::shared_lock guard{shard.mutex};
    auto entry = shard.topics.find(message.topic);
    if (entry == shard.topics.end()) {
      guard.unlock();
      meters::here().fan_out.observe(0);
      return false;
    }
    for (auto& one : entry->second.processes) {
      if (dispatcher)
        chosen_from.push_back({one.process, one.metadata});
      else if (one.process != except)
        send(
            one.process,
            broadcast_message{
                std::string(message.topic), std::string(message.event), message.payload});
    }
    counts = entry->second.workers;
    processes = entry->second.processes.size();
  }
  meters::here().fan_out.observe(
      std::accumulate(counts.begin(), counts.end(), static_cast<std::uint64_t>(processes)));
  if (dispatcher && !chosen_from.empty())
    (*dispatcher)(
        chosen_from, except,
        {std::string(message.topic), std::string(message.event), message.payload});
  if (std::any_of(counts.begin(), counts.end(), [](auto count) { return count != 0; }))
    dispatch_to_sockets(except, message, counts);
  spare = std::move(counts);
  return true;
}

broadcast_result hub::broadcast(pid except, const outgoing_broadcast& message) {
  check(message);
  auto& shard = shard_of(message.topic);
  auto result = broadcast_result::ok;
  {
    std::shared_lock guard{shard.mutex};
    if (shard.adapter != nullptr) result = shard.adapter->broadcast(message);
  }
  if (result == broadcast_result::unreachable) unreachable_.fetch_add(1, std::memory_order_relaxed);
  dispatch(shard, except, message);
  return result;
}

void hub::local_broadcast(pid except, const outgoing_broadcast& message) {
  check(message);
  dispatch(shard_of(message.topic), except, message);
}

broadcast_result hub::direct_broadcast(std::string_view to, const outgoing_broadcast& message) {
  check(message);
  auto& shard = shard_of(message.topic);
  {
    std::shared_lock guard{shard.mutex};
    auto own = shard.adapter != nullptr ? shard.adapter->node_name() : node::self();
    if (to != own) {
      auto result = shard.adapter != nullptr ? shard.adapter->direct_broadcast(to, message)
                                             : broadcast_result::unreachable;
      if (result == broadcast_result::unreachable)
        unreachable_.fetch_add(1, std::memory_order_relaxed);
      return result;
    }
  }
  dispatch(shard, {}, message);
  return broadcast_result::ok;
}

std::string hub::node_name() {
  auto& shard = shards_.front();
  std::shared_lock guard{shard.mutex};
  return shard.adapter != nullptr ? shard.adapter->node_name() : node::self();
}

// --- for the adapter -----------------------------------------------------------------------------

void hub::deliver(const outgoing_broadcast& message) {
  received_.fetch_add(1, std::memory_order_relaxed);
  // What another node's users may not send, they have no way to send here either.
  if (!message.payload.is_binary() && !message.payload.is_object()) return;
  if (!dispatch(shard_of(message.topic), {}, message))
    unwanted_.fetch_add(1, std::memory_order_relaxed);
}

void hub::lost(
    std::chrono::milliseconds duration,
    const std::function<bool(std::string_view topic)>& concerns) {
  std::size_t topics = 0;
  for (auto& shard : shards_) {
    std::shared_lock guard{shard.mutex};
    for (auto& [topic, entry] : shard.topics) {
      if (!concerns(topic)) continue;
      ++topics;
      for (auto& one : entry.processes)
        if (one.gaps) send(one.process, pub_sub_gap{name_, topic, duration});
    }
  }
  gaps_.fetch_add(1, std::memory_order_relaxed);
  logger::warning(
      "broadcasts of other nodes may have been lost",
      {{"pub_sub", name_}, {"duration_ms", duration.count()}, {"topics", topics}});
}

pub_sub::counters hub::statistics() {
  auto& shard = shards_.front();
  std::shared_lock guard{shard.mutex};
  return {
      .sent = sent_before_ + (shard.adapter != nullptr ? shard.adapter->sent() : 0),
      .received = received_.load(std::memory_order_relaxed),
      .unwanted = unwanted_.load(std::memory_order_relaxed),
      .gaps = gaps_.load(std::memory_order_relaxed),
      .unreachable = unreachable_.load(std::memory_order_relaxed)};
}

}  // namespace roost::detail
