#include "channels/pub_sub.hpp"
#include "channels/hub.hpp"
#include "channels/redis_adapter.hpp"
#include "runtime/config.hpp"

namespace roost {
namespace {

using detail::hub;

constexpr std::uint32_t largest_pool = 64;

pub_sub_adapter_spec configured_redis(const config& section) {
  redis_options options;
  options.url = section.get<std::string>("url", "");
  options.node_name = section.get<std::string>("node_name", "");
  options.pool_size =
      section.get_in<std::uint32_t>("pool_size", options.pool_size, 1, largest_pool);
  options.ca_file = section.get<std::string>("ca_file", "");
  try {
    return redis_adapter(std::move(options));
  } catch (const std::invalid_argument& wrong) {
    // Only the url can be wrong here. section.error would show it, with the password.
    throw config_error(
        "pub_sub.redis.url: " + std::string(wrong.what()) + " (" + section.where("url") + ")");
  }
}

pub_sub_adapter_spec configured_adapter() {
  auto section = application_config().section("pub_sub");
  auto name = section.get<std::string>("adapter", "pg");
  if (name == "pg") return pg_adapter();
  if (name == "interest") return interest_adapter();
  if (name == "redis") return configured_redis(section.section("redis"));
  throw section.error("adapter", "pg, interest or redis");
}

/// The adapter while it is in use.
class attached_adapter {
 public:
  attached_adapter(std::shared_ptr<hub> hub, const pub_sub_adapter_spec& spec)
      : hub_(std::move(hub)), adapter_(spec.make()) {
    adapter_->start(*hub_);
    hub_->set_adapter(adapter_.get());
  }
  attached_adapter(const attached_adapter&) = delete;
  attached_adapter& operator=(const attached_adapter&) = delete;
  ~attached_adapter() {
    hub_->set_adapter(nullptr);
    adapter_->stop();
  }

  pub_sub_adapter& operator*() const noexcept { return *adapter_; }

 private:
  std::shared_ptr<hub> hub_;
  std::unique_ptr<pub_sub_adapter> adapter_;
};

/// Owns the table of one pub_sub and its adapter, and drops processes that have ended.
struct pub_sub_server {
  struct sync { using reply = bool; };
  using messages = roost::messages<sync>;
  using infos = roost::messages<pid>;

  std::shared_ptr<detail::hub> hub;
  std::unique_ptr<attached_adapter> adapter;

  static init_result<pub_sub_server> init(pub_sub::options options) {
    auto hub = detail::hub::create(options.name, options.pool_size);
    auto adapter = std::make_unique<attached_adapter>(hub, options.adapter);
    hub->set_owner(self());
    for (auto process : hub->subscribers()) monitor(process);
    return pub_sub_server{std::move(hub), std::move(adapter)};
  }

  call_result<bool> handle_call(sync, from<bool> caller) {
    (**adapter).when_synced([caller] { caller.reply(true); });
    return noreply();
  }
  void handle_info(pid subscriber) { monitor(subscriber); }
  void handle_info(const down& down) { hub->forget(down.process); }
};

}  // namespace

child_spec pub_sub::child_spec(options options) {
  if (options.name.empty())
    throw std::invalid_argument("expected pub_sub's .name to be set, got an empty one");
  if (options.pool_size == 0 || options.pool_size > largest_pool)
    throw std::invalid_argument(
        "expected pub_sub's .pool_size to be 1 to 64, got " + std::to_string(options.pool_size));
  if (!options.adapter.make) options.adapter = configured_adapter();
  auto name = options.name;
  auto spec = detail::server_spec<pub_sub_server>(start_options{}, std::move(options));
  spec.id = name;
  return spec;
}

pending<bool> pub_sub::sync(std::string_view name) {
  return call(server<pub_sub_server>(hub::find(name)->owner()), pub_sub_server::sync{}, infinity);
}

pub_sub::counters pub_sub::statistics(std::string_view name) {
  return hub::find(name)->statistics();
}

std::vector<std::string> pub_sub::names() { return hub::names(); }

std::vector<pub_sub::topic_info> pub_sub::topics(std::string_view name) {
  return hub::find(name)->census();
}

// --- subscribing ---------------------------------------------------------------------------------

void subscribe(std::string_view pub_sub, std::string_view topic, subscribe_options options) {
  if (!inside_process())
    throw std::logic_error("expected subscribe to be called in a process, got an outside thread");
  hub::find(pub_sub)->subscribe(topic, self(), std::move(options));
}

void unsubscribe(std::string_view pub_sub, std::string_view topic) {
  hub::find(pub_sub)->unsubscribe(topic, self());
}

// --- broadcasting --------------------------------------------------------------------------------

broadcast_result broadcast(
    std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher) {
  return hub::find(pub_sub)->broadcast({}, {topic, event, payload, dispatcher});
}

broadcast_result broadcast_from(
    std::string_view pub_sub, pid from, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher) {
  return hub::find(pub_sub)->broadcast(from, {topic, event, payload, dispatcher});
}

void local_broadcast(
    std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher) {
  hub::find(pub_sub)->local_broadcast({}, {topic, event, payload, dispatcher});
}

void local_broadcast_from(
    std::string_view pub_sub, pid from, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher) {
  hub::find(pub_sub)->local_broadcast(from, {topic, event, payload, dispatcher});
}

broadcast_result direct_broadcast(
    std::string_view node, std::string_view pub_sub, std::string_view topic, std::string_view event,
    const payload& payload, std::string_view dispatcher) {
  return hub::find(pub_sub)->direct_broadcast(node, {topic, event, payload, dispatcher});
}

std::string node_name(std::string_view pub_sub) { return hub::find(pub_sub)->node_name(); }

}  // namespace roost
