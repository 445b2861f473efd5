#include "runtime/distribution/distribution.hpp"
#include "runtime/distribution/cookie.hpp"
#include "runtime/distribution/global.hpp"
#include "runtime/distribution/guests.hpp"
#include "runtime/distribution/listener.hpp"
#include "runtime/distribution/net_kernel.hpp"
#include "runtime/distribution/pg.hpp"
#include "runtime/distribution/rpc.hpp"
#include "runtime/logger.hpp"
#include "runtime/mailbox_thread.hpp"
#include "runtime/node_table.hpp"
#include <algorithm>
#include <cstdlib>

namespace roost::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr unsigned ticks_per_ticktime = 4;  // net_tickintensity
constexpr milliseconds look_at_strangers{100};

std::invalid_argument wrong(std::string_view option, std::string_view expected, std::string got) {
  return std::invalid_argument(
      "expected " + std::string(option) + " to be " + std::string(expected) + ", got " + got);
}

std::uint16_t default_epmd_port() {
  auto* text = std::getenv("ERL_EPMD_PORT");
  auto port = text != nullptr ? std::atoi(text) : 0;
  return port > 0 && port < 65536 ? static_cast<std::uint16_t>(port) : 4369;
}

/// What was given, completed with what depends on the machine; throws for what cannot be.
node::options checked(node::options options) {
  if (!is_node_name(options.name)) throw wrong("node.name", "name@host", options.name);
  if (options.net_ticktime < milliseconds(40))
    throw wrong(
        "distribution.net_ticktime", "at least 40ms",
        std::to_string(options.net_ticktime.count()) + "ms");
  if (options.net_setuptime < milliseconds(1) || options.net_setuptime > milliseconds(120'000))
    throw wrong(
        "distribution.net_setuptime", "1ms–120s",
        std::to_string(options.net_setuptime.count()) + "ms");
  if (options.buffer < 1024 || options.buffer > (std::size_t{2} << 30))
    throw wrong("distribution.buffer", "1KiB–2GiB", std::to_string(options.buffer));
  if (options.hard_limit == 0) options.hard_limit = 8 * options.buffer;
  if (options.hard_limit < options.buffer)
    throw wrong(
        "distribution.hard_limit", "at least distribution.buffer",
        std::to_string(options.hard_limit));
  if (options.max_message < 65'536)
    throw wrong("distribution.max_message", "at least 64KiB", std::to_string(options.max_message));
  if (options.address.empty()) options.address = "127.0.0.1";
  if (options.epmd_port == 0) options.epmd_port = default_epmd_port();
  if (options.tls != node::tls::certificates) {
    if (options.cookie.empty()) options.cookie = read_or_create_cookie(options.cookie_file);
    check_cookie(options.cookie);
  }
  if (!options.guest_cookie.empty()) check_cookie(options.guest_cookie);
  if (!options.guest_cookie.empty() && options.guest_cookie == options.cookie)
    throw std::invalid_argument(
        "expected the cookie of guests to be another one than the cookie, got the same");
  return options;
}

link_security mode_of(node::tls tls) {
  return tls == node::tls::psk            ? link_security::psk
         : tls == node::tls::certificates ? link_security::certificates
                                          : link_security::none;
}

}  // namespace

distribution::~distribution() = default;

distribution& distribution::instance() {
  static auto& only = *new distribution;
  return only;
}

// --- life ----------------------------------------------------------------------------------------

void distribution::start(node::options options) {
  if (is_alive())
    throw std::logic_error(
        "expected a node without a name, got " + node::self() + ": stop it first");
  options_ = checked(std::move(options));
  {
    std::lock_guard guard{settings_mutex_};
    cookie_ = options_.cookie;
    cookies_.clear();
    allowed_ = options_.allowed;
  }
  security_options security;
  security.mode = mode_of(options_.tls);
  security.node = options_.name;
  security.cookie_for = [this](std::string_view name) { return cookie_for(name); };
  security.certificate = options_.certificate;
  security.key = options_.key;
  security.authority = options_.authority;
  security_ = security_context::make(std::move(security));
  name_this_node(options_.name);
  try {
    open_to_others();
  } catch (...) {
    mapper_.reset();
    listener_.reset();
    name_this_node({});
    throw;
  }
  stopping_ = false;
  ticker_ = std::thread([this] { run_ticker(); });
  kernel_ = start_net_kernel();
  rex_ = start_rex();
  alive_.store(true, std::memory_order_release);
  remote.store(this, std::memory_order_release);
  // One that was started without a node goes on with it.
  pg_ = whereis(pg::default_scope) ? pid() : start_pg();
  global_ = whereis("global_name_server") ? pid() : start_global();
  if (listener_) listener_->watch();
  logger::info(
      "node is alive", {{"node", options_.name},
                        {"address", options_.address},
                        {"port", listener_ ? listener_->port() : 0}});
}

void distribution::open_to_others() {
  if (!options_.listen) return;
  listener_ = std::make_unique<listener>(*this, options_.address, options_.port);
  port_mapper::options mapper;
  mapper.node = options_.name;
  mapper.port = listener_->port();
  mapper.epmd_port = options_.epmd_port;
  mapper.addresses = {options_.address};
  mapper.on_event = [](std::string_view event, std::string_view detail) {
    logger::info("port mapper", {{"event", event}, {"detail", detail}});
  };
  mapper_ = std::make_unique<port_mapper>(std::move(mapper));
}

void distribution::stop() {
  if (!alive_.exchange(false)) return;
  mapper_.reset();
  if (listener_) {
    auto* old = listener_.release();
    old->home().post_function([old] {
      old->home().unwatch(old->fd(), *old);
      old->home().delete_after_poll(std::unique_ptr<io_handler>(old));
    });
  }
  std::set<std::shared_ptr<node_link>> open;
  {
    std::lock_guard guard{connections_mutex_};
    open = connections_;
    stopping_ = true;
    ticker_wakes_.notify_all();
  }
  for (auto& link : open) link->close("disconnect", true);
  ticker_.join();
  for (auto process : {kernel_, rex_, pg_, global_}) {
    if (process) stop_root(process, exit_reason::shutdown);
    while (roost::is_alive(process)) std::this_thread::sleep_for(milliseconds(1));
  }
  name_this_node({});
}

// --- peers ---------------------------------------------------------------------------------------

peer& distribution::peer_named(std::string_view name) {
  std::lock_guard guard{peers_mutex_};
  auto found = peers_.find(name);
  if (found != peers_.end()) return *found->second;
  auto id = peer_count_++;
  auto& chunk = peer_chunks_.at(id / chunk_size);
  if (chunk.load(std::memory_order_relaxed) == nullptr)
    chunk.store(new peer*[chunk_size](), std::memory_order_release);
  auto* fresh = new peer(std::string(name), id);
  chunk.load(std::memory_order_relaxed)[id % chunk_size] = fresh;
  peers_.emplace(fresh->name, fresh);
  return *fresh;
}

peer* distribution::find_peer(std::string_view name) {
  std::lock_guard guard{peers_mutex_};
  auto found = peers_.find(name);
  return found != peers_.end() ? found->second : nullptr;
}

/// Whoever has an id got it together with the peer, so the entry is there.
peer& distribution::peer_at(std::uint32_t id) noexcept {
  return *peer_chunks_[id / chunk_size].load(std::memory_order_acquire)[id % chunk_size];
}

std::vector<peer*> distribution::all_peers() {
  std::lock_guard guard{peers_mutex_};
  std::vector<peer*> all;
  for (auto& [name, peer] : peers_) all.push_back(peer);
  return all;
}

std::uint32_t distribution::peer_of(std::uint32_t node) {
  auto& chunk = peer_of_node_.at(node / chunk_size);
  auto* ids = chunk.load(std::memory_order_acquire);
  if (ids == nullptr) {
    std::lock_guard guard{peers_mutex_};
    ids = chunk.load(std::memory_order_relaxed);
    if (ids == nullptr)
      chunk.store(ids = new std::atomic<std::uint32_t>[chunk_size](), std::memory_order_release);
  }
  auto id = ids[node % chunk_size].load(std::memory_order_acquire);
  if (id != 0) return id - 1;
  id = peer_named(node_of_number(node).name).id;
  ids[node % chunk_size].store(id + 1, std::memory_order_release);
  return id;
}

std::uint64_t distribution::serial_of(std::uint32_t peer) noexcept {
  return peer_at(peer).serial.load(std::memory_order_acquire);
}

std::uint64_t distribution::tie(std::uint32_t id, pid process, bool connect) {
  auto& peer = peer_at(id);
  std::uint64_t serial = 0;
  bool dials = false;
  {
    std::lock_guard guard{peer.mutex};
    bool may_dial = connect && peer.phase == peer::phase::idle && is_alive() &&
                    options_.auto_connect && is_allowed(peer.name) && clock::now() >= peer.retry_at;
    if (may_dial) dials = begin(peer);
    if (peer.phase != peer::phase::up && peer.phase != peer::phase::connecting) return 0;
    peer.tied.insert(process);
    serial = peer.serial.load(std::memory_order_relaxed);
  }
  if (dials) dial(peer, serial);
  return serial;
}

void distribution::untie(std::uint32_t id, pid process) noexcept {
  auto& peer = peer_at(id);
  std::lock_guard guard{peer.mutex};
  peer.tied.erase(process);
}

std::vector<std::string> distribution::list(node::which which) {
  std::vector<std::string> names;
  using node::which::connected;
  using node::which::hidden;
  using node::which::known;
  using node::which::visible;
  bool self = is_alive() && (which == known || which == node::which::this_node);
  if (self) names.push_back(options_.name);
  if (which == node::which::this_node) return names;
  for (auto* peer : all_peers()) {
    std::lock_guard guard{peer->mutex};
    bool up = peer->phase == peer::phase::up;
    bool wanted = (which == known && peer->was_up) || (which == connected && up) ||
                  (which == hidden && up && peer->hidden) ||
                  (which == visible && up && !peer->hidden);
    if (wanted) names.push_back(peer->name);
  }
  return names;
}

std::vector<distribution::link_info> distribution::links() {
  std::vector<link_info> all;
  for (auto* peer : all_peers()) {
    std::lock_guard guard{peer->mutex};
    if (peer->phase != peer::phase::up) continue;
    all.push_back(
        {peer->name, peer->hidden, peer->queued, peer->link->bytes_in(), peer->link->bytes_out()});
  }
  return all;
}

// --- subscribers ---------------------------------------------------------------------------------

void distribution::monitor_nodes(pid process, bool on, node::monitor_nodes_options options) {
  std::lock_guard guard{subscribers_mutex_};
  std::erase_if(subscribers_, [](const subscriber& one) { return !roost::is_alive(one.process); });
  auto found = std::find_if(subscribers_.begin(), subscribers_.end(), [&](const subscriber& one) {
    return one.process == process && one.types == options.node_type;
  });
  if (on && found == subscribers_.end())
    subscribers_.push_back({process, options.node_type, 1});
  else if (on)
    ++found->count;
  else if (found != subscribers_.end() && --found->count == 0)
    subscribers_.erase(found);
}

void distribution::monitor(pid process, const std::string& name) {
  if (!is_alive() || !is_node_name(name) || !is_allowed(name)) {
    send(process, nodedown{name, "not_connected"});
    return;
  }
  if (name == options_.name) return;
  auto& peer = peer_named(name);
  bool dials = false;
  {
    std::lock_guard guard{peer.mutex};
    if (peer.phase == peer::phase::idle) dials = begin(peer);
    peer.monitors.push_back(process);
  }
  if (dials) dial(peer, peer.serial.load());
}

void distribution::demonitor(pid process, std::string_view name) {
  auto* peer = find_peer(name);
  if (peer == nullptr) return;
  std::lock_guard guard{peer->mutex};
  auto found = std::find(peer->monitors.begin(), peer->monitors.end(), process);
  if (found != peer->monitors.end()) peer->monitors.erase(found);
}

// --- who may come --------------------------------------------------------------------------------

std::string distribution::cookie() const {
  std::lock_guard guard{settings_mutex_};
  return cookie_;
}

void distribution::set_cookie(std::string cookie) {
  check_cookie(cookie);
  std::lock_guard guard{settings_mutex_};
  cookie_ = std::move(cookie);
}

void distribution::set_cookie(std::string name, std::string cookie) {
  check_cookie(cookie);
  if (!is_node_name(name)) throw wrong("the node of a cookie", "name@host", name);
  if (name == options_.name) return set_cookie(std::move(cookie));
  std::lock_guard guard{settings_mutex_};
  cookies_[std::move(name)] = std::move(cookie);
}

std::optional<std::string> distribution::cookie_for(std::string_view name) const {
  std::lock_guard guard{settings_mutex_};
  auto own = cookies_.find(name);
  if (own != cookies_.end()) return own->second;
  if (is_guest(name)) {
    if (options_.guest_cookie.empty()) return std::nullopt;
    return options_.guest_cookie;
  }
  if (cookie_.empty()) return std::nullopt;
  return cookie_;
}

void distribution::allow(std::vector<std::string> names) {
  std::lock_guard guard{settings_mutex_};
  allowed_.insert(
      allowed_.end(), std::make_move_iterator(names.begin()), std::make_move_iterator(names.end()));
}

bool distribution::is_allowed(std::string_view name) const {
  std::lock_guard guard{settings_mutex_};
  if (allowed_.empty()) return true;
  auto host = name.substr(name.find('@'));
  return std::any_of(allowed_.begin(), allowed_.end(), [&](const std::string& one) {
    return one == name || (one.starts_with("*@") && host == std::string_view(one).substr(1));
  });
}

hello distribution::own_hello() const {
  hello hello;
  hello.node = options_.name;
  hello.incarnation = this_node().incarnation;
  hello.hidden = options_.hidden;
  hello.ticktime_ms = static_cast<std::uint32_t>(options_.net_ticktime.count());
  hello.max_message = options_.max_message;
  return hello;
}

// --- the ticker ----------------------------------------------------------------------------------

void distribution::wake_ticker() {
  std::lock_guard guard{connections_mutex_};
  ticker_woken_ = true;
  ticker_wakes_.notify_all();
}

void distribution::run_ticker() {
  auto period = options_.net_ticktime / ticks_per_ticktime;
  auto next_tick = clock::now() + period;
  for (;;) {
    auto pause = look_after_setups();
    auto now = clock::now();
    if (now >= next_tick) {
      tick_links();
      // One tick after a long sleep of the whole process, not one for each that was missed: a node
      // that was frozen reads first and judges later.
      next_tick = clock::now() + period;
    }
    std::unique_lock guard{connections_mutex_};
    auto wake = [&] { return stopping_ || std::exchange(ticker_woken_, false); };
    auto until = pause ? std::min(next_tick, clock::now() + *pause) : next_tick;
    if (connections_.empty() && !pause)
      ticker_wakes_.wait(guard, wake);
    else
      ticker_wakes_.wait_until(guard, until, wake);
    if (stopping_) return;
  }
}

std::vector<std::shared_ptr<node_link>> distribution::all_connections() {
  std::lock_guard guard{connections_mutex_};
  return {connections_.begin(), connections_.end()};
}

void distribution::tick_links() {
  for (auto& link : all_connections())
    if (link->is_up() && link->tick() >= ticks_per_ticktime) link->close("net_tick_timeout");
}

/// Ends what takes longer than net_setuptime. Answers when to look again, if there is anything.
std::optional<milliseconds> distribution::look_after_setups() {
  auto now = clock::now();
  bool some = false;
  for (auto& link : all_connections()) {
    if (link->is_up()) continue;
    some = true;
    if (now - link->began() > options_.net_setuptime) link->close("net_setuptime has passed");
  }
  for (auto* peer : all_peers()) {
    std::uint64_t late = 0;
    {
      std::lock_guard guard{peer->mutex};
      if (peer->phase != peer::phase::connecting) continue;
      some = true;
      if (now > peer->deadline + look_at_strangers && !peer->attempt)
        late = peer->serial.load(std::memory_order_relaxed);
    }
    if (late != 0) failed(*peer, late, "net_setuptime has passed");
  }
  if (!some) return std::nullopt;
  return std::min(look_at_strangers, options_.net_setuptime);
}

}  // namespace roost::detail
